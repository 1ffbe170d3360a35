"""What to fetch beside what a call misses: the rows that it will probably miss next.

Rules of this file:
- A call that reads one row after another of a mount or table, and has missed some there, gets what follows in the store's order, more each
  time. So a walk over thousands of rows takes some dozens of round trips, and a read of one row never more than that row.
- Being wrong costs bytes, never an answer: what is fetched is kept like any other row.
"""

from __future__ import annotations

from strongroom.storage.api import HEADER, Scan, Wanted
from strongroom.storage.walk import beyond

AFTER = 3
"""Misses of a call in one area before anything is fetched ahead: a token, its parent, an item and a version are no walk."""
MOST = 512
"""Rows fetched ahead at a time: half a megabyte where they are usual ones."""


def ahead(missed: Wanted, before: Wanted) -> frozenset[Scan]:
    """What to fetch ahead for a call that misses these rows now and missed others `before`."""
    return frozenset(scan for key in missed.keys if (scan := _following(key, before.keys)) is not None)


def _following(key: bytes, before: frozenset[bytes]) -> Scan | None:
    area = key[:HEADER]
    misses = sum(other[:HEADER] == area for other in before)
    if misses < AFTER:
        return None
    return Scan(key, beyond(area), min(MOST, 1 << misses))
