"""The open group in PostgreSQL.

Rules of this file:
- What is applied is kept here, without a word to the server; `commit` sends all of it and COMMIT in one flight. So the lock is held for two
  round trips, and `apply` may run on the event loop.
- A refusal of the server is a failure: nothing was committed. Silence after COMMIT went out is not: its outcome is unknown.
- A warning beside COMMIT says that a standby did not confirm it; that is as good as silence.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import psycopg

from strongroom.errors import OutcomeUnknown, StorageUnusable
from strongroom.storage import walk
from strongroom.storage.api import Fetched
from strongroom.storage.postgres import schema
from strongroom.storage.postgres.history import Change, Commit
from strongroom.storage.postgres.link import Link, unusable

if TYPE_CHECKING:
    from strongroom.storage.postgres.store import PostgresStorage

CHANGES_KEPT = 65_536
"""Groups remembered: at 300 a second some minutes, a thousand times longer than a lost answer is asked for."""
PRUNE_EVERY = 64
TOO_LONG_IDLE = "25P03"
"""The server ended the transaction before it heard of COMMIT."""


class PostgresGroup:
    """The open transaction; see `storage.api.RemoteGroup`."""

    def __init__(self, store: PostgresStorage, link: Link, min_epoch: int, fetched: Fetched) -> None:
        self._store = store
        self._link = link
        self._staged: dict[bytes, bytes | None] = {}
        self._open = True
        self.id = os.urandom(16)
        self.fetched = fetched
        self.feed = fetched.feed
        self.gsn = fetched.feed.gsn + 1
        self.entries = fetched.rows
        self.min_epoch = min_epoch

    def apply(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        self._need_open()
        self._staged.update(puts)
        self._staged.update(dict.fromkeys(deletes))

    def more(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self._need_open()
        try:
            return dict(self._link.ask(schema.ROWS, [list(keys)]).fetchall())
        except psycopg.Error as error:
            self._open = False
            self._store.release(failed=True)
            raise unusable("read", error) from None

    def raise_min_epoch(self, epoch: int) -> None:
        self._need_open()
        self.min_epoch = max(self.min_epoch, epoch)

    def commit(self) -> None:
        self._need_open()
        self._open = False
        failed = True
        self._link.warned = False
        self._store.sent = time.monotonic()
        try:
            self._send()
            failed = self._link.warned
        except psycopg.Error as error:
            if error.sqlstate == TOO_LONG_IDLE or (error.sqlstate is not None and not self._link.closed):
                raise self._store.refuse("written", error) from None
            raise OutcomeUnknown(self.id) from None
        finally:
            self._store.release(failed=failed)
        if failed:
            raise OutcomeUnknown(self.id)
        self._store.history.note(Change(Commit(self.gsn, self.id), tuple(self._staged)))
        self._store.note(self.gsn)

    def _send(self) -> None:
        puts = {key: value for key, value in self._staged.items() if value is not None}
        deletes = [key for key, value in self._staged.items() if value is None]
        link = self._link
        with link.pipeline():
            if puts:
                link.ask(schema.PUT, [list(puts), list(puts.values())])
            if deletes:
                link.ask(schema.DELETE, [deletes])
            link.ask(schema.RECORD, [self.gsn, self.id, walk.pack(self._staged)])
            link.ask(schema.ADVANCE, {"gsn": self.gsn, "id": self.id, "epoch": self.min_epoch})
            if self.gsn % PRUNE_EVERY == 0:
                link.ask(schema.PRUNE, [self.gsn - CHANGES_KEPT, self.gsn - schema.FEED_LIMIT])
            link.ask("COMMIT")

    def abandon(self) -> None:
        """Undo everything; a group that already ended is left as it is, so this suits a `finally`."""
        if not self._open:
            return
        self._open = False
        failed = True
        try:
            self._link.ask("COMMIT")  # of nothing, for nothing was sent; behind ROLLBACK the driver forgets all prepared statements
            failed = False
        except psycopg.Error:
            pass  # the connection is dropped, which undoes it as well
        finally:
            self._store.release(failed=failed)

    def _need_open(self) -> None:
        if not self._open:
            raise StorageUnusable("this group has ended; begin another one")
