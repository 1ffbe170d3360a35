"""A socket: lines to a collector over TCP, UDP or a Unix socket, as Vault's device of this name.

Rules of this file:
- One connection for each worker. Over TCP and Unix streams a connection that the collector closed is noticed before the next write, made
  anew, and the stream goes on; what the kernel had taken and the collector never read is a gap that the chain shows.
- A write that fails is tried once more, whole, on a new connection: a collector may see lines twice, never less than it was told of.
- Over UDP each line is a datagram, and nobody says whether it arrived: a second device should.
- There is no TLS here: http has it. Who can read the wire reads who did what and when, though no value of a secret.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from strongroom.core.audit.sink import DEADLINE, Sink, require_declared
from strongroom.errors import InvalidRequest, StrongroomError
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.types import parse_duration

DATAGRAM: Final = 65_507
"""Bytes that a UDP datagram over IPv4 holds."""

Connect = Callable[[], socket.socket]


class Collector:
    """Lines to another process or host."""

    inline = False

    def __init__(self, place: str, connect: Connect, *, datagrams: bool = False) -> None:
        self.place = place
        self._connect = connect
        self._datagrams = datagrams
        self._socket: socket.socket | None = None

    def open(self) -> tuple[bytes, bytes]:
        self.close()
        try:
            self._socket = self._connect()
        except StrongroomError as error:
            raise OSError("; ".join(error.messages)) from None
        return b"", b""

    def write(self, block: bytes) -> None:
        if self._socket is None or self._ended(self._socket):
            self.open()
        try:
            self._send(block)
        except OSError:
            self.open()
            self._send(block)

    def _ended(self, connection: socket.socket) -> bool:
        """Whether the other side closed it: a write would be taken by the kernel and read by nobody."""
        if self._datagrams:
            return False
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        try:
            return bool(poll.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def _send(self, block: bytes) -> None:
        connection = self._socket
        assert connection is not None
        if not self._datagrams:
            connection.sendall(block)
            return
        for line in block.splitlines(keepends=True):
            if len(line) > DATAGRAM:
                raise OSError(f"a line of {len(line)} bytes does not fit into a datagram of {self.place}")
            connection.send(line)

    def close(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()


def make(options: Mapping[str, str], _slot: int, directory: str) -> Sink:
    """The sink of `address`, by `socket_type` tcp (the default), udp or unix; `write_timeout` is 2 s at most."""
    require_declared("socket", directory)
    address, kind = options.get("address", ""), options.get("socket_type") or "tcp"
    if not address:
        raise InvalidRequest("address is required: host:port, or the path of a Unix socket")
    seconds = _seconds(options.get("write_timeout", ""))
    if kind == "unix":
        return Collector(f"unix {address}", lambda: _unix(address, seconds))
    if kind not in ("tcp", "udp"):
        raise InvalidRequest("socket_type is tcp, udp or unix")
    host, port = _host_and_port(address)
    connect = _udp if kind == "udp" else _tcp
    return Collector(f"{kind} {host}:{port}", lambda: connect(host, port, seconds), datagrams=kind == "udp")


def _seconds(text: str) -> float:
    try:
        asked = parse_duration(text) if text else 0
    except ValueError:
        raise InvalidRequest("write_timeout is a duration such as 2s") from None
    return min(asked or DEADLINE, DEADLINE)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise InvalidRequest(f"the address {address!r} is not host:port")
    return host.strip("[]"), int(port)


def _tcp(host: str, port: int, seconds: float) -> socket.socket:
    connection = Outbound().dial(host, port, reach=Reach.CONFIGURED, timeout=seconds)
    connection.settimeout(seconds)
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def _udp(host: str, port: int, seconds: float) -> socket.socket:
    address = Outbound().addresses(host, reach=Reach.CONFIGURED, timeout=seconds)[0]
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_DGRAM)
    connection.settimeout(seconds)
    connection.connect((str(address), port))
    return connection


def _unix(path: str, seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
