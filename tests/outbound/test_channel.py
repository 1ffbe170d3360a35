"""Channels against real sockets: what arrives whole, what is tried again, and what has failed and is known to be cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.errors import InvalidRequest
from strongroom.outbound.channel import Channel, Kind, target
from strongroom.outbound.client import Outbound


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX) as made:
        path = str(tmp_path / "s")
        made.bind(path)
        made.listen()
        made.settimeout(5)
        yield made, path


def read(connection: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    taken = bytearray()
    while piece := connection.recv(1 << 16):
        taken += piece
    return bytes(taken)


@pytest.mark.parametrize(
    ("address", "kind", "found"),
    [
        ("collector.example:514", "tcp", ("collector.example", 514)),
        ("[2001:db8::1]:514", "udp", ("2001:db8::1", 514)),
        ("/run/collector", "unix", ("/run/collector", 0)),
    ],
)
def test_an_address_is_a_host_and_a_port_or_a_path(address: str, kind: Kind, found: tuple[str, int]) -> None:
    assert target(address, kind) == found


@pytest.mark.parametrize("address", ["", "host", ":514", "host:", "host:0", "host:65536", "host:-1", "host:5 ", "host:٥"])
def test_half_an_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequest):
        target(address, "tcp")


def test_what_no_byte_was_sent_of_goes_over_a_new_connection(listening: tuple[socket.socket, str]) -> None:
    server, path = listening
    channel = Channel(path, "unix", 1, Outbound())
    channel.open()
    server.accept()[0].close()
    channel.send([b"one\n", b"two\n"])
    connection = server.accept()[0]
    channel.close()
    with connection:
        assert read(connection) == b"one\ntwo\n"
    assert channel.cut == b""


def test_what_was_sent_in_part_has_failed_in_time_and_its_beginning_is_known(listening: tuple[socket.socket, str]) -> None:
    server, path = listening
    channel, message = Channel(path, "unix", 0.3, Outbound()), bytes(range(256)) * 40_000
    channel.open()
    with server.accept()[0] as connection:
        began = time.monotonic()
        with pytest.raises(OSError, match="in time"):
            channel.send([message])
        assert time.monotonic() - began < 2
        assert 0 < len(channel.cut) < len(message)
        assert read(connection) == channel.cut, "what the kernel took arrives, and nothing behind it"
    channel.send([b"next"])
    assert channel.cut == b""
    with server.accept()[0] as connection:
        channel.close()
        assert read(connection) == b"next"


def test_a_reader_that_takes_a_little_now_and_then_does_not_keep_it_going(listening: tuple[socket.socket, str]) -> None:
    server, path = listening
    channel = Channel(path, "unix", 0.5, Outbound())
    channel.open()
    with server.accept()[0] as connection:
        stopped = threading.Event()

        def sip() -> None:
            while not stopped.wait(0.02):
                connection.recv(1_000)

        thread = threading.Thread(target=sip, daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(OSError, match="in time"):
            channel.send([bytes(50 << 20)])
        assert time.monotonic() - began < 1.5
        stopped.set()
        thread.join()
    channel.close()


def test_a_dead_peer_is_given_up_long_before_the_kernel_would(listening: tuple[socket.socket, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        channel = Channel(f"127.0.0.1:{server.getsockname()[1]}", "tcp", 1, Outbound())
        channel.open()
        assert channel._socket is not None
        assert channel._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert channel._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        channel.close()


def test_nobody_there_is_an_error_each_time(tmp_path: Path) -> None:
    channel = Channel(str(tmp_path / "none"), "unix", 1, Outbound())
    for _ in range(2):
        with pytest.raises(OSError, match=r"."):
            channel.send([b"x"])
    channel.close()
