"""A backup tool or a shell that looks into the database beside the server takes nothing away when it leaves.

SQLite's locks are POSIX locks: they belong to the process, and closing any descriptor of the file drops them all. Then the next foreign
reader is the last user as far as it can know, and on leaving it deletes the log that the server goes on writing to.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from strongroom.storage.api import Feed
from strongroom.storage.directory import DATABASE
from strongroom.storage.sqlite import SqliteStorage
from tests.support import offline
from tests.support.load import under_load
from tests.support.server import serving

KEY = bytes(17) + b"\x00\x01"
READ = "import apsw, sys; c = apsw.Connection(sys.argv[1]); print(c.execute('SELECT count(*) FROM entries').get); c.close()"


def write(store: SqliteStorage, name: bytes) -> None:
    group = store.begin(0, [])
    group.apply({KEY + name: b"value"}, [])
    group.commit()


def look(directory: Path) -> int:
    """Another process reads and leaves."""
    done = subprocess.run([sys.executable, "-c", READ, str(directory / DATABASE)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def in_use(directory: Path) -> SqliteStorage:
    """A store with a reading and a writing connection, opened in the order in which the server opens them."""
    store = SqliteStorage(directory)
    assert store.changed(0) == Feed(0, frozenset())
    write(store, b"1")
    assert store.get_many([KEY + b"1"])
    return store


def stored(directory: Path) -> int:
    """What a process finds that starts after this one was killed."""
    return look(directory)


def test_a_foreign_reader_takes_nothing_away(tmp_path: Path) -> None:
    store = in_use(tmp_path)
    assert look(tmp_path) == 1
    write(store, b"2")
    assert stored(tmp_path) == 2
    other = SqliteStorage(tmp_path)
    assert len(other.get_many([KEY + b"1", KEY + b"2"])) == 2
    assert look(tmp_path) == 2
    write(store, b"3")
    assert stored(tmp_path) == 3
    other.close()
    store.close()
    assert stored(tmp_path) == 3


def test_a_descriptor_that_is_closed_in_between_would_lose_a_commit(tmp_path: Path) -> None:
    """The negative control: the same, after somebody opened and closed the files in this process."""
    store = in_use(tmp_path)
    for name in (DATABASE, f"{DATABASE}-shm"):
        (tmp_path / name).open("rb").close()
    assert look(tmp_path) == 1
    write(store, b"2")
    assert stored(tmp_path) == 1
    store.close()


def test_the_auditors_commands_beside_a_busy_server_find_it_clean_and_take_nothing_away(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _):
        with under_load(server, 2) as loads:
            scrubbed = offline.command(server, "operator", "scrub")
            assert scrubbed.returncode == 0, scrubbed.stdout + scrubbed.stderr
        verified = offline.command(server, "audit", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        server.kill()
        server.start()
        for load in loads:
            assert len(load.kept) > 3
            assert load.failed == load.lost() == []
