"""F32: snapshots of a server that is being written to are of one commit each, hold back nobody for long, and restore clean everywhere."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest

from tests.support.http import Client
from tests.support.load import Load
from tests.support.offline import command
from tests.support.postgres import fresh_database
from tests.support.server import Server, serving

pytestmark = pytest.mark.fault("F32")

LONG = os.environ.get("STRONGROOM_TEST_PROFILE", "ci") == "long"
SECRETS = 100_000 if LONG else 2_000
FILLERS = 8
VALUE = "v" * 200
MEMORY = 64 << 20
"""Bytes that snapshots may add, however large the store: pages, chunks, what is on its way to the client."""
LONGEST_WAIT = 3.0
"""Seconds that a write may wait while a snapshot is taken, on a machine that does much else; usually it is some milliseconds."""


class TimedLoad(Load):
    """Remembers when each write was answered and how long it took."""

    def __init__(self, server: Server, number: int) -> None:
        super().__init__(server, number)
        self.answered: list[tuple[float, float, str]] = []

    def run(self) -> None:
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            name = f"load/{self.number}/{turn}"
            began = time.monotonic()
            reply = self.client.write(f"secret/data/{name}", {"data": {"name": name}})
            self.answered.append((time.monotonic(), time.monotonic() - began, name))
            (self.kept if reply.status == 200 else self.failed).append(name)


class Taken(NamedTuple):
    """A snapshot that was taken under load, and what had been promised before it was asked for."""

    path: Path
    began: float
    took: float
    promised: list[str]


def fill(server: Server, count: int) -> None:
    def some(first: int) -> None:
        with server.client() as client:
            for number in range(first, count, FILLERS):
                assert client.write(f"secret/data/many/{number % 100}/{number}", {"data": {"v": VALUE}}).status == 200

    threads = [threading.Thread(target=some, args=(first,)) for first in range(FILLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def take(server: Server, loads: list[TimedLoad], path: Path) -> Taken:
    promised = [name for load in loads for name in list(load.kept)]
    began = time.monotonic()
    client = Client(server.port, server.token, timeout=120)
    reply = client.read("sys/storage/raft/snapshot")
    took = time.monotonic() - began
    client.close()
    assert reply.status == 200
    path.write_bytes(reply.body)
    return Taken(path, began, took, promised)


def percentile(waits: list[float], part: float) -> float:
    return sorted(waits)[int(len(waits) * part)] if waits else 0.0


LAX = ("-m", "tests.support.lax_snapshots")


class Measured(NamedTuple):
    """What the writers noticed of snapshots, and what those cost."""

    snapshots: list[Taken]
    longest_wait: float
    growth: int


def snapshots_under_load(server: Server, directory: Path, count: int) -> Measured:
    """Take some while four clients write; no write fails."""
    loads = [TimedLoad(server, number) for number in range(4)]
    for load in loads:
        load.start()
    time.sleep(1.0)
    quiet = [wait for load in loads for _, wait, _ in load.answered]
    memory = server.peak()
    snapshots = [take(server, loads, directory / f"{number}.snap") for number in range(count)]
    growth = server.peak() - memory
    for load in loads:
        load.stop()
    assert not [name for load in loads for name in load.failed]
    return Measured(snapshots, _figures(loads, quiet, snapshots), growth)


@pytest.mark.parametrize("workers", [1, 2])
def test_snapshots_under_load(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, workers=workers) as (server, _):
        fill(server, SECRETS if workers == 1 else 200)
        measured = snapshots_under_load(server, tmp_path, 3)
        assert measured.longest_wait < LONGEST_WAIT
        assert measured.growth < MEMORY
        server.terminate()
        for kind in stores(server):
            restored = restore(server, kind, measured.snapshots[-1])
            assert restored.returncode == 0, restored.stdout + restored.stderr
            assert json.loads(restored.stdout)["clean"], restored.stdout
        assert missing(server, measured.snapshots[-1]) == []


@pytest.mark.control
def test_control_a_snapshot_of_a_store_that_goes_on_changing_does_not_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAX", "torn")
    with serving(tmp_path, entry=LAX) as (server, _):
        fill(server, 400)
        taken = snapshots_under_load(server, tmp_path, 1).snapshots[-1]
        server.terminate()
        restored = restore(server, "sqlite", taken)
        assert (restored.returncode, "its rows are not those" in restored.stderr) == (1, True), restored.stdout + restored.stderr


@pytest.mark.control
def test_control_a_snapshot_that_lets_nobody_commit_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAX", "greedy")
    with serving(tmp_path, entry=LAX) as (server, _):
        assert snapshots_under_load(server, tmp_path, 1).longest_wait > LONGEST_WAIT


def _figures(loads: list[TimedLoad], quiet: list[float], snapshots: list[Taken]) -> float:
    """The longest wait of a write beside a snapshot."""
    during = [
        wait
        for load in loads
        for at, wait, _ in load.answered
        if any(taken.began < at and at - wait < taken.began + taken.took for taken in snapshots)
    ]
    assert during, "writes went on"
    print(
        f"{snapshots[-1].path.stat().st_size >> 10} KiB in {[round(taken.took, 2) for taken in snapshots]} s; "
        f"writes p50/p99 quiet {percentile(quiet, 0.5) * 1e3:.1f}/{percentile(quiet, 0.99) * 1e3:.1f} ms, "
        f"during {percentile(during, 0.5) * 1e3:.1f}/{percentile(during, 0.99) * 1e3:.1f} ms, longest {max(during) * 1e3:.0f} ms"
    )
    return max(during)


def stores(server: Server) -> dict[str, str]:
    """Stores to restore into, as the configuration names them."""
    return {
        "sqlite": f'storage "sqlite" {{ path = "{server.directory}/restored" }}',
        "postgresql": f'storage "postgresql" {{ connection_url = "{fresh_database()}" }}',
    }


def restore(server: Server, kind: str, taken: Taken) -> CompletedProcess[str]:
    """Into a store of its own, as an operator does; the command is the real one whatever the server was."""
    config, before = server.directory / f"{kind}.hcl", server.config
    config.write_text(f'{stores(server)[kind]}\nseal "static" {{ path = "{server.seal_key}" }}\n')
    server.config = config
    try:
        return command(server, "operator", "snapshot", "restore", "-format=json", str(taken.path))
    finally:
        server.config = before


def missing(server: Server, taken: Taken) -> list[str]:
    """What had been promised before the snapshot, and the restored store does not have."""
    server.config.write_text(server.config.read_text().replace(str(server.store), f"{server.directory}/restored"))
    server.start(503)
    with server.client() as client:
        assert client.write("sys/unseal", {"key": server.recovery_key, "accept_rollback": True}).status == 200
        return [name for name in taken.promised if client.read(f"secret/data/{name}").status != 200]
