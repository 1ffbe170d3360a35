"""What strongroom asks of a disk.

Rules of this file:
- A store is untrusted and dumb: it sees row keys and sealed records, both bytes, and interprets neither, save for the length
  prefixes that `children` needs to skip over a subtree.
- One group commits at a time, over all processes and nodes that share the store; a group commits whole or not at all.
- Every method raises `StorageUnusable` when the store cannot be read or written, never a driver's own exception.

Row keys: `mount uuid 16 | kind 1 | component…`; a component is `length u16 big-endian | length bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from strongroom.errors import StorageUnusable

INDEX_KEY = bytes(17) + b"index"
"""The one row that holds the sealed index; `Group.entries` always carries it where it exists."""

AREA = 16
"""Bytes of a row key that name the mount or system area it belongs to."""

HEADER = AREA + 1
"""Bytes of a row key before its first component: area and kind."""

MAX_KEY = 2_704
"""PostgreSQL's limit on an index entry; the longest legal path stays below it."""


class Feed(NamedTuple):
    """What changed after some gsn: the newest gsn, and the keys; None means "everything may have"."""

    gsn: int
    keys: frozenset[bytes] | None


class Child(NamedTuple):
    """One name directly below a prefix: `key` = prefix + its component; a row of its own, rows below it, or both."""

    key: bytes
    leaf: bool
    folder: bool


class Scan(NamedTuple):
    """A `scan` that a store on another machine is to answer."""

    start: bytes
    stop: bytes
    limit: int

    def touched(self, keys: Iterable[bytes]) -> bool:
        """Whether a change of these rows may change what it returns."""
        return any(self.start <= key < self.stop for key in keys)


class Below(NamedTuple):
    """A `children` that a store on another machine is to answer."""

    prefix: bytes
    after: bytes
    limit: int

    def touched(self, keys: Iterable[bytes]) -> bool:
        """Whether a change of these rows may change what it returns."""
        return any(key.startswith(self.prefix) for key in keys)


class Wanted(NamedTuple):
    """Rows and ranges to be read in one round trip."""

    keys: frozenset[bytes] = frozenset()
    ranges: frozenset[Scan | Below] = frozenset()

    def __or__(self, other: object) -> Wanted:
        if not isinstance(other, Wanted):
            return NotImplemented
        return Wanted(self.keys | other.keys, self.ranges | other.ranges)

    def __bool__(self) -> bool:
        return bool(self.keys or self.ranges)

    def untouched(self, changed: Collection[bytes]) -> Wanted:
        """What of it a change of these rows leaves as it was."""
        if not changed:
            return self
        return Wanted(self.keys.difference(changed), frozenset(each for each in self.ranges if not each.touched(changed)))


class Fetched(NamedTuple):
    """What changed, and what was wanted, all of one instant: commit `feed.gsn`."""

    wanted: Wanted
    feed: Feed
    rows: dict[bytes, bytes]
    scans: dict[Scan, list[tuple[bytes, bytes]]]
    below: dict[Below, list[Child]]


class Group(Protocol):
    """The one open transaction. While it is open nobody else commits."""

    id: bytes
    """16 random bytes, stored with the commit, by which its outcome can be looked up."""
    gsn: int
    """The global sequence number this group will commit as: the last one plus 1."""
    min_epoch: int
    """Records of older epochs are refused; see the barrier."""
    feed: Feed
    """What others committed since the gsn given to `begin`."""
    entries: dict[bytes, bytes]
    """The rows asked for in `begin` that exist, and the index row."""

    def more(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The committed rows among `keys`, before `apply`: in this transaction, whose pages are those that it will change."""
        ...

    def apply(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        """Write rows; may be called several times before `commit`."""
        ...

    def raise_min_epoch(self, epoch: int) -> None:
        """Refuse commits with records of epochs below `epoch`, from this commit on."""
        ...

    def commit(self) -> None:
        """Make it durable and visible, and let the next group begin. Raises OutcomeUnknown when the answer was lost."""
        ...

    def abandon(self) -> None:
        """Undo everything and let the next group begin."""
        ...


class Storage(Protocol):
    """A store of sealed rows."""

    local: bool
    """True: a read never leaves this host and may run on the event loop."""
    kind: str
    """`sqlite`, `postgresql` or `inmem`, as reported by sys/seal-status."""

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The committed rows among `keys`."""
        ...

    def children(self, prefix: bytes, after: bytes, limit: int) -> list[Child]:
        """Names directly below `prefix` in storage order, keys only, by skip-scan.

        `after` is a child key (prefix + component) to start behind, or b"" for the first; `limit` < 0 means all.
        """
        ...

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop in key order; `limit` < 0 means all."""
        ...

    def changed(self, since: int) -> Feed:
        """What was committed after gsn `since`."""
        ...

    def begin(self, since: int, keys: Sequence[bytes]) -> Group:
        """Wait for the store's lock and open the next group."""
        ...

    def try_begin(self, since: int) -> Group | None:
        """Open the next group if that takes no waiting: on the event loop. None: ask `begin`, on a thread that may wait."""
        ...

    def outcome(self, group_id: bytes) -> int | None:
        """The gsn that the group with this id committed as; None when it did not, or is forgotten (`changes` is kept for hours)."""
        ...

    def close(self) -> None:
        """Release files, connections and locks."""
        ...


class RemoteGroup(Group, Protocol):
    """A group of a store on another machine."""

    fetched: Fetched
    """What was asked for in `begin_with`, read under the lock; `more` takes a round trip of its own."""


class Node(NamedTuple):
    """A server that uses the store; nothing is decided by this. Times in seconds since 1970, on the store's clock."""

    id: str
    name: str
    address: str
    version: str
    sealed: bool
    started: float = 0.0
    seen: float = 0.0


class Replica(Protocol):
    """A copy of a store on another machine that is nearer, and follows it some way behind."""

    def fetch(self, gsn: int, wanted: Wanted) -> Fetched:
        """What of the wanted is certain to be as the store had it at commit `gsn`: `wanted` of the answer. Raises StorageUnusable."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class RemoteStorage(Storage, Protocol):
    """A store on another machine: what is read costs a round trip, so much is asked for at once."""

    replica: Replica | None
    """Where the configuration names one."""
    refused: Callable[[StorageUnusable], None]
    """Told why a group could not be begun or written, by the thread that tried: reads may go on, so nobody else would notice."""

    def check(self) -> list[str]:
        """Look, once, what of the store is worth changing. Raises StorageUnusable, and StorageUnsafe where it must not be used."""
        ...

    def beat(self, node: Node, *, first: bool) -> list[Node]:
        """Say that a node lives, `first` after its start; all nodes that were heard of lately, the oldest first."""
        ...

    def leave(self, node_id: str) -> None:
        """A node ends."""
        ...

    def fetch(self, since: int, wanted: Wanted) -> Fetched:
        """What was committed after gsn `since` by anybody, and what is wanted, as of one instant after this call began."""
        ...

    def begin_with(self, since: int, wanted: Wanted) -> RemoteGroup:
        """`begin`, with rows and ranges that are read under the lock in the same round trip."""
        ...
