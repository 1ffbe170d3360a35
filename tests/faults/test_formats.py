"""F23: what an older release stored a newer one reads; an older program tells newer data from its own, and changes nothing in it.

There is one format so far, so no store is migrated yet. `golden/` holds a store as it was when its format was first written down: whatever
is changed later must open it. `python -m tests.faults.test_formats` makes another one beside it, for the next format.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import tempfile
from pathlib import Path

import apsw
import pytest

from strongroom.storage.database import FORMAT
from strongroom.storage.directory import DATABASE
from tests.support import offline
from tests.support.http import Client
from tests.support.nodes import STORAGE
from tests.support.postgres import fresh_database
from tests.support.server import SERVER, Server, serving

NEWER = ("-m", "tests.support.newer_server")
GOLDEN = Path(__file__).parent / "golden"
STARTING_SECONDS = 20


def contents(directory: Path) -> dict[str, str]:
    """Every file and what is in it; the memory that readers share counts for nothing, and an empty log neither."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.stat().st_size and not path.name.endswith("-shm"))
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def said_by(server: Server) -> str:
    """What a server says that does not start."""
    server.spawn()
    assert server.process is not None
    assert server.process.wait(STARTING_SECONDS) == 1
    return server.output()


# -- newer data, this program ------------------------------------------------------------------------------------------------


@pytest.mark.fault("F23")
@pytest.mark.parametrize("workers", [1, 2])
def test_this_program_refuses_a_newer_store_in_one_sentence_and_changes_nothing(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, entry=NEWER, workers=workers) as (server, client):
        assert client.write("secret/data/x", {"data": {"of": "tomorrow"}}).status == 200
        assert server.terminate() == 0
        before = contents(server.store)
        server.entry = SERVER
        output = said_by(server)
        assert f"is in format {FORMAT + 1}, this program reads up to {FORMAT}; nothing was changed" in output
        assert "Traceback" not in output
        assert contents(server.store) == before
        server.entry = NEWER
        server.start()
        client.close()
        assert client.read("secret/data/x").data["data"] == {"of": "tomorrow"}


@pytest.mark.fault("F23")
def test_this_program_refuses_a_newer_database_in_one_sentence(tmp_path: Path) -> None:
    with serving(tmp_path, entry=NEWER, storage=STORAGE.format(url=fresh_database())) as (server, _):
        assert server.terminate() == 0
        server.entry = SERVER
        output = said_by(server)
        assert f"the database is in format {FORMAT + 1}, this program reads up to {FORMAT}; nothing was changed" in output


@pytest.mark.control
@pytest.mark.fault("F23")
def test_control_a_program_of_a_later_day_takes_the_same_store(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _):
        assert server.terminate() == 0
        connection = apsw.Connection(str(server.store / DATABASE))
        connection.execute("UPDATE store SET format = ?", (FORMAT + 1,))
        connection.close()
        assert "nothing was changed" in said_by(server)
        server.entry = NEWER
        server.start()


# -- this program's data, a newer program and back ---------------------------------------------------------------------------


@pytest.mark.fault("F23")
def test_a_newer_program_reads_what_this_one_wrote_and_does_not_lock_it_out(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, client):
        assert client.write("secret/data/x", {"data": {"of": "today"}}).status == 200
        for entry in (NEWER, SERVER):
            assert server.terminate() == 0
            server.entry = entry
            server.start()
            client.close()
            assert client.read("secret/data/x").data["data"] == {"of": "today"}
            assert client.write("secret/data/y", {"data": {}}).status == 200


# -- what was written down ---------------------------------------------------------------------------------------------------


def fill(client: Client) -> None:
    """Something of each kind that is stored for long."""
    for number in range(1, 4):
        assert client.write("secret/data/app/db", {"data": {"password": f"of version {number}"}}).status == 200
    assert client.write("sys/mounts/old", {"type": "kv", "options": {"version": "1"}}).status == 204
    assert client.write("old/config", {"host": "db.example.com"}).status == 204
    assert client.write("sys/policies/acl/app", {"policy": 'path "secret/data/app/*" { capabilities = ["read"] }'}).status == 204
    assert client.write("sys/auth/userpass", {"type": "userpass"}).status == 204
    assert client.write("auth/userpass/users/alice", {"password": "correct-horse", "token_policies": "app"}).status == 204


def examine(client: Client) -> None:
    """All of it is there and works."""
    assert client.read("secret/data/app/db").data["data"] == {"password": "of version 3"}
    assert client.read("secret/data/app/db?version=1").data["data"] == {"password": "of version 1"}
    assert client.read("old/config").data == {"host": "db.example.com"}
    token = client.write("auth/userpass/login/alice", {"password": "correct-horse"}, token="").json["auth"]["client_token"]
    assert client.read("secret/data/app/db", token=token).status == 200
    assert client.read("old/config", token=token).status == 403


@pytest.mark.fault("F23")
@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_a_store_of_every_format_opens_and_is_whole(tmp_path: Path, number: int) -> None:
    server = Server(tmp_path)
    try:
        with tarfile.open(GOLDEN / f"format-{number}.tar.xz") as archive:
            archive.extractall(tmp_path, filter="data")
        server.token = (tmp_path / "token").read_text()
        server.start()
        examine(server.client())
        assert server.terminate() == 0
        assert offline.scrub(server).clean
    finally:
        server.close()


def make_golden() -> Path:
    """Write down a store as this program makes it."""
    GOLDEN.mkdir(exist_ok=True)
    path = GOLDEN / f"format-{FORMAT}.tar.xz"
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory)) as (server, client):
        fill(client)
        examine(client)
        assert server.terminate() == 0
        connection = apsw.Connection(str(server.store / DATABASE))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        with tarfile.open(path, "w:xz") as archive:
            archive.add(server.store / DATABASE, f"store/{DATABASE}")
            archive.add(server.seal_key, server.seal_key.name)
            token = tarfile.TarInfo("token")
            token.size = len(server.token)
            archive.addfile(token, io.BytesIO(server.token.encode()))
    return path


if __name__ == "__main__":
    sys.exit(f"written: {make_golden()}")
