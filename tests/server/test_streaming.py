"""An answer out of a file: whole, in order, as fast as the client reads, and cut rather than wrong."""

from __future__ import annotations

import io
import os
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from strongroom.clock import SystemClock
from strongroom.core.content import ENDLESS
from strongroom.server.certificates import make_authority
from strongroom.server.http import PIECE, Exchange, Handler
from strongroom.server.limits import DEFAULT_LIMITS
from strongroom.server.messages import render, render_head
from strongroom.server.tls import ListenerTls, make_context
from tests.server.harness import read_all, serving
from tests.support.http import Client

BODY = os.urandom(5_000_000)


def get(target: str = "/file", *, close: bool = True, verb: str = "GET") -> bytes:
    return f"{verb} {target} HTTP/1.1\r\nHost: x\r\n{'Connection: close' if close else 'X: y'}\r\n\r\n".encode()


def answer(exchange: Exchange) -> None:
    if exchange.target == b"/file":
        exchange.stream(render_head(200, len(BODY), b"application/octet-stream"), io.BytesIO(BODY), len(BODY))
    elif exchange.target == b"/short":
        exchange.stream(render_head(200, len(BODY), b"application/octet-stream"), io.BytesIO(BODY[:-1]), len(BODY))
    elif exchange.target == b"/nothing":
        exchange.stream(render_head(200, 0, b"application/octet-stream"), io.BytesIO(), 0)
    else:
        exchange.answer(render(200, b"small"))


@pytest.mark.parametrize("close", [True, False])
def test_the_whole_file_comes_and_the_connection_goes_on(close: bool) -> None:
    with serving(answer) as served, served.connect() as client:
        client.sendall(get(close=close) + (b"" if close else get("/small")))
        received = read_all(client)
        head, _, rest = received.partition(b"\r\n\r\n")
        assert b"Content-Length: 5000000" in head
        assert (b"Connection: close" in head) == close
        assert rest[: len(BODY)] == BODY
        assert rest[len(BODY) :].endswith(b"" if close else b"small")
        assert served.requests == (1 if close else 2)
        assert not served.problems


def test_a_head_alone_is_sent_for_head_and_for_an_empty_file() -> None:
    with serving(answer) as served:
        received = served.exchange_bytes(get(verb="HEAD"), end=False)
        assert b"Content-Length: 5000000" in received
        assert received.endswith(b"\r\n\r\n")
        assert served.exchange_bytes(get("/nothing"), end=False).endswith(b"Content-Length: 0\r\n\r\n")


def test_a_file_that_is_shorter_than_was_said_is_cut_off_not_ended() -> None:
    with serving(answer) as served, served.connect() as client:
        client.sendall(get("/short", close=False))
        assert read_all(client).partition(b"\r\n\r\n")[2] == BODY[:-1]
        served.wait_until(lambda: not len(served.connections))


def test_a_slow_reader_holds_up_nobody_and_little_memory() -> None:
    with serving(answer) as served, served.connect() as slow:
        slow.sendall(get())
        first = slow.recv(10)
        began = time.monotonic()
        assert served.exchange_bytes(get("/small"), end=False).endswith(b"small")
        assert time.monotonic() - began < 2
        (connection,) = (each for each in served.connections._open if each._file is not None)  # type: ignore[attr-defined]
        assert connection._left > 0  # type: ignore[attr-defined]
        assert connection._transport.get_write_buffer_size() <= DEFAULT_LIMITS.max_unsent + 2 * PIECE  # type: ignore[attr-defined]
        served.pass_time(20)
        assert (first + read_all(slow)).partition(b"\r\n\r\n")[2] == BODY, "each piece that is taken gives it more time"


def test_a_client_that_reads_nothing_is_cut_at_the_deadline() -> None:
    with serving(answer) as served, served.connect() as slow:
        slow.sendall(get())
        slow.recv(10)
        served.wait_until(lambda: served.requests == 1)
        served.pass_time(DEFAULT_LIMITS.write_seconds + 1)
        received = read_all(slow)
        assert len(received) < len(BODY)
        assert b"503" not in received[-1_000:], "nothing is written into the middle of a file"


def test_a_client_that_hangs_up_lets_the_file_go() -> None:
    with serving(answer) as served:
        client = served.connect()
        client.sendall(get())
        client.recv(10)
        client.close()
        served.wait_until(lambda: not len(served.connections))
        assert not served.problems


def test_over_tls_too(tmp_path: Path) -> None:
    authority = make_authority(tmp_path, ["localhost"], ["127.0.0.1"], SystemClock().now())
    context = make_context(ListenerTls(cert_file=authority.cert, key_file=authority.key))
    with serving(answer, tls=context) as served:
        with Client(served.port, context=ssl.create_default_context(cafile=str(authority.ca))) as client:
            assert client.send(get(close=False)).body == BODY
            assert client.send(get("/small", close=False)).body == b"small"
            assert client.send(get(close=False)).body == BODY


def test_many_at_once_each_get_their_own() -> None:
    with serving(answer) as served:
        found: list[bool] = []
        threads = [threading.Thread(target=lambda: found.append(served.exchange_bytes(get(), end=False).endswith(BODY))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert found == [True] * 8


class Lines:
    """An endless body: what was laid into it, until it is closed."""

    def __init__(self) -> None:
        self.waiting = b""
        self.closed = False

    def read(self, _size: int, /) -> bytes:
        piece, self.waiting = self.waiting, b""
        return piece


def follow(lines: Lines) -> Handler:
    return lambda exchange: exchange.stream(render_head(200, ENDLESS, b"text/plain"), lines, ENDLESS)


def test_an_endless_answer_is_sent_as_it_comes_and_ends_with_the_connection() -> None:
    lines = Lines()
    with serving(follow(lines)) as served, served.connect() as client:
        client.sendall(get(close=False))
        head = client.recv(65_536)
        assert head.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
        assert head.endswith(b"\r\n\r\n")
        assert b"Content-Length" not in head
        for line in (b"one\n", b"two\n"):
            lines.waiting = line
            assert client.recv(65_536) == line
        lines.waiting, lines.closed = b"last\n", True
        assert read_all(client) == b"last\n"
        served.wait_until(lambda: not len(served.connections))
        assert not served.problems


def test_who_stops_listening_or_whose_server_ends_holds_no_connection() -> None:
    with serving(follow(Lines())) as served, served.connect() as one, served.connect() as other:
        for client in (one, other):
            client.sendall(get(close=False))
            assert client.recv(65_536)
        one.shutdown(socket.SHUT_WR)
        assert read_all(one) == b""
        assert len(served.connections) == 1, "the other one goes on"
        served.call(lambda: served.loop.create_task(served.connections.drain(5)))
        assert read_all(other) == b""
        served.wait_until(lambda: not len(served.connections))
