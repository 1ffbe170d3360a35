"""F3 and F5: disks of a real server fill up or turn read-only, and are well again. What was refused was not done; nobody starts anew."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import offline
from tests.support.disk_server import CANNOT
from tests.support.http import Client, Reply
from tests.support.nodes import nodes
from tests.support.postgres import Postgres, postgres
from tests.support.server import Server

ENTRY = ("-m", "tests.support.disk_server")
BACK_SECONDS = 5.0


class Disks:
    """A server on small disks, and what a test does to them."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server, self.client = server, client
        self._orders = 0

    def order(self, what: str, *disks: str) -> None:
        """Have something done to disks."""
        for disk in disks:
            with (self.server.directory / "orders").open("a") as file:
                file.write(f"{what} {disk}\n")
            self._orders += 1
        obeyed = self.server.directory / "obeyed"
        end = time.monotonic() + 5
        while not obeyed.exists() or len(obeyed.read_text().splitlines()) < self._orders:
            assert time.monotonic() < end, self.server.output()
            time.sleep(0.01)

    def write(self, name: str) -> Reply:
        return self.client.write(f"secret/data/{name}", {"data": {"text": "x" * 2_000}})

    def read(self, name: str) -> Reply:
        return self.client.read(f"secret/data/{name}")

    def works_again(self, name: str = "after") -> None:
        """A write is taken before long, and there."""
        began = time.monotonic()
        while self.write(name).status != 200 or self.read(name).status != 200:
            assert time.monotonic() - began < BACK_SECONDS
            time.sleep(0.02)


@contextmanager
def small_disks(directory: Path, workers: int = 1) -> Iterator[Disks]:
    """One for the length of a test; at the end it is whole, and so is its audit trail."""
    audit = f'audit "file" "main" {{ file_path = "{directory}/trail/audit.log" }}'
    server = Server(directory, entry=ENTRY, audit=audit, workers=workers)
    try:
        server.spawn()
        assert server.process is not None
        time.sleep(0.3)
        if server.process.poll() == CANNOT:
            pytest.skip("this system lets nobody mount a disk of his own")
        server.kill()
        disks = Disks(server, server.begin())
        disks.works_again("before")
        yield disks
        assert server.terminate() == 0
        server.store = directory / "store.kept"
        assert offline.scrub(server).clean
        report = offline.verify(server, *sorted((directory / "trail.kept").glob("audit.log*")))
        assert report.intact, offline.texts(report)
        assert "Traceback" not in server.output()
    finally:
        server.close()


@pytest.mark.fault("F3")
def test_a_full_disk_under_the_store_refuses_writes_and_answers_reads(tmp_path: Path) -> None:
    with small_disks(tmp_path) as disks:
        disks.order("fill", "store")
        refused = [f"many/{number}" for number in range(60) if _unavailable(disks.write(f"many/{number}"))]
        assert len(refused) > 20
        assert disks.read("before").status == 200
        assert not [name for name in refused if disks.read(name).status != 404], "what was refused was not done"
        disks.order("free", "store")
        disks.works_again()
        assert not [name for name in refused if disks.read(name).status != 404]


@pytest.mark.control
@pytest.mark.fault("F3")
def test_control_a_server_that_answers_before_it_commits_promises_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAX", "hasty")
    with small_disks(tmp_path) as disks:
        disks.order("fill", "store")
        promised = [f"many/{number}" for number in range(60) if disks.write(f"many/{number}").status == 200]
        disks.order("free", "store")
        disks.works_again()
        assert [name for name in promised if disks.read(name).status == 404]


def _unavailable(reply: Reply) -> bool:
    assert reply.status in {200, 503, 507}, reply
    return reply.status != 200


@pytest.mark.fault("F3")
@pytest.mark.parametrize("both", [False, True])
def test_a_full_disk_under_the_audit_trail_answers_nothing_and_does_nothing(tmp_path: Path, both: bool) -> None:
    with small_disks(tmp_path) as disks:
        full = ("store", "trail") if both else ("trail",)
        disks.order("fill", *full)
        refused = [f"many/{number}" for number in range(20) if disks.write(f"many/{number}").status in {500, 503}]
        assert len(refused) >= 18, "a line or two may still find room in the last page"
        reply = disks.read("before")
        assert (reply.status, "xxx" in reply.text) == (500, False)
        disks.order("free", *full)
        disks.works_again()
        assert not [name for name in refused if disks.read(name).status != 404]


def written_meanwhile(disks: Disks) -> dict[str, tuple[int, int]]:
    """Write while the disk is read-only; what each write is answered, and what a read of it afterwards."""
    disks.order("read-only", "store")
    answers = {f"many/{number}": disks.write(f"many/{number}").status for number in range(5)}
    assert disks.read("before").status == 200
    disks.order("writable", "store")
    disks.works_again()
    return {name: (status, disks.read(name).status) for name, status in answers.items()}


@pytest.mark.fault("F5")
def test_a_read_only_disk_under_the_store_answers_reads_and_is_written_again_afterwards(tmp_path: Path) -> None:
    with small_disks(tmp_path) as disks:
        assert list(written_meanwhile(disks).values()) == [(503, 404)] * 5


@pytest.mark.control
@pytest.mark.fault("F5")
def test_control_a_server_that_answers_before_it_commits_promises_what_a_read_only_disk_cannot_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAX", "hasty")
    with small_disks(tmp_path) as disks:
        assert (200, 404) in written_meanwhile(disks).values()


# -- PostgreSQL's disk -----------------------------------------------------------------------------------------------------

FULL = 16 << 20
"""No file may grow beyond: a segment of PostgreSQL's log just fits, its table of large values does not for long."""


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


@contextmanager
def nothing_grows(database: Postgres) -> Iterator[None]:
    """The database's files are as large as they get, for the length of the block."""

    def limit(size: str) -> None:
        for pid in family(database.pid):
            database.as_its_user("prlimit", f"--pid={pid}", f"--fsize={size}:")

    limit(str(FULL))
    try:
        yield
    finally:
        limit("unlimited")


@pytest.mark.fault("F3")
def test_a_database_that_cannot_grow_refuses_writes_and_answers_reads(tmp_path: Path) -> None:
    with postgres() as database, nodes(tmp_path, [database.url]) as (server,), server.client() as client:
        disks, large = Disks(server, client), {"data": {"text": "x" * 900_000}}
        assert disks.write("before").status == 200
        with nothing_grows(database):
            replies = {f"many/{number}": client.write(f"secret/data/many/{number}", large) for number in range(24)}
            refused = [name for name, reply in replies.items() if _unavailable(reply)]
            assert 3 < len(refused) < 24
            assert disks.read("before").status == 200
        disks.works_again()
        assert {name for name in replies if disks.read(name).status == 404} == set(refused), "what was refused was not done, all else was"
        assert client.write("secret/data/many/0", large).status == 200
