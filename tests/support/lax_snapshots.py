"""Servers that are lax about snapshots: the negative controls of tests/faults/test_snapshot_under_load.py.

No configuration can ask for this. `torn`: what is copied goes on changing meanwhile, and nobody reads it back. `greedy`: nobody commits
while it is copied, which takes its time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.barrier.snapshots.opening import _Tally
from strongroom.server.serve import run
from strongroom.storage.api import INDEX_KEY
from strongroom.storage.sqlite import SqliteInstant, SqliteStorage
from tests.support.patching import put

COPYING_SECONDS = 3.5
PAUSE_SECONDS = 0.01

_instant, _scan = SqliteStorage.instant, SqliteInstant.scan


def _let_go(self: SqliteInstant, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    """The index is of the instant, and what is read after it of any later one."""
    rows = _scan(self, start, stop, limit)
    if any(key == INDEX_KEY for key, _ in rows):
        self._cursor.execute("ROLLBACK")
    time.sleep(PAUSE_SECONDS)
    return rows


def _torn() -> None:
    put(SqliteInstant, scan=_let_go)
    put(_Tally, agree=lambda self, manifest: None)


@contextmanager
def _held(self: SqliteStorage) -> Iterator[SqliteInstant]:
    group = self.begin(0, ())
    try:
        with _instant(self) as instant:
            time.sleep(COPYING_SECONDS)
            yield instant
    finally:
        group.abandon()


WAYS = {"torn": _torn, "greedy": lambda: put(SqliteStorage, instant=_held)}

if __name__ == "__main__":
    WAYS[os.environ["LAX"]]()
    sys.exit(run(sys.argv[1:]))
