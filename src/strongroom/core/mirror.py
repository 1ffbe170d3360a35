"""What a worker knows of a store on another machine: rows of one instant, and the wish for those it does not know.

Rules of this file:
- The cache and the ranges kept here are exactly the store as of commit `gsn`. What is fetched comes with all changes since then, out of one
  snapshot, and both are taken over together: so a call, which runs in one go, never sees two instants.
- A call that needs what is not here ends in `Missing`, and runs again once it is. The embedded store has none of this.
- Outside of calls `patiently` does the waiting.
- Boot rows and the index row are kept aside: what answers while sealed must not wait for anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from strongroom.barrier.barrier import Barrier
from strongroom.barrier.cache import Cache
from strongroom.barrier.keyring import HANDOVER_KEY, INSTALLATION_KEY, KEYRING_KEY, SEALS_KEY
from strongroom.core.call import Rerun
from strongroom.core.committed import Committed
from strongroom.errors import StorageUnusable
from strongroom.storage.api import INDEX_KEY, Below, Child, Feed, Fetched, Group, RemoteGroup, RemoteStorage, Scan, Storage, Wanted
from strongroom.storage.newest import Newest
from strongroom.storage.whole import Instant, Rows, whole

T = TypeVar("T")

PINNED = frozenset((INSTALLATION_KEY, KEYRING_KEY, SEALS_KEY, HANDOVER_KEY, INDEX_KEY))
MAX_RANGES = 64
"""Lists and scans kept; a call needs a few, and they stand until a row in them changes."""
RECENT = 256
"""Changes remembered, so that rows of a slightly older snapshot, such as a standby's, are known to stand; an older one is fetched again."""


MISSED = object()
"""Where a work remembers how often it missed something, and what."""
PATIENCE = 16
"""Misses of a call after which it reads what it misses under the lock, at once: a call that looks at names it makes up, such as a random
id that must not be taken, would miss another one each time."""


class Missing(Rerun):
    """A call needs rows or ranges that are not here. `fn` fetches them at once, for whoever may wait."""

    def __init__(self, wanted: Wanted, fetch: Callable[[Wanted], None]) -> None:
        super().__init__(("missing",), lambda: fetch(wanted))
        self.wanted = wanted


MAX_FETCHES = 10_000
"""Round trips that one thing may take outside of calls; what takes more will never end."""


def patiently(work: Callable[[], T]) -> T:
    """Do something outside of calls, fetching what it misses; it must be able to start over."""
    for _ in range(MAX_FETCHES):
        try:
            return work()
        except Missing as missing:
            missing.fn()
    raise StorageUnusable("the store changes faster than it can be read; try again later")


class Mirror(Committed):
    """Plaintext of committed rows of a store on another machine."""

    def __init__(self, remote: RemoteStorage, aside: Aside, barrier: Barrier, cache: Cache) -> None:
        super().__init__(_Wishes(self), barrier, cache)
        self.remote = remote
        self._aside = aside
        self._scans: dict[Scan, list[tuple[bytes, bytes]]] = {}
        self._below: dict[Below, list[Child]] = {}
        self.direct: Group | None = None
        """The group that reads what a call misses under the lock, while one runs that lost its patience."""
        self.empty = False
        """Known to hold nothing: nobody has initialised it yet."""
        self._recent: deque[tuple[int, frozenset[bytes] | None]] = deque(maxlen=RECENT)

    # -- what calls ask for (through _Wishes) -------------------------------------------------------------------

    def scan(self, scan: Scan) -> list[tuple[bytes, bytes]]:
        """Raises Missing."""
        found = [] if self.empty else self._scans.get(scan)
        if found is None:
            raise self.missing(ranges=(scan,))
        return found

    def below(self, below: Below) -> list[Child]:
        """Raises Missing."""
        found = [] if self.empty else self._below.get(below)
        if found is None:
            raise self.missing(ranges=(below,))
        return found

    def missing(self, keys: Iterable[bytes] = (), ranges: Iterable[Scan | Below] = ()) -> Missing:
        """The wish for rows and ranges."""
        return Missing(Wanted(frozenset(keys), frozenset(ranges)), self.load)

    # -- what the store says ------------------------------------------------------------------------------------

    def lacking(self, wanted: Wanted) -> Wanted:
        """What to fetch for a wish, with what is kept aside and is not there."""
        return wanted | Wanted(PINNED - self._aside.rows.keys())

    def load(self, wanted: Wanted = Wanted()) -> None:  # noqa: B008 — frozen
        """Fetch here and now. Raises StorageUnusable."""
        self.take(self.remote.fetch(self.gsn, self.lacking(wanted)))

    def take(self, fetched: Fetched) -> None:
        """Take over what was fetched, with the changes since `gsn` as it was when that was sent, or earlier."""
        self.heard(fetched.feed)
        self.empty = self.gsn == 0
        changed = self._changed_since(fetched.feed.gsn)
        if changed is None:
            return
        certain = fetched.wanted.untouched(changed)
        for key in certain.keys:
            self._keep(key, fetched.rows.get(key))
        for each in certain.ranges:
            if isinstance(each, Scan):
                self._scans[each] = fetched.scans[each]
                for key, record in fetched.scans[each]:
                    self._keep(key, record)
            else:
                self._below[each] = fetched.below[each]
        for kept in (self._scans, self._below):
            _bound(kept)

    def want(self, keys: Collection[bytes], ranges: Collection[Scan | Below] = ()) -> None:
        """Raises Missing for all of these that are not here."""
        unknown = self.unknown(Wanted(frozenset(keys), frozenset(ranges)))
        if unknown and not self.empty and self.direct is None:
            raise Missing(unknown, self.load)

    def unknown(self, wanted: Wanted) -> Wanted:
        """What of it is not here."""
        keys = frozenset(key for key in wanted.keys if key not in self.cache.rows)
        return Wanted(keys, wanted.ranges - self._scans.keys() - self._below.keys())

    def _keep(self, key: bytes, record: bytes | None) -> None:
        if key in PINNED:
            self._aside.rows.setdefault(key, record)
        if key != INDEX_KEY and key not in self.cache.rows:
            self.cache.keep(key, record)

    def heard(self, feed: Feed) -> None:
        """Drop what these commits of others changed; what was heard before is no news."""
        if feed.gsn <= self.gsn:
            return
        self.stand(feed.gsn)
        self.forget(feed.keys, feed.keys)
        for follower in self.followers:
            follower()

    def _changed_since(self, gsn: int) -> set[bytes] | None:
        """Keys that changed after an older snapshot; None where that is not known any more."""
        if gsn == self.gsn:
            return set()
        changed: set[bytes] = set()
        known = self.gsn
        for commit, keys in reversed(self._recent):
            if commit <= gsn:
                break
            if keys is None:
                return None
            changed |= keys
            known = commit
        else:
            return None if known > gsn + 1 else changed
        return changed

    def share(self, newest: Newest) -> None:
        """Nothing: other processes are heard of as other nodes are."""

    def run(self, group: Group, remembered: Mapping[Any, Any], call: Callable[[], T]) -> T:
        """Run a call under the lock; one that missed too much before reads the rest at once."""
        if remembered.get(MISSED, (0,))[0] >= PATIENCE:
            self.direct = group
        try:
            return call()
        finally:
            self.direct = None

    def begun(self, group: Group) -> None:
        """A group opened: nobody else commits now, and it brought what others did."""
        fetched: Fetched = group.fetched  # type: ignore[attr-defined]  # only this store's groups come here
        self.take(fetched)

    def follow(self) -> None:
        """Nothing: what others commit is heard of before a call runs (server/follower.py)."""

    def catch_up(self) -> None:
        """Ask here and now."""
        self.load()

    def steady(self) -> bool:
        """Always: a call sees one instant."""
        return True

    @property
    def store(self) -> Storage:
        """The store, to read from."""
        return self.storage

    def forget(self, keys: Collection[bytes] | None, came_or_went: Collection[bytes] | None) -> None:
        """Rows changed as of commit `gsn`."""
        self._recent.append((self.gsn, None if keys is None else frozenset(keys)))
        self._aside.forget(keys)
        if keys is None:
            self._scans.clear()
            self._below.clear()
        else:
            self._forget_ranges(keys)
        super().forget(keys, came_or_went)

    def _forget_ranges(self, keys: Collection[bytes]) -> None:
        for scan in [scan for scan in self._scans if scan.touched(keys)]:
            del self._scans[scan]
        for below in [below for below in self._below if below.touched(keys)]:
            del self._below[below]


def _bound(kept: dict[Any, Any]) -> None:
    while len(kept) > MAX_RANGES:
        del kept[next(iter(kept))]


class Aside:
    """The store as everything but calls sees it: the few rows kept aside without waiting, all else from the other machine.

    `error` is set while the store is known not to answer: then nobody waits for it to fail again.
    """

    local = False

    def __init__(self, remote: RemoteStorage) -> None:
        self.remote = remote
        self.kind = remote.kind
        self.rows: dict[bytes, bytes | None] = {}
        self.error: StorageUnusable | None = None
        self.wanted = Wanted()
        """What the next group's calls lacked when they ran last."""

    def forget(self, keys: Iterable[bytes] | None) -> None:
        """Rows changed; the index row always does."""
        if keys is None:
            self.rows.clear()
            return
        for key in PINNED.intersection(keys) | {INDEX_KEY}:
            self.rows.pop(key, None)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Rows, without waiting where they are kept aside."""
        if PINNED.issuperset(keys):
            unknown = [key for key in keys if key not in self.rows]
            if unknown:
                found = self._remote().get_many(unknown)
                self.rows.update({key: found.get(key) for key in unknown})
            return {key: row for key in keys if (row := self.rows[key]) is not None}
        return self._remote().get_many(keys)

    def _remote(self) -> RemoteStorage:
        if self.error is not None:
            raise StorageUnusable(*self.error.messages)
        return self.remote

    def children(self, prefix: bytes, after: bytes, limit: int) -> list[Child]:
        return self._remote().children(prefix, after, limit)

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return self._remote().scan(start, stop, limit)

    def changed(self, since: int) -> Feed:
        return self._remote().changed(since)

    def instant(self) -> AbstractContextManager[Instant]:
        return whole(self._remote()).instant()

    def replace(self, pages: Iterable[Rows], gsn: int, min_epoch: int) -> None:
        raise StorageUnusable("other nodes serve this store: it is replaced while none does")

    def begin(self, since: int, keys: Sequence[bytes]) -> RemoteGroup:
        wanted, self.wanted = self.wanted, Wanted()
        return self.remote.begin_with(since, wanted | Wanted(frozenset(keys) | PINNED))

    def try_begin(self, since: int) -> Group | None:
        return None

    def outcome(self, group_id: bytes) -> int | None:
        return self.remote.outcome(group_id)

    def close(self) -> None:
        self.remote.close()


def committed_of(storage: Storage, barrier: Barrier) -> Committed:
    """What a worker knows of its store."""
    if isinstance(storage, Aside):
        return Mirror(storage.remote, storage, barrier, Cache())
    return Committed(storage, barrier, Cache())


class _Wishes:
    """The store as calls see it: what is not in the mirror is wished for."""

    local = False

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.kind = ""

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        if self._mirror.empty:
            return {}
        if self._mirror.direct is not None:
            return self._mirror.direct.more(keys)
        raise self._mirror.missing(keys)

    def children(self, prefix: bytes, after: bytes, limit: int) -> list[Child]:
        return self._mirror.below(Below(prefix, after, limit))

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return self._mirror.scan(Scan(start, stop, limit))

    def changed(self, since: int) -> Feed:
        raise NotImplementedError

    def begin(self, since: int, keys: Sequence[bytes]) -> Group:
        raise NotImplementedError

    def try_begin(self, since: int) -> Group | None:
        raise NotImplementedError

    def outcome(self, group_id: bytes) -> int | None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
