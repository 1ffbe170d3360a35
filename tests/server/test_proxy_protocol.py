"""Whose PROXY headers count, before TLS and without it; and that a connection without one, or with half of one, holds nothing up."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from OpenSSL import SSL

from strongroom.errors import ConfigError
from strongroom.server.config import Listener, parse_config
from strongroom.server.connections import TICK
from strongroom.server.forwarded import parse_networks
from strongroom.server.http import Exchange
from strongroom.server.limits import DEFAULT_LIMITS
from strongroom.server.messages import render
from strongroom.server.proxy_protocol import ALLOW, ALWAYS, DENY, Trust, trust_of
from strongroom.server.tls import make_context
from tests.server.harness import Served, read_all, serving
from tests.server.test_proxy_header import BAD, V4, binary
from tests.server.test_tls import NOW, authority, client_context, listener

__all__ = ["NOW", "authority"]

GET = b"GET /v1/sys/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CLAIM = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n"
PROXY, STRANGER = "127.0.0.1", "127.0.0.3"
LISTED = parse_networks([f"{PROXY}/32"])


def tell(exchange: Exchange) -> None:
    exchange.answer(render(200, f"{exchange.peer.address} {exchange.peer.port}".encode()))


def connect(served: Served, address: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", served.port), timeout=5, source_address=(address, 0))
    served.clients.append(client)
    return client


def seen(served: Served, address: str, sent: bytes) -> str:
    """Whom the server sees; "" where it hung up."""
    with connect(served, address) as client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.sendall(sent)
        return read_all(client).partition(b"\r\n\r\n")[2].partition(b" ")[0].decode()
    return ""


@pytest.fixture(params=[ALWAYS, ALLOW, DENY], scope="module")
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Served]]:
    with serving(tell, trust=Trust(request.param, LISTED)) as running:
        yield request.param, running


def test_a_listed_proxy_says_who_its_client_is(served: tuple[str, Served]) -> None:
    for header in (CLAIM, binary(block=V4)):
        assert seen(served[1], PROXY, header + GET) == ("203.0.113.9" if header is CLAIM else "192.0.2.7")


def test_a_stranger_says_nothing_of_himself_unless_everybody_may(served: tuple[str, Served]) -> None:
    """The control is the first behaviour, where the same bytes of the same stranger are believed."""
    behaviour, running = served
    expected = {ALWAYS: "203.0.113.9", ALLOW: STRANGER, DENY: ""}
    assert seen(running, STRANGER, CLAIM + GET) == expected[behaviour]


def test_a_connection_without_a_header_is_the_proxys_own(served: tuple[str, Served]) -> None:
    behaviour, running = served
    assert seen(running, PROXY, GET) == PROXY
    assert seen(running, STRANGER, GET) == ("" if behaviour == DENY else STRANGER)
    assert seen(running, PROXY, b"PROXY UNKNOWN\r\n" + GET) == PROXY
    assert seen(running, PROXY, binary(command=0x20) + GET) == PROXY


def test_a_second_header_is_not_one(served: tuple[str, Served]) -> None:
    """What a client puts behind its proxy's header is its request, and no request begins like that."""
    with connect(served[1], PROXY) as client:
        client.sendall(CLAIM + CLAIM.replace(b"203.0.113.9", b"127.0.0.1") + GET)
        assert read_all(client).startswith(b"HTTP/1.1 405 ")


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_header_ends_the_connection_without_a_word(served: tuple[str, Served], name: str) -> None:
    assert served[1].proxied is not None
    before = served[1].requests, served[1].proxied.refused
    assert seen(served[1], PROXY, BAD[name] + GET) == ""
    assert (served[1].requests, served[1].proxied.refused) == (before[0], before[1] + 1)
    served[1].wait_until(lambda: not len(served[1].connections))


@pytest.mark.parametrize("cut", range(0, len(CLAIM), 5))
def test_a_header_may_arrive_in_pieces(served: tuple[str, Served], cut: int) -> None:
    with connect(served[1], PROXY) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (CLAIM[:cut], CLAIM[cut:], GET):
            client.sendall(piece)
        assert read_all(client).endswith(b"203.0.113.9 4711")


def test_whoever_sends_half_a_header_is_cut_like_in_a_handshake(served: tuple[str, Served]) -> None:
    running = served[1]
    for half in (b"", CLAIM[:20], binary(block=V4)[:20]):
        with connect(running, PROXY) as client:
            client.sendall(half)
            running.wait_until(lambda: len(running.connections) == 1)
            running.pass_time(DEFAULT_LIMITS.handshake_seconds - 2 * TICK)
            assert len(running.connections) == 1
            running.pass_time(2 * TICK)
            assert read_all(client) == b""
        running.wait_until(lambda: not len(running.connections))


def test_waiting_for_a_header_counts_as_a_connection() -> None:
    with serving(tell, DEFAULT_LIMITS._replace(max_connections=1), trust=Trust(ALWAYS)) as running:
        first = connect(running, PROXY)
        running.wait_until(lambda: len(running.connections) == 1)
        assert seen(running, PROXY, CLAIM + GET) == ""
        first.sendall(CLAIM + GET)
        assert read_all(first).endswith(b"203.0.113.9 4711")


def test_answers_and_pauses_go_over_the_same_transport() -> None:
    """A large answer to a slow reader: every method that the protocol above needs is there."""
    body = b"x" * (4 << 20)
    with serving(lambda exchange: exchange.answer(render(200, body)), trust=Trust(ALWAYS)) as running, connect(running, PROXY) as client:
        client.sendall(CLAIM + 3 * GET.replace(b"Connection: close\r\n", b"") + GET)
        assert read_all(client).count(b"x" * 1_024) == 4 * 4_096
        assert not running.problems


def test_the_header_stands_before_tls(authority: Path) -> None:
    with serving(tell, tls=make_context(listener(authority)), trust=Trust(ALLOW, LISTED)) as running:
        for address, expected in ((PROXY, b"203.0.113.9"), (STRANGER, STRANGER.encode())):
            plain = connect(running, address)
            plain.sendall(CLAIM)
            plain.settimeout(None)
            connection = SSL.Connection(client_context(authority), plain)
            connection.set_tlsext_host_name(b"localhost")
            connection.set_connect_state()
            connection.do_handshake()
            connection.sendall(GET)
            answer = b""
            while expected not in answer:
                answer += connection.recv(65_536)
        assert seen(running, PROXY, GET) == "Client", "told that this is a TLS server"


def test_a_header_inside_tls_is_not_one(authority: Path) -> None:
    with serving(tell, tls=make_context(listener(authority)), trust=Trust(ALWAYS)) as running:
        plain = connect(running, PROXY)
        plain.settimeout(None)
        connection = SSL.Connection(client_context(authority), plain)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        connection.do_handshake()
        connection.sendall(CLAIM + GET)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 405 ")


# --- the stanza ---


def stanza(**keys: object) -> Listener:
    return msgspec.structs.replace(Listener(), **keys)


def test_a_stanza_without_it_trusts_nobody() -> None:
    assert trust_of(Listener()) is None


@pytest.mark.parametrize("behaviour", [ALLOW, DENY])
def test_lists_are_of_addresses_and_networks(behaviour: str) -> None:
    config = parse_config(
        f'listener "tcp" {{\n proxy_protocol_behavior = "{behaviour}"\n proxy_protocol_authorized_addrs = "127.0.0.1,10.0.0.0/8"\n}}'
    )
    trust = trust_of(config.listeners[0])
    assert trust is not None
    assert [trust.trusts(address) for address in (PROXY, "10.9.9.9", "::ffff:10.9.9.9", STRANGER, "")] == [True, True, True, False, False]
    assert trust.admits(STRANGER) == (behaviour == ALLOW)


@pytest.mark.parametrize(
    "keys",
    [
        {"proxy_protocol_behavior": "sometimes"},
        {"proxy_protocol_behavior": ALLOW},
        {"proxy_protocol_behavior": DENY},
        {"proxy_protocol_behavior": ALLOW, "proxy_protocol_authorized_addrs": ("proxy.example.com",)},
        {"proxy_protocol_behavior": ALLOW, "proxy_protocol_authorized_addrs": ("10.0.0.0/8",), "kind": "unix"},
        {"proxy_protocol_authorized_addrs": ("10.0.0.0/8",)},
    ],
)
def test_a_stanza_that_says_half_is_an_error(keys: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="proxy_protocol"):
        trust_of(stanza(**keys))
