"""The embedded store's log: it starts over in time, most of it is copied beside commits, and no long read makes a group wait."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from strongroom.errors import StorageUnusable
from strongroom.storage import log as module
from strongroom.storage.directory import DATABASE
from strongroom.storage.log import Log, sync_by_any
from strongroom.storage.sqlite import SqliteStorage
from strongroom.testing.powerloss import Recorder, Sync, Write
from tests.faults.test_disk_errors import FaultyDisk, io_error

PAGES = 200
AREA = bytes(16) + b"\x01"


def commit(store: SqliteStorage, number: int) -> None:
    """About three pages."""
    group = store.begin(0, [])
    group.apply({AREA + b"\0\x04%04d" % (number % 500): os.urandom(2_000)}, [])
    group.commit()


def log_size(store: SqliteStorage) -> int:
    return (store.directory / f"{DATABASE}-wal").stat().st_size // 4_096


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder([])
    yield made
    made.unregister()


@pytest.fixture
def store(tmp_path: Path, recorder: Recorder) -> Iterator[SqliteStorage]:
    made = SqliteStorage(tmp_path / "data", vfs=recorder.vfs_name, checkpoint_pages=PAGES)
    yield made
    made.close()


def until_long(store: SqliteStorage) -> int:
    """Commit until copying ahead would help; how many commits."""
    for number in range(PAGES):
        if store.log_is_long:
            return number
        commit(store, number)
    raise AssertionError("the log is never long")


def copied_under_the_lock(store: SqliteStorage, recorder: Recorder) -> int:
    """Pages of the database written by groups until the log starts over."""
    recorder.log.clear()
    for number in range(PAGES):
        commit(store, number)
        if not store.log_is_long:
            return sum(isinstance(each, Write) and each.file == DATABASE for each in recorder.log)
    raise AssertionError("the log never starts over")


def test_what_was_copied_ahead_is_not_copied_under_the_lock(store: SqliteStorage, recorder: Recorder) -> None:
    other = SqliteStorage(store.directory, vfs=recorder.vfs_name)
    until_long(store)
    store.copy_ahead()
    commit(other, 1)
    assert 0 < copied_under_the_lock(store, recorder) < 10, "only what another one wrote meanwhile"
    other.close()


def test_control_what_was_not_is(store: SqliteStorage, recorder: Recorder) -> None:
    until_long(store)
    assert copied_under_the_lock(store, recorder) > 20


def test_after_copying_ahead_the_log_starts_over_and_is_not_long_any_more(store: SqliteStorage) -> None:
    until_long(store)
    store.copy_ahead()
    assert store.try_begin(0) is None, "what begins with copying may take a while"
    before = log_size(store)
    for number in range(10):
        commit(store, number)
    assert not store.log_is_long
    assert log_size(store) == before, "the file is written over from its start"
    group = store.try_begin(0)
    assert group is not None
    group.abandon()


def syncs_and_pages(recorder: Recorder) -> tuple[int, int]:
    """How often the database was synced, and pages written to the log."""
    syncs = sum(isinstance(each, Sync) and each.file == DATABASE for each in recorder.log)
    pages = sum(isinstance(each, Write) and each.file == f"{DATABASE}-wal" and len(each.data) == 4_096 for each in recorder.log)
    return syncs, pages


def test_of_two_processes_that_find_the_log_long_one_has_it_start_over(store: SqliteStorage, recorder: Recorder) -> None:
    other = SqliteStorage(store.directory, vfs=recorder.vfs_name, checkpoint_pages=PAGES)
    for number in range(2 * PAGES):
        for each in (store, other):
            commit(each, number)
    syncs, pages = syncs_and_pages(recorder)
    assert log_size(store) < 2 * PAGES
    assert syncs <= 2 * pages / PAGES + 2, "once for each, and once more where the other had not heard of it"
    other.close()


def test_nobody_commits_between_the_last_of_the_copying_and_the_group_that_follows_it(
    store: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what he wrote is not copied, and the log goes on; two workers under load then copied in every group."""
    other = SqliteStorage(store.directory)
    commit(other, 0)
    finish, seen = Log.finish, list[object]()

    def watched(log: Log, writer: apsw.Connection) -> None:
        if log.due:
            seen.append(other.try_begin(0))
        finish(log, writer)

    monkeypatch.setattr(Log, "finish", watched)
    for number in range(PAGES):
        commit(store, number)
    assert seen
    assert set(seen) == {None}
    other.close()


def test_a_long_read_makes_few_groups_try_in_vain_and_the_log_starts_over_after_it(store: SqliteStorage) -> None:
    commit(store, 0)
    with store.instant() as instant:
        tries = 0
        for number in range(PAGES):
            tries += store._log.due
            commit(store, number)
        grown = log_size(store)
        assert instant.gsn == 1
    assert grown > 3 * PAGES
    assert tries < grown / (PAGES / module.AGAIN)
    for number in range(2 * PAGES):
        commit(store, number)
    assert log_size(store) < grown + PAGES / 2


def test_where_reads_overlap_all_the_time_a_group_waits_for_them_at_last(store: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment, then it goes on: a snapshot takes minutes."""
    monkeypatch.setattr(module, "PATIENT", 2)
    monkeypatch.setattr(module, "PATIENCE_MS", 1)
    commit(store, 0)
    with store.instant():
        for number in range(PAGES):
            commit(store, number)
        assert log_size(store) > 3 * PAGES


def test_a_failed_sync_of_a_copy_ends_the_store(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = SqliteStorage(tmp_path / "data", vfs=disk.name, checkpoint_pages=PAGES)
    until_long(store)

    def fault(kind: str) -> None:
        if kind == "sync":
            raise io_error(kind)

    disk.fault = fault
    with pytest.raises(StorageUnusable):
        store.copy_ahead()
    assert "sync" in store.ended
    with pytest.raises(StorageUnusable, match="sync"):
        store.begin(0, [])
    disk.fault = lambda kind: None
    store.close()
    disk.unregister()


def test_a_copy_that_could_not_be_written_is_gone_on_with(tmp_path: Path) -> None:
    disk = FaultyDisk()
    store = SqliteStorage(tmp_path / "data", vfs=disk.name, checkpoint_pages=PAGES)
    until_long(store)

    def fault(kind: str) -> None:
        if kind == "write":
            raise io_error(kind)

    disk.fault = fault
    with pytest.raises(StorageUnusable):
        store.copy_ahead()
    disk.fault = lambda kind: None
    assert not store.ended
    for number in range(2 * PAGES):
        commit(store, number)
    assert log_size(store) < 2 * PAGES
    store.close()
    disk.unregister()


def test_the_sync_ahead_of_a_disk_that_fails_ends_the_store(store: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(errno.EIO, "injected")

    until_long(store)
    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(StorageUnusable):
        store.copy_ahead()
    assert "sync" in store.ended


def test_a_descriptor_that_is_gone_or_something_else_by_now_is_nothing_to_worry_about(
    store: SqliteStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_long(store)
    codes = [errno.EBADF, errno.EINVAL]

    def refusing(_descriptor: int) -> None:
        raise OSError(codes.pop(), "not that any more")

    monkeypatch.setattr(os, "fdatasync", refusing)
    store.copy_ahead()
    assert not codes
    sync_by_any(str(tmp_path / "nothing"))
    monkeypatch.setattr(module, "DESCRIPTORS", tmp_path / "nowhere")
    sync_by_any(str(store.directory / DATABASE))
    assert not store.ended


def test_syncing_ahead_takes_no_lock_of_the_process_away(store: SqliteStorage) -> None:
    """A descriptor that was opened for it and closed again would."""
    commit(store, 0)
    before = locks(store)
    sync_by_any(str(store.directory / DATABASE))
    assert before
    assert locks(store) == before


def test_control_opening_and_closing_the_file_does(store: SqliteStorage) -> None:
    commit(store, 0)
    before = locks(store)
    (store.directory / DATABASE).open("rb").close()
    assert locks(store) != before


def locks(store: SqliteStorage) -> list[str]:
    """POSIX locks on the database's file, as the kernel lists them."""
    inode = f":{(store.directory / DATABASE).stat().st_ino} "
    return sorted(line.partition(" ")[2] for line in Path("/proc/locks").read_text().splitlines() if inode in line)
