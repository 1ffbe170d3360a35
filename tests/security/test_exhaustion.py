"""T15 and F14–F17: clients that send too much, too deep, too slow or nothing at all, while a good client goes on being answered."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.http import Client, request, statuses
from tests.support.server import Server, serving

MIB = 1 << 20
LONG = os.environ.get("STRONGROOM_TEST_PROFILE", "ci") == "long"
ATTACKERS, BODIES = 50, 500
GROWTH = 64 * MIB
LOOSE = ("-m", "tests.support.loose_server")

HOSTILE: dict[str, bytes] = {
    "many empty objects": b"[" + b"{}," * 300_000 + b"{}]",
    "many members": b"{" + b",".join(b'"%d":0' % number for number in range(80_000)) + b"}",
    "deep lists": b"[" * 500_000 + b"]" * 500_000,
    "deep objects": b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
    "unclosed": b"[" * 1_000_000,
    "a long number": b'{"a":' + b"9" * 1_000_000 + b"}",
    "a large exponent": b'{"a":1e999999999}',
    "a long name": b'{"' + b"k" * 1_000_000 + b'":1}',
    "the same name": b'{"a":1' + b',"a":1' * 100_000 + b"}",
    "many strings": b'{"a":[' + b'"x",' * 250_000 + b'"x"]}',
    "many escapes": b'{"a":"' + b"\\u0041" * 150_000 + b'"',
    "a lone surrogate": b'{"a":"\\ud800"}',
    "NaN": b'{"a":NaN}',
    "bad UTF-8": b'{"a":"' + b"\xff" * 1_000_000 + b'"}',
    "two megabytes": b'{"a":"' + b"x" * 2 * MIB + b'"}',
}


class Good(threading.Thread):
    """A client that reads and writes all the while and notes how long it waits."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.client = server.client()
        self.stopping = threading.Event()
        self.waits: list[float] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        number = 0
        while not self.stopping.wait(0.002):
            began, number = time.monotonic(), number + 1
            try:
                reply = self.client.read("secret/data/good")
                if number % 10 == 0:
                    reply = self.client.write("secret/data/good", {"data": {"n": 1}})
            except ConnectionError as error:
                self.wrong.append(str(error))
                continue
            if reply.status != 200:
                self.wrong.append(f"{reply.status} {reply.text}")
            self.waits.append(time.monotonic() - began)

    def slowest(self, share: float = 0.99) -> float:
        return sorted(self.waits)[int(len(self.waits) * share)]


@contextmanager
def good_client(server: Server) -> Iterator[Good]:
    """Runs beside the attack and must not notice it."""
    with server.client() as client:
        assert client.write("secret/data/good", {"data": {"n": 0}}).status == 200
    good = Good(server)
    good.start()
    try:
        yield good
    finally:
        good.stopping.set()
        good.join()
    assert not good.wrong, good.wrong[:5]
    assert len(good.waits) > 5
    assert good.slowest() < 2.0


def together(count: int, job: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=job, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def descriptors() -> int:
    """Allow this process, and the server that it starts, as many open files as the system lets it; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 20_000 if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own, with deadlines short enough to see them pass."""
    limits = 'http_read_header_timeout = "2s" http_read_timeout = "3s" http_idle_timeout = "3s" http_write_timeout = "2s"'
    descriptors()
    lines = limits.replace(" http_", "\n  http_")
    with serving(tmp_path_factory.mktemp("hostile"), listener=lines) as (made, _):
        yield made


# -- T15.1, T15.2, F17 ----------------------------------------------------------------------------------------------------


@pytest.mark.fault("F17")
@pytest.mark.parametrize("kind", HOSTILE)
def test_each_hostile_body_is_refused_at_once(server: Server, kind: str) -> None:
    with server.client() as client:
        for token in (server.token, ""):
            began = time.monotonic()
            reply = client.write("secret/data/hostile", HOSTILE[kind], token=token)
            took = time.monotonic() - began
            assert reply.status in (400, 413), reply.text
            assert len(reply.body) < 400
            assert took < 1.0


@pytest.mark.fault("F17")
def test_five_hundred_hostile_bodies_on_fifty_connections_cost_little(server: Server) -> None:
    answers: list[int] = []
    bodies = list(HOSTILE.values())

    def attack(number: int) -> None:
        for turn in range(BODIES // ATTACKERS):
            with Client(server.port) as client, contextlib.suppress(ConnectionError):
                answers.append(client.write("secret/data/x", bodies[(number + turn) % len(bodies)]).status)

    together(4, attack)
    before = server.peak()
    with good_client(server):
        together(ATTACKERS, attack)
    assert len(answers) > BODIES * 0.9
    assert set(answers) <= {400, 403, 413}, "no 5xx"
    assert server.peak() - before <= GROWTH


@pytest.mark.control
@pytest.mark.fault("F17")
def test_without_limits_before_parsing_one_body_costs_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: 6 MiB of empty objects, taken and parsed."""
    monkeypatch.setenv("LOOSE", "parsing")
    with serving(tmp_path, entry=LOOSE, listener="max_request_size = 16777216") as (server, client):
        before = server.peak()
        client.write("secret/data/x", b'{"data":[' + b"{}," * 2_000_000 + b"{}]}")
        assert server.peak() - before > GROWTH


# -- F16 ------------------------------------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """What a server made of a body without end."""

    answer: bytes
    took: float
    size: int
    growth: int


def send_on(server: Server, head: bytes, piece: bytes, most: int, seconds: float = 10.0) -> Sent:
    """Send a head, and then the same piece over and over until the server has enough, or `most` bytes are out, or time is up."""
    before, began, size = server.resident(), time.monotonic(), 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as client:
        client.sendall(b"POST /v1/secret/data/x HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError, TimeoutError):
            while size < most and time.monotonic() - began < seconds:
                client.sendall(piece)
                size += len(piece)
        took, growth = time.monotonic() - began, server.resident() - before
        client.settimeout(0.5)
        with contextlib.suppress(OSError):
            return Sent(client.recv(4_096), took, size, growth)
    return Sent(b"", took, size, growth)


GIGABYTE, ENDLESS = b"Content-Length: 1073741824", b"Transfer-Encoding: chunked"
PIECE = b"x" * 65_536
CHUNK = b"10000\r\n" + PIECE + b"\r\n"


@pytest.mark.fault("F16")
def test_a_gigabyte_is_refused_by_its_length(server: Server) -> None:
    sent = send_on(server, GIGABYTE, PIECE, len(PIECE))
    assert statuses(sent.answer) == [413]
    assert sent.took < 1.0
    assert sent.growth < GROWTH


@pytest.mark.fault("F16")
def test_an_endless_body_in_chunks_is_cut(server: Server) -> None:
    sent = send_on(server, ENDLESS, CHUNK, 1 << 40)
    assert sent.took < 4, "it is refused, and after a second of grace cut"
    assert sent.size > MIB
    assert sent.growth < GROWTH


@pytest.mark.control
@pytest.mark.fault("F16")
@pytest.mark.parametrize(("head", "piece"), [(GIGABYTE, PIECE), (ENDLESS, CHUNK)])
def test_control_a_server_without_bounds_keeps_what_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, piece: bytes
) -> None:
    monkeypatch.setenv("LOOSE", "bounds")
    with serving(tmp_path, entry=LOOSE) as (server, _):
        sent = send_on(server, head, piece, 3 * GROWTH)
        assert sent.growth > GROWTH
        assert sent.answer == b"", "and waits for more"


# -- F14 ------------------------------------------------------------------------------------------------------------------


def dripping(server: Server, first: bytes, drip: bytes, count: int) -> tuple[list[socket.socket], float]:
    """Open many connections, send a little on each now and then; how long until all were closed."""
    sockets = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        client.sendall(first)
        client.setblocking(False)
        sockets.append(client)
    began, waiting = time.monotonic(), list(sockets)
    while waiting and time.monotonic() - began < 20:
        time.sleep(0.25)
        waiting = [client for client in waiting if not _ended(client, drip)]
    took = time.monotonic() - began
    for client in sockets:
        client.close()
    return waiting, took


def _ended(client: socket.socket, drip: bytes) -> bool:
    try:
        if client.recv(65_536) == b"":
            return True
    except BlockingIOError:
        pass
    except ConnectionError:
        return True
    try:
        client.send(drip)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return False


SLOW = {
    "a head that never ends": (b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n", b"X-A: b\r\n"),
    "a body that never ends": (b"POST /v1/sys/unseal HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n{", b" "),
}


@pytest.mark.fault("F14")
@pytest.mark.parametrize("how", SLOW)
def test_slow_clients_are_cut_and_others_do_not_notice(server: Server, how: str) -> None:
    with good_client(server):
        left, took = dripping(server, *SLOW[how], count=500 if LONG else 150)
    assert left == []
    assert took < 8


@pytest.mark.control
@pytest.mark.fault("F14")
def test_without_a_deadline_a_dripping_connection_stands(live: Server) -> None:
    """The negative control: on a server with the usual ten seconds it is still there after three."""
    first, drip = SLOW["a head that never ends"]
    with socket.create_connection(("127.0.0.1", live.port), timeout=10) as client:
        client.sendall(first)
        client.setblocking(False)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert not _ended(client, drip)
            time.sleep(0.25)


@pytest.mark.fault("F14")
def test_a_client_that_does_not_read_is_cut(server: Server) -> None:
    with server.client() as root:
        assert root.write("secret/data/large", {"data": {"text": "x" * 500_000}}).status == 200
    before = server.resident()
    wanted = request(b"GET", b"/v1/secret/data/large", None, {"X-Vault-Token": server.token})
    with good_client(server):
        sockets = []
        for _ in range(60 if LONG else 30):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", server.port))
            client.sendall(wanted * 20)
            sockets.append(client)
        time.sleep(3)
        assert server.resident() - before < GROWTH
        for client in sockets:
            client.settimeout(5)
            received = 0
            with contextlib.suppress(ConnectionError):
                while piece := client.recv(1 << 20):
                    received += len(piece)
            assert received < 20 * 500_000, "it was not sent everything"
            client.close()


# -- F15 ------------------------------------------------------------------------------------------------------------------


ROOM = 300 * MIB // 9_000
"""Bytes that a connection may cost which says nothing, and `GIVEN`, what any number of them may."""
GIVEN = 16 * MIB


@contextmanager
def idle(server: Server, count: int) -> Iterator[tuple[list[socket.socket], int]]:
    """Connections that say nothing, and by how much the server has grown since."""
    before, sockets = server.resident(), []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sockets.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)))
        with server.client() as last:  # the server takes connections in turn: once this one is answered, it has taken all of them
            assert last.read("sys/health").status == 200
        yield sockets, server.resident() - before


def still_open(sockets: list[socket.socket], seconds: float) -> int:
    """How many of them the server has not closed by then."""
    left, end = 0, time.monotonic() + seconds
    for client in sockets:
        client.settimeout(max(0.001, end - time.monotonic()))
        try:
            assert client.recv(1) == b""
        except ConnectionError:
            pass
        except TimeoutError:
            left += 1
    return left


@pytest.mark.fault("F15")
def test_idle_connections_cost_little_and_are_closed(server: Server) -> None:
    count = min(9_000 if LONG else 1_000, descriptors() - 200)
    with good_client(server), idle(server, count) as (sockets, growth):
        assert growth < ROOM * count + GIVEN
        assert still_open(sockets, 15) == 0


@pytest.mark.control
@pytest.mark.fault("F15")
def test_control_connections_that_take_their_room_at_once_cost_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOSE", "costly")
    count = min(300, descriptors() - 200)
    with serving(tmp_path, entry=LOOSE) as (server, _), idle(server, count) as (_, growth):
        assert growth > ROOM * count + GIVEN


@pytest.mark.control
@pytest.mark.fault("F15")
def test_control_without_a_short_deadline_idle_connections_stand(live: Server) -> None:
    with idle(live, 10) as (sockets, _):
        assert still_open(sockets, 5) == 10


# -- T15.3 ----------------------------------------------------------------------------------------------------------------


def test_the_server_that_went_through_all_of_this_is_the_same_process(server: Server) -> None:
    assert server.running
    with server.client() as client:
        assert client.read("sys/health").status == 200
        assert client.read("secret/data/good").status == 200
    assert "unexpected exception" not in server.output()
    assert "Traceback" not in server.output()
