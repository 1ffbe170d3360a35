"""F12 and F13: a server that may open no more files, or have no more memory, refuses what it cannot do, idles meanwhile, and recovers."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.http import Client
from tests.support.server import Server, serving

SPARE = 8
"""Files the server may open beyond what it has open."""
IDLE_SHARE = 0.2
BACK_SECONDS = 2.0
MIB = 1 << 20


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def busy_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def limited(pid: int, what: int, soft: int) -> Iterator[None]:
    """A process with a lower limit for the length of the block."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


def knock(server: Server) -> socket.socket:
    """A connection that asks for something and does not wait."""
    made = socket.create_connection(("127.0.0.1", server.port), timeout=5)
    made.sendall(b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n")
    return made


@pytest.mark.fault("F13")
def test_without_descriptors_standing_connections_go_on_and_new_ones_follow_later(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, client), contextlib.ExitStack() as stack:
        assert client.write("secret/data/x", {"data": {}}).status == 200
        with limited(server.pid, resource.RLIMIT_NOFILE, open_files(server.pid) + SPARE):
            knocking = [stack.enter_context(contextlib.closing(knock(server))) for _ in range(60)]
            time.sleep(0.3)
            assert client.read("secret/data/x").status == 200
            assert client.write("secret/data/x", {"data": {}}).status == 200
            before = busy_seconds(server.pid)
            time.sleep(2)
            assert busy_seconds(server.pid) - before < 2 * IDLE_SHARE, "it does not spin on what it cannot accept"
            for each in knocking:
                each.close()
        began = time.monotonic()
        with server.client() as fresh:
            while not answers(fresh):
                assert time.monotonic() - began < BACK_SECONDS
        assert client.write("secret/data/x", {"data": {}}).status == 200
        assert server.running


def answers(client: Client) -> bool:
    with contextlib.suppress(ConnectionError):
        return client.read("sys/health").status == 200
    return False


@pytest.mark.control
@pytest.mark.fault("F13")
def test_control_the_limit_is_met(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _), limited(server.pid, resource.RLIMIT_NOFILE, open_files(server.pid) + SPARE):
        with contextlib.ExitStack() as stack:
            answered = 0
            for each in [stack.enter_context(contextlib.closing(knock(server))) for _ in range(60)]:
                each.settimeout(0.3)
                with contextlib.suppress(OSError):
                    answered += each.recv(100).startswith(b"HTTP/1.1 200")
            assert answered <= SPARE


@pytest.mark.fault("F12")
def test_without_memory_a_request_fails_and_others_do_not(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, client):
        assert client.write("secret/data/x", {"data": {"n": 1}}).status == 200
        mapped = int(Path(f"/proc/{server.pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        with limited(server.pid, resource.RLIMIT_AS, mapped + 2 * MIB), contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.client()) for _ in range(8)]
            for each in clients:
                with contextlib.suppress(ConnectionError):
                    assert each.write("secret/data/large", {"data": {"text": "x" * 900_000}}).status in {200, 500, 503}
        until = time.monotonic() + BACK_SECONDS
        with server.client() as fresh:
            while fresh.read("secret/data/x").status != 200:
                assert time.monotonic() < until
        assert server.running
