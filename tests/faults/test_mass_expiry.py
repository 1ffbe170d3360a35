"""F28: a great many tokens end within one second. They are removed by and by, and whoever works meanwhile hardly notices.

The server has two workers because one alone, which hears of every timer, looks for a clock that was set forward only once a minute.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from strongroom.storage.directory import DATABASE
from tests.faults.rounds import LONG
from tests.support.http import Client
from tests.support.server import Server, serving

ENTRY = ("-m", "tests.support.clock_server")
TOKENS, MAKERS = (100_000, 16) if LONG else (1_500, 8)
LEAST_PER_SECOND = 200.0
GROWTH = 64 << 20
MODEST_SECONDS = 0.1
"""Below that nobody counts multiples: on a busy machine the scheduler alone makes them."""


def rows(server: Server) -> int:
    """How many rows the store has."""
    connection = apsw.Connection(str(server.store / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        return int(connection.execute("SELECT count(*) FROM entries").get)
    finally:
        connection.close()


def resident(server: Server) -> int:
    """Bytes of memory that its workers use."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in server.children()) * os.sysconf("SC_PAGE_SIZE")


def make_tokens(server: Server, count: int) -> None:
    def make(number: int) -> None:
        with server.client() as client:
            for _ in range(number, count, MAKERS):
                assert client.write("auth/token/create", {"policies": ["default"], "ttl": "1h", "no_parent": True}).status == 200

    makers = [threading.Thread(target=make, args=[number]) for number in range(MAKERS)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()


@contextmanager
def reading(client: Client) -> Iterator[list[float]]:
    """Read now and then for the length of the block; how long each took."""
    waits, over = list[float](), threading.Event()

    def read() -> None:
        while not over.wait(0.01):
            began = time.monotonic()
            assert client.read("secret/data/x").status == 200
            waits.append(time.monotonic() - began)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield waits
    finally:
        over.set()
        reader.join()


def slowest(waits: list[float]) -> float:
    return sorted(waits)[int(len(waits) * 0.99)]


@pytest.mark.fault("F28")
def test_many_tokens_that_end_at_once_are_removed_while_others_are_served(tmp_path: Path) -> None:
    with serving(tmp_path, entry=ENTRY, workers=2) as (server, client):
        assert client.write("secret/data/x", {"data": {}}).status == 200
        before = rows(server)
        make_tokens(server, TOKENS)
        held, memory = rows(server), resident(server)
        assert held - before >= TOKENS
        with server.client() as other, reading(other) as idle:
            time.sleep(2)
        (tmp_path / "clock").write_text("3601 3601")
        began = time.monotonic()
        with server.client() as other, reading(other) as busy:
            while rows(server) > before + 10:
                assert time.monotonic() - began < 30 + TOKENS / LEAST_PER_SECOND, f"{rows(server) - before} rows are left"
                time.sleep(0.1)
        took = time.monotonic() - began
        print(f"{TOKENS} tokens in {took:.1f} s; a read at the 99th of a hundred: idle {slowest(idle):.4f} s, busy {slowest(busy):.4f} s")
        assert slowest(busy) <= max(3 * slowest(idle), MODEST_SECONDS)
        assert resident(server) - memory < GROWTH
        if LONG:
            assert TOKENS / took >= LEAST_PER_SECOND


@pytest.mark.control
@pytest.mark.fault("F28")
def test_control_tokens_whose_time_has_not_come_stay(tmp_path: Path) -> None:
    with serving(tmp_path, entry=ENTRY, workers=2) as (server, _):
        before = rows(server)
        make_tokens(server, 20)
        (tmp_path / "clock").write_text("3000 3000")
        time.sleep(1.5)
        assert rows(server) - before >= 20
