"""Answers that nobody reads: what lies ready for all slow readers together is bounded, and who reads is served all the same."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from OpenSSL import SSL

from strongroom.clock import SystemClock
from strongroom.server.certificates import make_authority
from strongroom.server.http import Exchange
from strongroom.server.limits import DEFAULT_LIMITS, Limits
from strongroom.server.messages import render
from strongroom.server.tls import ListenerTls, make_context
from tests.server.harness import PLAIN, Served, read_all, serving
from tests.support.server import Server

MIB = 1 << 20
LARGE = b"x" * (8 * MIB)
READERS = 12
BOUND = DEFAULT_LIMITS._replace(max_unsent_together=20 * MIB)


def answer(exchange: Exchange) -> None:
    exchange.answer(render(200, LARGE if exchange.target == b"/large" else b"small"), close=exchange.target == b"/last")


def ask(target: str, close: bool = False) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n{'Connection: close' if close else 'X: y'}\r\n\r\n".encode()


@pytest.fixture(params=["plain", "tls"])
def context(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[SSL.Context | None, Callable[[socket.socket], socket.socket]]:
    if request.param == "plain":
        return None, lambda plain: plain
    authority = make_authority(tmp_path, ["localhost"], ["127.0.0.1"], SystemClock().now())
    made = make_context(ListenerTls(cert_file=authority.cert, key_file=authority.key))
    return made, lambda plain: Server.context_of(authority.ca).wrap_socket(plain, server_hostname="localhost")


def slow(served: Served, wrap: Callable[[socket.socket], socket.socket], close: bool) -> socket.socket:
    """A client that asks for a large answer and does not read it."""
    client = wrap(served.connect())
    served.clients.append(client)
    client.sendall(ask("/large", close))
    return client


@pytest.mark.parametrize("close", [False, True])
def test_slow_readers_share_one_bound(context: tuple[SSL.Context | None, Callable[[socket.socket], socket.socket]], close: bool) -> None:
    tls, wrap = context
    with serving(answer, BOUND, PLAIN, tls) as served:
        readers = [slow(served, wrap, close) for _ in range(READERS)]
        served.wait_until(lambda: served.requests == READERS and len(served.connections) < READERS)
        served.call(lambda: None)
        assert 0 < served.connections.unsent <= BOUND.max_unsent_together
        assert 1 < len(served.connections) <= 5
        with wrap(served.connect()) as other:
            other.sendall(ask("/small", close=True))
            assert read_all(other).endswith(b"small")
        for reader in readers:
            reader.close()
        served.wait_until(lambda: not len(served.connections))
        assert served.connections.unsent == 0
        assert not served.problems


def test_control_without_the_bound_all_of_it_waits() -> None:
    unbound: Limits = DEFAULT_LIMITS._replace(max_unsent_together=1 << 40)
    with serving(answer, unbound) as served:
        for _ in range(READERS):
            slow(served, lambda plain: plain, close=False)
        served.wait_until(lambda: served.requests == READERS and served.connections.unsent > 2 * BOUND.max_unsent_together)
        assert len(served.connections) == READERS


def test_who_reads_late_gets_all_of_it_and_goes_on() -> None:
    with serving(answer, BOUND) as served, served.connect() as client:
        client.sendall(ask("/large"))
        served.wait_until(lambda: served.connections.unsent > 0)
        client.sendall(ask("/small", close=True))
        received = read_all(client)
        assert received.endswith(b"small")
        assert len(received) > len(LARGE)
        served.wait_until(lambda: served.connections.unsent == 0)
