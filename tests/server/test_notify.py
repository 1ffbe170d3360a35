"""What the real server tells systemd, and when: with one worker and with several."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.server import notify
from tests.support.http import Client
from tests.support.server import Server


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """systemd's side."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"{tmp_path.name}-notify"
        listening.bind("\0" + name)
        listening.settimeout(20)
        monkeypatch.setenv(notify.VARIABLE, "@" + name)
        yield listening


def told(manager: socket.socket) -> str:
    return manager.recv(4_096).decode()


@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_ready_when_it_serves_and_says_so_when_it_reloads_and_stops(tmp_path: Path, manager: socket.socket, workers: int) -> None:
    server = Server(tmp_path, workers=workers)
    try:
        server.spawn()
        assert told(manager) == "READY=1"
        with Client(server.port) as client:
            assert client.read("sys/health").status == 501, "whoever comes after READY is answered"
        server.signal(signal.SIGHUP)
        reloading = told(manager)
        assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert reloading.rpartition("=")[2].isdecimal()
        assert told(manager) == "READY=1"
        assert server.terminate() == 0
        assert told(manager) == "STOPPING=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            told(manager)
    finally:
        server.close()


def test_a_path_is_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        monkeypatch.chdir(tmp_path)
        listening.bind("notify")
        monkeypatch.setenv(notify.VARIABLE, str(tmp_path / "notify"))
        notify.ready()
        assert told(listening) == "READY=1"


@pytest.mark.parametrize("name", ["", "notify", "/no/such/socket", "@nobody-listens-here", "/" + "x" * 200, "vsock:2:1"])
def test_that_nobody_listens_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(notify.VARIABLE, name)
    notify.ready()


def test_a_manager_that_reads_nothing_holds_nothing_up(manager: socket.socket) -> None:
    for _ in range(1_000):
        notify.ready()
    assert told(manager) == "READY=1"
