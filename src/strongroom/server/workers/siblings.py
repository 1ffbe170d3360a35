"""What a worker asks of those beside it, and the answers where there are none.

Rules of this file: a Protocol and the worker that serves alone, for which every answer is known; server/workers/member.py is the other one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from strongroom.core.audit.checkpoint import Seen
from strongroom.core.sealing.state import Progress, Shares
from strongroom.storage.newest import Newest


class Post(msgspec.Struct, frozen=True):
    """What a worker tells the others every second: its life, where its audit streams stand, its numbers."""

    boot: bytes = b""
    heads: tuple[Seen, ...] = ()
    counts: Mapping[str, float] = {}
    gauges: Mapping[str, float] = {}


class Siblings(Protocol):
    """The other workers of this server, seen from one."""

    slot: int
    shared: bool
    """Whether there can be others."""
    newest: Newest | None
    shares: Shares
    stays_sealed: bool
    """Somebody sealed the server: no seal opens it by itself again."""

    @property
    def leads(self) -> bool:
        """Whether this worker runs the timers and signs the checkpoints of all."""
        ...

    @property
    def last(self) -> bool:
        """Whether no other worker runs."""
        ...

    @property
    def keyed(self) -> bool:
        """Whether one of the workers has the root key, or may have it still."""
        ...

    def lives(self, boot: bytes) -> bool:
        """Whether a worker of this life runs."""
        ...

    def joins(self) -> bool:
        """This one takes orders from now on; whether it is to be opened at once."""
        ...

    def serves(self) -> None:
        """This one takes requests from now on."""
        ...

    def opened(self, root: bytearray, used: Iterable[bytes]) -> None:
        """This one opened the store; waits until the others have."""
        ...

    def root_changed(self, root: bytearray) -> None:
        """The root key is another one now."""
        ...

    def seal(self) -> bool:
        """Have the others seal; waits until they have. False where another one seals the server, this one too. Raises Unavailable."""
        ...

    def sealed(self) -> None:
        """This one has sealed, and done what was to be done while it is."""
        ...

    def retire(self) -> None:
        """This one is sealed and ends; another takes its place."""
        ...

    def reload(self) -> bool:
        """Have all workers read their files again; False where that is this one's own doing."""
        ...

    def post(self, post: Post) -> None:
        """Tell the others."""
        ...

    def posts(self) -> Sequence[Post]:
        """What the others told last; of those that have ended without their gauges."""
        ...

    def before(self) -> Post:
        """What this slot's worker before this one told last."""
        ...

    def restarts(self) -> tuple[int, int]:
        """How many workers were started again, and how many slots given up."""
        ...


class Alone:
    """A worker without others."""

    slot = 0
    shared = False
    newest: Newest | None = None
    leads = last = True
    stays_sealed = keyed = False

    def __init__(self) -> None:
        self.shares: Shares = Progress()

    def lives(self, boot: bytes) -> bool:
        """None but its own, which it knows."""
        return False

    def joins(self) -> bool:
        """Nobody orders it."""
        return False

    def serves(self) -> None:
        """Nobody waits for it."""

    def opened(self, root: bytearray, used: Iterable[bytes]) -> None:
        """Nobody needs the key."""
        self.stays_sealed = False

    def root_changed(self, root: bytearray) -> None:
        """Nobody needs the key."""

    def seal(self) -> bool:
        """Nobody else has keys."""
        return True

    def sealed(self) -> None:
        """It may be opened again."""

    def retire(self) -> None:
        """It goes on."""

    def reload(self) -> bool:
        """Its own doing."""
        return False

    def post(self, post: Post) -> None:
        """Nobody reads it."""

    def posts(self) -> Sequence[Post]:
        """None."""
        return ()

    def before(self) -> Post:
        """Nothing."""
        return Post()

    def restarts(self) -> tuple[int, int]:
        """None."""
        return 0, 0
