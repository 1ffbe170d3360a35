"""What the embedded store promises beyond the contract: settings, modes, locks between processes, formats, cost."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import apsw
import pytest

from strongroom.errors import StorageUnusable
from strongroom.storage import sqlite, statements
from strongroom.storage.api import Feed
from strongroom.storage.database import SETTINGS, open_database
from strongroom.storage.directory import lock_directory
from strongroom.storage.sqlite import CHANGES_KEPT, SqliteStorage
from strongroom.storage.statements import FEED_LIMIT, FEW
from strongroom.testing.powerloss import Recorder, Sync

MOUNT = bytes(16) + b"\x01"
HEAD = "import sys; from pathlib import Path; from strongroom.storage.sqlite import SqliteStorage; directory = Path(sys.argv[1])\n"
HOUR = 3_600 * 1_000_000_000


def key(*names: bytes) -> bytes:
    return MOUNT + b"".join(len(name).to_bytes(2) + name for name in names)


def commit(store: SqliteStorage, puts: dict[bytes, bytes]) -> int:
    group = store.begin(0, [])
    group.apply(puts, [])
    group.commit()
    return group.gsn


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStorage]:
    made = SqliteStorage(tmp_path / "data")
    yield made
    made.close()


class HandClock:
    def __init__(self) -> None:
        self.time = 1_000 * HOUR

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return self.time / 1e9


Started = Callable[[str, Path], "subprocess.Popen[str]"]


@pytest.fixture
def python() -> Iterator[Started]:
    """Start another process on the same directory; it prints a line when it is where the test wants it."""
    with contextlib.ExitStack() as processes:

        def start(script: str, directory: Path) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", HEAD + script, str(directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(sqlite.__file__).parents[2])},
            )
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield start


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- files and settings


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_everything_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with lock_directory(tmp_path / "data"):
            store = SqliteStorage(tmp_path / "data")
            commit(store, {key(b"a"): b"1"})
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
            store.close()
    finally:
        os.umask(before)
    assert {"strongroom.db", "strongroom.db-wal", "strongroom.db-shm", "commit.lock", "server.lock"} == modes.keys()
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["vault.db", "core/_keyring"])
def test_a_store_of_vault_is_not_taken_for_an_empty_directory(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "data"
    (directory / name).parent.mkdir(parents=True)
    directory.chmod(0o700)
    (directory / name).touch()
    with pytest.raises(StorageUnusable, match="holds a store of Vault, which only Vault can read; name another"):
        lock_directory(directory)
    (directory / name).unlink()
    lock_directory(directory).close()
    store = SqliteStorage(directory)
    commit(store, {})
    store.close()
    (directory / name).touch()
    lock_directory(directory).close()  # ours by now


def test_looser_modes_are_tightened(tmp_path: Path) -> None:
    store = SqliteStorage(tmp_path / "data")
    commit(store, {})
    store.close()
    (tmp_path / "data").chmod(0o755)
    for path in (tmp_path / "data").iterdir():
        path.chmod(0o644)
    again = SqliteStorage(tmp_path / "data")
    commit(again, {})
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    again.close()


def test_a_directory_of_others_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "foreign").touch()
    with pytest.raises(StorageUnusable, match="not only ours"):
        SqliteStorage(tmp_path).changed(0)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]


def test_a_symbolic_link_in_place_of_the_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "strongroom.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageUnusable):
        SqliteStorage(tmp_path / "data").changed(0)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("reader", [True, False])
def test_every_connection_holds_the_promised_settings(tmp_path: Path, reader: bool) -> None:
    connection = open_database(tmp_path / "data", SETTINGS, None, reader=reader)
    promised = {
        "journal_mode": "wal",
        "synchronous": 2,
        "mmap_size": 0,
        "cell_size_check": 1,
        "trusted_schema": 0,
        "query_only": int(reader),
    }
    assert {name: connection.execute(f"PRAGMA {name}").get for name in promised} == promised
    connection.close()


def test_a_setting_that_does_not_hold_is_refused(tmp_path: Path) -> None:
    class Odd(SqliteStorage):
        settings: ClassVar[Mapping[str, int | str]] = {**SETTINGS, "synchronous": 9}

    SqliteStorage(tmp_path / "data").changed(0)
    with pytest.raises(StorageUnusable, match="does not keep synchronous"):
        Odd(tmp_path / "data").changed(0)


# --- formats


def test_a_newer_format_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    store = SqliteStorage(tmp_path / "data")
    commit(store, {key(b"a"): b"1"})
    store.close()
    file = tmp_path / "data" / "strongroom.db"
    connection = apsw.Connection(str(file))
    connection.execute("UPDATE store SET format = 2")
    connection.close()
    before = file.read_bytes()
    newer = SqliteStorage(tmp_path / "data")
    with pytest.raises(StorageUnusable, match=r"format 2.*reads up to 1"):
        newer.changed(0)
    with pytest.raises(StorageUnusable, match="format 2"):
        newer.begin(0, [])
    newer.close()
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all" * 500, b"SQLite format 3\0" + bytes(100)])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "strongroom.db").write_bytes(content)
    with pytest.raises(StorageUnusable, match="opened"):
        SqliteStorage(tmp_path / "data").changed(0)
    assert (tmp_path / "data" / "strongroom.db").read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    connection = apsw.Connection(str(tmp_path / "data" / "strongroom.db"))
    connection.execute("CREATE TABLE mail (body)")
    connection.close()
    with pytest.raises(StorageUnusable, match="another program"):
        SqliteStorage(tmp_path / "data").changed(0)


# --- processes


def test_a_second_server_on_the_directory_is_refused_by_name(python: Started, tmp_path: Path) -> None:
    script = "from strongroom.storage.directory import lock_directory; lock = lock_directory(directory); print('held', flush=True); input()"
    other = python(script, tmp_path / "data")
    assert line(other) == "held"
    with pytest.raises(StorageUnusable, match=f"using {tmp_path / 'data'}"):
        lock_directory(tmp_path / "data")
    other.communicate("\n", timeout=10)
    lock_directory(tmp_path / "data").close()


def test_an_open_group_keeps_other_processes_waiting_and_they_see_what_it_wrote(
    python: Started, tmp_path: Path, store: SqliteStorage
) -> None:
    group = store.begin(0, [])
    script = """
store = SqliteStorage(directory); store.changed(0); print('ready', flush=True)
group = store.begin(0, []); print(group.gsn, len(group.feed.keys), flush=True); group.commit(); store.close()
"""
    other = python(script, tmp_path / "data")
    assert line(other) == "ready"
    group.apply({key(b"a"): b"1"}, [])
    group.commit()
    assert line(other) == "2 1"
    assert other.wait(10) == 0
    assert store.changed(0).gsn == 2
    mine = store.begin(1, [])
    assert mine.gsn == 3
    mine.abandon()


def test_a_killed_holder_leaves_nothing_and_blocks_nobody(python: Started, tmp_path: Path, store: SqliteStorage) -> None:
    script = """
store = SqliteStorage(directory); group = store.begin(0, [])
group.apply({bytes(16) + b'\\x01\\x00\\x01x': b'1'}, []); print('open', flush=True); input()
"""
    other = python(script, tmp_path / "data")
    assert line(other) == "open"
    other.kill()
    other.wait(10)
    assert commit(store, {key(b"a"): b"1"}) == 1
    assert store.scan(b"", b"\xff", -1) == [(key(b"a"), b"1")]


def test_several_processes_may_create_the_store_at_once_and_no_commit_is_lost(python: Started, tmp_path: Path) -> None:
    script = """
store = SqliteStorage(directory)
for number in range(10):
    group = store.begin(0, []); group.apply({bytes(16) + b'\\x01\\x00\\x04' + group.gsn.to_bytes(4): b'1'}, []); group.commit()
store.close()
"""
    others = [python(script, tmp_path / "data") for _ in range(4)]
    assert [other.wait(30) for other in others] == [0] * 4
    store = SqliteStorage(tmp_path / "data")
    assert store.changed(0).gsn == 40
    assert len(store.children(MOUNT, b"", -1)) == 40
    store.close()


def test_a_store_used_before_a_fork_refuses_in_the_child_and_lives_on_in_the_parent(python: Started, tmp_path: Path) -> None:
    script = """
import os
from strongroom.errors import StorageUnusable
used, unused = SqliteStorage(directory), SqliteStorage(directory)
used.begin(0, []).commit()
held = used.begin(0, [])
child = os.fork()
if not child:
    for attempt in (lambda: used.changed(0), lambda: used.begin(0, [])):
        try:
            attempt()
        except StorageUnusable as error:
            print('fork' in str(error), flush=True)
    print(unused.changed(0).gsn, flush=True)
    os._exit(0)
os.waitpid(child, 0)
held.commit()
print(used.changed(0).gsn)
"""
    output, _ = python(script, tmp_path / "data").communicate(timeout=20)
    assert output.split() == ["True", "True", "1", "2"]


# --- durability, cost and the feed


def test_a_committed_row_is_there_after_reopening(tmp_path: Path) -> None:
    store = SqliteStorage(tmp_path / "data")
    group = store.begin(0, [])
    group.raise_min_epoch(3)
    group.apply({key(b"a"): b"1"}, [])
    group.commit()
    store.close()
    again = SqliteStorage(tmp_path / "data")
    assert again.get_many([key(b"a")]) == {key(b"a"): b"1"}
    assert again.outcome(group.id) == 1
    assert again.changed(0) == Feed(1, frozenset({key(b"a")}))
    opened = again.begin(0, [])
    assert (opened.gsn, opened.min_epoch) == (2, 3)
    opened.abandon()
    again.close()


def removed(directory: Path) -> None:
    shutil.rmtree(directory)


def replaced(directory: Path) -> None:
    shutil.copy(directory / "strongroom.db", directory / "copy")
    (directory / "copy").rename(directory / "strongroom.db")


@pytest.mark.parametrize("moved", [removed, replaced])
def test_a_store_whose_file_was_moved_away_takes_no_more(tmp_path: Path, moved: Callable[[Path], None]) -> None:
    """What is written into a file without a name would be acknowledged, and gone with the process."""
    store = SqliteStorage(tmp_path / "data")
    commit(store, {key(b"a"): b"1"})
    moved(tmp_path / "data")
    for attempt in (lambda: store.begin(0, []), lambda: store.begin(0, []), lambda: store.get_many([key(b"a")])):
        with pytest.raises(StorageUnusable, match="moved or replaced"):
            attempt()
    assert store.ended
    store.close()


def test_control_sqlite_itself_goes_on_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "file_at", lambda path: None)
    store = SqliteStorage(tmp_path / "data")
    commit(store, {key(b"a"): b"1"})
    removed(tmp_path / "data")
    assert commit(store, {key(b"a"): b"2"}) == 2
    assert not (tmp_path / "data").exists()
    store.close()


def test_an_orderly_close_leaves_one_file_and_the_locks(tmp_path: Path) -> None:
    store = SqliteStorage(tmp_path / "data")
    commit(store, {key(b"a"): b"1"})
    store.close()
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"strongroom.db", "commit.lock"}


def test_constructing_a_store_touches_nothing(tmp_path: Path) -> None:
    SqliteStorage(tmp_path / "data").close()
    assert not (tmp_path / "data").exists()


def test_a_thousand_writes_in_groups_of_64_cost_at_most_40_syncs(tmp_path: Path) -> None:
    recorder = Recorder([])
    store = SqliteStorage(tmp_path / "data", vfs=recorder.vfs_name)
    for number in range(64):  # past the first checkpoint, in the steady state
        commit(store, {key(b"%d" % number, b"%d" % name): bytes(300) for name in range(64)})
    recorder.log.clear()
    for _ in range(3):
        for number in range(16):
            commit(store, {os.urandom(40): bytes(300) for _ in range(64)} | {key(b"%d" % number): b"1"})
    syncs = sum(isinstance(operation, Sync) for operation in recorder.log)
    store.close()
    recorder.unregister()
    assert syncs / 3 <= 40


def test_the_log_starts_over_instead_of_growing(tmp_path: Path) -> None:
    store = SqliteStorage(tmp_path / "data", checkpoint_pages=50)
    for number in range(200):
        commit(store, {key(b"%d" % (number % 7)): bytes(3_000)})
        store.changed(0)
    assert (tmp_path / "data" / "strongroom.db-wal").stat().st_size < 150 * 4_096
    store.close()


def test_a_feed_too_long_to_go_through_is_everything(store: SqliteStorage) -> None:
    commit(store, {key(b"%d" % number, bytes(100)): b"" for number in range(10_000)})
    commit(store, {key(b"a"): b""})
    assert store.changed(0) == Feed(2, None)
    assert store.changed(1) == Feed(2, frozenset({key(b"a")}))


def test_a_short_feed_says_what_the_long_way_says(store: SqliteStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3 * FEW):
        commit(store, {key(b"%d" % (number % 5), bytes(number)): b"1", key(b"%d" % number): b"2"})
    quick = [store.changed(since) for since in range(3 * FEW + 2)]
    monkeypatch.setattr(statements, "FEW", 0)
    assert quick == [store.changed(since) for since in range(3 * FEW + 2)]
    assert [feed.gsn for feed in quick] == [3 * FEW] * len(quick)
    assert [feed.keys is None for feed in quick] == [False] * (3 * FEW + 1) + [True]


def test_a_gap_or_damage_in_a_short_feed_is_not_passed_over(store: SqliteStorage, tmp_path: Path) -> None:
    for number in range(6):
        commit(store, {key(b"%d" % number): b"1"})
    damage = apsw.Connection(str(tmp_path / "data" / "strongroom.db"))
    damage.execute("DELETE FROM changes WHERE gsn = 4")
    assert store.changed(2) == Feed(6, None)
    assert store.changed(4) == Feed(6, frozenset({key(b"4"), key(b"5")}))
    damage.execute("DELETE FROM changes WHERE gsn = 6")
    assert store.changed(4) == Feed(6, None)
    damage.execute("UPDATE changes SET keys = x'00' WHERE gsn = 5")
    commit(store, {key(b"6"): b"1"})
    with pytest.raises(StorageUnusable):
        store.changed(4)
    damage.close()


def test_changes_are_forgotten_by_age_and_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    store = SqliteStorage(tmp_path / "data", clock=clock)
    first = store.begin(0, [])
    first.commit()
    while commit(store, {}) < 63:
        pass
    clock.time += 5 * HOUR
    assert store.outcome(first.id) == 1
    commit(store, {})
    assert store.outcome(first.id) is None
    assert store.changed(10).keys is None
    assert store.changed(63) == Feed(64, frozenset())
    monkeypatch.setattr(sqlite, "CHANGES_KEPT", 20)
    while commit(store, {}) < 128:
        pass
    assert store.changed(107).keys is None
    assert store.changed(108).keys == frozenset()
    assert CHANGES_KEPT > FEED_LIMIT
    store.close()


def test_check_passes_on_a_sound_store_and_names_a_damaged_one(tmp_path: Path) -> None:
    store = SqliteStorage(tmp_path / "data")
    commit(store, {key(b"%d" % number): bytes(300) for number in range(500)})
    store.check()
    store.close()
    file = tmp_path / "data" / "strongroom.db"
    content = bytearray(file.read_bytes())
    assert store.size() == len(content)
    content[5 * 4_096 : 6 * 4_096] = bytes(4_096)
    file.write_bytes(content)
    damaged = SqliteStorage(tmp_path / "data")
    with pytest.raises(StorageUnusable, match="restore from a snapshot"):
        damaged.check()
    damaged.close()
