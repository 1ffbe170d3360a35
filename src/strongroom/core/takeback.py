"""Ending what was issued in an answer that nobody was given.

Rules of this file: a token or lease that this very call made is revoked when no audit device took the response line, since its holder does
not know of it; what the call only renewed or showed stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.response import Response
from strongroom.core.secret import Secret

Unsaid = tuple[Response, int]
"""An answer that was not given, and the instant (ns) of its call."""


def issues(response: Response) -> bool:
    """Whether an answer may hold something that was made for it."""
    return response.auth is not None or response.wrap is not None or response.lease is not None


def take_back(core: Core, unsaid: list[Unsaid]) -> Callable[[Call], None]:
    """The change that ends what these answers issued."""

    def change(call: Call) -> None:
        for response, when in unsaid:
            if response.lease is not None and response.lease.id:
                _end_lease(core, call, response.lease.id, when)
            if response.auth is not None:
                _end_token(core, call, response.auth.client_token, when)
            if response.wrap is not None:
                _end_token(core, call, response.wrap.token, when)

    return change


def _end_lease(core: Core, call: Call, lease_id: str, when: int) -> None:
    lease = core.leases.find(call.transaction, lease_id)
    if lease is not None and lease.issued == when:
        core.leases.end(call.transaction, lease)


def _end_token(core: Core, call: Call, secret: Secret, when: int) -> None:
    digest = core.tokens.digest(call.transaction, secret.reveal())
    entry = core.tokens.entry(call.transaction, digest)
    if entry is not None and entry.created == when:
        core.tokens.revoke(call.transaction, digest, entry)
