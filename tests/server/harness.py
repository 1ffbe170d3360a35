"""A real server on a loopback port, in a thread of its own, with a clock the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

import uvloop
from OpenSSL import SSL

from strongroom.server.connections import Connections
from strongroom.server.http import Exchange, Handler, HttpProtocol, ListenerInfo
from strongroom.server.limits import DEFAULT_LIMITS, Limits
from strongroom.server.proxy_protocol import Proxied, Trust
from strongroom.server.tls import TlsListener
from tests.support.waiting import until

PLAIN = ListenerInfo()


class MovedClock:
    """Monotonic time moves only when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds


class Served:
    """The running server as a test sees it."""

    def __init__(self, handler: Handler, limits: Limits, info: ListenerInfo, tls: SSL.Context | None, trust: Trust | None) -> None:
        self.clock = MovedClock()
        self.connections = Connections(self.clock, limits)
        self.requests = 0
        self.clients: list[socket.socket] = []
        self.problems: list[str] = []
        self.loop = uvloop.new_event_loop()
        self.loop.set_exception_handler(lambda _loop, context: self.problems.append(context["message"]))

        def counted(exchange: Exchange) -> None:
            self.requests += 1
            handler(exchange)

        def plain() -> HttpProtocol:
            return HttpProtocol(counted, limits, info, self.connections)

        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        factory: Callable[[], asyncio.Protocol] = plain if tls is None else TlsListener(tls, limits, self.connections, plain)
        self.proxied = None if trust is None else Proxied(trust, limits, self.connections, factory)
        factory = self.proxied or factory
        self.server = self.loop.run_until_complete(self.loop.create_server(factory, sock=listening))
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def call(self, function: Callable[[], object]) -> None:
        """Run a function on the loop and wait for it."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(function)
        self.loop.call_soon_threadsafe(done.set)
        assert done.wait(5)

    def pass_time(self, seconds: float) -> None:
        """Move the clock and sweep."""
        self.clock.seconds += seconds
        self.call(self.connections.sweep)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for the other thread; fails after five seconds."""
        until(condition, 5, every=0.001)

    def connect(self) -> socket.socket:
        """A plain client."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self.clients.append(client)
        return client

    def exchange_bytes(self, sent: bytes, end: bool = True) -> bytes:
        """Send bytes, optionally end, and read until the server closes."""
        with self.connect() as client:
            client.sendall(sent)
            if end:
                client.shutdown(socket.SHUT_WR)
            return read_all(client)

    def stop(self) -> None:
        """End the thread and everything open."""
        for client in self.clients:
            client.close()
        self.call(self.server.close)
        for connection in list(self.connections._open):
            self.call(connection.abort)
        self.wait_until(lambda: not len(self.connections))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def in_memory(body: bytes | BinaryIO) -> bytes:
    """A body that did not go to a file."""
    assert isinstance(body, bytes)
    return body


def read_all(client: socket.socket) -> bytes:
    """What comes until the other side closes or resets."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            received += piece
    return received


@contextlib.contextmanager
def serving(
    handler: Handler,
    limits: Limits = DEFAULT_LIMITS,
    info: ListenerInfo = PLAIN,
    tls: SSL.Context | None = None,
    trust: Trust | None = None,
) -> Iterator[Served]:
    """Serve for the length of a test."""
    served = Served(handler, limits, info, tls, trust)
    try:
        yield served
    finally:
        served.stop()
