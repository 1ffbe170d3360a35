"""F4 and F20 at the storage layer: a failing or damaged disk ends in `StorageUnusable`, never in a crash or a lost commit."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import apsw
import pytest

from strongroom.errors import StorageUnusable
from strongroom.storage import sqlite
from strongroom.storage.sqlite import SqliteStorage
from strongroom.storage.walk import beyond

MOUNT = bytes(16) + b"\x01"
KEYS = [MOUNT + b"\x00\x03" + b"%03d" % number for number in range(40)]
_numbers = count()
Fault = Callable[[str], None]


class FaultyDisk(apsw.VFS):
    """The system's VFS, asking `fault(kind)` before each read, write, truncate and sync; it raises to make that call fail."""

    def __init__(self) -> None:
        self.name = f"faulty-{next(_numbers)}"
        self.fault: Fault = lambda kind: None
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _FaultyFile(self, name, flags)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.fault("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.fault("write")
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._disk.fault("truncate")
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        self._disk.fault("sync")
        super().xSync(flags)


CODES = {
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
}


def io_error(kind: str) -> apsw.Error:
    error = apsw.IOError(f"injected: {kind}")
    vars(error)["extendedresult"] = CODES[kind]
    return error


def failing_at(number: int) -> tuple[Fault, list[str]]:
    calls: list[str] = []

    def fault(kind: str) -> None:
        calls.append(kind)
        if len(calls) == number:
            raise io_error(kind)

    return fault, calls


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    made = FaultyDisk()
    yield made
    made.unregister()


def write(store: SqliteStorage, puts: dict[bytes, bytes]) -> int:
    group = store.begin(0, [])
    try:
        group.apply(puts, [])
        group.commit()
    finally:
        group.abandon()
    return group.gsn


def read_all(store: SqliteStorage) -> dict[bytes, bytes]:
    return dict(store.scan(b"", b"\xff", -1))


Commit = Callable[[SqliteStorage, dict[bytes, bytes]], int]
TELLS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""SQLite goes on after some failures, and apsw tells of each."""


def hopeful(store: SqliteStorage, puts: dict[bytes, bytes]) -> int:
    """Says that a commit is done whatever came of it."""
    with contextlib.suppress(StorageUnusable):
        return write(store, puts)
    return 0


def losses(disk: FaultyDisk, directory: Path, commit: Commit) -> Iterator[bool]:
    """For the first, second, third … call to the disk: whether the store is not as it was promised after that call failed."""
    for number in count(1):
        fault, calls = failing_at(number)
        possible = _use_a_failing_disk(directory / str(number), disk, fault, commit)
        disk.fault = lambda kind: None
        store = SqliteStorage(directory / str(number))
        store.check()
        found = read_all(store)
        store.close()
        yield found not in possible
        if len(calls) < number:
            return


@TELLS
@pytest.mark.fault("F4")
def test_no_single_failing_call_loses_an_acknowledged_commit(disk: FaultyDisk, tmp_path: Path) -> None:
    walked = list(losses(disk, tmp_path, write))
    assert not [number for number, lost in enumerate(walked, 1) if lost]
    assert len(walked) > 100


@TELLS
@pytest.mark.control
@pytest.mark.fault("F4")
def test_control_a_store_that_takes_a_failed_commit_for_done_loses_some(disk: FaultyDisk, tmp_path: Path) -> None:
    assert any(losses(disk, tmp_path, hopeful))


def _use_a_failing_disk(directory: Path, disk: FaultyDisk, fault: Fault, commit: Commit) -> list[dict[bytes, bytes]]:
    """Commit on and on. The states that may be found later: the last acknowledged one, or with one failed commit after it."""
    sure: dict[bytes, bytes] = {}
    possible = [sure]
    store = SqliteStorage(directory, vfs=disk.name, checkpoint_pages=12)
    disk.fault = fault
    for number in range(8):
        after = sure | {KEYS[number]: b"new %d" % number, KEYS[0]: b"%d" % number}
        try:
            commit(store, after)
        except StorageUnusable:
            possible.append(after)
            continue
        sure = after
        possible = [sure]
        with contextlib.suppress(StorageUnusable):
            assert commit is hopeful or store.get_many([KEYS[0]]) == {KEYS[0]: b"%d" % number}
    with contextlib.suppress(StorageUnusable):
        store.children(MOUNT, b"", -1)
    store.close()
    return possible


def taken_after_a_failed_sync(disk: FaultyDisk, directory: Path) -> tuple[list[str], int]:
    """Have a sync fail; what the store takes from then on, and how often the disk was asked to sync."""
    store = SqliteStorage(directory, vfs=disk.name)
    write(store, {KEYS[0]: b"1"})
    syncs: list[str] = []

    def fault(kind: str) -> None:
        if kind == "sync":
            syncs.append(kind)
            raise io_error(kind)

    disk.fault = fault
    with pytest.raises(StorageUnusable):
        write(store, {KEYS[0]: b"2"})
    disk.fault = lambda kind: syncs.append(kind) if kind == "sync" else None
    attempts = {
        "read": lambda: store.get_many([KEYS[0]]),
        "write": lambda: write(store, {KEYS[1]: b"3"}),
        "feed": lambda: store.changed(0),
    }
    taken = [name for name, attempt in attempts.items() if _takes(attempt)]
    store.close()
    return taken, len(syncs)


def _takes(attempt: Callable[[], object]) -> bool:
    """Anything but the one refusal counts as taken."""
    try:
        attempt()
    except StorageUnusable as error:
        return "sync" not in str(error)
    return True


@pytest.mark.fault("F4")
def test_after_a_failed_sync_the_store_refuses_everything(disk: FaultyDisk, tmp_path: Path) -> None:
    assert taken_after_a_failed_sync(disk, tmp_path / "data") == ([], 1)


@pytest.mark.control
@pytest.mark.fault("F4")
def test_control_a_store_that_thinks_nothing_of_a_failed_sync_tries_again(
    disk: FaultyDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "FAILED_SYNC", frozenset())
    taken, syncs = taken_after_a_failed_sync(disk, tmp_path / "data")
    assert taken == ["read", "write", "feed"]
    assert syncs > 1


@pytest.mark.fault("F3")
def test_a_full_disk_refuses_writes_and_recovers_by_itself(disk: FaultyDisk, tmp_path: Path) -> None:
    store = SqliteStorage(tmp_path / "data", vfs=disk.name)
    write(store, {KEYS[0]: b"1"})

    def full(kind: str) -> None:
        if kind == "write":
            raise apsw.FullError("injected: full")

    disk.fault = full
    for _ in range(3):
        with pytest.raises(StorageUnusable, match="free some space"):
            write(store, {KEYS[0]: b"2"})
        assert store.get_many([KEYS[0]]) == {KEYS[0]: b"1"}
    disk.fault = lambda kind: None
    assert write(store, {KEYS[0]: b"3"}) == 2
    assert store.get_many([KEYS[0]]) == {KEYS[0]: b"3"}
    store.close()


def _damaged(original: bytes, random: Random, page: bool) -> bytes:
    damaged = bytearray(original)
    if page:
        start = random.randrange(len(damaged) // 4_096) * 4_096
        damaged[start : start + 4_096] = bytes(4_096)
    else:
        damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
    return bytes(damaged)


def _tries(store: SqliteStorage, rows: dict[bytes, bytes]) -> tuple[Callable[[], object], ...]:
    """All ways to use a store; each is true when the answer is what was written."""
    return (
        lambda: store.get_many(KEYS) == rows,
        lambda: all(store.get_many([key]) == {key: rows[key]} for key in KEYS),
        lambda: read_all(store) == rows,
        lambda: [child.key for child in store.children(MOUNT, b"", -1)] == KEYS,
        lambda: store.changed(0).gsn == 5,
        lambda: store.scan(MOUNT, beyond(MOUNT), 5) == sorted(rows.items())[:5],
        lambda: write(store, {KEYS[0]: b"new"}) == 6,
        store.check,
    )


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    ("page", "rounds"),
    [(False, 150), (True, 30), pytest.param(False, 2_000, marks=pytest.mark.long), pytest.param(True, 200, marks=pytest.mark.long)],
)
def test_a_damaged_file_is_read_or_refused_but_never_breaks_the_reader(tmp_path: Path, page: bool, rounds: int) -> None:
    rows = {key: key[-3:] * 40 for key in KEYS} | {KEYS[0]: bytes(9_000)}
    store = SqliteStorage(tmp_path / "data")
    for number in range(0, len(KEYS), 8):
        write(store, {key: rows[key] for key in KEYS[number : number + 8]})
    store.close()
    file = tmp_path / "data" / "strongroom.db"
    original, random = file.read_bytes(), Random(1)
    outcomes = {"right": 0, "other": 0, "refused": 0}
    for _ in range(rounds):
        file.write_bytes(_damaged(original, random, page))
        damaged = SqliteStorage(tmp_path / "data")
        for attempt in _tries(damaged, rows):
            try:
                outcomes["right" if attempt() else "other"] += 1
            except StorageUnusable:
                outcomes["refused"] += 1
        damaged.close()
        for left in file.parent.glob("strongroom.db-*"):
            left.unlink()
    assert outcomes["right"] > 0
    assert outcomes["refused"] > 0
