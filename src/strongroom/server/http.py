"""One HTTP/1.1 connection: frames, limits and deadlines around a handler that is called synchronously.

Rules of this file:
- The handler gets an Exchange and answers it once, at once or later, with a complete rendered message. No task, no future, no timer per
  request. It is called as soon as the parser has the last byte.
- One exchange is open per connection; what the client pipelines behind it waits raw, and beyond `max_waiting` it is not read.
- An Exchange outlives its connection: answering a closed one does nothing, so whoever flushes answers never stops.
- What is refused before a handler saw it is answered `{"errors":[…]}` and the connection closed. A client that is still sending then gets
  a moment to read the answer, because closing a socket with unread bytes resets it and the answer would be lost.
- Every state a connection can be in has a deadline (connections.py).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from enum import IntEnum
from http import HTTPStatus
from typing import Final, NamedTuple, cast

import msgspec

from strongroom.core.request import Peer
from strongroom.errors import InternalError, StrongroomError
from strongroom.server.connections import Connections
from strongroom.server.forwarded import Forwarding
from strongroom.server.framing import RequestReader, Stage

KIB: Final = 1024
MIB: Final = 1024 * KIB


def _never_large(_target: bytes) -> bool:
    return False


class Limits(NamedTuple):
    """What a connection may cost. Sizes in bytes, durations in seconds."""

    max_head: int = 32 * KIB
    """Vault tokens, JWTs and AWS session tokens fit many times; nginx and Go take 32 KiB and 1 MiB."""
    max_headers: int = 100
    max_body: int = MIB
    """JSON grows up to 25 times when parsed (T15.1)."""
    max_large_body: int = 32 * MIB
    """Vault's default; snapshots and imports need it."""
    large_body: Callable[[bytes], bool] = _never_large
    """Says for a raw request target whether the route takes large bodies."""
    max_waiting: int = 64 * KIB
    """Pipelined bytes kept while an answer is in flight, then the socket is not read."""
    max_unsent: int = 256 * KIB
    """Bytes a slow reader may leave with us before its next request waits."""
    max_connections: int = 10_000
    max_held: int = 256 * MIB
    """Large bodies being read at one time, all connections together."""
    head_seconds: float = 10
    body_seconds: float = 30
    idle_seconds: float = 300
    request_seconds: float = 90
    """Vault's default_max_request_duration."""
    write_seconds: float = 30
    linger_seconds: float = 1
    handshake_seconds: float = 10

    def body_limit(self, target: bytes) -> int:
        """The largest body taken for this request target."""
        return self.max_large_body if self.large_body(target) else self.max_body


DEFAULT_LIMITS: Final = Limits()
SMALL_BODY: Final = 64 * KIB
"""Bodies up to here are not counted as held: 10,000 of them at once are what the connection limit allows for."""
FAIR_SHARE: Final = 64
"""Pipelined requests answered in one go before other connections get their turn: at 20 µs each about a millisecond."""
LARGE_RATE: Final = MIB
"""A large body must arrive at 1 MiB/s, beyond the usual body deadline."""


class ListenerInfo(NamedTuple):
    """What a connection should know of the listener it came through."""

    tls: bool = False
    forwarding: Forwarding = Forwarding()


class Phase(IntEnum):
    """What a connection is doing, which decides its deadline."""

    NEW = 0
    IDLE = 1
    HEAD = 2
    BODY = 3
    REQUEST = 4
    SENDING = 5
    LINGERING = 6


class Exchange:
    """One request and the way to answer it. `verb` is as sent, `target` undecoded, `headers` by lower-case name."""

    __slots__ = ("_connection", "body", "headers", "peer", "target", "verb")

    def __init__(
        self, connection: HttpProtocol | None, verb: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes, peer: Peer
    ) -> None:
        self._connection = connection
        self.verb = verb
        self.target = target
        self.headers = headers
        self.body = body
        self.peer = peer

    def answer(self, data: bytes, close: bool = False) -> None:
        """Send a complete message, head and body. Does nothing when the connection is gone or the exchange was answered."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.send(self, data, close)

    @property
    def gone(self) -> bool:
        """True once nobody would read an answer."""
        return self._connection is None or self._connection.closed

    def __repr__(self) -> str:
        return f"Exchange({self.verb!r}, {len(self.body)} bytes)"


Handler = Callable[[Exchange], None]


class HttpProtocol(asyncio.Protocol):
    """The protocol of one connection. When a handler raises, the caller gets a 500 and the loop's exception handler the error."""

    def __init__(self, handler: Handler, limits: Limits, listener: ListenerInfo, connections: Connections) -> None:
        self._handler = handler
        self._limits = limits
        self._forwarding = listener.forwarding
        self._connections = connections
        self._reader = RequestReader(limits.max_head, limits.max_headers, limits.body_limit)
        self._transport: asyncio.Transport | None = None
        self._peer = Peer()
        self._exchange: Exchange | None = None
        self._keep_alive = True
        self._working = self._paused = self._choked = self._eof = False
        self._phase = Phase.NEW
        self._held = 0
        self.deadline = 0.0

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected, or its TLS handshake is done."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(self._limits.max_unsent)
        self._peer = peer_of(transport)
        self._enter(Phase.IDLE, self._limits.idle_seconds)
        if not self._connections.add(self):
            self._refuse(503, "too many connections; try again later", extra=b"Retry-After: 1\r\n")

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._phase is Phase.LINGERING:
            return
        reader = self._reader
        reader.receive(data)
        if self._exchange is None and not self._choked:
            self._work()
        elif reader.waiting > self._limits.max_waiting:
            self._pause()

    def eof_received(self) -> bool:
        """The client will send no more; answers in flight may still leave."""
        self._eof = True
        return self._exchange is not None

    def connection_lost(self, _exception: Exception | None) -> None:
        """The connection ended; an open exchange is finished by whoever holds it, and its answer dropped."""
        self._transport = None
        self._exchange = None
        self._hold(0)
        self._reader.close()
        self._connections.discard(self)

    def pause_writing(self) -> None:
        """The client reads too slowly: its next request waits."""
        self._choked = True
        self._pause()
        self._enter(Phase.SENDING, self._limits.write_seconds)

    def resume_writing(self) -> None:
        """The client caught up."""
        self._choked = False
        if self._phase is Phase.SENDING:
            self._phase = Phase.NEW
            if not self._working:
                self._work()

    # ---- the registry's side

    def expire(self) -> None:
        """The deadline has passed: say so where the client waits for an answer, else just close."""
        if self._phase is Phase.REQUEST:
            self._exchange = None
            self._refuse(503, f"the request took longer than {self._limits.request_seconds:g} seconds; it may still be carried out")
        elif self._phase in (Phase.HEAD, Phase.BODY):
            self._refuse(408, "the request did not arrive in time; send it faster")
        elif self._phase is Phase.IDLE:
            self._close()
        else:
            self.abort()

    def drain(self) -> None:
        """Close at once when idle, else after the answer in flight."""
        self._keep_alive = False
        if self._exchange is None and self._phase is not Phase.LINGERING and not self._choked:
            self._close()

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def closed(self) -> bool:
        """True once nothing can be sent."""
        return self._transport is None or self._transport.is_closing()

    # ---- requests in, answers out

    def _work(self) -> None:
        """Hand out requests until one stays open or more bytes are needed."""
        self._working = True
        try:
            for _ in range(FAIR_SHARE):
                if self._exchange is not None or self._choked or self._phase is Phase.LINGERING or not self._reader.next():
                    break
                self._open()
            else:
                asyncio.get_running_loop().call_soon(self._resume)
        except StrongroomError as error:
            self._refuse(error.status, *error.messages)
        except Exception as error:  # noqa: BLE001  a bug in a handler ends one connection, not the worker
            self._fail(error)
        self._working = False
        self._settle()

    def _resume(self) -> None:
        if self._exchange is None and not self._working and self._transport is not None:
            self._work()

    def _open(self) -> None:
        reader = self._reader
        self._phase = Phase.NEW
        self._keep_alive = reader.keep_alive and not self._connections.draining
        peer = self._peer
        if self._forwarding.networks:
            peer = self._forwarded(reader.headers)
        exchange = self._exchange = Exchange(self, reader.verb, reader.target, reader.headers, cast(bytes, reader.body), peer)
        self._handler(exchange)

    def _forwarded(self, headers: dict[bytes, bytes]) -> Peer:
        peer = self._peer
        address = self._forwarding.address(peer.address, headers.get(b"x-forwarded-for"))
        return peer if address == peer.address else Peer(address, peer.port, peer.leaf, peer.chain)

    def _settle(self) -> None:
        """Give the state that the connection is left in its deadline, and go on or stop reading."""
        if self._phase >= Phase.SENDING or self._transport is None:
            return
        reader, limits = self._reader, self._limits
        if self._exchange is not None:
            self._enter(Phase.REQUEST, limits.request_seconds)
        elif self._eof:
            self._close()
        elif reader.stage is not Stage.HEAD:
            self._read_body(reader)
        elif reader.waiting:
            self._enter(Phase.HEAD, limits.head_seconds)
        else:
            self._phase = Phase.NEW
            self._enter(Phase.IDLE, limits.idle_seconds)
        if self._paused and reader.waiting <= limits.max_waiting and not self._choked and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _read_body(self, reader: RequestReader) -> None:
        limits = self._limits
        if not self._hold(max(0, reader.length - SMALL_BODY)):
            self._refuse(503, "too many large requests at one time; try again later", extra=b"Retry-After: 1\r\n")
            return
        self._enter(Phase.BODY, limits.body_seconds + max(0, reader.length - limits.max_body) / LARGE_RATE)
        if reader.expects:
            reader.expects = False
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _enter(self, phase: Phase, seconds: float) -> None:
        if phase is not self._phase:
            self._phase = phase
            self.deadline = self._connections.deadline(seconds)

    def _hold(self, size: int) -> bool:
        if size == self._held:
            return True
        if not self._connections.hold(size - self._held):
            return False
        self._held = size
        return True

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def send(self, exchange: Exchange, data: bytes, close: bool) -> None:
        """Send the answer of the open exchange; called by Exchange.answer only."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        if self._held:
            self._hold(0)
        if exchange.verb == b"HEAD":
            data = data[: data.index(b"\r\n\r\n") + 4]
        if close or not self._keep_alive:
            self._write(closing(data))
            self._close()
            return
        self._write(data)
        if not self._working:
            if self._reader.waiting:
                self._work()
            else:
                self._settle()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def _refuse(self, status: int, *messages: str, extra: bytes = b"") -> None:
        """Answer once more, stop reading requests, and close when the client had the time to read it."""
        self._exchange = None
        self._hold(0)
        self._write(closing(render(status, errors_body(messages), extra=extra)))
        self._enter(Phase.LINGERING, self._limits.linger_seconds)
        self._reader.close()
        if self._transport is not None and not self._transport.is_closing():
            if self._paused:
                self._transport.resume_reading()
            self._transport.write_eof()

    def _fail(self, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "the HTTP handler raised", "exception": error})
        self._refuse(500, *InternalError().messages)

    def _close(self) -> None:
        """Close after what was written has left; a client that does not read it is cut at the deadline."""
        self._enter(Phase.LINGERING, self._limits.write_seconds)
        if self._transport is not None:
            self._transport.close()


# ---- messages out


@functools.lru_cache(maxsize=256)
def _head(status: int, content_type: bytes) -> bytes:
    phrase = HTTPStatus(status).phrase.encode() if status in _STATUSES else b"Unknown"
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nCache-Control: no-store\r\nContent-Length: " % (status, phrase, content_type)


_STATUSES = frozenset(status.value for status in HTTPStatus)
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n"


def render(status: int, body: bytes, content_type: bytes = b"application/json", extra: bytes = b"") -> bytes:
    """A complete answer. `extra` is whole header lines, each with its CRLF; make them with `header`."""
    if status == 204:
        return b"%b%b\r\n" % (_NO_CONTENT, extra)
    return b"%b%d\r\n%b\r\n%b" % (_head(status, content_type), len(body), extra, body)


def header(name: str, value: str) -> bytes:
    """One header line. Raises ValueError for text that could begin another line."""
    line = f"{name}: {value}"
    if not line.isprintable() or not line.isascii() or ":" in name or " " in name:
        raise ValueError(f"the header {name!r} has characters that a header cannot carry")
    return f"{line}\r\n".encode("ascii")


def closing(data: bytes) -> bytes:
    """The same answer, telling the client that it is the last one."""
    return data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def errors_body(messages: tuple[str, ...]) -> bytes:
    """Vault's error body."""
    return msgspec.json.encode({"errors": messages}) + b"\n"


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Address, port and client certificates (DER, leaf first) of a connection; a Unix socket has no address."""
    name = transport.get_extra_info("peername")
    chain: tuple[bytes, ...] = transport.get_extra_info("client_chain") or ()
    leaf = chain[0] if chain else None
    if isinstance(name, tuple):
        return Peer(str(name[0]), int(name[1]), leaf, chain)
    return Peer(leaf=leaf, chain=chain)
