"""Response wrapping: the answer stays here, the caller gets a token that opens it once.

Rules of this file:
- The wrapping token is an ordinary token with one use and a policy that allows nothing but unwrapping; the answer lies under its hash.
- Opening deletes the answer and revokes the token in one commit, so of any number of callers exactly one gets it.
- Unknown, used and expired look the same. A lifetime over the system's ceiling is cut to it.
"""

from __future__ import annotations

import msgspec

from strongroom.core import areas
from strongroom.core.response import Grant, WrapInfo
from strongroom.core.secret import Secret
from strongroom.core.token.entry import TokenEntry
from strongroom.core.token.tokens import WRAPPING_POLICY, Tokens
from strongroom.core.transaction import Transaction
from strongroom.errors import InvalidRequest

INVALID = "wrapping token is not valid or does not exist"


class Wrapped(msgspec.Struct, frozen=True):
    """A kept answer: its JSON as it would have been sent. `created` in ns, `ttl` in seconds."""

    body: bytes
    path: str
    created: int
    ttl: int
    accessor: str = ""

    def __repr__(self) -> str:
        return f"Wrapped({self.path}, {len(self.body)} bytes)"


class Wrapping:
    """Keeps and opens wrapped answers."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def wrap(self, transaction: Transaction, body: bytes, path: str, ttl: int, accessor: str = "") -> WrapInfo:
        """Keep an answer and make the token that opens it."""
        grant = Grant(policies=(WRAPPING_POLICY,), no_default_policy=True, ttl=ttl, explicit_max_ttl=ttl, renewable=False, num_uses=1)
        auth = self._tokens.issue(transaction, grant, path, None)
        ttl = auth.lease_duration
        digest = self._tokens.digest(transaction, auth.client_token.reveal())
        transaction.view(areas.WRAPPING).create(digest, Wrapped(body, path, transaction.now, ttl, accessor))
        return WrapInfo(
            token=auth.client_token,
            accessor=auth.accessor,
            ttl=ttl,
            creation_time=transaction.now,
            creation_path=path,
            wrapped_accessor=accessor,
        )

    def find(self, transaction: Transaction, credential: Secret) -> tuple[bytes, TokenEntry, Wrapped]:
        """The kept answer behind a wrapping token. Raises InvalidRequest."""
        digest = self._tokens.digest(transaction, credential.reveal())
        entry = self._tokens.alive(transaction, digest)
        wrapped = transaction.view(areas.WRAPPING).get(digest, Wrapped)
        if entry is None or wrapped is None:
            raise InvalidRequest(INVALID)
        return digest, entry, wrapped

    def open(self, transaction: Transaction, credential: Secret) -> tuple[TokenEntry, Wrapped]:
        """Take the answer out: the token is gone with this commit. Raises InvalidRequest."""
        digest, entry, wrapped = self.find(transaction, credential)
        transaction.view(areas.WRAPPING).delete(digest)
        self._tokens.revoke(transaction, digest, entry)
        return entry, wrapped
