"""T21.1 over real sockets, plain and TLS; LIST and SCAN at every split; the hybrid post-quantum group on the real server."""

from __future__ import annotations

import re
import ssl

import pytest
from OpenSSL import SSL

from tests.server.test_http import SMUGGLING
from tests.support.http import raw_exchange, request, statuses
from tests.support.server import Server

SMUGGLED = b"GET /v1/sys/seal-status HTTP/1.1\r\nHost: a\r\n\r\n"


def tls_exchange(live: Server, message: bytes) -> bytes:
    received = b""
    context = live.tls_context()
    with live.client(tls=True) as client:
        made = client._connect()
        assert isinstance(made, ssl.SSLSocket)
        with made:
            made.sendall(message)
            try:
                while piece := made.recv(65_536):
                    received += piece
            except (ConnectionError, ssl.SSLError):
                pass
    assert context is not None
    return received


@pytest.mark.parametrize("form", SMUGGLING)
def test_a_smuggling_form_gets_one_refusal_and_no_second_answer(live: Server, form: str) -> None:
    message = SMUGGLING[form] + SMUGGLED
    for received in (raw_exchange(live.port, message), tls_exchange(live, message)):
        assert len(statuses(received)) == 1, received
        assert statuses(received)[0] in (400, 405)
        assert b"\r\nConnection: close\r\n" in received
        assert b"sealed" not in received, "the second request was answered"


def test_a_request_behind_a_good_one_is_answered(live: Server) -> None:
    """The control: the same second request behind one that is in order."""
    first = request(b"POST", b"/v1/sys/unseal", {"reset": True})
    received = raw_exchange(live.port, first + SMUGGLED, end=True)
    assert len(statuses(received)) == 2


def test_list_and_scan_pass_at_every_split(live: Server) -> None:
    with live.client() as client:
        client.write("secret/data/split/a", {"data": {"n": 1}})
        client.write("secret/data/split/b/c", {"data": {"n": 1}})
        for verb, keys in (("LIST", ["a", "b/"]), ("SCAN", ["a", "b/c"])):
            for path in ("secret/metadata/split", "secret/metadata/split/"):
                assert client.ask(verb, path).data["keys"] == keys
            assert client.ask("GET", f"secret/metadata/split?{verb.lower()}=true").data["keys"] == keys
        message = request(b"LIST", b"/v1/secret/metadata/split", None, {"X-Vault-Token": live.token})
        for cut in range(1, 12):
            made = client._connect()
            with made:
                made.sendall(message[:cut])
                made.sendall(message[cut:] + message[:cut])
                made.sendall(message[cut:])
                received = b""
                while received.count(b'"keys":["a","b/"]') < 2:
                    piece = made.recv(65_536)
                    assert piece
                    received += piece
        assert client.ask("LINK", "secret/metadata/split").status == 405


def test_a_client_gets_the_hybrid_post_quantum_group_from_the_real_server(live: Server) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(live.authority.ca))
    context.set_verify(SSL.VERIFY_PEER)
    with live.client() as plain:
        plain.port = live.tls_port
        socket = plain._connect()
        socket.settimeout(None)
        connection = SSL.Connection(context, socket)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        connection.do_handshake()
        assert connection.get_group_name() == "X25519MLKEM768"
        assert connection.get_protocol_version_name() == "TLSv1.3"
        connection.sendall(SMUGGLED)
        assert b"200 OK" in connection.recv(65_536)
        connection.close()
        socket.close()


def test_answers_are_never_stored_by_anybody_in_between(live: Server) -> None:
    with live.client() as client:
        for path in ("sys/health", "secret/data/none", "sys/mounts"):
            reply = client.read(path)
            assert (reply.headers["cache-control"], reply.headers["content-type"]) == ("no-store", "application/json")
        assert not [name for name in client.read("sys/mounts").headers if re.match("server|x-powered", name)]


def test_plain_http_on_a_tls_port_is_told_so(live: Server) -> None:
    received = raw_exchange(live.tls_port, SMUGGLED)
    assert statuses(received) in ([400], [])
    assert b"sealed" not in received
