"""What one process knows about its seals, and the shares it was given so far.

Rules of this file:
- Unseal progress lives in memory only. What is no share of this installation never enters it, so nobody can spoil a round.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from strongroom.barrier.anchor import Anchor
from strongroom.barrier.seal import Seal
from strongroom.barrier.shares import ShareSet, wipe
from strongroom.crypto.ids import uuid4_text


class Progress:
    """Shares given so far, by set. `accepting` counts those of a round that came with consent to a rolled-back store."""

    def __init__(self) -> None:
        self.nonce = ""
        self._given: dict[bytes, list[bytearray]] = {}
        self._accepting: dict[bytes, int] = {}

    def add(self, share_set: ShareSet, share: bytes, accept: bool) -> bool:
        """Take a share in; False when it was given before."""
        given = self._given.setdefault(share_set.id, [])
        if any(secrets.compare_digest(bytes(known), share) for known in given):
            return False
        self.nonce = self.nonce or uuid4_text()
        given.append(bytearray(share))
        self._accepting[share_set.id] = self._accepting.get(share_set.id, 0) + accept
        return True

    def count(self, share_set: ShareSet) -> int:
        """How many shares of a set were given."""
        return len(self._given.get(share_set.id, ()))

    def take(self, share_set: ShareSet) -> tuple[list[bytes], bool]:
        """The shares of a set, and whether all of them accept a rolled-back store; everything is forgotten."""
        shares = [bytes(share) for share in self._given.get(share_set.id, ())]
        accepted = self._accepting.get(share_set.id, 0) == len(shares)
        self.reset()
        return shares, accepted

    def reset(self) -> None:
        """Forget every share."""
        for given in self._given.values():
            wipe(*given)
        self._given.clear()
        self._accepting.clear()
        self.nonce = ""

    def __repr__(self) -> str:
        return f"Progress({sum(len(given) for given in self._given.values())} shares)"


class Sealing:
    """What one process knows about its seals. `seals` and `anchor` are set by the server from its configuration.

    `anchor` gives the newest state of the store that was proven elsewhere, None where there is none. `used` holds the ids of share
    sets that opened or authorised something here. `boot` tells this life of the process from every other.
    """

    def __init__(self) -> None:
        self.seals: tuple[Seal, ...] = ()
        self.anchor: Callable[[], Anchor | None] = lambda: None
        self.progress = Progress()
        self.used: set[bytes] = set()
        self.boot = secrets.token_bytes(16)

    def __repr__(self) -> str:
        return f"Sealing({[seal.kind for seal in self.seals]})"
