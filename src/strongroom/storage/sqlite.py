"""The embedded store: one SQLite file in write-ahead mode, shared by the workers of one host.

Rules of this file:
- Every thread reads through a connection of its own; the one writing connection belongs to whoever holds the open group, so the
  event loop may `apply` what the committer thread began. Nothing is opened before it is used: construct it anywhere, use it after the fork.
- Groups of all processes queue on `commit.lock`, a blocking flock. SQLite's own busy handler polls, which costs four times the wait.
- Where several processes share the store, each is given the same `newest`: it says to all of them that something was committed.
- After a failed write the writing connection is closed, which undoes the group, and the next group opens a new one. After a failed
  fsync nobody knows what the disk holds: the whole object refuses everything from then on, and the process must be restarted. So it does
  where its file was moved away or replaced: SQLite would go on writing into the one that has no name any more.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NoReturn

import apsw

from strongroom.clock import SECOND, Clock, SystemClock
from strongroom.errors import StorageUnusable
from strongroom.storage import statements, walk
from strongroom.storage.api import INDEX_KEY, Child, Feed
from strongroom.storage.database import SETTINGS, integrity, open_database, unusable
from strongroom.storage.directory import COMMIT_LOCK, DATABASE, FileLock, file_at
from strongroom.storage.log import CHECKPOINT_PAGES, Log
from strongroom.storage.newest import Newest
from strongroom.storage.whole import Rows

CHANGES_AGE = 4 * 3_600 * SECOND
CHANGES_KEPT = 4_096
"""Groups whose keys are kept; a full one names a few hundred keys, so the table stays below 100 MiB."""

PRUNE_EVERY = 64
FAILED_SYNC = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})


class SqliteStorage:
    """`storage "sqlite"`; see `storage.api.Storage`."""

    local = True
    kind = "sqlite"
    settings: ClassVar[Mapping[str, int | str]] = SETTINGS

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock | None = None,
        vfs: str | None = None,
        checkpoint_pages: int = CHECKPOINT_PAGES,
        newest: Newest | None = None,
    ) -> None:
        self.directory = directory
        self.newest = newest
        self._clock: Clock = clock or SystemClock()
        self._vfs = vfs
        self._readers: _Readers | _Refusal = _Readers(self._open_reader)
        self._writer: apsw.Connection | None = None
        self._path = str(directory / DATABASE)
        self._file: tuple[int, int] | None = None
        self._used = False
        self._log = Log(self._path, checkpoint_pages)
        self._turn = threading.Lock()
        self._commit_lock = FileLock(directory / COMMIT_LOCK)
        _constructed.add(self)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        try:
            return statements.select(self._readers.cursor, keys)
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error

    def children(self, prefix: bytes, after: bytes, limit: int) -> list[Child]:
        cursor = self._readers.cursor

        def page(start: bytes, stop: bytes, size: int) -> list[bytes]:
            return statements.column(cursor.execute(statements.PAGE, (start, stop, size)).get)

        try:
            cursor.execute("BEGIN")  # one snapshot for all pages
            try:
                return walk.children(page, prefix, after, limit)
            finally:
                cursor.execute("ROLLBACK")
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        try:
            return statements.scan(self._readers.cursor, start, stop, limit)
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error

    @contextlib.contextmanager
    def instant(self) -> Iterator[SqliteInstant]:
        """See `storage.whole.Whole`; on a connection of its own, whose transaction is the instant."""
        connection = self._open_reader()
        try:
            yield SqliteInstant(connection.cursor())
        finally:
            connection.close(True)

    def replace(self, pages: Iterable[Rows], gsn: int, min_epoch: int) -> None:
        """See `storage.whole.Whole`."""
        self.begin(0, ()).replace(pages, gsn, min_epoch)

    def changed(self, since: int) -> Feed:
        try:
            return statements.read_feed(self._readers.cursor, since)[0]
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error

    def outcome(self, group_id: bytes) -> int | None:
        try:
            found = self._readers.cursor.execute(statements.OUTCOME, (group_id,)).get
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error
        return found if isinstance(found, int) else None

    def begin(self, since: int, keys: Sequence[bytes]) -> SqliteGroup:
        self._turn.acquire()
        return self._begin(since, keys)

    def try_begin(self, since: int) -> SqliteGroup | None:
        if self._writer is None or self._log.due or not self._turn.acquire(blocking=False):
            return None
        if self._commit_lock.acquire(wait=False):
            return self._begin(since, ())
        self._turn.release()
        return None

    def _begin(self, since: int, keys: Sequence[bytes]) -> SqliteGroup:
        """Open a group; this object's turn has come, and the lock between processes may be held already."""
        try:
            writer = self._open_writer()
            self._commit_lock.acquire()
            self._need_same_file()
            self._log.finish(writer)
            cursor = writer.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            return SqliteGroup(self, cursor, since, keys)
        except statements.UNREADABLE as error:
            raise self._fail("locked for writing", error) from error
        except BaseException:
            self._drop_writer()
            self._release()
            raise

    def close(self) -> None:
        """Refuse everything from now on, and copy the log into the database unless others still use it."""
        self._end("the store is closed")
        if self._writer is not None:
            with contextlib.suppress(apsw.Error):
                self._writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        self._drop_writer()
        self._commit_lock.close()

    @property
    def log_is_long(self) -> bool:
        """Whether `copy_ahead` would spare a group some waiting."""
        return self._log.long

    def copy_ahead(self) -> None:
        """Copy most of the log into the database while others commit: see `storage.log`. On a thread of its own. Raises StorageUnusable."""
        connection = self._open_database(reader=False)
        try:
            self._log.copy_ahead(connection)
        except (*statements.UNREADABLE, OSError) as error:
            self._judge(error)
            raise unusable("copied into its database", error) from error
        finally:
            connection.close(True)

    def check(self) -> None:
        """Read every page on a connection of its own; minutes for many gigabytes. Raises StorageUnusable with what it found."""
        connection = self._open_reader()
        try:
            integrity(connection)
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error
        finally:
            connection.close(True)

    @property
    def ended(self) -> str:
        """Why this object refuses everything from now on; "" while it does not."""
        return self._readers.reason if isinstance(self._readers, _Refusal) else ""

    def size(self) -> int:
        """Bytes of the database file: what `check` will have to read."""
        try:
            return (self.directory / DATABASE).stat().st_size
        except FileNotFoundError:
            return 0

    def _need_usable(self) -> None:
        if isinstance(self._readers, _Refusal):
            self._readers.refuse()

    def _open_database(self, *, reader: bool) -> apsw.Connection:
        self._need_usable()
        self._used = True
        return open_database(self.directory, self.settings, self._vfs, reader=reader)

    def _open_reader(self) -> apsw.Connection:
        return self._open_database(reader=True)

    def _open_writer(self) -> apsw.Connection:
        self._need_usable()
        if self._writer is None:
            self._writer = self._open_database(reader=False)
            self._writer.set_wal_hook(self._log.note)
            self._file = self._file or file_at(self._path)
        return self._writer

    def _need_same_file(self) -> None:
        """Raises StorageUnusable where what is written now would be gone with the process."""
        if file_at(self._path) != self._file:
            self._end(
                "the store's file was moved or replaced while it was in use; put it back, or restore a snapshot, and restart strongroom"
            )
            self._need_usable()

    def _fail(self, doing: str, error: Exception) -> StorageUnusable:
        """Close the writing connection, which undoes the group, and let the next one begin on a new one."""
        self._judge(error)
        self._drop_writer()
        self._release()
        return unusable(doing, error)

    def _judge(self, error: Exception) -> None:
        """After a failed sync nothing is certain any more."""
        if isinstance(error, OSError) or getattr(error, "extendedresult", 0) in FAILED_SYNC:
            self._end("the disk failed to sync the store; find out why, then restart strongroom")

    def _end(self, reason: str) -> None:
        # Readers are let go, not closed: one may be in use in another thread, and closes itself when that is done.
        self._readers = _Refusal(reason)

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(apsw.Error):
                writer.close(True)

    def _release(self) -> None:
        self._commit_lock.release()
        self._turn.release()

    def _forget(self) -> None:
        """In a forked child: a connection of the parent may be neither used nor closed here. One never used is as good as new."""
        self._turn = threading.Lock()
        if self._used:
            _inherited.append((self._readers, self._writer, self._commit_lock))
            self._end("the store was used before this process was forked; construct another after the fork")
            self._writer, self._commit_lock = None, FileLock(self.directory / COMMIT_LOCK)


class SqliteGroup:
    """The open transaction; see `storage.api.Group`."""

    def __init__(self, store: SqliteStorage, cursor: apsw.Cursor, since: int, keys: Sequence[bytes]) -> None:
        self._store = store
        self._cursor = cursor
        self._changed: set[bytes] = set()
        self._open = True
        self.id = os.urandom(16)
        self.feed, self.min_epoch = statements.read_feed(cursor, since)
        self.gsn = self.feed.gsn + 1
        self.entries = statements.select(cursor, [*keys, INDEX_KEY])
        if store.newest is not None:
            store.newest.stands(self.feed.gsn)

    def more(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self._need_open()
        try:
            return statements.select(self._cursor, keys)
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error

    def apply(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        self._need_open()
        try:
            if puts:
                self._cursor.executemany(statements.PUT, puts.items())
            if deletes:
                self._cursor.executemany(statements.DELETE, [(key,) for key in deletes])
        except apsw.Error as error:
            raise self._fail(error) from error
        self._changed.update(puts, deletes)

    def raise_min_epoch(self, epoch: int) -> None:
        self._need_open()
        try:
            self._cursor.execute(statements.RAISE, (epoch,))
        except apsw.Error as error:
            raise self._fail(error) from error
        self.min_epoch = max(self.min_epoch, epoch)

    def commit(self) -> None:
        self._need_open()
        now, newest = self._store._clock.now(), self._store.newest
        try:
            self._cursor.execute(statements.RECORD, (self.gsn, now, self.id, walk.pack(self._changed)))
            self._cursor.execute(statements.ADVANCE, (self.gsn,))
            if self.gsn % PRUNE_EVERY == 0:
                self._cursor.execute(statements.PRUNE, (self.gsn - CHANGES_KEPT, now - CHANGES_AGE))
            if newest is not None:
                newest.moves(self.feed.gsn)
            self._cursor.execute("COMMIT")
        except apsw.Error as error:
            raise self._fail(error) from error
        if newest is not None:
            newest.stands(self.gsn)
        self._open = False
        self._store._release()

    def replace(self, pages: Iterable[Rows], gsn: int, min_epoch: int) -> None:
        """Put these rows in the place of all others, and commit."""
        try:
            for statement in statements.EMPTY:
                self._cursor.execute(statement)
            for page in pages:
                self._cursor.executemany(statements.PUT, page)
            self._cursor.execute(statements.BECOME, (gsn, min_epoch))
            if self._store.newest is not None:
                self._store.newest.moves(self.feed.gsn)
            self._cursor.execute("COMMIT")
        except apsw.Error as error:
            raise self._fail(error) from error
        except BaseException:
            self.abandon()
            raise
        if self._store.newest is not None:
            self._store.newest.stands(gsn)
        self._open = False
        self._store._release()

    def abandon(self) -> None:
        """Undo everything; a group that already ended is left as it is, so this suits a `finally`."""
        if not self._open:
            return
        try:
            self._cursor.execute("ROLLBACK")
        except apsw.Error:
            self._store._drop_writer()  # closing undoes it as well
        self._open = False
        self._store._release()

    def _need_open(self) -> None:
        if not self._open:
            raise StorageUnusable("this group has ended; begin another one")

    def _fail(self, error: apsw.Error) -> StorageUnusable:
        self._open = False
        return self._store._fail("written", error)


class SqliteInstant:
    """See `storage.whole.Instant`."""

    def __init__(self, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        try:
            cursor.execute("BEGIN")
            self.gsn, self.min_epoch = statements.read_newest(cursor)  # the first read, which fixes the instant
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error

    def scan(self, start: bytes, stop: bytes, limit: int) -> Rows:
        try:
            return statements.scan(self._cursor, start, stop, limit)
        except statements.UNREADABLE as error:
            raise unusable("read", error) from error


class _Readers(threading.local):
    """A reading connection per thread, opened when the thread first reads and closed when it ends."""

    def __init__(self, open_reader: Callable[[], apsw.Connection]) -> None:
        self._open_reader = open_reader  # runs in each thread, and in the constructing one at once: so it opens nothing

    def __getattr__(self, name: str) -> apsw.Cursor:
        if name != "cursor":
            raise AttributeError(name)
        self.cursor: apsw.Cursor = self._open_reader().cursor()
        return self.cursor


class _Refusal:
    """Stands in for the readers of a store that must not be used any more."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def refuse(self) -> NoReturn:
        raise StorageUnusable(self.reason)

    @property
    def cursor(self) -> apsw.Cursor:
        self.refuse()


_constructed: weakref.WeakSet[SqliteStorage] = weakref.WeakSet()
_inherited: list[object] = []
"""Connections of the parent process, kept from being closed by the garbage collector."""


def _forget_all() -> None:
    for store in _constructed:
        store._forget()


os.register_at_fork(after_in_child=_forget_all)
