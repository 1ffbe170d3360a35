"""Sealed rows kept in memory, so that a read need not ask the store.

Rules of this file:
- What is kept is ciphertext; plaintext of secrets is never kept. `value` holds decoded rows of the server's own tables only.
- An entry with `record` None says "there is no such row". Most of those are asked for once, of a token that is over or was guessed, and
  strangers choose them: they have a bound of their own, so that they neither push out what is there nor make up most of what is kept.
- Whoever commits, or learns of a commit from the feed, calls `forget` before anybody may rely on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from strongroom.memo import Memo
from strongroom.storage.api import AREA

LIMIT_ROWS = 50_000
LIMIT_BYTES = 48 << 20
"""Bounds on what one worker keeps; at either the older half is dropped, which costs nothing per read."""

LIMIT_ABSENT = 16_384
"""Rows kept that are not there, about 7 MiB; beyond it the older half is dropped. The newer half is two for each call that may wait at
one time: on another machine what one question brought must still be here when the calls that asked come back."""

ENTRY_BYTES = 256
"""What an entry costs beside its key and record, about."""


class Entry:
    """One row as it was read: `masks` is audit's place (core/response.py, Json), `value` the decoded form where that may be kept.

    `term` is what the row counts in the index, 0 where it was not worked out here. It never leaves the process. `stands`: the cache still
    holds it; whoever kept it asks here instead of looking its row up.
    """

    __slots__ = ("masks", "record", "stands", "term", "value")

    def __init__(self, record: bytes | None) -> None:
        self.record = record
        self.stands = True
        self.value: Any = None
        self.term = 0
        self.masks: Memo[Any, bytes] = Memo()


class Cache:
    """Row key → Entry, with watchers that hear which rows of an area changed."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Entry] = {}
        self._bytes = 0
        self._absent: dict[bytes, None] = {}
        self._watchers: dict[bytes, list[Callable[[bytes | None], None]]] = {}

    def keep(self, key: bytes, record: bytes | None) -> Entry:
        """Remember what the store said about `key`."""
        self._drop(key)
        entry = self.rows[key] = Entry(record)
        self._bytes += _size(key, entry)
        if record is None:
            self._keep_absent(key)
        if len(self.rows) > LIMIT_ROWS or self._bytes > LIMIT_BYTES:
            self._halve()
        return entry

    def _keep_absent(self, key: bytes) -> None:
        self._absent[key] = None
        if len(self._absent) > LIMIT_ABSENT:
            for older in list(self._absent)[: LIMIT_ABSENT // 2]:
                self._drop(older)

    def _drop(self, key: bytes) -> None:
        entry = self.rows.pop(key, None)
        if entry is not None:
            entry.stands = False
            self._bytes -= _size(key, entry)
            if entry.record is None:
                del self._absent[key]

    def _halve(self) -> None:
        newest = list(self.rows.items())[len(self.rows) // 2 :]
        self._clear()
        for key, entry in newest:
            entry.stands = True
            self.rows[key] = entry
            if entry.record is None:
                self._absent[key] = None
        self._bytes = sum(_size(key, entry) for key, entry in newest)

    def _clear(self) -> None:
        for entry in self.rows.values():
            entry.stands = False
        self.rows.clear()
        self._absent.clear()

    def watch(self, area: bytes, heard: Callable[[bytes | None], None]) -> None:
        """Call `heard(row key)` for each changed row of the area, and `heard(None)` when everything may have changed."""
        self._watchers.setdefault(area, []).append(heard)

    def forget(self, keys: Collection[bytes] | None) -> None:
        """Drop what a commit changed; None drops everything."""
        if keys is None:
            self._clear()
            self._bytes = 0
            for watchers in self._watchers.values():
                for heard in watchers:
                    heard(None)
            return
        for key in self.rows.keys() & keys:  # of what others changed few rows are here
            self._drop(key)
        if self._watchers.keys() & {key[:AREA] for key in keys}:
            for key in keys:
                for heard in self._watchers.get(key[:AREA], ()):
                    heard(key)


def _size(key: bytes, entry: Entry) -> int:
    return len(key) + (len(entry.record) if entry.record else 0) + ENTRY_BYTES
