"""Which requests may bring a body beyond the usual size: those for a route that says so, by whoever shows a token that is good.

Rules of this file:
- It is asked before the body is read, and only about bodies that are too large for everybody else: the others cost nothing here.
- The body is not trusted for that, nor is anything decided for later: the request is resolved anew once it is here.
- A snapshot to be put back may be larger than memory. It goes to a file without a name, of whoever may do what he asks for: he may
  replace the whole store, so a disk is nothing to keep from him.
- Where the token's row is on another machine and not at hand, the caller is let through: what such bodies may hold together is bounded
  (`Limits.max_held_large`), and nothing waits here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import BinaryIO

from strongroom.api.vault import Asked, asked
from strongroom.core.call import Rerun
from strongroom.core.core import Core
from strongroom.core.engine import Route
from strongroom.core.snapshots.paths import UPLOADS
from strongroom.core.transaction import Transaction
from strongroom.errors import StrongroomError
from strongroom.server.framing import Head
from strongroom.storage.nameless import nameless


class LargeBodies:
    """The answer for one worker."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def __call__(self, head: Head) -> bool:
        """Whether this request's body may be large."""
        with suppress(StrongroomError):
            return head.target.startswith(b"/v1/") and self._admits(head)
        return False

    def file(self, head: Head) -> Callable[[], BinaryIO] | None:
        """What makes the file for this request's body, if it may go to one."""
        with suppress(StrongroomError, Rerun):
            request = asked(head.verb, head.target, head.headers)
            if request.path in UPLOADS and (found := self._asks(request)):
                transaction, route = found
                token = self._core.tokens.find(transaction, request.credential)
                token.acl.check(request.operation, request.path, sudo=route.sudo)
                return partial(nameless, self._core.snapshots.settings.spool)
        return None

    def _admits(self, head: Head) -> bool:
        request = asked(head.verb, head.target, head.headers)
        found = self._asks(request)
        if found is None:
            return False
        with suppress(Rerun):
            self._core.tokens.find(found[0], request.credential)
        return True

    def _asks(self, request: Asked) -> tuple[Transaction, Route] | None:
        """The route that is asked for, if its bodies may be large."""
        self._core.committed.follow()
        transaction = self._core.transaction(None)
        route = None if request.namespace else self._core.find(transaction, request.operation, request.path).route
        return None if route is None or not route.large else (transaction, route)
