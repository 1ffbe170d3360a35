"""Base of the route classes below `sys/`.

Rules of this file: it has no routes of its own; `self.core` gives a route the mounts, policies, tokens, leases, seal and audit.
"""

from __future__ import annotations

from strongroom.core.core import SystemEngine
from strongroom.core.request import Response


class Routes(SystemEngine):
    """Routes of one noun below `sys/`; subclasses need no `kind`."""

    apart = True


def warned(warnings: tuple[str, ...]) -> Response | None:
    """The answer of a write that has nothing to say but perhaps warnings."""
    return Response(warnings=warnings) if warnings else None
