"""A store in this process's memory, for `--dev` and for tests: gone when the process ends, and not shared with other workers.

Rules of this file:
- The same promises as the others, durability apart: one group at a time, uncommitted rows are invisible, a group is all or nothing.
- `_turn` is held by the open group, `_state` for the moment of each read and of publishing a commit.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from strongroom.errors import StorageUnusable
from strongroom.storage import walk
from strongroom.storage.api import INDEX_KEY, Child, Feed
from strongroom.storage.whole import Rows

CHANGES_KEPT = 4_096
MANY = 32
"""New keys from which sorting the whole list once is cheaper than inserting one by one."""


class _Change(NamedTuple):
    gsn: int
    group_id: bytes
    keys: frozenset[bytes]


class MemoryStorage:
    """`storage "inmem"`; see `storage.api.Storage`."""

    local = True
    kind = "inmem"

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._changes: deque[_Change] = deque(maxlen=CHANGES_KEPT)
        self._gsn = self._min_epoch = 0
        self._turn = threading.Lock()
        self._state = threading.Lock()
        self._closed = False

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self._need_open()
        with self._state:
            rows = self._rows
            return {key: rows[key] for key in keys if key in rows}

    def children(self, prefix: bytes, after: bytes, limit: int) -> list[Child]:
        self._need_open()
        with self._state:
            return walk.children(self._page, prefix, after, limit)

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        self._need_open()
        with self._state:
            return [(key, self._rows[key]) for key in self._page(start, stop, limit)]

    def changed(self, since: int) -> Feed:
        self._need_open()
        with self._state:
            return self._feed(since)

    def outcome(self, group_id: bytes) -> int | None:
        self._need_open()
        with self._state:
            return next((change.gsn for change in self._changes if change.group_id == group_id), None)

    def begin(self, since: int, keys: Sequence[bytes]) -> MemoryGroup:
        self._turn.acquire()
        return self._begin(since, keys)

    def try_begin(self, since: int) -> MemoryGroup | None:
        return self._begin(since, ()) if self._turn.acquire(blocking=False) else None

    def _begin(self, since: int, keys: Sequence[bytes]) -> MemoryGroup:
        try:
            self._need_open()
            return MemoryGroup(self, since, keys)
        except BaseException:
            self._turn.release()
            raise

    @contextmanager
    def instant(self) -> Iterator[MemoryInstant]:
        """See `storage.whole.Whole`; the rows are the same objects, only their list is copied."""
        self._need_open()
        with self._state:
            taken = MemoryInstant(self._gsn, self._min_epoch, self._keys.copy(), self._rows.copy())
        yield taken

    def replace(self, pages: Iterable[Rows], gsn: int, min_epoch: int) -> None:
        """See `storage.whole.Whole`."""
        with self._turn:
            self._need_open()
            rows = dict(row for page in pages for row in page)
            with self._state:
                self._rows, self._keys = rows, sorted(rows)
                self._gsn, self._min_epoch = gsn, min_epoch
                self._changes.clear()

    def close(self) -> None:
        self._closed = True

    def _need_open(self) -> None:
        if self._closed:
            raise StorageUnusable("the store is closed")

    def _page(self, start: bytes, stop: bytes, limit: int) -> list[bytes]:
        first, end = bisect_left(self._keys, start), bisect_left(self._keys, stop)
        return self._keys[first : end if limit < 0 else min(end, first + limit)]

    def _feed(self, since: int) -> Feed:
        groups = self._gsn - since
        if not 0 <= groups <= len(self._changes):
            return Feed(self._gsn, None)
        recent = [self._changes[-number].keys for number in range(1, groups + 1)]
        return Feed(self._gsn, frozenset().union(*recent))

    def _publish(self, group: MemoryGroup) -> None:
        with self._state:
            for key, value in group.staged.items():
                if value is None:
                    self._remove(key)
            self._insert({key: value for key, value in group.staged.items() if value is not None})
            self._gsn, self._min_epoch = group.gsn, group.min_epoch
            self._changes.append(_Change(group.gsn, group.id, frozenset(group.staged)))

    def _remove(self, key: bytes) -> None:
        if self._rows.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def _insert(self, puts: Mapping[bytes, bytes]) -> None:
        fresh = [key for key in puts if key not in self._rows]
        self._rows.update(puts)
        if len(fresh) > MANY:
            self._keys.extend(fresh)
            self._keys.sort()
            return
        for key in fresh:
            insort(self._keys, key)


class MemoryInstant:
    """See `storage.whole.Instant`."""

    def __init__(self, gsn: int, min_epoch: int, keys: list[bytes], rows: dict[bytes, bytes]) -> None:
        self.gsn, self.min_epoch = gsn, min_epoch
        self._keys, self._rows = keys, rows

    def scan(self, start: bytes, stop: bytes, limit: int) -> Rows:
        first, end = bisect_left(self._keys, start), bisect_left(self._keys, stop)
        return [(key, self._rows[key]) for key in self._keys[first : end if limit < 0 else min(end, first + limit)]]


class MemoryGroup:
    """The open transaction; see `storage.api.Group`."""

    def __init__(self, store: MemoryStorage, since: int, keys: Sequence[bytes]) -> None:
        self._store = store
        self._open = True
        self.staged: dict[bytes, bytes | None] = {}
        self.id = os.urandom(16)
        self.feed = store.changed(since)
        self.gsn = self.feed.gsn + 1
        self.min_epoch = store._min_epoch
        self.entries = store.get_many([*keys, INDEX_KEY])

    def more(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self._need_open()
        return self._store.get_many(keys)

    def apply(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        self._need_open()
        self.staged.update(puts)
        self.staged.update(dict.fromkeys(deletes))

    def raise_min_epoch(self, epoch: int) -> None:
        self._need_open()
        self.min_epoch = max(self.min_epoch, epoch)

    def commit(self) -> None:
        self._need_open()
        self._store._publish(self)
        self._end()

    def abandon(self) -> None:
        """Undo everything; a group that already ended is left as it is, so this suits a `finally`."""
        if self._open:
            self._end()

    def _end(self) -> None:
        self._open = False
        self._store._turn.release()

    def _need_open(self) -> None:
        if not self._open:
            raise StorageUnusable("this group has ended; begin another one")
