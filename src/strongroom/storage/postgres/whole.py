"""The database's rows as a whole; see `storage/whole.py`.

Rules of this file:
- Each uses a connection of its own, so that neither reading nor writing waits for it longer than for any other node.
- Time limits are those of a copy: it pauses while the other end of it is slow, and the last step of a large one takes a while.
- An instant is a repeatable-read transaction; to replace is one transaction behind the lock that all groups of all nodes queue on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise

from strongroom.errors import StorageUnusable
from strongroom.storage import walk
from strongroom.storage.api import Scan
from strongroom.storage.postgres import schema
from strongroom.storage.postgres.link import Link
from strongroom.storage.whole import Rows

PATIENCE = 600.0
"""Seconds for one statement, or one pause, of a copy."""

TAKE_TIME = f"SELECT set_config('idle_in_transaction_session_timeout', '{PATIENCE:.0f}s', true), \
set_config('statement_timeout', '{PATIENCE:.0f}s', true)"
NEWEST = "SELECT gsn, min_epoch FROM strongroom_store"
EMPTY = ("DELETE FROM strongroom_entries", "DELETE FROM strongroom_changes")
FILL = "COPY strongroom_entries (key, value) FROM STDIN (FORMAT BINARY)"
BECOME = "UPDATE strongroom_store SET gsn = %s, group_id = %s, min_epoch = %s"


class PostgresInstant:
    """See `storage.whole.Instant`; the connection is open as long as it is used."""

    def __init__(self, link: Link) -> None:
        self._link = link
        link.patience = PATIENCE
        link.execute(schema.SNAPSHOT)
        link.execute(TAKE_TIME)
        found = link.execute(NEWEST, binary=True).fetchone()
        assert found is not None
        self.gsn, self.min_epoch = found

    def scan(self, start: bytes, stop: bytes, limit: int) -> Rows:
        return read_scan(self._link, Scan(start, stop, limit))


def read_scan(link: Link, scan: Scan) -> Rows:
    """Rows of a range, in order."""
    limit = scan.limit if scan.limit >= 0 else None
    rows = [(row[0], row[1]) for row in link.ask(schema.SCAN, [scan.start, scan.stop, limit]).fetchall()]
    if any(later[0] <= earlier[0] for earlier, later in pairwise(rows)):
        raise StorageUnusable("the database returned rows out of order; run 'strongroom operator scrub' and restore from a backup")
    return rows


def replace(link: Link, pages: Iterable[Rows], gsn: int, min_epoch: int) -> bytes:
    """Fill the database with these rows and no others; the id of the group that did."""
    group_id = os.urandom(16)
    link.patience = PATIENCE
    with link.transaction():
        link.execute(TAKE_TIME)
        link.execute("SELECT set_config('application_name', %s, true)", [schema.RESTORING])
        link.execute(schema.TAKE_LOCK)
        for statement in EMPTY:
            link.execute(statement)
        with link.cursor().copy(FILL) as copy:
            copy.set_types(("bytea", "bytea"))
            for page in pages:
                for row in page:
                    copy.write_row(row)
        link.execute(schema.RECORD, [gsn, group_id, walk.pack(())])  # by which a node that goes on with another history notices
        link.execute(BECOME, [gsn, group_id, min_epoch])
    return group_id
