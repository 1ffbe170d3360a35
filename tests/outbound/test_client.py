"""HTTP to other hosts: TLS that verifies, one deadline, bounded answers, and nothing sent that was not meant to be."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidRequest
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from strongroom.outbound.errors import BadAnswer, OutboundError, Refused, Unreachable
from strongroom.outbound.tls import ClientCertificate, tls_context
from strongroom.outbound.url import parse_url
from strongroom.outbound.wire import Answer, written
from tests.support.elsewhere import Answered, Elsewhere, elsewhere

OUT = Outbound()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with elsewhere(tmp_path_factory.mktemp("elsewhere"), lambda asked: Answered(200, {"path": asked.path})) as made:
        yield made


def ask(host: Elsewhere, path: str = "/", method: str = "GET", **options: object) -> Answer:
    settings = {"reach": Reach.CONFIGURED, "ca_pem": host.ca_pem, "timeout": 5.0, **options}
    return OUT.request(method, host.url + path, **settings)  # type: ignore[arg-type]


class Said(msgspec.Struct):
    path: str


# -- what is sent ---------------------------------------------------------------------------------------------------


def test_a_request_and_its_answer(host: Elsewhere) -> None:
    answer = ask(host, "/a?b=c", "POST", headers={"Authorization": "Bearer x"}, body=b'{"a":1}')
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json(Said).path == "/a"
    asked = host.asked[-1]
    assert (asked.method, asked.query, asked.body) == ("POST", {"b": "c"}, b'{"a":1}')
    assert asked.headers == {
        "host": f"localhost:{host.port}",
        "connection": "close",
        "accept-encoding": "identity",
        "content-length": "7",
        "user-agent": "strongroom",
        "authorization": "Bearer x",
    }


def test_a_request_may_be_signed_for_another_name_than_the_one_that_is_dialled(host: Elsewhere) -> None:
    assert ask(host, authority="sts.amazonaws.com").status == 200
    assert host.asked[-1].headers["host"] == "sts.amazonaws.com"
    for bad in ("a b", "a\r\nx: y", "user@a", "a/b", "a?b", "a#b", "a:443", "a:0", ".", "127.1"):
        with pytest.raises(InvalidRequest):
            ask(host, authority=bad)


def test_the_environment_has_no_say(host: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(host).status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nhost: evil"), ("x", "a\nb"), ("x", "a\rb"), ("x", "a\x00b"), ("x", " a"), ("x", "a "), ("x", "é"), ("x", "a\r\n b"),
        ("x\r\ny", "a"), ("x:", "a"), ("x y", "a"), ("", "a"), ("Host", "evil"), ("Content-Length", "0"), ("Transfer-Encoding", "chunked"),
        ("connection", "keep-alive"), ("Expect", "100-continue"), ("Upgrade", "h2c"),
    ],
)  # fmt: skip
def test_no_header_begins_another_line_or_another_message(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest):
        written("GET", parse_url("https://example.com/"), {name: value}, b"")


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_written_request_has_as_many_lines_as_headers(name: str, value: str) -> None:
    try:
        request = written("GET", parse_url("https://example.com/"), {name: value}, b"")
    except InvalidRequest:
        return
    assert request.count(b"\r\n") == request.count(b"\n") == request.count(b"\r") == 6


@pytest.mark.parametrize("method", ["get", "GET /evil HTTP/1.1\r\nx:", "", "G T"])
def test_a_method_is_a_word(method: str) -> None:
    with pytest.raises(InvalidRequest):
        written(method, parse_url("https://example.com/"), {}, b"")


# -- where to -------------------------------------------------------------------------------------------------------


def test_the_narrow_reach_is_the_default(host: Elsewhere) -> None:
    count = len(host.asked)
    with pytest.raises(Refused):
        OUT.request("GET", host.url, ca_pem=host.ca_pem)
    assert len(host.asked) == count


def test_a_redirect_is_an_answer_and_is_not_followed(tmp_path: Path) -> None:
    with elsewhere(tmp_path, lambda _asked: Answered(302, {}, {"location": "https://169.254.169.254/"})) as made:
        answer = ask(made, headers={"authorization": "x"})
        assert (answer.status, answer.headers["location"]) == (302, "https://169.254.169.254/")
        assert len(made.asked) == 1


def test_plain_http_only_when_said() -> None:
    with elsewhere(None, lambda _asked: Answered(200, {"path": "/"})) as made:
        with pytest.raises(InvalidRequest):
            ask(made)
        assert ask(made, plaintext=True).status == 200


# -- who is there ---------------------------------------------------------------------------------------------------


def test_a_host_without_a_trusted_certificate_is_told_nothing(host: Elsewhere, tmp_path: Path) -> None:
    count = len(host.asked)
    with elsewhere(tmp_path, lambda _asked: Answered()) as other:
        for roots in ("", other.ca_pem):
            with pytest.raises(Unreachable, match="localhost: its certificate is not trusted"):
                ask(host, ca_pem=roots, body=b"secret", method="POST")
    assert len(host.asked) == count


def test_a_certificate_for_another_name_is_not_trusted(tmp_path: Path) -> None:
    """The address is right, the name is not: a name that leads to somebody else's host gets nothing."""
    with elsewhere(tmp_path, lambda _asked: Answered()) as made:
        out = Outbound(Dialer(resolve=lambda _host, _timeout: ["127.0.0.1"]))
        with pytest.raises(Unreachable, match="not trusted"):
            out.request("GET", f"https://other.example:{made.port}/", reach=Reach.CONFIGURED, ca_pem=made.ca_pem)
        assert out.request("GET", f"https://localhost:{made.port}/", reach=Reach.CONFIGURED, ca_pem=made.ca_pem).status == 200


def test_roots_that_are_none_are_named() -> None:
    for pem in ("nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        with pytest.raises(InvalidRequest, match="CA certificates"):
            tls_context(pem)


def test_every_context_verifies(host: Elsewhere) -> None:
    for context in (tls_context(), tls_context(host.ca_pem)):
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_the_server_shows_its_own_certificate(tmp_path: Path) -> None:
    """A host that wants a client certificate gets it, from memory: no key file is left, and a wrong pair is an error."""
    with elsewhere(tmp_path, lambda _asked: Answered()) as made:
        chain, key = (tmp_path / "server.pem").read_text(), (tmp_path / "server-key.pem").read_text()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server-key.pem")
        context.load_verify_locations(cadata=made.ca_pem)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags = ssl.VerifyFlags.VERIFY_DEFAULT
        seen: list[object] = []
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve() -> None:
                try:
                    with context.wrap_socket(listening.accept()[0], server_side=True) as connection:
                        seen.append(connection.getpeercert(binary_form=True))
                        connection.recv(1_000)
                        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                except ssl.SSLError as error:
                    seen.append(error)

            for certificate in (ClientCertificate(chain, key), None):
                thread = threading.Thread(target=serve)
                thread.start()
                url = f"https://localhost:{listening.getsockname()[1]}/"
                try:
                    status = OUT.request("GET", url, reach=Reach.CONFIGURED, ca_pem=made.ca_pem, certificate=certificate).status
                except Unreachable:
                    status = 0
                thread.join(10)
                seen.append(status)
        # the test certificate is one for servers, so what counts is that it arrived
        assert seen[0] is not None
        assert isinstance(seen[2], ssl.SSLError)
        assert seen[3] == 0
    with pytest.raises(InvalidRequest, match="client certificate"):
        tls_context("", ClientCertificate(chain, "nonsense"))
    assert key not in repr(ClientCertificate(chain, key))


# -- what comes back ------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
BAD = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "cut in the head": HEAD + b"content-le",
    "cut in the body": HEAD + b"content-length: 10\r\n\r\nabc",
    "too long": HEAD + b"content-length: 2000\r\n\r\n" + b"a" * 2_000,
    "too long without length": HEAD + b"\r\n" + b"a" * 2_000,
    "too long in chunks": HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"a" * 1_000 + b"\r\n1\r\na\r\n0\r\n\r\n",
    "a chunk cut": HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nabc",
    "a chunk without end": HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n",
    "a chunk of no size": HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\nabcde\r\n0\r\n\r\n",
    "a long line": HEAD + b"x: " + b"a" * 70_000 + b"\r\n\r\n",
    "many headers": HEAD + b"x: y\r\n" * 200 + b"\r\n",
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
    "endless trailers": HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 20_000,
    "a status of letters": b"HTTP/1.1 two OK\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_an_answer_that_is_none_is_an_error(tmp_path: Path, name: str) -> None:
    with elsewhere(tmp_path, lambda _asked: BAD[name]) as made, pytest.raises((BadAnswer, Unreachable)) as failed:
        ask(made, limit=1_000)
    assert "aaa" not in str(failed.value)


@pytest.mark.parametrize("head", [b"content-length: 1000\r\n\r\n", b"\r\n"])
def test_an_answer_at_its_limit_is_taken(tmp_path: Path, head: bytes) -> None:
    """The control of the test above."""
    with elsewhere(tmp_path, lambda _asked: HEAD + head + b"a" * 1_000) as made:
        assert len(ask(made, limit=1_000).body) == 1_000


def test_an_answer_that_was_cut_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    with elsewhere(tmp_path, lambda _asked: HEAD + b"\r\n{}") as made:
        assert ask(made).body == b"{}"
        made.says_goodbye = False
        with pytest.raises(Unreachable):
            ask(made)


def test_chunks_and_trailers_are_taken(tmp_path: Path) -> None:
    body = b"3e8\r\n" + b"a" * 1_000 + b"\r\n0\r\nx: y\r\n\r\n"
    with elsewhere(tmp_path, lambda _asked: HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body) as made:
        assert ask(made, limit=1_000).body == b"a" * 1_000


def test_an_answer_that_is_no_json_of_that_form_is_not_quoted() -> None:
    for body in (b"secret", b'{"path": ["secret"]}', b"\xff", b"[" * 5_000):
        answer = Answer("example.com", 200, {}, body)
        with pytest.raises(BadAnswer, match=r"example\.com") as bad:
            answer.json(Said)
        assert "secret" not in str(bad.value)
        assert "secret" not in repr(answer)


def test_a_byte_now_and_then_does_not_stretch_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection = listening.accept()[0]
            with connection:
                for byte in HEAD + b"x: " + b"y" * 500:
                    try:
                        connection.sendall(bytes((byte,)))
                    except OSError:
                        return
                    time.sleep(0.01)

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no answer"):
            OUT.request("GET", f"http://127.0.0.1:{listening.getsockname()[1]}/", reach=Reach.CONFIGURED, plaintext=True, timeout=0.3)
        assert time.monotonic() - began < 2
        thread.join(10)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_says_nothing_is_left_at_the_deadline(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no answer"):
            url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/"
            OUT.request("GET", url, reach=Reach.CONFIGURED, plaintext=True, timeout=0.2)
        assert time.monotonic() - began < 2


def test_errors_name_host_and_reason_and_no_secret(host: Elsewhere) -> None:
    url = f"https://127.0.0.2:{host.port}/private?key=hunter2"
    with pytest.raises(OutboundError) as failed:
        OUT.request("POST", url, headers={"authorization": "hunter2"}, body=b"hunter2", reach=Reach.CONFIGURED)
    assert failed.value.host == "127.0.0.2"
    assert "hunter2" not in str(failed.value) + repr(failed.value)
