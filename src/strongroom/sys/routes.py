"""Base of the route classes below `sys/`.

Rules of this file: it has no routes of its own; `self.core` gives a route the mounts, policies, tokens, leases, seal and audit.
"""

from __future__ import annotations

from strongroom.core.core import SystemEngine
from strongroom.core.response import Response
from strongroom.errors import UnsupportedOperation, several


class Routes(SystemEngine):
    """Routes of one noun below `sys/`; subclasses need no `kind`."""

    apart = True


def closed(switch: str, instead: str) -> UnsupportedOperation:
    """What is said of a form that takes no token, where no listener opens it: Vault's program asks for no other."""
    return UnsupportedOperation(
        several(
            f"unsupported operation: what takes no token is closed here; with one there is {instead}, which 'strongroom operator' uses, "
            f"or let a listener open this: {switch} = false"
        )
    )


def warned(warnings: tuple[str, ...]) -> Response | None:
    """The answer of a write that has nothing to say but perhaps warnings."""
    return Response(warnings=warnings) if warnings else None
