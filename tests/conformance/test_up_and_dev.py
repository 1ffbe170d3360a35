"""`strongroom up` and `strongroom server -dev`: what they print is what a user pastes, and hvac works with it at once."""

from __future__ import annotations

import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest

from tests.conformance.http import Http
from tests.conformance.server import Running, clean_environment, free_port, running


def printed(server: Running, label: str) -> str:
    """What stands behind a label in the server's output."""
    found = re.search(rf"^\s*{re.escape(label)}:? (.+)$", server.output(), re.MULTILINE)
    assert found, server.output()
    return found[1]


# -- up ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `up` is run, several times."""
    return tmp_path_factory.mktemp("up")


def test_up_sets_everything_up_and_serves(home: Path) -> None:
    port, data = free_port(), home / "data"
    with running(["up", f"-port={port}"], port, home, tls=data / "ca.pem", variables={"STRONGROOM_DATA": str(data)}) as server:
        assert printed(server, "Address") == server.address and printed(server, "CA certificate") == str(data / "ca.pem")
        assert len(re.findall(r"^Recovery key \d: \S+$", server.output(), re.MULTILINE)) == 5
        assert f"export VAULT_ADDR={server.address}" in server.output()
        server.root_token = printed(server, "Root token")
        (home / "root").write_text(server.root_token)
        client = server.client()
        assert client.is_authenticated() and not client.sys.is_sealed()
        status = client.sys.read_seal_status()
        assert (status["type"], status["recovery_seal"], status["n"], status["t"]) == ("static", True, 5, 3)
        client.sys.enable_secrets_engine("kv-v2", path="secret")
        client.secrets.kv.v2.create_or_update_secret("app/db", {"password": "a very secret password"})
        device = client.sys.list_enabled_audit_devices()["data"]["file/"]
        assert device["options"]["file_path"] == str(data / "audit" / "audit.log")
        with pytest.raises(hvac.exceptions.InvalidRequest):
            client.sys.disable_audit_device("file")
        assert "a very secret password" not in server.output()


def test_a_second_up_just_serves_and_all_is_still_there(home: Path) -> None:
    port, data = free_port(), home / "data"
    with running(["up", f"-port={port}"], port, home, tls=data / "ca.pem", variables={"STRONGROOM_DATA": str(data)}) as server:
        server.root_token = (home / "root").read_text()
        read = server.client().secrets.kv.v2.read_secret("app/db", raise_on_deleted_version=True)
        assert read["data"]["data"] == {"password": "a very secret password"}
        assert server.root_token not in server.output() and "Recovery key" not in server.output()
        assert server.root_token not in (data / "audit" / "audit.log").read_text()


def test_a_quorum_of_recovery_keys_is_asked_for_what_shares_would_allow(home: Path) -> None:
    port, data = free_port(), home / "data"
    with running(["up", f"-port={port}"], port, home, tls=data / "ca.pem", variables={"STRONGROOM_DATA": str(data)}) as server:
        server.root_token = (home / "root").read_text()
        http = Http(server)
        assert http("GET", "sys/rotate/recovery/init").body["data"]["started"] is False
        started = http("PUT", "sys/rotate/recovery/init", {"secret_shares": 1, "secret_threshold": 1})
        assert started.body["data"]["required"] == 3
        assert http("DELETE", "sys/rotate/recovery/init").status == 204
        assert http("GET", "sys/rekey/init").status == 405, "the old form is closed here"


def test_nothing_in_the_data_directory_is_for_others(home: Path) -> None:
    for path in [home / "data", *(home / "data").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0 or (path.suffix == ".log" and mode & 0o037 == 0), f"{path}: {mode:o}"


def test_a_taken_port_is_said_plainly(home: Path, server: Running) -> None:
    taken = int(server.address.rpartition(":")[2])
    data = home / "data"
    variables = {"STRONGROOM_DATA": str(data)}
    with running(["up", f"-port={taken}"], taken, home, tls=data / "ca.pem", variables=variables) as second:
        second.await_output("Address: ")
        address = printed(second, "Address")
        assert address != server.address and f"Port {taken} is taken; using {address.rpartition(':')[2]}." in second.output()


def test_the_store_and_the_audit_log_of_a_data_directory_are_checked_as_they_lie(home: Path) -> None:
    assert audited(home, "operator", "scrub").stdout.endswith("\nintact\n")
    assert audited(home, "audit", "verify").stdout.endswith("\nintact\n")
    with sqlite3.connect(home / "data" / "store" / "strongroom.db") as database:
        database.execute("DELETE FROM entries WHERE key = (SELECT max(key) FROM entries)")
    database.close()
    found = audited(home, "operator", "scrub")
    assert found.returncode == 2 and "NOT intact" in found.stdout
    nowhere = audited(home / "nowhere", "operator", "scrub")
    assert nowhere.returncode == 1 and "there is no store" in nowhere.stderr


def audited(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What a server-side command says of a data directory."""
    command = [sys.executable, "-m", "strongroom", *words, f"-data={home / 'data'}"]
    return subprocess.run(command, env=clean_environment(home), capture_output=True, text=True)


# -- dev --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A throw-away server with a chosen root token."""
    port = free_port()
    words = ["server", "-dev", "-dev-root-token-id=dev-only-token", f"-dev-listen-address=127.0.0.1:{port}"]
    with running(words, port, tmp_path_factory.mktemp("dev"), tls=None) as server:
        server.root_token = "dev-only-token"
        yield server


def test_dev_serves_unsealed_with_versioned_secrets(dev: Running) -> None:
    client = dev.client()
    assert client.is_authenticated() and not client.sys.is_sealed()
    assert client.sys.list_mounted_secrets_engines()["data"]["secret/"]["options"] == {"version": "2"}
    client.secrets.kv.v2.create_or_update_secret("app", {"a": "b"})
    assert client.secrets.kv.v2.read_secret("app", raise_on_deleted_version=True)["data"]["data"] == {"a": "b"}


def test_dev_prints_how_to_use_it_and_keeps_its_token_as_vault_does(dev: Running) -> None:
    dev.await_output("Root Token: ")
    assert f"export VAULT_ADDR='{dev.address}'" in dev.output() and printed(dev, "Root Token") == "dev-only-token"
    token_file = dev.directory / ".vault-token"
    assert token_file.read_text() == "dev-only-token" and stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert "WARNING! dev mode is enabled!" in dev.output()


def test_dev_opens_the_old_key_endpoints_and_takes_audit_devices(dev: Running, tmp_path: Path) -> None:
    client = dev.client()
    assert client.sys.read_rekey_progress()["started"] is False
    assert client.sys.read_root_generation_progress()["started"] is False
    assert client.sys.list_enabled_audit_devices()["data"] == {}
    client.sys.enable_audit_device("file", options={"file_path": str(tmp_path / "audit.log")})
    assert client.is_authenticated() and (tmp_path / "audit.log").read_text()
    client.sys.disable_audit_device("file")


def test_dev_is_open_again_at_once_after_a_restore(dev: Running) -> None:
    client = dev.client()
    client.secrets.kv.v2.create_or_update_secret("restored", {"v": "before"})
    snapshot = client.sys.take_raft_snapshot().content
    client.secrets.kv.v2.create_or_update_secret("restored", {"v": "after"})
    assert client.sys.restore_raft_snapshot(snapshot).status_code == 202
    assert not client.sys.is_sealed(), "asked over the same connection, as the next thing"
    assert client.secrets.kv.v2.read_secret_version("restored", raise_on_deleted_version=True)["data"]["data"] == {"v": "before"}


def test_dev_unseals_with_its_printed_key(dev: Running) -> None:
    client = dev.client()
    client.sys.seal()
    assert client.sys.is_sealed()
    assert client.sys.submit_unseal_key(printed(dev, "Unseal Key"))["sealed"] is False
    assert client.secrets.kv.v2.read_secret("app", raise_on_deleted_version=True)["data"]["data"] == {"a": "b"}
