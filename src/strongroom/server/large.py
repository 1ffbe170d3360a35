"""Which requests may bring a body beyond the usual size: those for a route that says so, by whoever shows a token that is good.

Rules of this file:
- It is asked before the body is read, and only about bodies that are too large for everybody else: the others cost nothing here.
- The body is not trusted for that, nor is anything decided for later: the request is resolved anew once it is here.
- Where the token's row is on another machine and not at hand, the caller is let through: what such bodies may hold together is bounded
  (`Limits.max_held_large`), and nothing waits here.
"""

from __future__ import annotations

from contextlib import suppress

from strongroom.api.vault import asked
from strongroom.core.core import Core
from strongroom.core.request import Rerun
from strongroom.errors import StrongroomError
from strongroom.server.framing import Head


class LargeBodies:
    """The answer for one worker."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def __call__(self, head: Head) -> bool:
        """Whether this request's body may be large."""
        with suppress(StrongroomError):
            return head.target.startswith(b"/v1/") and self._admits(head)
        return False

    def _admits(self, head: Head) -> bool:
        request = asked(head.verb, head.target, head.headers)
        self._core.committed.follow()
        transaction = self._core.transaction(None)
        route = None if request.namespace else self._core.find(transaction, request.operation, request.path).route
        if route is None or not route.large:
            return False
        with suppress(Rerun):
            self._core.tokens.find(transaction, request.credential)
        return True
