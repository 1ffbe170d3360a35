"""hvac and the command line take snapshots of a real server, over TLS and several workers, and put them back."""

from __future__ import annotations

import contextlib
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests

from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.server.public_key import read_key
from tests.conformance.conftest import configured, open_up
from tests.conformance.server import Running, clean_environment
from tests.support.waiting import until

SECRETS = 30


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Running]:
    """A server of the test's own, with some secrets; schedules may keep files below `backups`."""
    with configured(tmp_path, {"STRONGROOM_SNAPSHOTS_DIRECTORY": str(tmp_path / "backups")}) as server:
        open_up(server)
        client = server.client()
        client.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})
        for number in range(SECRETS):
            write(client, f"{number}", "before")
        yield server


def write(client: hvac.Client, path: str, value: str) -> None:
    client.secrets.kv.v2.create_or_update_secret(path, {"value": value * 1_000}, mount_point="kv")


def value(client: hvac.Client, path: str) -> str:
    read: dict[str, Any] = client.secrets.kv.v2.read_secret_version(path, mount_point="kv", raise_on_deleted_version=True)
    return str(read["data"]["data"]["value"])[: len("before")]


def taken(client: hvac.Client) -> bytes:
    answer = client.sys.take_raft_snapshot()
    assert answer.status_code == 200
    content = bytes(answer.content)
    assert len(content) == int(answer.headers["Content-Length"])
    return content


REPLACED = "the store was replaced by a snapshot"


def unwrapped(content: bytes) -> io.BytesIO:
    """What is in the archive, read as Go's clients read it."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as archive:
        members = {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}
    assert list(members) == ["strongroom.snap", "SHA256SUMS.sealed"]
    assert members["SHA256SUMS.sealed"].split()[0].decode() == hashlib.sha256(members["strongroom.snap"]).hexdigest()
    return io.BytesIO(members["strongroom.snap"])


def sealed(server: Running) -> hvac.Client:
    """Wait until it is: all workers seal, and the last of them puts the snapshot in place and says so."""
    until(lambda: REPLACED in (server.directory / "output").read_text() and _is_sealed(server), 20, every=0.05)
    return server.client(token="")


def _is_sealed(server: Running) -> bool:
    """Asked on a connection of its own: a standing one ends with the worker at its other end."""
    with contextlib.suppress(requests.ConnectionError):
        return bool(server.client(token="").sys.is_sealed())
    return False


def opened(server: Running, keys: list[str]) -> hvac.Client:
    """Unseal as operators do who put the older store there on purpose."""
    client = sealed(server)
    refused = client.adapter.request("post", "/v1/sys/unseal", json={"key": keys[0]})
    for key in keys[1:3]:
        with pytest.raises(hvac.exceptions.InternalServerError, match="was recorded outside of it") if key is keys[2] else nothing():
            refused = client.adapter.request("post", "/v1/sys/unseal", json={"key": key})
    assert refused
    for key in keys[:3]:
        client.adapter.request("post", "/v1/sys/unseal", json={"key": key, "accept_rollback": True})
    assert not client.sys.is_sealed()
    return server.client()


class nothing:  # noqa: N801  a context that expects nothing
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_hvac_takes_a_snapshot_and_puts_it_back(own: Running) -> None:
    client = own.client()
    snapshot = taken(client)
    verifier = read_key(own.directory / "store" / "audit-key.pub")
    assert Snapshot(unwrapped(snapshot), "x").look(verifier).rows > SECRETS
    for number in range(SECRETS):
        write(client, f"{number}", "latest")
    write(client, "new", "latest")
    assert client.sys.restore_raft_snapshot(snapshot).status_code == 202
    back = opened(own, own.keys)
    assert [value(back, f"{number}") for number in range(SECRETS)] == ["before"] * SECRETS
    with pytest.raises(hvac.exceptions.InvalidPath):
        value(back, "new")
    write(back, "0", "second")
    assert value(back, "0") == "second"


MIB = 1 << 20
LARGE = 45
"""Secrets of almost a mebibyte each: beyond what the server takes into memory of a body."""


def peaks(server: Running) -> dict[int, int]:
    """The most memory that each process of a server ever had, in KiB."""
    found = dict[int, int]()
    workers = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    for pid in (server.process.pid, *map(int, workers)):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                found[pid] = int(line.split()[1])
    return found


@pytest.mark.parametrize("chunked", [False, True])
def test_a_snapshot_that_is_larger_than_any_other_body_is_put_back_and_not_held_in_memory(own: Running, chunked: bool) -> None:
    client = own.client()
    for number in range(LARGE):
        client.secrets.kv.v2.create_or_update_secret(f"large/{number}", {"value": "v" * (MIB - 100_000)}, mount_point="kv")
    snapshot = taken(client)
    assert len(snapshot) > 36 * MIB
    write(client, "0", "latest")
    before = peaks(own)
    answer = requests.post(
        f"{own.address}/v1/sys/storage/raft/snapshot",
        data=(snapshot[at : at + 32_768] for at in range(0, len(snapshot), 32_768)) if chunked else snapshot,
        headers={"X-Vault-Token": own.root_token},
        verify=str(own.ca),
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    grown = [peak - before[pid] for pid, peak in peaks(own).items() if pid in before]
    assert max(grown) < 16 * 1_024, grown
    assert value(opened(own, own.keys), "0") == "before"


def test_hvac_is_told_what_is_wrong_and_nothing_happens(own: Running) -> None:
    client = own.client()
    snapshot = taken(client)
    for wrong in (b"not a snapshot", snapshot[:-10], snapshot[:3_000] + bytes([snapshot[3_000] ^ 1]) + snapshot[3_001:]):
        with pytest.raises(hvac.exceptions.InvalidRequest, match="nothing was changed"):
            client.sys.force_restore_raft_snapshot(wrong)
    assert not client.sys.is_sealed()
    assert value(client, "0") == "before"


def test_hvac_sets_a_schedule_and_follows_it(own: Running) -> None:
    client = own.client()
    place = own.directory / "backups" / "hourly"
    settings = {"path_prefix": str(place), "file_prefix": "vault-snapshot", "local_max_space": 100_000_000}
    assert client.sys.create_or_update_raft_auto_snapshot_config("hourly", "1h", "local", retain=3, **settings).status_code == 204
    assert client.sys.list_raft_auto_snapshot_configs()["data"]["keys"] == ["hourly"]
    assert client.sys.read_raft_auto_snapshot_config("hourly")["data"]["interval"] == 3_600
    until(lambda: client.sys.read_raft_auto_snapshot_status("hourly")["data"]["last_snapshot_end"], 20, every=0.05)
    status = client.sys.read_raft_auto_snapshot_status("hourly")["data"]
    assert (status["consecutive_errors"], status["last_snapshot_error"]) == (0, "")
    (path,) = place.glob("vault-snapshot-*.snap")
    assert status["last_snapshot_url"] == path.as_uri()
    with path.open("rb") as file:
        assert Snapshot(file, "x").look(read_key(own.directory / "store" / "audit-key.pub")).gsn == status["snapshot_gsn"]
    assert client.sys.delete_raft_auto_snapshot_config("hourly").status_code == 204
    with pytest.raises(hvac.exceptions.InvalidPath):
        client.sys.list_raft_auto_snapshot_configs()


def test_the_command_line_does_both(own: Running) -> None:
    path = own.directory / "cli.snap"

    def strongroom(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**clean_environment(own.directory), **own.environment()}
        command = [sys.executable, "-m", "strongroom", "operator", "raft", "snapshot", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    assert "Success! Wrote" in strongroom("save", str(path)).stdout
    assert path.stat().st_mode & 0o777 == 0o600
    assert "not written over" in strongroom("save", str(path)).stderr
    write(own.client(), "0", "latest")
    done = strongroom("restore", str(path))
    assert done.returncode == 0, done.stderr
    assert "accept_rollback" in done.stdout
    assert value(opened(own, own.keys), "0") == "before"
    assert [leftover.name for leftover in own.directory.glob("cli.snap.*")] == []
