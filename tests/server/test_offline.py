"""The auditor's commands on what a real server left: exit codes, keys, shares."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import Client
from tests.support.server import ROOT, Server

SHAMIR = """
storage "sqlite" {{ path = "{0}/store" }}
listener "tcp" {{
  address = "127.0.0.1:{1}"
  tls_disable = true
}}
audit "file" "main" {{ file_path = "{0}/audit.log" }}
"""


def strongroom(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "strongroom", *words]
    return subprocess.run(command, env=environment, input=said, capture_output=True, text=True, timeout=30)


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A stopped server and its directory."""
    directory = tmp_path_factory.mktemp("left")
    server = Server(directory)
    try:
        root = server.begin()
        for number in range(3):
            assert root.write("secret/data/one", {"data": {"n": number}}).status == 200
        server.terminate()
        yield server, directory
    finally:
        server.close()


def test_the_key_that_the_server_lays_down_verifies_without_store_and_seal(left: tuple[Server, Path], tmp_path: Path) -> None:
    server, _ = left
    shutil.copy(server.store / "audit-key.pub", tmp_path / "key")
    shutil.copy(server.audit, tmp_path / "audit.log")
    done = strongroom("audit", "verify", f"-key={tmp_path / 'key'}", str(tmp_path / "audit.log"))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "intact"), done.stderr
    as_json = strongroom("audit", "verify", f"-key={tmp_path / 'key'}", "-format=json", str(tmp_path / "audit.log"))
    assert json.loads(as_json.stdout)["intact"] is True


def test_an_edited_line_is_found_and_the_exit_code_says_so(left: tuple[Server, Path], tmp_path: Path) -> None:
    server, _ = left
    lines = server.audit.read_bytes().splitlines(keepends=True)
    edited = tmp_path / "audit.log"
    edited.write_bytes(b"".join([*lines[:3], lines[3].replace(b"127.0.0.1", b"127.0.0.2"), *lines[4:]]))
    done = strongroom("audit", "verify", f"-key={server.store / 'audit-key.pub'}", str(edited))
    assert done.returncode == 2
    assert "NOT intact" in done.stdout
    control = strongroom("audit", "verify", f"-config={server.config}")
    assert control.returncode == 0, "the file as it lies is intact, and the configuration names it"


def test_a_key_that_is_none_is_named(left: tuple[Server, Path], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    done = strongroom("audit", "verify", f"-key={tmp_path / 'key'}", str(left[0].audit))
    assert done.returncode == 1
    assert "is no public key" in done.stderr


def test_scrub_finds_a_store_that_was_put_back(left: tuple[Server, Path], tmp_path: Path) -> None:
    server, _ = left
    clean = strongroom("operator", "scrub", f"-config={server.config}", "-format=json")
    assert clean.returncode == 0, clean.stderr
    assert json.loads(clean.stdout)["clean"] is True
    shutil.copytree(server.store, tmp_path / "before")
    server.start()
    with server.client() as root:
        assert root.write("secret/data/one", {"data": {"n": "newer"}}).status == 200
    server.terminate()
    shutil.copytree(server.store, tmp_path / "after")
    shutil.rmtree(server.store)
    shutil.copytree(tmp_path / "before", server.store)
    found = strongroom("operator", "scrub", f"-config={server.config}")
    assert found.returncode == 2
    assert "was recorded outside of it" in found.stdout
    shutil.rmtree(server.store)
    shutil.copytree(tmp_path / "after", server.store)
    assert strongroom("operator", "scrub", f"-config={server.config}").returncode == 0


def test_a_key_that_was_exchanged_is_written_anew_and_said(left: tuple[Server, Path]) -> None:
    server, _ = left
    path = server.store / "audit-key.pub"
    ours = path.read_bytes()
    path.write_bytes(b"A" * len(ours))
    server.start()
    server.terminate()
    assert path.read_bytes() == ours
    assert "was not of this store" in server.output()


def test_a_store_that_shares_open_asks_for_them(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.config.write_text(SHAMIR.format(tmp_path, server.port))
    try:
        server.start(501)
        with Client(server.port) as client:
            keys = client.write("sys/init", {"secret_shares": 3, "secret_threshold": 2}).json["keys_base64"]
            for key in keys[:2]:
                assert client.write("sys/unseal", {"key": key}).status == 200
        server.terminate()
    finally:
        server.close()
    done = strongroom("operator", "scrub", f"-config={server.config}", said="\n".join(keys[1:]))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "intact"), done.stderr
    assert not [key for key in keys if key in done.stdout + done.stderr]
    few = strongroom("operator", "scrub", f"-config={server.config}", said=keys[0])
    assert few.returncode == 1
    assert "2 key shares are needed" in few.stderr


def test_without_a_store_it_says_where_it_looked(tmp_path: Path) -> None:
    done = strongroom("operator", "scrub", f"-data={tmp_path}")
    assert done.returncode == 1
    assert str(tmp_path / "store") in done.stderr
