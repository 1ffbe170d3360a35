"""The HTTP protocol over real sockets, and its reader over every cut."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import itertools
import os
import socket
import struct
import subprocess
import sys
import time
from hashlib import sha256

import pytest
from httptools import HttpParserCallbackError
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.core.request import Peer
from strongroom.errors import InvalidRequest
from strongroom.server.connections import LAST_MOMENT
from strongroom.server.forwarded import Forwarding, parse_networks
from strongroom.server.framing import KNOWN_ONCE, Head, KnownHeads, Refusal, RequestReader
from strongroom.server.http import Exchange, HttpProtocol, ListenerInfo
from strongroom.server.limits import DEFAULT_LIMITS, Limits
from strongroom.server.messages import header, render
from strongroom.server.spool import Room
from tests.server.harness import in_memory, read_all, serving

H = b"Host: a\r\n"


def echo(exchange: Exchange) -> None:
    exchange.answer(render(200, b"%b %b %b" % (exchange.verb, exchange.target, in_memory(exchange.body))))


def get(path: bytes = b"/v1/a", extra: bytes = b"", verb: bytes = b"GET") -> bytes:
    return verb + b" " + path + b" HTTP/1.1\r\n" + H + extra + b"\r\n"


def bodies(received: bytes) -> list[bytes]:
    return [part.partition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 200 OK\r\n")[1:]]


def new_reader(max_head: int = 32_768, max_body: int = 1_000) -> RequestReader:
    return RequestReader(max_head, 100, max_body, lambda _head: Room(max_body))


def read_pieces(pieces: list[bytes]) -> list[tuple[bytes, bytes, bytes, bytes | None]]:
    reader, found = new_reader(), []
    for piece in pieces:
        if piece:
            reader.receive(piece)
        while reader.next():
            head = reader.head
            found.append((head.verb, head.target, reader.body, head.headers.get(b"x")))
    return found


# ---- framing


class Cramped(RequestReader):
    """There is no memory for a body."""

    def on_body(self, data: bytes) -> None:
        raise MemoryError


def test_a_body_that_there_is_no_memory_for_is_not_called_malformed() -> None:
    reader = Cramped(32_768, 100, 1_000, lambda _head: Room(1_000))
    reader.receive(get(verb=b"POST", extra=b"Content-Length: 3\r\n") + b"abc")
    with pytest.raises(HttpParserCallbackError) as raised:
        reader.next()
    assert isinstance(raised.value.__context__, MemoryError)


STREAM = (
    get(b"/LIST /1"[:5], verb=b"LIST")
    + get(b"/SCAN%20/2", b"X: LIST /SCAN /\r\n", verb=b"SCAN")
    + b"\r\n"
    + get(b"/3", b"Content-Length: 12\r\n", verb=b"POST")
    + b"LIST / SCAN "
    + get(b"/4", b"Transfer-Encoding: chunked\r\n", verb=b"PUT")
    + b"5\r\nLIST \r\n00c\r\n/ HTTP/1.1\r\n\r\n0\r\n\r\n"
    + get(b"/5", b"X: a\r\nX: b\r\n", verb=b"LIST")
)
EXPECTED = [
    (b"LIST", b"/LIST", b"", None),
    (b"SCAN", b"/SCAN%20/2", b"", b"LIST /SCAN /"),
    (b"POST", b"/3", b"LIST / SCAN ", None),
    (b"PUT", b"/4", b"LIST / HTTP/1.1\r\n", None),
    (b"LIST", b"/5", b"", b"a, b"),
]


def test_requests_are_the_same_at_every_cut_into_two() -> None:
    for cut in range(len(STREAM) + 1):
        assert read_pieces([STREAM[:cut], STREAM[cut:]]) == EXPECTED, cut


def test_requests_are_the_same_byte_by_byte() -> None:
    assert read_pieces([STREAM[at : at + 1] for at in range(len(STREAM))]) == EXPECTED


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_requests_are_the_same_at_any_cuts(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert read_pieces([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EXPECTED


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=20), st.sampled_from([get(), b"LIST ", b"\r\n", b"0\r\n\r\n", b"Content-Length: 3\r\n"])), max_size=8
    )
)
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    with contextlib.suppress(Refusal):
        read_pieces(pieces)


CHUNKED = b"Transfer-Encoding: chunked\r\n"
POST = b"POST / HTTP/1.1\r\n" + H
SMUGGLING = {
    "CL and TE": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "TE and CL": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "two TE": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "TE chunked, identity": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE identity": POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE empty": POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "TE with vertical tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "TE quoted": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\n" + H + CHUNKED + b"\r\n0\r\n\r\n",
    "two CL": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "two equal CL": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "CL list": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "CL signed": POST + b"Content-Length: +3\r\n\r\nabc",
    "CL negative": POST + b"Content-Length: -3\r\n\r\nabc",
    "CL hex": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "CL empty": POST + b"Content-Length:\r\n\r\nabc",
    "CL inner space": POST + b"Content-Length: 1 0\r\n\r\nabc",
    "CL overflow": POST + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "obs-fold": POST + b"X: a\r\n b\r\n\r\n",
    "folded TE": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "first line folded": b"GET / HTTP/1.1\r\n X: a\r\n" + H + b"\r\n",
    "bare LF in head": b"GET / HTTP/1.1\n" + H + b"\r\n",
    "bare LF after header": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "bare CR": POST + b"X: a\rContent-Length: 3\r\n\r\n",
    "space before colon": POST + b"Content-Length : 3\r\n\r\nabc",
    "NUL in value": POST + b"X: a\0b\r\n\r\n",
    "empty name": POST + b": a\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + H + H + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two tokens": b"GET / HTTP/1.1\r\n" + H + b"X-Vault-Token: a\r\nX-Vault-Token: a\r\n\r\n",
    "two authorizations": b"GET / HTTP/1.1\r\n" + H + b"Authorization: a\r\nauthorization: b\r\n\r\n",
    "chunk extension": POST + CHUNKED + b"\r\n1;a=b\r\nx\r\n0\r\n\r\n",
    "chunk extension at the end": POST + CHUNKED + b"\r\n1\r\nx\r\n0;a\r\n\r\n",
    "chunk size 0x": POST + CHUNKED + b"\r\n0x1\r\nx\r\n0\r\n\r\n",
    "chunk size signed": POST + CHUNKED + b"\r\n+1\r\nx\r\n0\r\n\r\n",
    "chunk size with space": POST + CHUNKED + b"\r\n1 \r\nx\r\n0\r\n\r\n",
    "chunk size huge": POST + CHUNKED + b"\r\nfffffffffffffffff1\r\nx\r\n0\r\n\r\n",
    "chunk bare LF": POST + CHUNKED + b"\r\n1\nx\r\n0\r\n\r\n",
    "chunk too long": POST + CHUNKED + b"\r\n1\r\nxy\r\n0\r\n\r\n",
    "trailers": POST + CHUNKED + b"\r\n1\r\nx\r\n0\r\nX-Vault-Token: b\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"GET / HTTP/2.0\r\n" + H + b"\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + H + b"\r\n",
    "space in path": b"GET /a b HTTP/1.1\r\n" + H + b"\r\n",
    "space after version": b"GET / HTTP/1.1 \r\n" + H + b"\r\n",
    "lower-case verb": b"get / HTTP/1.1\r\n" + H + b"\r\n",
    "raw bytes in path": b"GET /\xc3\xa9 HTTP/1.1\r\n" + H + b"\r\n",
    "RTSP": b"GET / RTSP/1.0\r\n" + H + b"\r\n",
    "upgrade": b"GET / HTTP/1.1\r\n" + H + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\n" + H + b"\r\n",
}


@pytest.mark.parametrize("form", SMUGGLING)
def test_a_smuggling_form_gets_one_refusal_and_the_end(form: str) -> None:
    with serving(echo) as served:
        received = served.exchange_bytes(SMUGGLING[form] + get(b"/smuggled"), end=False)
    statuses = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert len(statuses) == 1
    assert statuses[0].split()[1] in (b"400", b"405")
    assert b"\r\nConnection: close\r\nContent-Type: application/json\r\n" in received
    assert b'{"errors":["' in received
    assert served.requests == 0


# ---- requests and answers


def test_pipelined_requests_are_answered_in_order_one_at_a_time() -> None:
    held: list[Exchange] = []
    with serving(held.append) as served, served.connect() as client:
        client.sendall(get(b"/1") + get(b"/2") + get(b"/3"))
        for number in (1, 2, 3):
            served.wait_until(lambda: len(held) == 1)
            exchange = held.pop()
            assert exchange.target == b"/%d" % number
            served.call(lambda exchange=exchange: exchange.answer(render(200, exchange.target)))  # type: ignore[misc]
            assert client.recv(1_000).endswith(b"/%d" % number)


def test_hundreds_of_pipelined_requests_are_all_answered() -> None:
    with serving(echo) as served:
        received = served.exchange_bytes(b"".join(get(b"/%d" % number) for number in range(500)))
    assert bodies(received) == [b"GET /%d " % number for number in range(500)]


def test_head_answers_have_no_body_and_http_1_0_is_closed() -> None:
    with serving(echo) as served:
        received = served.exchange_bytes(get(verb=b"HEAD") + b"GET /x HTTP/1.0\r\n\r\n" + get(b"/never"), end=False)
    assert bodies(received) == [b"", b"GET /x "]
    assert b"Content-Length: 11\r\n\r\nHTTP/1.1" in received


def test_an_answer_to_a_closed_connection_or_given_twice_does_nothing() -> None:
    held: list[Exchange] = []
    with serving(held.append) as served:
        with served.connect() as client:
            client.sendall(get())
            served.wait_until(lambda: len(held) == 1)
            assert not held[0].gone
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        served.wait_until(lambda: len(served.connections) == 0)
        assert held[0].gone
        for _ in range(2):
            served.call(lambda: held[0].answer(render(200, b"late")))
        assert served.problems == []


def test_a_client_that_ends_its_side_still_gets_its_answer() -> None:
    held: list[Exchange] = []
    with serving(held.append) as served, served.connect() as client:
        client.sendall(get())
        client.shutdown(socket.SHUT_WR)
        served.wait_until(lambda: len(held) == 1)
        served.call(lambda: held[0].answer(render(200, b"here")))
        assert read_all(client).endswith(b"here")


def test_a_handler_that_raises_answers_500_and_the_worker_lives() -> None:
    def fail(_exchange: Exchange) -> None:
        raise ZeroDivisionError("secret-canary")

    with serving(fail) as served:
        received = served.exchange_bytes(get(), end=False)
        assert received.startswith(b"HTTP/1.1 500 ")
        assert b"canary" not in received
        assert served.exchange_bytes(get(), end=False).startswith(b"HTTP/1.1 500 ")
        assert len(served.problems) == 2


def test_a_genuine_link_is_an_unsupported_operation() -> None:
    with serving(echo) as served:
        assert served.exchange_bytes(get(verb=b"LINK")).startswith(b"HTTP/1.1 405 ")


def test_expect_100_continue_is_met_once_and_before_the_body() -> None:
    with serving(echo) as served, served.connect() as client:
        client.sendall(get(b"/e", b"Content-Length: 3\r\nExpect: 100-continue\r\n", verb=b"POST"))
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert client.recv(1_000).endswith(b"POST /e abc")
        assert served.exchange_bytes(get(b"/", b"Content-Length: 3\r\nExpect: tea\r\n", verb=b"POST")).startswith(b"HTTP/1.1 417 ")


# ---- limits


def test_a_gigabyte_is_refused_by_its_length_alone() -> None:
    with serving(echo) as served:
        received = served.exchange_bytes(
            get(b"/", b"Content-Length: 1073741824\r\nExpect: 100-continue\r\n", verb=b"PUT") + b"x" * 100_000, end=False
        )
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in received


def test_an_endless_chunked_body_is_refused_at_the_limit() -> None:
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    with serving(echo) as served, served.connect() as client:
        client.sendall(get(b"/", CHUNKED, verb=b"PUT") + chunk * 17)
        assert read_all(client).startswith(b"HTTP/1.1 413 ")


def test_many_tiny_chunks_are_refused() -> None:
    with serving(echo) as served, served.connect() as client:
        client.sendall(get(b"/", CHUNKED, verb=b"PUT") + b"1\r\nx\r\n" * 17_000)
        assert read_all(client).startswith(b"HTTP/1.1 413 ")


def measure(exchange: Exchange) -> None:
    exchange.answer(render(200, b"%d" % len(in_memory(exchange.body))))


def test_a_large_body_passes_where_the_route_says_so_and_is_counted_while_it_is_read() -> None:
    limits = DEFAULT_LIMITS._replace(large_body=lambda head: head.target == b"/large", max_held_large=1 << 20)
    body = bytes(2 << 20)
    with serving(measure, limits) as served:
        request = get(b"/large", b"Content-Length: %d\r\n" % len(body), verb=b"PUT")
        with served.connect() as first:
            first.sendall(request)
            served.wait_until(lambda: served.connections.held_large > 0)
            assert served.exchange_bytes(request, end=False).startswith(b"HTTP/1.1 503 ")
            usual = get(b"/usual", b"Content-Length: 1000000\r\nConnection: close\r\n", verb=b"PUT") + bytes(1_000_000)
            assert served.exchange_bytes(usual, end=False).endswith(b"1000000"), "it keeps nobody else from writing"
            first.sendall(body)
            assert first.recv(1_000).endswith(b"2097152")
        assert served.connections.held == served.connections.held_large == 0
        assert served.exchange_bytes(request.replace(b"/large", b"/small"), end=False).startswith(b"HTTP/1.1 413 ")


def test_a_large_body_in_chunks_is_asked_about_once_and_ends_at_the_larger_limit() -> None:
    asked: list[bytes] = []

    def larger(head: Head) -> bool:
        asked.append(head.target)
        return True

    limits = DEFAULT_LIMITS._replace(large_body=larger, max_large_body=2 << 20)
    chunk = b"10000\r\n" + bytes(65_536) + b"\r\n"
    with (
        serving(lambda exchange: exchange.answer(render(200, b"%d" % len(in_memory(exchange.body)))), limits) as served,
        served.connect() as client,
    ):
        client.sendall(get(b"/small", CHUNKED, verb=b"PUT") + chunk * 16 + b"0\r\n\r\n")
        assert client.recv(1_000).endswith(b"1048576")
        assert not asked
        client.sendall(get(b"/large", CHUNKED, verb=b"PUT") + chunk * 32 + b"0\r\n\r\n")
        assert client.recv(1_000).endswith(b"2097152")
        assert asked == [b"/large"]
        client.sendall(get(b"/larger", CHUNKED, verb=b"PUT") + chunk * 33)
        assert read_all(client).startswith(b"HTTP/1.1 413 ")


def spooled() -> tuple[Limits, list[io.BytesIO]]:
    """Limits under which bodies beyond a mebibyte go to files, and these."""
    files: list[io.BytesIO] = []

    def make() -> io.BytesIO:
        files.append(io.BytesIO())
        return files[-1]

    return DEFAULT_LIMITS._replace(upload=lambda head: make if head.target == b"/upload" else None, max_upload=8 << 20), files


def in_a_file(exchange: Exchange) -> None:
    assert not isinstance(exchange.body, bytes)
    exchange.answer(render(200, sha256(exchange.body.read()).hexdigest().encode()))


UPLOAD = bytes(range(256)) * (5 << 12)
"""5 MiB."""


@pytest.mark.parametrize("size", [0, 3_000, 65_536, 1 << 20])
def test_what_may_go_to_a_file_goes_there_as_it_comes_and_holds_no_memory(size: int) -> None:
    limits, files = spooled()
    if size:
        pieces = [UPLOAD[at : at + size] for at in range(0, len(UPLOAD), size)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        request = get(b"/upload", CHUNKED, verb=b"PUT")
    else:
        body, request = UPLOAD, get(b"/upload", b"Content-Length: %d\r\n" % len(UPLOAD), verb=b"PUT")
    with serving(in_a_file, limits) as served, served.connect() as client:
        client.sendall(request + body[: 3 << 20])
        served.wait_until(lambda: bool(files) and files[0].tell() > 2 << 20)
        assert served.connections.held <= 1 << 20
        assert served.connections.held_large == 0
        client.sendall(body[3 << 20 :])
        received = read_all(client)
        assert received.endswith(sha256(UPLOAD).hexdigest().encode())
        assert b"Connection: close" in received, "nothing but the request holds the file"
        assert len(files) == 1


def test_it_has_a_limit_too_and_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, _ = spooled()
    with serving(in_a_file, limits) as served:
        request = get(b"/upload", b"Content-Length: %d\r\n" % (9 << 20), verb=b"PUT")
        assert served.exchange_bytes(request, end=False).startswith(b"HTTP/1.1 413 ")
    with serving(in_a_file, limits._replace(upload=lambda _head: Full)) as served:
        for sent in (b"Content-Length: %d\r\n" % len(UPLOAD), CHUNKED):
            start = b"200000\r\n" if sent is CHUNKED else b""
            received = served.exchange_bytes(get(b"/upload", sent, verb=b"PUT") + start + bytes(2 << 20), end=False)
            assert received.startswith(b"HTTP/1.1 507 ")
            assert b"No space left on device" in received


class Full(io.BytesIO):
    """A file on a full disk."""

    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("head", [b"X: " + b"a" * 40_000, b"X" * 40_000, b"a:\r\n" * 101])
def test_a_head_over_its_limits_is_refused(head: bytes) -> None:
    with serving(echo) as served:
        assert served.exchange_bytes(b"GET / HTTP/1.1\r\n" + H + head + b"\r\n\r\n", end=False).startswith(b"HTTP/1.1 431 ")


def test_connections_beyond_the_limit_are_told_503() -> None:
    with serving(echo, DEFAULT_LIMITS._replace(max_connections=1)) as served, served.connect() as first:
        served.wait_until(lambda: len(served.connections) == 1)
        received = served.exchange_bytes(get(), end=False)
        assert received.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in received
        first.sendall(get())
        assert first.recv(1_000).startswith(b"HTTP/1.1 200 ")


EXHAUSTED = """
import asyncio, resource, sys, uvloop
from strongroom.clock import SystemClock
from strongroom.server.connections import Connections
from strongroom.server.http import HttpProtocol, ListenerInfo
from strongroom.server.messages import render
from strongroom.server.limits import DEFAULT_LIMITS

async def main():
    connections = Connections(SystemClock(), DEFAULT_LIMITS)
    connections.max_connections = 1_000  # as if the guard did not exist: accept itself must survive EMFILE
    answer = lambda exchange: exchange.answer(render(200, b"here"))
    make = lambda: HttpProtocol(answer, DEFAULT_LIMITS, ListenerInfo(), connections)
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
uvloop.run(main())
"""


def test_the_worker_survives_running_out_of_descriptors_and_recovers() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", EXHAUSTED], stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            crowd = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(80)]
            for client in crowd:
                client.close()
            assert ask_until_served(port).endswith(b"here")
        finally:
            process.kill()


def ask_until_served(port: int) -> bytes:
    """The connections of the crowd may take a moment to end."""
    end = time.monotonic() + 5
    received = b""
    while not received and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.sendall(get())
            received = client.recv(1_000)
    return received


# ---- deadlines


@pytest.mark.parametrize(
    ("sent", "seconds", "status"),
    [
        (b"", 300, b""),
        (b"GET / HT", 10, b"HTTP/1.1 408 "),
        (get(b"/", b"Content-Length: 9\r\n", verb=b"PUT") + b"x", 30, b"HTTP/1.1 408 "),
        (get(), 90, b"HTTP/1.1 503 "),
    ],
)
def test_every_state_has_its_deadline(sent: bytes, seconds: float, status: bytes) -> None:
    with serving(lambda _exchange: None) as served, served.connect() as client:
        served.wait_until(lambda: len(served.connections) == 1)
        client.sendall(sent)
        client.settimeout(0.1)
        served.call(lambda: None)
        served.wait_until(lambda: not sent or any(each._phase != 1 for each in served.connections._open))  # type: ignore[attr-defined]
        served.pass_time(seconds - 1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        served.pass_time(1)
        client.settimeout(5)
        assert read_all(client).startswith(status)


def test_a_dripping_head_does_not_move_its_deadline() -> None:
    with serving(echo) as served, served.connect() as client:
        for byte in get()[:8]:
            client.sendall(bytes([byte]))
            served.wait_until(lambda: len(served.connections) == 1)
            served.pass_time(1.2)
        served.pass_time(1.2)
        assert read_all(client).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_reads_nothing_is_cut_and_its_next_request_waits() -> None:
    big = render(200, bytes(16 << 20))
    with serving(lambda exchange: exchange.answer(big)) as served, served.connect() as client:
        client.sendall(get() + get())
        served.wait_until(lambda: served.requests == 1)
        served.call(lambda: None)
        served.pass_time(30)
        served.wait_until(lambda: len(served.connections) == 0)
        assert served.requests == 1


@pytest.mark.parametrize("said", [b"close", b"Close", b"keep-alive, close", b"x\t, CLOSE ,y"])
def test_whoever_asks_to_close_is_answered_and_closed_and_what_he_sends_behind_is_nothing(said: bytes) -> None:
    with serving(echo) as served:
        asking = get().replace(b"\r\n\r\n", b"\r\nConnection: " + said + b"\r\n\r\n")
        received = served.exchange_bytes(asking + get(b"/behind"), end=False)
    assert received.count(b"HTTP/1.1 200 ") == 1
    assert b"\r\nConnection: close\r\n" in received
    assert served.requests == 1


@pytest.mark.parametrize("said", [b"keep-alive", b"closed", b"not close", b"x"])
def test_any_other_word_about_the_connection_keeps_it(said: bytes) -> None:
    with serving(echo) as served:
        asking = get().replace(b"\r\n\r\n", b"\r\nConnection: " + said + b"\r\n\r\n")
        assert served.exchange_bytes(asking + get(b"/behind")).count(b"HTTP/1.1 200 ") == 2


def test_draining_closes_idle_connections_and_finishes_what_was_begun() -> None:
    held: list[Exchange] = []
    with serving(held.append) as served, served.connect() as idle, served.connect() as busy:
        idle.sendall(get())
        served.wait_until(lambda: len(held) == 1)
        served.call(lambda: held.pop().answer(render(200, b"before")))
        assert idle.recv(4_096).endswith(b"before")
        busy.sendall(get())
        served.wait_until(lambda: len(held) == 1 and len(served.connections) == 2)
        drained = asyncio.run_coroutine_threadsafe(served.connections.drain(5), served.loop)
        served.wait_until(lambda: served.connections.draining)
        served.pass_time(LAST_MOMENT)
        assert read_all(idle) == b""
        assert not drained.done()
        served.call(lambda: held[0].answer(render(200, b"done")))
        received = read_all(busy)
        assert received.endswith(b"done")
        assert b"Connection: close" in received
        drained.result(5)


def test_who_connected_just_before_the_end_is_still_answered_once() -> None:
    """He cannot know: a server that ends to make room for the next one would look broken."""
    with serving(echo) as served, served.connect() as new, served.connect() as silent:
        served.wait_until(lambda: len(served.connections) == 2)
        drained = asyncio.run_coroutine_threadsafe(served.connections.drain(5), served.loop)
        served.wait_until(lambda: served.connections.draining)
        new.sendall(get(b"/late"))
        received = read_all(new)
        assert received.endswith(b"/late ")
        assert b"Connection: close" in received
        served.pass_time(LAST_MOMENT + 1)
        assert read_all(silent) == b""
        drained.result(5)


def drained_in_use() -> bytes:
    """What a client with a connection that it keeps receives for the request that it sends just as the server begins to drain."""
    with serving(echo) as served, served.connect() as kept:
        kept.sendall(get(b"/first"))
        assert kept.recv(4_096).endswith(b"/first ")
        drained = asyncio.run_coroutine_threadsafe(served.connections.drain(5), served.loop)
        served.wait_until(lambda: served.connections.draining)
        with contextlib.suppress(ConnectionError):
            kept.sendall(get(b"/late"))
        received = b""
        with contextlib.suppress(ConnectionError):
            received = read_all(kept)
        drained.result(5)
        return received


def test_who_keeps_a_connection_is_answered_once_more_and_told_that_it_is_the_last() -> None:
    received = drained_in_use()
    assert received.endswith(b"/late ")
    assert received.count(b"HTTP/1.1 200 OK\r\nConnection: close\r\n") == 1


@pytest.mark.control
def test_control_one_that_closes_idle_connections_at_once_loses_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def drain(self: HttpProtocol) -> None:
        self._keep = self._keep_alive = False
        self._close()

    monkeypatch.setattr(HttpProtocol, "drain", drain)
    assert b"/late" not in drained_in_use()


# ---- peers

NETWORKS = parse_networks(["10.0.0.0/8", "127.0.0.1"])


@pytest.mark.parametrize(
    ("forwarding", "connection", "sent", "expected"),
    [
        (Forwarding(), "10.0.0.1", b"1.2.3.4", "10.0.0.1"),
        (Forwarding(NETWORKS), "10.0.0.1", b"9.9.9.9, 1.2.3.4", "1.2.3.4"),
        (Forwarding(NETWORKS), "::ffff:10.0.0.1", b"[2001:db8::1]:443", "2001:db8::1"),
        (Forwarding(NETWORKS, hop_skips=1), "10.0.0.1", b"9.9.9.9, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (Forwarding(NETWORKS, reject_not_authorized=False), "8.8.8.8", b"1.2.3.4", "8.8.8.8"),
        (Forwarding(NETWORKS, reject_not_authorized=False), "", b"1.2.3.4", ""),
        (Forwarding(NETWORKS, reject_not_present=False), "10.0.0.1", None, "10.0.0.1"),
        (Forwarding(NETWORKS), "8.8.8.8", b"1.2.3.4", None),
        (Forwarding(NETWORKS), "10.0.0.1", None, None),
        (Forwarding(NETWORKS, hop_skips=1), "10.0.0.1", b"1.2.3.4", None),
        (Forwarding(NETWORKS), "10.0.0.1", b"unknown", None),
        (Forwarding(NETWORKS), "10.0.0.1", b"fe80::1%<x>", None),
    ],
)
def test_forwarded_addresses_count_from_trusted_proxies_only(
    forwarding: Forwarding, connection: str, sent: bytes | None, expected: str | None
) -> None:
    if expected is None:
        with pytest.raises(InvalidRequest):
            forwarding.address(connection, sent)
    else:
        assert forwarding.address(connection, sent) == expected


def test_the_peer_is_the_forwarded_client() -> None:
    peers: list[Peer] = []

    def note(exchange: Exchange) -> None:
        peers.append(exchange.peer)
        exchange.answer(render(204, b""))

    info = ListenerInfo(forwarding=Forwarding(NETWORKS))
    with serving(note, info=info) as served:
        assert served.exchange_bytes(get(extra=b"X-Forwarded-For: 1.2.3.4\r\n")).startswith(b"HTTP/1.1 204 ")
        assert served.exchange_bytes(get()).startswith(b"HTTP/1.1 400 ")
    assert [peer.address for peer in peers] == ["1.2.3.4"]


# ---- rendering


def test_the_content_type_is_exactly_application_json() -> None:
    always = b"Cache-Control: no-store\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
    assert render(200, b"{}") == (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: 2\r\n\r\n{}" % always)
    assert render(204, b"", extra=header("X-A", "b")) == b"HTTP/1.1 204 No Content\r\n%bX-A: b\r\n\r\n" % always
    assert render(473, b"").startswith(b"HTTP/1.1 473 ")


@pytest.mark.parametrize(("name", "value"), [("X", "a\r\nY: b"), ("X", "a\0"), ("X: Y", "a"), ("X", "é")])
def test_a_header_cannot_begin_another(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        header(name, value)


# ---- known heads


def test_a_head_is_kept_when_it_comes_again_and_of_what_came_once_there_is_only_a_hash() -> None:
    heads = KnownHeads()

    def came(sent: bytes) -> bool:
        head = Head(b"GET", b"/v1/x", {}, 0)
        heads.know(sent, head)
        return head.known

    assert [came(b"often") for _ in range(3)] == [False, True, True]
    assert not any(came(b"once %d" % number) for number in range(KNOWN_ONCE - 1))
    assert len(heads) == 1
    assert not any(came(b"later %d" % number) for number in range(2 * KNOWN_ONCE))
    assert not came(b"once 0"), "what came once is forgotten by and by"
    assert b"often" in heads.young
    heads.forget()
    assert not came(b"often")
