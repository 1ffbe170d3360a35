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
from collections.abc import Callable
from typing import BinaryIO, ClassVar, NamedTuple, cast

from msgspec import Struct

from strongroom.core.content import ENDLESS, Content
from strongroom.core.envelope import errors_body
from strongroom.core.request import Peer
from strongroom.errors import InternalError, StrongroomError
from strongroom.server.connections import LAST_MOMENT, TICK, Connections
from strongroom.server.forwarded import Forwarding
from strongroom.server.framing import HEAD, Head, RequestReader
from strongroom.server.limits import FAIR_SHARE, LARGE_RATE, SMALL_BODY, TURNED_AWAY, Limits
from strongroom.server.messages import closing, render


class ListenerInfo(NamedTuple):
    """What a connection should know of the listener it came through."""

    tls: bool = False
    forwarding: Forwarding | None = None


PIECE = 65_536
FOLLOWING = 0.25
"""Seconds between looks whether there is more of an endless answer."""
PIECES_AT_ONCE = 16
"""Of an answer out of a file: read and written in pieces, a megabyte before others get a turn; about a millisecond."""

NEW, IDLE, HEADING, BODY, REQUEST, SENDING, LINGERING = range(7)
"""What a connection is doing, which decides its deadline. Plain numbers: they are compared several times per request."""


class Exchange(Struct, eq=False, repr_omit_defaults=True):
    """One request and the way to answer it; `peer` after forwarding.

    The head may be shared with other requests: it is read only. Its members are looked up when somebody asks, because of a repeated read
    nobody does, and each object that is not touched is a cache line that need not come. With a `message` it waits among the committer's
    answers (`committer.Answer`) until its audit lines are out.
    """

    connection: HttpProtocol | None
    head: Head
    body: bytes | BinaryIO
    peer: Peer
    message: bytes = b""
    call: ClassVar[None] = None
    recorded: ClassVar[bool] = True

    @property
    def verb(self) -> bytes:
        """The verb as sent."""
        return self.head.verb

    @property
    def target(self) -> bytes:
        """The request target, undecoded."""
        return self.head.target

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The headers by lower-case name."""
        return self.head.headers

    def answer(self, data: bytes, close: bool = False) -> None:
        """Send a complete message, head and body. Does nothing when the connection is gone or the exchange was answered."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.send(self, data, close)

    def done(self, _answer: object) -> None:
        """Send the message that waited."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.send(self, self.message, False)

    def failed(self, error: StrongroomError) -> None:
        """No audit device took the lines: the message is not sent."""
        self.message = render(error.status, errors_body(*error.messages))

    def stream(self, head: bytes, file: Content, size: int) -> None:
        """Send a head and then `size` bytes of a file, as fast as the client takes them; of an endless one as it comes."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.stream(self, head, file, size)

    @property
    def gone(self) -> bool:
        """True once nobody would read an answer."""
        return self.connection is None or self.connection.closed

    def __repr__(self) -> str:
        return f"Exchange({self.verb!r}, {len(self.body) if isinstance(self.body, bytes) else 'very many'} bytes)"


Handler = Callable[[Exchange], None]


class HttpProtocol(asyncio.Protocol):
    """The protocol of one connection. When a handler raises, the caller gets a 500 and the loop's exception handler the error."""

    __slots__ = (
        "_answer_within",
        "_began",
        "_blocked",
        "_connections",
        "_eof",
        "_exchange",
        "_file",
        "_forwarding",
        "_handler",
        "_held",
        "_keep",
        "_keep_alive",
        "_left",
        "_limits",
        "_paused",
        "_peer",
        "_phase",
        "_reader",
        "_transport",
        "_working",
        "deadline",
    )

    def __init__(self, handler: Handler, limits: Limits, listener: ListenerInfo, connections: Connections) -> None:
        self._handler = handler
        self._limits = limits
        self._answer_within = limits.request_seconds - TICK
        self._forwarding = listener.forwarding
        self._connections = connections
        self._reader = RequestReader(limits.max_head, limits.max_headers, limits.max_body, limits.larger_body, connections.heads)
        self._transport: asyncio.Transport | None = None
        self._peer = Peer()
        self._exchange: Exchange | None = None
        self._keep = True
        self._keep_alive = self._working = self._paused = self._eof = False
        self._blocked = False
        self._phase = NEW
        self._held = 0
        self._file: Content | None = None
        self._left = 0
        self.deadline = self._began = 0.0

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected, or its TLS handshake is done."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(self._limits.max_unsent)
        self._peer = peer_of(transport)
        self._enter(IDLE, self._limits.idle_seconds)
        if not self._connections.add(self):
            self._refuse(503, "too many connections; try again later", extra=b"Retry-After: 1\r\n")
            if len(self._connections) > self._connections.max_connections + TURNED_AWAY:
                self.abort()
        elif self._connections.draining:
            self.drain()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        reader = self._reader
        if reader.buffer:
            reader.receive(data)
        elif self._phase != LINGERING:
            reader.buffer = data
        if self._exchange is None and not self._blocked:
            self._work()
        elif reader.waiting > self._limits.max_waiting:
            self._pause()

    def eof_received(self) -> bool:
        """The client will send no more; what it asked for whole is still answered, then the connection closes."""
        self._eof = True
        self._resume()
        return self._phase != LINGERING

    def connection_lost(self, _exception: Exception | None) -> None:
        """The connection ended; an open exchange is finished by whoever holds it, and its answer dropped."""
        self._transport = self._exchange = self._file = None
        self._blocked = True
        self._hold(0)
        self._reader.close()
        self._connections.discard(self)

    def pause_writing(self) -> None:
        """The client reads too slowly: its next request waits."""
        self._blocked = True
        self._pause()
        if self._phase != LINGERING:
            self._enter(SENDING, self._limits.write_seconds)

    def resume_writing(self) -> None:
        """The client caught up."""
        self._connections.settle(self)
        if self._phase == SENDING:
            self._blocked = False
            if self._file is not None:
                self._send_on()
                return
            self._phase = NEW
            self._resume()

    # ---- the registry's side

    def expire(self) -> None:
        """The deadline has passed: say so where the client waits for an answer, else just close."""
        if self._phase == REQUEST:
            self._exchange = None
            self._refuse(503, f"the request took longer than {self._limits.request_seconds:g} seconds; it may still be carried out")
        elif self._phase in (HEADING, BODY):
            self._refuse(408, "the request did not arrive in time; send it faster")
        elif self._phase == IDLE:
            self._close()
        else:
            self.abort()

    def drain(self) -> None:
        """Close after the answer to what was begun. Who is idle has a moment to ask once more: his request may be on its way."""
        self._keep = self._keep_alive = False
        if self._phase == IDLE and self._exchange is None:
            self.deadline = min(self.deadline, self._connections.deadline(LAST_MOMENT))

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
        reader = self._reader
        self._working = True
        share = FAIR_SHARE
        try:
            while share and reader.next():
                share -= 1
                self._phase = IDLE
                self._keep_alive = self._keep and reader.keep_alive
                peer = self._peer if self._forwarding is None else self._forwarded(self._forwarding, reader.head.headers)
                exchange = self._exchange = Exchange(self, reader.head, reader.upload or reader.body, peer)
                self._handler(exchange)
                if self._exchange is exchange or self._blocked or not reader.buffer:
                    break
        except StrongroomError as error:
            self._refuse(error.status, *error.messages)
        except Exception as error:  # noqa: BLE001  a bug in a handler ends one connection, not the worker
            self._fail(error)
        self._working = False
        if self._phase == IDLE and not (reader.buffer or reader.stage or self._eof or self._paused):
            if self._exchange is None:
                self.deadline = self._connections.idle_deadline
            else:
                self._phase = REQUEST
                self.deadline = self._connections.now + self._answer_within
        else:
            self._settle(share > 0)

    def _resume(self) -> None:
        if self._exchange is None and not self._working and not self._blocked:
            self._work()

    def _forwarded(self, forwarding: Forwarding, headers: dict[bytes, bytes]) -> Peer:
        return forwarding.peer(self._peer, headers)

    def _settle(self, done: bool) -> None:
        """Give the state that the connection is left in its deadline, and go on or stop reading."""
        if self._blocked or self._file is not None:
            return
        reader, limits = self._reader, self._limits
        if self._exchange is not None:
            self._enter(REQUEST, limits.request_seconds)
        elif not done:
            asyncio.get_running_loop().call_soon(self._resume)
        elif self._eof or not (self._keep or reader.buffer or reader.stage):
            self._close()
        elif reader.stage != HEAD:
            self._read_body(reader)
        elif reader.buffer:
            self._enter(HEADING, limits.head_seconds)
        else:
            self._phase = IDLE
            self.deadline = self._connections.idle_deadline
        self._unpause()

    def _unpause(self) -> None:
        if self._paused and not self._blocked and self._reader.waiting <= self._limits.max_waiting and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _read_body(self, reader: RequestReader) -> None:
        limits = self._limits
        if not self._hold(max(0, reader.kept - SMALL_BODY)):
            self._refuse(503, "too many large requests at one time; try again later", extra=b"Retry-After: 1\r\n")
            return
        seconds = limits.body_seconds + max(0, reader.length - limits.max_body) / LARGE_RATE
        if reader.kept < reader.length and self._phase == BODY:  # in chunks: how much it is becomes known as it comes
            self.deadline = max(self.deadline, self._began + seconds - TICK)
        elif self._phase != BODY:
            self._began = self._connections.now
        self._enter(BODY, seconds)
        if reader.expects:
            reader.expects = False
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _enter(self, phase: int, seconds: float) -> None:
        if phase != self._phase:
            self._phase = phase
            self.deadline = self._connections.deadline(seconds)

    def _hold(self, size: int) -> bool:
        if size == self._held:
            return True
        if not self._connections.hold(self._held, size):
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
        if exchange.head.verb == b"HEAD":
            data = data[: data.index(b"\r\n\r\n") + 4]
        if close or not self._keep_alive:
            self._write(closing(data))
            self._close()
            return
        try:
            self._transport.write(data)  # type: ignore[union-attr]  # while an exchange is open there is a transport
        except RuntimeError:  # uvloop's word for a connection that was just reset
            self._blocked = True
        if self._blocked:
            self._owe()
        if self._working or self._blocked:
            return
        reader = self._reader
        if reader.buffer or reader.stage or self._eof or self._paused or not self._keep:
            self._work()
        else:
            self._phase = IDLE
            self.deadline = self._connections.idle_deadline

    def stream(self, exchange: Exchange, head: bytes, file: Content, size: int) -> None:
        """Send an answer whose body lies in a file; called by Exchange.stream only."""
        if exchange is not self._exchange:
            return
        if not size or exchange.head.verb == b"HEAD":
            self.send(exchange, head, close=False)
            return
        self._file, self._left = file, size
        self._phase = SENDING
        self._write(head if self._keep_alive or size == ENDLESS else closing(head))
        self._send_on()

    def _send_on(self) -> None:
        """Send pieces until the client is behind, or others should have a turn. Each time it has the whole deadline to catch up."""
        for _ in range(PIECES_AT_ONCE):
            file, exchange = self._file, self._exchange
            if self._blocked or file is None or exchange is None:
                return
            self.deadline = self._connections.deadline(self._limits.write_seconds)
            piece = file.read(PIECE if self._left == ENDLESS else min(PIECE, self._left))
            if not piece:
                self._at_end(file)
                return
            self._left -= len(piece) if self._left != ENDLESS else 0
            if not self._left:
                self._file = None
                self._send_last(exchange, piece)
                return
            self._write(piece)
        asyncio.get_running_loop().call_soon(self._send_on)

    def _at_end(self, file: Content) -> None:
        """An endless answer goes on until it, the server or the client ends; any other is cut, so that nobody takes this for the whole."""
        if self._left != ENDLESS:
            self.abort()
        elif file.closed or self._eof or not self._keep:
            self._close()
        else:
            asyncio.get_running_loop().call_later(FOLLOWING, self._send_on)

    def _send_last(self, exchange: Exchange, piece: bytes) -> None:
        """End the exchange with the last piece, which has no head."""
        if self._keep_alive:
            self.send(exchange, piece, close=False)
            return
        self._write(piece)
        self._close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            if self._blocked:
                self._owe()

    def _owe(self) -> None:
        if self._transport is not None and not self._connections.owe(self, self._transport.get_write_buffer_size()):
            self.abort()

    def _refuse(self, status: int, *messages: str, extra: bytes = b"") -> None:
        """Answer once more, stop reading requests, and close when the client had the time to read it."""
        if self._phase == LINGERING:
            return
        self._end()
        self._write(closing(render(status, errors_body(*messages), extra=extra)))
        self._enter(LINGERING, self._limits.linger_seconds)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()

    def _fail(self, error: Exception) -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "the HTTP handler raised", "exception": error})
        self._refuse(500, *InternalError().messages)

    def _close(self) -> None:
        """Close after what was written has left; a client that does not read it is cut at the deadline."""
        self._end()
        self._enter(LINGERING, self._limits.write_seconds)
        if self._transport is not None:
            self._transport.close()

    def _end(self) -> None:
        """No further request is taken."""
        self._exchange = self._file = None
        self._blocked = True
        self._hold(0)
        self._reader.close()


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Address, port and client certificates (DER, leaf first) of a connection; a Unix socket has no address."""
    name = transport.get_extra_info("peername")
    chain: tuple[bytes, ...] = transport.get_extra_info("client_chain") or ()
    leaf = chain[0] if chain else None
    if isinstance(name, tuple):
        return Peer(str(name[0]), int(name[1]), leaf, chain)
    return Peer(leaf=leaf, chain=chain)
