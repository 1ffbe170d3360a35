"""Shared by all stores: bounds of prefixes, the skip-scan behind `children`, and how a list of keys is written down.

Rules of this file:
- No I/O: `children` is given a function that reads a page of keys, so that each store only brings one bounded query.
- A subtree is stepped over, never read: its cost does not depend on how much lies below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from strongroom.errors import StorageUnusable
from strongroom.storage.api import MAX_KEY, Child

Page = Callable[[bytes, bytes, int], Sequence[bytes]]
LENGTH = 2
"""Bytes of a component's length prefix."""

FIRST_PAGE = 128
SMALLEST_PAGE = 2
"""A row of its own and one row below: enough to know all about one child."""
LARGEST_PAGE = 2_048
END = b"\xff" * (MAX_KEY + 1)
"""Sorts behind every legal key."""


def beyond(prefix: bytes) -> bytes:
    """The least key behind all keys that start with `prefix`."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else END


def children(page: Page, prefix: bytes, after: bytes, limit: int) -> list[Child]:
    """Names directly below `prefix`; `page(start, stop, n)` gives the first n keys with start ≤ key < stop.

    Pages grow while the directory is flat and shrink to two rows as soon as they are mostly filled by one child's subtree.
    """
    start, stop = max(prefix, beyond(after)) if after else prefix, beyond(prefix)
    size = FIRST_PAGE if limit < 0 else max(SMALLEST_PAGE, min(FIRST_PAGE, limit + 1))
    walk = _Walk(prefix, limit)
    while limit:
        before = walk.seen
        rows = page(start, stop, size)
        walk.take(rows)
        if walk.full or len(rows) < size:
            break
        resume = beyond(walk.current) if walk.folder else rows[-1] + b"\0"
        if resume <= start:
            raise StorageUnusable("the store returned rows out of order; run 'strongroom operator scrub' and restore from a snapshot")
        start = resume
        size = min(size * 4, LARGEST_PAGE) if 2 * (walk.seen - before) >= size else SMALLEST_PAGE
    return walk.result()


class _Walk:
    """The children met so far, and the one whose rows may go on in the next page."""

    def __init__(self, prefix: bytes, limit: int) -> None:
        self._head, self._depth, self._limit = len(prefix), len(prefix) + LENGTH, limit
        self._done: list[Child] = []
        self.current = b""
        self._leaf = self.folder = False
        self.seen = 0
        self.full = False

    def take(self, rows: Sequence[bytes]) -> None:
        head, depth = self._head, self._depth
        current, leaf, folder, done = self.current, self._leaf, self.folder, self._done
        for row in rows:
            if current and row.startswith(current):
                folder = True
                continue
            size = len(row)
            end = depth + int.from_bytes(row[head:depth])
            if size < end:
                continue  # the prefix's own row, or a system key that is not made of components
            if current:
                done.append(Child(current, leaf, folder))
                if len(done) == self._limit:
                    self.full = True
                    break
            current, leaf, folder = row[:end], size == end, size > end
            self.seen += 1
        self.current, self._leaf, self.folder = current, leaf, folder

    def result(self) -> list[Child]:
        """All children, the last one included: nothing comes behind it any more."""
        if self.current and not self.full:
            self._done.append(Child(self.current, self._leaf, self.folder))
        return self._done


def pack(keys: Iterable[bytes]) -> bytes:
    """Keys as one value for the change feed: `length u16 | key` each."""
    return b"".join([len(key).to_bytes(LENGTH) + key for key in keys])


def unpack(packed: bytes) -> list[bytes]:
    """Undo `pack`. Raises ValueError when the value is cut."""
    keys, position, end = [], 0, len(packed)
    while position < end - 1:
        start = position + LENGTH
        position = start + (packed[position] << 8 | packed[position + 1])
        keys.append(packed[start:position])
    if position != end:
        raise ValueError("a list of keys is cut short")
    return keys
