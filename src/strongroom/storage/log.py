"""The log of the embedded store: when it is copied into the database, so that it starts over instead of growing.

Rules of this file:
- The log starts over with the first group that finds all of it copied; so the last of it is copied by whoever holds the store's lock.
- Copying a long log takes some hundred milliseconds, most of them for a sync of pages all over the database. So that is done
  ahead, beside commits, on a connection of its own, where somebody has a thread for it; a few milliseconds are left.
- Nothing depends on who copies or how far it got: the next one goes on. Where nobody copies ahead, groups wait longer.
- It is the same log for all processes of the store; each goes by what it saw at its own last commit.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

import apsw

from strongroom.errors import StorageUnusable
from strongroom.storage.database import BUSY_MS
from strongroom.storage.directory import file_at

CHECKPOINT_PAGES = 12_000
"""Pages (48 MiB) at which the log is to start over: a page that many groups changed is copied once."""
EARLY = 0.75
"""How full it is when copying ahead begins: what is left takes some hundred groups, time enough for that."""
AGAIN = 16
"""Where a long read kept the log from starting over, the next try is a sixteenth of its pages later: not in every group."""
PATIENT = 8
"""So many times too long: reads that overlap kept it from starting over again and again. Now a group waits for them."""
PATIENCE_MS = 50
ROUNDS = 2
"""The second copies what was written during the first."""
DESCRIPTORS = Path("/dev/fd")
NO_SYNC = frozenset({errno.EBADF, errno.EINVAL, errno.EROFS})
"""Answers of `fdatasync` for a descriptor that was closed meanwhile, and is something else now."""


class Log:
    """How long the log of one store is, as far as this process knows, and what is to be done about it."""

    def __init__(self, path: str, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._pages = 0
        self._start_over()

    def _start_over(self) -> None:
        self._due, self._ahead, self._ready = self._limit, int(self._limit * EARLY), False

    def note(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        """A commit of this process made the log so long (`Connection.set_wal_hook`)."""
        if pages < self._pages:
            self._start_over()
        self._pages = pages
        return apsw.SQLITE_OK

    @property
    def due(self) -> bool:
        """Whether the next group begins with copying: on a thread that may wait."""
        return self._ready or self._pages >= self._due

    @property
    def long(self) -> bool:
        """Whether copying ahead would help the group that will find the log too long."""
        return self._pages >= self._ahead

    def finish(self, writer: apsw.Connection) -> None:
        """Copy what is left; the caller holds the store's lock. His group has the log start over, unless somebody still reads in it."""
        if not self.due:
            return
        self._ready = False
        self._due = self._pages + self._limit // AGAIN
        patient = self._pages >= PATIENT * self._limit
        writer.set_busy_timeout(PATIENCE_MS if patient else BUSY_MS)
        try:
            writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART if patient else apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.BusyError, apsw.FullError):
            pass  # somebody copies ahead, or reads still; and a full disk is met by the group, which will say so
        finally:
            writer.set_busy_timeout(BUSY_MS)

    def copy_ahead(self, connection: apsw.Connection) -> None:
        """Copy what there is, while others commit. Raises apsw.Error and OSError; after a failed sync nobody knows what the disk holds."""
        self._ahead = self._pages + self._limit // AGAIN
        for _ in range(ROUNDS):
            try:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.BusyError:
                return  # another process is at it
            sync_by_any(self._path)
        self._ready = True


def sync_by_any(path: str) -> None:
    """Have the disk write what was copied into a file, by a descriptor that SQLite has of it. Raises OSError.

    One of our own would have to be closed, and with it would go every lock that this process holds on the file (storage/directory.py).
    Where none is found, all is left to the sync under the lock.
    """
    descriptor = _descriptor_of(path)
    if descriptor is None:
        return
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def _descriptor_of(path: str) -> int | None:
    try:
        wanted = file_at(path)
        open_now = [int(entry.name) for entry in DESCRIPTORS.iterdir()]
    except (OSError, StorageUnusable):
        return None
    for descriptor in open_now:
        with suppress(OSError):
            found = os.fstat(descriptor)
            if (found.st_dev, found.st_ino) == wanted:
                return descriptor
    return None
