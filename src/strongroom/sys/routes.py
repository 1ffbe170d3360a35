"""Base of the route classes below `sys/`.

Rules of this file: it has no routes of its own; `self.core` gives a route the mounts, policies, tokens, leases, seal and audit.
"""

from __future__ import annotations

from strongroom.core.core import SystemEngine


class Routes(SystemEngine):
    """Routes of one noun below `sys/`; subclasses need no `kind`."""

    apart = True
