"""What one process knows about its seals, and the shares it was given so far.

Rules of this file:
- Unseal progress lives in memory only; where several processes serve, in that of their supervisor. What is no share of this installation
  never enters it, so nobody can spoil a round.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from strongroom.barrier.anchor import Anchor
from strongroom.barrier.seal import Seal
from strongroom.barrier.shares import wipe
from strongroom.crypto.ids import uuid4_text


class Given(NamedTuple):
    """What came of a share. `shares`: all of its set once there are enough, which are then forgotten; `accepted`: each of them came
    with consent to a rolled-back store."""

    new: bool
    shares: tuple[bytes, ...] = ()
    accepted: bool = False

    def __repr__(self) -> str:
        return f"Given({len(self.shares)} shares)"


class Standing(NamedTuple):
    """How far a round is: its nonce, and how many shares of each set there are."""

    nonce: str = ""
    counts: Mapping[bytes, int] = {}


class Shares(Protocol):
    """Where unseal shares are collected."""

    def give(self, set_id: bytes, threshold: int, share: bytes, *, accept: bool) -> Given:
        """Take a share in. The last one of a round takes all of them out again, in one step: no round ends twice."""
        ...

    def standing(self) -> Standing:
        """How far the round is."""
        ...

    def reset(self) -> None:
        """Forget every share."""
        ...


class Progress:
    """Shares given so far, by set. `accepting` counts those of a round that came with consent to a rolled-back store."""

    def __init__(self) -> None:
        self._nonce = ""
        self._given: dict[bytes, list[bytearray]] = {}
        self._accepting: dict[bytes, int] = {}

    def give(self, set_id: bytes, threshold: int, share: bytes, *, accept: bool) -> Given:
        """See Shares."""
        given = self._given.setdefault(set_id, [])
        if any(secrets.compare_digest(bytes(known), share) for known in given):
            return Given(new=False)
        self._nonce = self._nonce or uuid4_text()
        given.append(bytearray(share))
        self._accepting[set_id] = self._accepting.get(set_id, 0) + accept
        if len(given) < threshold:
            return Given(new=True)
        shares, accepted = tuple(bytes(each) for each in given), self._accepting[set_id] == len(given)
        self.reset()
        return Given(True, shares, accepted)

    def standing(self) -> Standing:
        """See Shares."""
        return Standing(self._nonce, {set_id: len(given) for set_id, given in self._given.items()})

    def reset(self) -> None:
        """See Shares."""
        for given in self._given.values():
            wipe(*given)
        self._given.clear()
        self._accepting.clear()
        self._nonce = ""

    def __repr__(self) -> str:
        return f"Progress({sum(len(given) for given in self._given.values())} shares)"


class Sealing:
    """What one process knows about its seals. `seals` and `anchor` are set by the server from its configuration.

    `anchor` gives the newest state of the store that was proven elsewhere, None where there is none. `used` holds the ids of share
    sets that opened or authorised something here. `boot` tells this life of the process from every other; `lives_elsewhere` says whether
    a process beside this one has that life.
    """

    def __init__(self) -> None:
        self.seals: tuple[Seal, ...] = ()
        self.anchor: Callable[[], Anchor | None] = lambda: None
        self.progress: Shares = Progress()
        self.used: set[bytes] = set()
        self.boot = secrets.token_bytes(16)
        self.lives_elsewhere: Callable[[bytes], bool] = lambda _boot: False

    def lives(self, boot: bytes) -> bool:
        """Whether the process of that life still runs."""
        return secrets.compare_digest(boot, self.boot) or self.lives_elsewhere(boot)

    def __repr__(self) -> str:
        return f"Sealing({[seal.kind for seal in self.seals]})"
