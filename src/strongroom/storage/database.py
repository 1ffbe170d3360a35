"""Opening the SQLite file: settings that are part of the promise, the schema, and the format it is written in.

Rules of this file:
- Every setting is read back after it was set, on every connection; a connection that does not hold all of them is refused.
- A file in a newer format, or not ours, is refused before anything in it changes.
- Opening reads three pages, however many rows there are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import apsw

from strongroom.errors import StorageUnsafe, StorageUnusable
from strongroom.storage.directory import COMMIT_LOCK, DATABASE, FileLock, create_private, make_private, prepare, sync_directory

FORMAT = 1
BUSY_MS = 5_000
"""How long a foreign lock (a shell, a backup tool) may hold us up; strongroom's own processes queue on `commit.lock`."""

ON_MACOS: Mapping[str, int | str] = {"fullfsync": 1, "checkpoint_fullfsync": 1} if sys.platform == "darwin" else {}
"""There a plain fsync stops at the drive's cache."""

SETTINGS: Mapping[str, int | str] = {
    "synchronous": 2,  # FULL: COMMIT returns after the log is on the disk
    "mmap_size": 0,  # an I/O error must be an error, not a SIGBUS
    "cell_size_check": 1,
    "trusted_schema": 0,
    "temp_store": 2,  # no temporary files outside the data directory
    "cache_size": -8_000,
    "journal_size_limit": 64 << 20,
    "wal_autocheckpoint": 0,  # we run checkpoints ourselves, to see their failures
    "journal_mode": "wal",
    **ON_MACOS,
}

SCHEMA = """
CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE changes (gsn INTEGER PRIMARY KEY, at INTEGER NOT NULL, group_id BLOB NOT NULL, keys BLOB NOT NULL) STRICT;
CREATE TABLE store (only INTEGER PRIMARY KEY CHECK (only = 1), format INTEGER NOT NULL, gsn INTEGER NOT NULL,
                    min_epoch INTEGER NOT NULL) STRICT;
INSERT INTO store VALUES (1, ?, 0, 0);
"""

HINTS: Mapping[type[apsw.Error], str] = {
    apsw.FullError: "free some space; reads go on and writes resume by themselves",
    apsw.ReadOnlyError: "make the file system writable; reads go on and writes resume by themselves",
    apsw.BusyError: "another program holds the database; strongroom must be its only user",
    apsw.CorruptError: "run 'strongroom operator scrub' and restore from a snapshot",
    apsw.NotADBError: "it is not a database of ours; restore from a snapshot",
}


def unusable(doing: str, error: Exception) -> StorageUnusable:
    """The typed form of a driver's error."""
    hint = HINTS.get(type(error), "check the disk and the system's log") if isinstance(error, apsw.Error) else HINTS[apsw.CorruptError]
    return StorageUnusable(f"the store cannot be {doing}: {error}; {hint}")


def open_database(directory: Path, settings: Mapping[str, int | str], vfs: str | None, *, reader: bool) -> apsw.Connection:
    """A connection that holds all settings, on a store that exists from now on."""
    path = directory / DATABASE
    _make_private(directory)
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    except apsw.Error as error:
        raise _in_directory(directory, error) from error
    try:
        # Leaving must not write to a file that is about to be refused, nor retry a failed fsync; an orderly close lifts this.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_busy_timeout(BUSY_MS)
        if not _recognise(connection, path):
            _create(connection, directory, settings)
        _hold(connection, settings, path)
        if reader:
            _hold(connection, {"query_only": 1}, path)
    except apsw.Error as error:
        connection.close(True)
        raise _in_directory(directory, error) from error
    except StorageUnusable:
        connection.close(True)
        raise
    return connection


def need_ours(directory: Path) -> None:
    """Look at a store before it is served, where there is one. Raises StorageUnsafe; trouble with the disk is left to who serves it."""
    if not (directory / DATABASE).exists():
        return
    try:
        open_database(directory, SETTINGS, None, reader=True).close(True)
    except StorageUnsafe:
        raise
    except StorageUnusable:
        pass


def _in_directory(directory: Path, error: apsw.Error) -> StorageUnusable:
    return unusable(f"opened in {directory}", error)


def _make_private(directory: Path) -> None:
    prepare(directory)
    create_private(directory / DATABASE)
    for name in (f"{DATABASE}-wal", f"{DATABASE}-shm"):  # SQLite gives new ones the mode of the database
        make_private(directory / name)


def _recognise(connection: apsw.Connection, path: Path) -> bool:
    """True for a store of ours, False for an empty file; anything else raises."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
    if not tables:
        return False
    if "store" not in tables:
        raise StorageUnsafe(f"{path} is a database of another program; name another directory")
    found = connection.execute("SELECT format FROM store").get
    if not isinstance(found, int) or found > FORMAT:
        raise StorageUnsafe(
            f"{path} is in format {found}, this program reads up to {FORMAT}; nothing was changed",
            "use the newer strongroom that wrote it, or restore an older snapshot",
        )
    return True


def _create(connection: apsw.Connection, directory: Path, settings: Mapping[str, int | str]) -> None:
    """Write the schema; of several processes starting at once the first does it and the others find it done."""
    lock = FileLock(directory / COMMIT_LOCK)
    lock.acquire()
    try:
        if not _recognise(connection, directory / DATABASE):
            _hold(connection, settings, directory / DATABASE)
            with connection:
                connection.execute(SCHEMA, (FORMAT,))
            sync_directory(directory)  # a rollback journal that came back after a power loss would undo all of this
    finally:
        lock.close()


def _hold(connection: apsw.Connection, settings: Mapping[str, int | str], path: Path) -> None:
    for name, wanted in settings.items():
        connection.execute(f"PRAGMA {name} = {wanted}")
        found = connection.execute(f"PRAGMA {name}").get
        if found != wanted:
            raise StorageUnusable(f"{path} does not keep {name} = {wanted}, it says {found}; its file system is unfit, use a local one")


def integrity(connection: apsw.Connection) -> None:
    """Read every page and compare every index; raises StorageUnusable with the first things found."""
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
    if found != ["ok"]:
        raise StorageUnusable("the database is damaged; run 'strongroom operator scrub' and restore from a snapshot", *found)
