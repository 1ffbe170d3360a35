"""TLS on a real socket, with OpenSSL's own client on the other end."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from OpenSSL import SSL

from strongroom.clock import SECOND, SystemClock
from strongroom.errors import ConfigError
from strongroom.server.certificates import files, make_authority, renew_if_due
from strongroom.server.http import Exchange, ListenerInfo
from strongroom.server.messages import render
from strongroom.server.tls import ListenerTls, make_context
from tests.server.harness import Served, in_memory, serving

OPENSSL = SSL._lib  # type: ignore[attr-defined]
NOW = SystemClock().now()
GET = b"GET /v1/sys/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls")
    make_authority(directory, ["localhost"], ["127.0.0.1"], NOW)
    return directory


def listener(directory: Path, **options: object) -> ListenerTls:
    paths = files(directory)
    return ListenerTls(paths.cert, paths.key, **options)  # type: ignore[arg-type]


def client_context(directory: Path, certificate: bool = False) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(files(directory).ca))
    context.set_verify(SSL.VERIFY_PEER)
    if certificate:
        context.use_certificate_chain_file(str(files(directory).cert))
        context.use_privatekey_file(str(files(directory).key))
    return context


def connect(served: Served, context: SSL.Context, session: SSL.Session | None = None) -> SSL.Connection:
    plain = served.connect()
    plain.settimeout(None)
    connection = SSL.Connection(context, plain)
    if session is not None:
        connection.set_session(session)
    connection.set_tlsext_host_name(b"localhost")
    connection.set_connect_state()
    connection.do_handshake()
    return connection


def ask(connection: SSL.Connection, request: bytes = GET) -> bytes:
    connection.sendall(request)
    return read_answer(connection)


def read_answer(connection: SSL.Connection) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65_536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return body


def describe(exchange: Exchange) -> None:
    leaf = exchange.peer.leaf
    exchange.answer(render(200, b"%d %d" % (len(exchange.peer.chain), len(leaf or b""))))


def test_a_modern_client_gets_the_hybrid_post_quantum_group(authority: Path) -> None:
    with serving(describe, tls=make_context(listener(authority)), info=ListenerInfo(tls=True)) as served:
        connection = connect(served, client_context(authority))
        assert connection.get_group_name() == "X25519MLKEM768"
        assert connection.get_protocol_version_name() == "TLSv1.3"
        assert ask(connection) == b"0 0"


def test_a_client_without_the_hybrid_group_is_served_with_x25519(authority: Path) -> None:
    context = client_context(authority)
    OPENSSL.SSL_CTX_set1_curves_list(context._context, b"X25519")
    with serving(describe, tls=make_context(listener(authority))) as served:
        assert connect(served, context).get_group_name() == "x25519"


def test_the_newest_version_can_be_bounded(authority: Path) -> None:
    with serving(describe, tls=make_context(listener(authority, max_version="tls12"))) as served:
        assert connect(served, client_context(authority)).get_protocol_version_name() == "TLSv1.2"


@pytest.mark.parametrize("version", [SSL.TLS1_VERSION, SSL.TLS1_1_VERSION])
def test_old_versions_are_refused(authority: Path, version: int) -> None:
    context = client_context(authority)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    with serving(describe, tls=make_context(listener(authority))) as served, pytest.raises(SSL.Error):
        connect(served, context)


def test_tls12_is_served_with_forward_secrecy_and_aead_only(authority: Path) -> None:
    context = client_context(authority)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    with serving(describe, tls=make_context(listener(authority))) as served:
        name = connect(served, context).get_cipher_name()
        assert name is not None
        assert name.startswith("ECDHE-")
        assert "GCM" in name or "CHACHA20" in name
        cbc = client_context(authority)
        cbc.set_max_proto_version(SSL.TLS1_2_VERSION)
        cbc.set_cipher_list(b"AES128-SHA:ECDHE-ECDSA-AES128-SHA")
        with pytest.raises(SSL.Error):
            connect(served, cbc)


def test_a_client_certificate_reaches_the_peer_unjudged_leaf_first(authority: Path) -> None:
    with serving(describe, tls=make_context(listener(authority))) as served:
        count, length = ask(connect(served, client_context(authority, certificate=True))).split()
        assert count == b"2"
        assert int(length) > 300


def test_a_listener_that_asks_for_certificates_never_resumes(authority: Path) -> None:
    for version, resumes in (("asks", False), ("does not ask", True)):
        tls = make_context(listener(authority, disable_client_certs=resumes))
        with serving(describe, tls=tls) as served:
            context = client_context(authority, certificate=True)
            first = connect(served, context)
            ask(first)
            session = first.get_session()
            second = connect(served, context, session)
            ask(second)
            assert bool(OPENSSL.SSL_session_reused(second._ssl)) is resumes, version


def test_a_verifying_listener_refuses_strangers_in_the_handshake(authority: Path, tmp_path: Path) -> None:
    make_authority(tmp_path, ["stranger"], [], NOW)
    tls = make_context(listener(authority, require_and_verify_client_cert=True, client_ca_file=files(tmp_path).ca))
    with serving(describe, tls=tls) as served:
        for certificate in (False, True):
            with pytest.raises(SSL.Error):
                ask(connect(served, client_context(authority, certificate)))


def test_large_bodies_and_answers_pass(authority: Path) -> None:
    def echo(exchange: Exchange) -> None:
        exchange.answer(render(200, in_memory(exchange.body) * 4))

    body = bytes(range(256)) * 2_000
    with serving(echo, tls=make_context(listener(authority))) as served:
        connection = connect(served, client_context(authority))
        assert ask(connection, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) == body * 4
        assert ask(connection) == b""


def test_an_end_without_close_notify_drops_the_partial_request_and_the_connection(authority: Path) -> None:
    with serving(describe, tls=make_context(listener(authority))) as served:
        connection = connect(served, client_context(authority))
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        connection.sock_shutdown(socket.SHUT_WR)
        with pytest.raises(SSL.Error):
            while True:
                connection.recv(100)
        assert served.requests == 0


def test_a_client_speaking_plain_http_is_told_so(authority: Path) -> None:
    with serving(describe, tls=make_context(listener(authority))) as served:
        assert b"400 Bad Request" in served.exchange_bytes(GET)
        assert b"HTTP request to an HTTPS server" in served.exchange_bytes(GET)


def test_a_handshake_that_does_not_end_is_cut(authority: Path) -> None:
    with serving(describe, tls=make_context(listener(authority))) as served:
        with served.connect() as client:
            client.sendall(b"\x16\x03\x01\x02\x00")
            served.wait_until(lambda: len(served.connections) == 1)
            served.pass_time(10)
            assert client.recv(1) == b""


def test_an_endless_handshake_is_cut(authority: Path) -> None:
    with serving(describe, tls=make_context(listener(authority))) as served:
        with served.connect() as client, pytest.raises(OSError):
            for _ in range(100):
                client.sendall(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16_379))
            while client.recv(100):
                pass
            raise ConnectionResetError


def test_configuration_mistakes_name_the_key(authority: Path, tmp_path: Path) -> None:
    make_authority(tmp_path, ["other"], [], NOW)
    with pytest.raises(ConfigError, match=r"tls_cert_file .* cannot be read: No such file"):
        make_context(ListenerTls(tmp_path / "none.pem", files(authority).key))
    with pytest.raises(ConfigError, match="tls_key_file"):
        make_context(ListenerTls(files(authority).cert, files(tmp_path).key))
    with pytest.raises(ConfigError, match="tls_min_version"):
        make_context(listener(authority, min_version="tls10"))
    with pytest.raises(ConfigError, match="tls_max_version"):
        make_context(listener(authority, min_version="tls13", max_version="tls12"))
    with pytest.raises(ConfigError, match="tls_client_ca_file"):
        make_context(listener(authority, client_ca_file=tmp_path / "none.pem"))


def test_the_server_certificate_is_renewed_30_days_before_its_end_by_the_same_authority(tmp_path: Path) -> None:
    paths = make_authority(tmp_path, ["localhost"], ["127.0.0.1"], NOW)
    ca, cert = paths.ca.read_bytes(), paths.cert.read_bytes()
    day = 86_400 * SECOND
    assert not renew_if_due(tmp_path, NOW + 59 * day)
    assert renew_if_due(tmp_path, NOW + 61 * day)
    assert paths.ca.read_bytes() == ca
    assert paths.cert.read_bytes() != cert
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in paths)
