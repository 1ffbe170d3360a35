"""A connection that stays: to a collector of lines, over TCP, UDP or a Unix socket, opened anew when the other side went away.

Rules of this file:
- Blocking code with one deadline for a call, for a thread of the caller's own.
- A connection that the other side has closed is noticed before something is sent: the kernel would take it, and nobody read it. One whose
  other side is dead is given up within `DEAD`, whatever the kernel still tries.
- What could not be sent at all goes over a new connection, once. What was sent in part does not: half of it may have arrived, so it has
  failed, and `cut` is what the other side may have got of the message that was under way.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from select import POLLIN, poll
from time import monotonic
from typing import Final, Literal

from strongroom.errors import InvalidRequest, StrongroomError
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound

DEAD: Final = 10_000
"""Milliseconds that sent bytes may stay unacknowledged; the kernel's own patience is a quarter of an hour."""
DATAGRAM: Final = 65_507
"""Bytes that a UDP datagram over IPv4 holds."""

Kind = Literal["tcp", "udp", "unix", "unixgram"]
KINDS: Final[dict[str, Kind]] = {"tcp": "tcp", "udp": "udp", "unix": "unix"}
"""What an operator may choose."""


def target(address: str, kind: Kind) -> tuple[str, int]:
    """Host and port, or a path and 0. Raises InvalidRequest."""
    if kind.startswith("unix"):
        return address, 0
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise InvalidRequest(f"the address {address!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Channel:
    """See the rules above. `seconds`: what opening may take, and what sending may."""

    def __init__(self, address: str, kind: Kind, seconds: float, outbound: Outbound) -> None:
        self._where = target(address, kind)
        self._kind = kind
        self._seconds = seconds
        self._outbound = outbound
        self._socket: socket.socket | None = None
        self.cut = b""

    @property
    def datagrams(self) -> bool:
        """Whether each message travels by itself, and may get lost by itself."""
        return self._kind in ("udp", "unixgram")

    def open(self) -> None:
        """Connect, or connect again. Raises OSError."""
        self.close()
        try:
            self._socket = _CONNECT[self._kind](self._outbound, *self._where, self._seconds)
        except StrongroomError as error:
            raise OSError("; ".join(error.messages)) from None

    def send(self, messages: Sequence[bytes]) -> None:
        """Send each of them whole, in order. Raises OSError."""
        deadline = monotonic() + self._seconds
        for message in messages if self.datagrams else [b"".join(messages)]:
            if self._socket is None or self._ended(self._socket):
                self.open()
            if not self._sent(message, deadline):
                self.open()
                if not self._sent(message, deadline):
                    raise OSError("the connection was closed by the other side")

    def _sent(self, message: bytes, deadline: float) -> bool:
        """False: nothing of it was, and it may be tried again. Raises OSError."""
        connection, sent = self._socket, 0
        assert connection is not None
        if self._kind == "udp" and len(message) > DATAGRAM:
            raise OSError(f"a message of {len(message)} bytes does not fit into a datagram")
        try:
            while sent < len(message):
                connection.settimeout(max(deadline - monotonic(), 0.001))
                sent += connection.send(memoryview(message)[sent:])
        except TimeoutError:
            self.cut = message[:sent]
            self.close()
            raise OSError("the other side took nothing in time") from None
        except OSError:
            self.close()
            if not sent:
                return False
            self.cut = message[:sent]
            raise
        self.cut = b""
        return True

    def _ended(self, connection: socket.socket) -> bool:
        """Whether the other side closed it."""
        if self.datagrams:
            return False
        waiting = poll()
        waiting.register(connection, POLLIN)
        try:
            return bool(waiting.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def close(self) -> None:
        """Let go of the connection; what was sent is delivered if it can be."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()


# ---- ways to connect

_Connect = Callable[[Outbound, str, int, float], socket.socket]


def _tcp(outbound: Outbound, host: str, port: int, seconds: float) -> socket.socket:
    connection = outbound.dial(host, port, reach=Reach.CONFIGURED, timeout=seconds)
    with suppress(OSError, AttributeError):  # no such options here: then the kernel's own patience holds
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD)
    return connection


def _udp(outbound: Outbound, host: str, port: int, seconds: float) -> socket.socket:
    address = outbound.addresses(host, reach=Reach.CONFIGURED, timeout=seconds)[0]
    return _connected(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM, (str(address), port), seconds)


def _unix(_outbound: Outbound, path: str, _port: int, seconds: float) -> socket.socket:
    return _connected(socket.AF_UNIX, socket.SOCK_STREAM, path, seconds)


def _unix_datagrams(_outbound: Outbound, path: str, _port: int, seconds: float) -> socket.socket:
    return _connected(socket.AF_UNIX, socket.SOCK_DGRAM, path, seconds)


def _connected(family: int, kind: int, address: str | tuple[str, int], seconds: float) -> socket.socket:
    connection = socket.socket(family, kind)
    try:
        connection.settimeout(seconds)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


_CONNECT: Final[dict[Kind, _Connect]] = {"tcp": _tcp, "udp": _udp, "unix": _unix, "unixgram": _unix_datagrams}
