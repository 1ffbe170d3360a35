"""Found tokens, kept between requests by their digest.

Rules of this file:
- A kept token counts as long as it is here: whatever it was made of (its row, those above it, policies, mounts, entities, tombstones)
  drops it when it changes. What this very transaction's group changed the caller looks after.
"""

from __future__ import annotations

from strongroom.core.token.entry import Token
from strongroom.core.token.rows import token_row
from strongroom.storage.api import HEADER

MAX_KEPT = 50_000
MAX_CARRIED = 32 << 20
"""Tokens kept, and the characters of policy names and metadata that they carry together: in memory, with audit's forms of them, five bytes
each. Beyond either all are found again."""

_KIND = token_row(b"")


class KeptTokens(dict[bytes, Token]):
    """Tokens by digest. Written to by `keep` only, so that a change above a token is known to concern it."""

    def __init__(self) -> None:
        super().__init__()
        self._below: dict[bytes, set[bytes]] = {}
        self._carried = 0

    def keep(self, token: Token) -> None:
        """Keep a token, until its row or one of its ancestors' changes."""
        if len(self) >= MAX_KEPT or self._carried > MAX_CARRIED:
            self.drop()
        self._let_go(token.digest)
        self._carried += _carried(token)
        self[token.digest] = token
        for digest in token.chain:
            self._below.setdefault(digest, set()).add(token.digest)

    def drop(self) -> None:
        """Forget all: something changed that any token may be made of."""
        self.clear()
        self._below.clear()
        self._carried = 0

    def changed(self, key: bytes | None) -> None:
        """A row of the token area changed, None = any of them may have."""
        if key is None:
            self.drop()
        elif key[HEADER : HEADER + len(_KIND)] == _KIND:
            for digest in self._below.pop(key[HEADER + len(_KIND) :], ()):
                self._let_go(digest)

    def _let_go(self, digest: bytes) -> None:
        token = self.pop(digest, None)
        if token is None:
            return
        self._carried -= _carried(token)
        for above in token.chain:
            below = self._below.get(above)
            if below is not None:
                below.discard(digest)


def _carried(token: Token) -> int:
    """Characters of what a token carries."""
    entry = token.entry
    texts = (*(entry.metadata or {}).items(), *entry.internal.items())
    return sum(map(len, token.policies)) + sum(len(text) for pair in texts for text in pair)
