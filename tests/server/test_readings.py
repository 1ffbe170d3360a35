"""The numbers of a real server move with what it does, and none of them names anybody."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from tests.support.http import Client
from tests.support.server import Server, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Client]]:
    with serving(tmp_path_factory.mktemp("readings")) as pair:
        yield pair


def numbers(client: Client) -> dict[str, float]:
    lines = client.read("sys/metrics?format=prometheus").text.splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}


def shake_hands(port: int, groups: bytes) -> None:
    """With the OpenSSL of the wheel, which knows the hybrid group whatever Python was built with."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    assert SSL._lib.SSL_CTX_set1_curves_list(context._context, groups) == 1  # type: ignore[attr-defined]
    connection = SSL.Connection(context, socket.create_connection(("127.0.0.1", port), timeout=5))
    connection.set_connect_state()
    connection.setblocking(1)
    connection.do_handshake()
    connection.send(b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(4_096).startswith(b"HTTP/1.1 200 ")
    connection.close()


def test_writes_are_counted(served: tuple[Server, Client]) -> None:
    _, root = served
    before = numbers(root)
    assert root.write("secret/data/one", {"data": {"n": 1}}).status == 200
    after = numbers(root)
    assert after["vault_core_handle_request_count"] == before["vault_core_handle_request_count"] + 2
    assert after["strongroom_commit_groups_total"] == before["strongroom_commit_groups_total"] + 1
    assert after["vault_barrier_put_count"] > before["vault_barrier_put_count"]
    assert after["strongroom_store_rows"] > before["strongroom_store_rows"]
    assert after["vault_core_unsealed"] == after["strongroom_audit_devices"] == 1


def test_the_share_of_post_quantum_handshakes_can_be_told(served: tuple[Server, Client]) -> None:
    server, root = served
    before = numbers(root)
    shake_hands(server.tls_port, b"X25519MLKEM768")
    shake_hands(server.tls_port, b"X25519")
    with socket.create_connection(("127.0.0.1", server.tls_port), timeout=5) as client:
        client.sendall(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00")  # a ServerHello, from a client
        client.recv(100)
    after = numbers(root)
    moved = {
        name: after[f"strongroom_tls_handshakes{name}_total"] - before[f"strongroom_tls_handshakes{name}_total"]
        for name in ("", "_post_quantum", "_failed")
    }
    assert moved == {"": 2, "_post_quantum": 1, "_failed": 1}


def test_no_number_has_a_label(served: tuple[Server, Client]) -> None:
    _, root = served
    assert "{" not in root.read("sys/metrics?format=prometheus").text
