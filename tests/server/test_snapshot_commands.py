"""`operator snapshot` and `operator migrate` as an operator types them, on what a real server left."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from strongroom.barrier.keyring import INSTALLATION_KEY
from strongroom.barrier.snapshots.format import LENGTH
from strongroom.server.commands import COMMANDS, run
from strongroom.storage.api import Node
from strongroom.storage.postgres.store import PostgresStorage
from tests.support.http import Client
from tests.support.offline import scrub
from tests.support.postgres import fresh_database
from tests.support.rows import edit_rows, read_rows
from tests.support.server import ROOT, Server

SECRETS = 40


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def strongroom(*words: str | Path, said: str = "") -> Done:
    """A command of the server's side, in this process: a process of its own costs half a second each time."""
    typed = ["operator", *map(str, words)]
    name = next(name for count in (3, 2) if (name := " ".join(typed[:count])) in COMMANDS)
    out, err, before = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(said)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run(name, typed[len(name.split()) :])
    finally:
        sys.stdin = before
    return Done(code, out.getvalue(), err.getvalue())


def done(*words: str | Path, said: str = "") -> str:
    result = strongroom(*words, said=said)
    assert result.code == 0, result.out + result.err
    return result.out


def refused(*words: str | Path, said: str = "") -> str:
    result = strongroom(*words, said=said)
    assert result.code == 1, result.out + result.err
    return result.err


def typed(*words: str | Path) -> str:
    """The same as somebody types it."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "strongroom", "operator", *map(str, words)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


class Left(NamedTuple):
    """A stopped server, a snapshot of it, and what was written after that."""

    server: Server
    snapshot: Path
    saved: dict[str, Any]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    directory = tmp_path_factory.mktemp("left")
    server = Server(directory)
    try:
        root = server.begin()
        for number in range(SECRETS):
            assert root.write(f"secret/data/{number}", {"data": {"n": number}}).status == 200
        path = directory / "a.snap"
        saved = json.loads(typed("snapshot", "save", f"-config={server.config}", "-format=json", path))
        assert root.write("secret/data/0", {"data": {"n": "newer"}}).status == 200
        server.terminate()
        yield Left(server, path, saved)
    finally:
        server.close()


@pytest.fixture
def copy(left: Left, tmp_path: Path) -> Left:
    """The same in a directory of the test's own."""
    server = Server(tmp_path)
    shutil.copytree(left.server.store, server.store)
    shutil.copy(left.server.seal_key, server.seal_key)
    shutil.copy(left.server.audit, server.audit)
    server.token, server.recovery_key = left.server.token, left.server.recovery_key
    return left._replace(server=server)


def open_again(server: Server) -> Client:
    """Start on a restored store: it stays sealed until the holder of the recovery key accepts that it is older."""
    server.start(503)
    client = server.client()
    assert "was recorded outside of it" in server.output()
    assert client.write("sys/unseal", {"key": server.recovery_key, "accept_rollback": True}).status == 200
    return client


def test_a_snapshot_of_a_serving_store_is_restored_and_served(copy: Left) -> None:
    server = copy.server
    text = typed("snapshot", "restore", f"-config={server.config}", copy.snapshot)
    assert "scrubbed: intact" in text
    assert "accept_rollback=true" in text
    try:
        client = open_again(server)
        assert [client.read(f"secret/data/{number}").data["data"]["n"] for number in range(SECRETS)] == list(range(SECRETS))
        assert client.write("secret/data/0", {"data": {"n": "goes on"}}).data["version"] == 2
        server.terminate()
        assert scrub(server).clean
    finally:
        server.close()


def test_a_lost_store_is_restored_into_an_empty_directory(copy: Left) -> None:
    shutil.rmtree(copy.server.store)
    copy.server.audit.unlink()
    assert "accept_rollback" not in done("snapshot", "restore", f"-config={copy.server.config}", copy.snapshot)
    try:
        copy.server.start()
        with copy.server.client() as client:
            assert client.read("secret/data/7").data["data"] == {"n": 7}
    finally:
        copy.server.close()


def test_a_server_that_runs_is_not_replaced_under_its_feet(copy: Left) -> None:
    copy.server.start()
    try:
        assert "another strongroom server is using" in refused("snapshot", "restore", f"-config={copy.server.config}", copy.snapshot)
        with copy.server.client() as client:
            assert client.read("secret/data/0").data["data"] == {"n": "newer"}
    finally:
        copy.server.close()


def test_what_is_no_whole_snapshot_leaves_the_store_as_it_is(copy: Left, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.server.store.iterdir() if path.suffix == ".db"}
    data = copy.snapshot.read_bytes()
    bad = tmp_path / "bad.snap"
    for wrong in (data[:-1], data[:400], data[:9_000] + bytes([data[9_000] ^ 4]) + data[9_001:], b"tarball"):
        bad.write_bytes(wrong)
        said = refused("snapshot", "restore", f"-config={copy.server.config}", bad)
        assert f"the snapshot {bad}" in said
        assert "nothing was changed" in said
    assert {path.name: path.read_bytes() for path in copy.server.store.iterdir() if path.suffix == ".db"} == before


def test_a_damaged_store_is_replaced_or_it_says_what_to_move_away(copy: Left, tmp_path: Path) -> None:
    config, database = f"-config={copy.server.config}", copy.server.store / "strongroom.db"
    rows = read_rows(copy.server.store)
    edit_rows(copy.server.store, {INSTALLATION_KEY: b"rubbish", **dict.fromkeys(list(rows)[5:9], b"")})
    assert "say -force" in refused("snapshot", "restore", config, copy.snapshot)
    assert "scrubbed: intact" in done("snapshot", "restore", "-force", config, copy.snapshot)
    database.write_bytes(b"rubbish" * 10_000)
    assert "move strongroom.db* out of" in refused("snapshot", "restore", config, copy.snapshot)
    for file in copy.server.store.glob("strongroom.db*"):
        file.rename(tmp_path / f"damaged-{file.name}")
    assert "scrubbed: intact" in done("snapshot", "restore", config, copy.snapshot)


def test_another_installations_store_takes_force(copy: Left, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Server(tmp_path / "other")
    try:
        other.begin()
        other.terminate()
        shutil.copy(copy.server.seal_key, other.seal_key)
        said = refused("snapshot", "restore", f"-config={other.config}", copy.snapshot)
        assert "another installation" in said
        assert "intact" in done("snapshot", "restore", f"-config={other.config}", "-force", copy.snapshot)
    finally:
        other.close()


def test_inspect_needs_no_key_and_says_what_it_could_not_check(left: Left, tmp_path: Path) -> None:
    shown = json.loads(done("snapshot", "inspect", "-format=json", left.snapshot))
    assert shown["signature"] == "not checked"
    assert {name: shown[name] for name in left.saved} == left.saved
    assert shown["locks"] == ["installation"]
    checked = done("snapshot", "inspect", f"-key={left.server.store / 'audit-key.pub'}", left.snapshot)
    assert "signature: good" in checked
    flipped = tmp_path / "flipped.snap"
    data = bytearray(left.snapshot.read_bytes())
    data[-100] ^= 1
    flipped.write_bytes(data)
    done("snapshot", "inspect", flipped)
    assert "not signed" in refused("snapshot", "inspect", f"-key={left.server.store / 'audit-key.pub'}", flipped)


def test_a_rehearsal_says_how_long_and_how_old_and_leaves_nothing(copy: Left, tmp_path: Path) -> None:
    there = tmp_path / "rehearsals"
    there.mkdir()
    shown = json.loads(done("snapshot", "rehearse", f"-config={copy.server.config}", f"-directory={there}", "-format=json", copy.snapshot))
    assert shown["clean"] is True
    assert 0 < shown["rto_seconds"] < 20
    assert shown["rpo_seconds"] > 0
    assert list(there.iterdir()) == []
    text = done("snapshot", "rehearse", f"-config={copy.server.config}", f"-directory={there}", copy.snapshot)
    assert "RTO" in text
    assert "RPO" in text


def test_an_existing_file_is_not_written_over(copy: Left) -> None:
    before = copy.snapshot.read_bytes()
    assert "not written over" in refused("snapshot", "save", f"-config={copy.server.config}", copy.snapshot)
    assert copy.snapshot.read_bytes() == before
    assert [path.name for path in copy.snapshot.parent.iterdir() if path.name.startswith(".")] == []


def test_snapshots_for_recipients(copy: Left, tmp_path: Path) -> None:
    key = tmp_path / "backup.key"
    done("snapshot", "keygen", key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert "is there already" in refused("snapshot", "keygen", key)
    config = f"-config={copy.server.config}"
    sealed = tmp_path / "sealed.snap"
    assert "is there already" not in done("snapshot", "save", config, f"-recipient={key}.pub", "-recipients-only", sealed)
    assert "recipients only" in refused("snapshot", "rehearse", config, sealed)
    assert "scrubbed: intact" in done("snapshot", "rehearse", config, f"-identity={key}", sealed)
    other = tmp_path / "other.key"
    done("snapshot", "keygen", other)
    assert "not sealed for this recipient" in refused("snapshot", "rehearse", config, f"-identity={other}", sealed)
    assert "holds no private key" in refused("snapshot", "rehearse", config, f"-identity={key}.pub", sealed)
    assert "holds no public key" in refused("snapshot", "save", config, f"-recipient={key}", tmp_path / "never.snap")
    with copy.server.config.open("a") as text:
        text.write(f'\nsnapshots {{\n  recipients = ["{key}.pub"]\n}}\n')
    both = tmp_path / "both.snap"
    done("snapshot", "save", config, both)
    locks = json.loads(done("snapshot", "inspect", "-format=json", both))["locks"]
    assert [lock.split()[0] for lock in locks] == ["installation", "recipient"]


def test_a_newer_format_is_named(left: Left, tmp_path: Path) -> None:
    newer = tmp_path / "newer.snap"
    newer.write_bytes(left.snapshot.read_bytes().replace(b"snapshot/1\n", b"snapshot/2\n", 1))
    assert "format 2" in refused("snapshot", "inspect", newer)
    huge = tmp_path / "huge.snap"
    huge.write_bytes(left.snapshot.read_bytes()[:22] + LENGTH.pack(0xFFFFFFFF))
    assert "length that none has" in refused("snapshot", "inspect", huge)


def test_from_sqlite_to_postgresql_and_back(copy: Left, tmp_path: Path) -> None:
    database, url = tmp_path / "database.hcl", fresh_database()
    database.write_text(f'storage "postgresql" {{ connection_url = "{url}" }}\nseal "static" {{ path = "{copy.server.seal_key}" }}')
    rows = scrub(copy.server).rows
    assert f"copied: {rows} rows" in done("migrate", f"-config={copy.server.config}", f"-to={database}")
    assert "intact" in done("scrub", f"-config={database}")
    assert "holds an installation" in refused("migrate", f"-config={copy.server.config}", f"-to={database}")
    there = tmp_path / "from-postgres.snap"
    done("snapshot", "save", f"-config={database}", there)
    back = tmp_path / "back.hcl"
    back.write_text(f'storage "sqlite" {{ path = "{tmp_path}/back" }}\nseal "static" {{ path = "{copy.server.seal_key}" }}')
    assert "intact" in done("snapshot", "restore", f"-config={back}", there)
    node = Node("n", "other", "", "1", sealed=False)
    store = PostgresStorage(url)
    store.beat(node, first=True)
    assert "nodes serve this store: other" in refused("snapshot", "restore", f"-config={database}", copy.snapshot)
    store.leave(node.id)
    store.close()
    assert "intact" in done("snapshot", "restore", f"-config={database}", copy.snapshot)
    again = tmp_path / "again.hcl"
    again.write_text(f'storage "sqlite" {{ path = "{tmp_path}/again" }}\nseal "static" {{ path = "{copy.server.seal_key}" }}')
    assert f"commit {copy.saved['gsn']}" in done("migrate", f"-config={database}", f"-to={again}")


def test_a_store_that_shares_open_asks_for_those_of_the_snapshots_time(tmp_path: Path) -> None:
    server = Server(tmp_path, seal=False)
    path = tmp_path / "shares.snap"
    try:
        server.start(501)
        client = server.client()
        keys = client.write("sys/init", {"secret_shares": 3, "secret_threshold": 2}).json["keys_base64"]
        for key in keys[:2]:
            assert client.write("sys/unseal", {"key": key}).status == 200
        done("snapshot", "save", f"-config={server.config}", path, said="\n".join(keys[:2]))
        server.terminate()
    finally:
        server.close()
    shutil.rmtree(server.store)
    assert "2 key shares are needed" in refused("snapshot", "restore", f"-config={server.config}", path, said=keys[0])
    assert "intact" in done("snapshot", "restore", f"-config={server.config}", path, said="\n".join(keys[1:]))
