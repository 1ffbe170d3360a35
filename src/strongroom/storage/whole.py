"""A store as a whole: read as of one instant, or replaced by other rows at once.

Rules of this file:
- An instant stands still while others commit, and keeps nobody from committing.
- To replace is one transaction of the store itself: whatever breaks off on the way leaves all of the old rows, and nobody ever sees some of
  both. Rows come and go in pages, so that memory does not depend on how many there are.
- After a store was replaced its sequence number may be lower than before. Processes that serve it must be sealed or gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from strongroom.errors import StorageUnusable
from strongroom.storage.api import Storage
from strongroom.storage.walk import END

Rows = list[tuple[bytes, bytes]]
"""Row keys and records, in the order of keys."""

PAGE_ROWS = 64
"""Rows read at once: with the largest values still bounded memory."""


class Instant(Protocol):
    """The store as of one commit."""

    gsn: int
    min_epoch: int

    def scan(self, start: bytes, stop: bytes, limit: int) -> Rows:
        """Rows with start ≤ key < stop in key order."""
        ...


@runtime_checkable
class Whole(Protocol):
    """What a store can do as a whole."""

    def instant(self) -> AbstractContextManager[Instant]:
        """The store as it is now, for as long as the block lasts."""
        ...

    def replace(self, pages: Iterable[Rows], gsn: int, min_epoch: int) -> None:
        """Hold these rows and no others from now on, as of commit `gsn`. What `pages` raises leaves everything as it was."""
        ...


def whole(storage: Storage) -> Whole:
    """The store, as something to copy. Raises StorageUnusable."""
    if not isinstance(storage, Whole):
        raise StorageUnusable(f"the store {storage.kind!r} cannot be copied as a whole; use the tools of its database")
    return storage


def pages(instant: Instant, size: int = PAGE_ROWS) -> Iterator[Rows]:
    """Every row, in order."""
    start = b""
    while True:
        rows = instant.scan(start, END, size)
        if rows:
            yield rows
        if len(rows) < size:
            return
        start = rows[-1][0] + b"\0"
