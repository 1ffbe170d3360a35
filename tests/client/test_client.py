"""The client against a scripted server on real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from cryptography import x509

from strongroom.client import Answer, BadAnswer, BadSettings, Client, Prepared, Refused, Settings, Unreachable, Untrusted
from strongroom.client.client import BACKOFF
from tests.client.certificates import make_authority, make_certificate
from tests.client.scripted import answer, serve

SECRET = {"request_id": "x", "data": {"a": "b"}, "warnings": None, "auth": None, "wrap_info": None}
TOKEN = "srs_not_to_be_seen"


def client_of(address: str, **settings: object) -> Client:
    chosen = Settings(address=address, token=TOKEN, timeout=5.0)._replace(**settings)  # type: ignore[arg-type]  # each test's own
    return Client(chosen, sleep=lambda _: None)


def test_a_read_sends_the_headers_of_vault_s_clients() -> None:
    with serve(answer(200, SECRET)) as server, client_of(server.address, namespace="team", headers=(("X-Own", "1"),)) as client:
        assert client.read("secret/a b/ü", {"version": "2", "q": "a&b"}).data == {"a": "b"}
    [asked] = server.asked
    assert (asked.method, asked.target) == ("GET", "/v1/secret/a%20b/%C3%BC?version=2&q=a%26b")
    expected = {"x-vault-token": TOKEN, "x-vault-request": "true", "x-vault-namespace": "team", "x-own": "1"}
    assert expected.items() <= asked.headers.items()
    assert server.address.endswith(asked.headers["host"])


def test_writes_are_put_patches_are_merge_patches_and_lists_ask_by_query() -> None:
    with serve(*[answer(204)] * 4) as server, client_of(server.address) as client:
        client.write("a", {"k": "v"})
        client.patch("a", {"k": None})
        client.delete("a")
        client.list("a")
    assert [(asked.method, asked.target) for asked in server.asked] == [
        ("PUT", "/v1/a"),
        ("PATCH", "/v1/a"),
        ("DELETE", "/v1/a"),
        ("GET", "/v1/a?list=true"),
    ]
    assert [asked.headers.get("content-type") for asked in server.asked] == ["application/json", "application/merge-patch+json", None, None]
    assert [asked.body for asked in server.asked] == [b'{"k":"v"}', b'{"k":null}', b"", b""]
    assert server.connections == 1


def test_a_closed_connection_is_opened_anew() -> None:
    with serve(*[answer(200, SECRET)] * 3, per_connection=1) as server, client_of(server.address) as client:
        for _ in range(3):
            client.read("a")
            server.thread.join(0.05)
    assert server.connections == 3


def test_a_unix_socket_is_an_address(tmp_path: Path) -> None:
    with serve(answer(200, SECRET), unix=tmp_path / "s") as server, client_of(server.address) as client:
        assert client.read("a").data == {"a": "b"}
    assert server.asked[0].headers["host"] == "localhost"


@pytest.mark.parametrize("status", [500, 502, 503, 412, 472])
def test_an_error_carries_status_and_messages(status: int) -> None:
    with serve(answer(status, {"errors": ["what", "why"]})) as server, client_of(server.address, max_retries=0) as client:
        with pytest.raises(Refused) as raised:
            client.read("a")
    assert (raised.value.status, raised.value.messages) == (status, ("what", "why"))
    assert TOKEN not in str(raised.value) + repr(raised.value)


@pytest.mark.parametrize(("status", "times"), [(500, 3), (502, 3), (503, 3), (412, 3), (501, 1), (400, 1), (404, 1), (429, 1)])
def test_only_temporary_errors_are_tried_again(status: int, times: int) -> None:
    waited: list[float] = []
    with serve(*[answer(status, {"errors": ["x"]})] * 3) as server:
        with Client(Settings(address=server.address, max_retries=2), sleep=waited.append) as client, pytest.raises(Refused):
            client.write("a", {})
    assert len(server.asked) == times
    assert waited == list(BACKOFF[: times - 1])


def test_a_retry_that_succeeds_is_an_answer() -> None:
    with serve(answer(503, {"errors": []}), answer(200, SECRET)) as server, client_of(server.address) as client:
        assert client.read("a").data == {"a": "b"}


def test_a_write_of_unknown_outcome_is_never_sent_again() -> None:
    unknown = answer(503, {"errors": ["outcome_unknown: the change may or may not have been stored"]})
    with serve(unknown, answer(204)) as server, client_of(server.address) as client:
        with pytest.raises(Refused):
            client.write("a", {})
    assert len(server.asked) == 1


def test_a_404_with_data_or_warnings_is_an_answer() -> None:
    bodies: tuple[object, ...] = ({"data": {"metadata": {}}}, {"data": None, "warnings": ["w"]})
    with serve(*(answer(404, body) for body in bodies), answer(404, {"errors": []})) as server, client_of(server.address) as client:
        assert [client.read("a").found for _ in bodies] == [False, False]
        with pytest.raises(Refused):
            client.read("a")


def test_a_redirect_is_followed_once() -> None:
    with serve(answer(200, SECRET)) as active:
        with serve(answer(307, headers=[f"Location: {active.address}/v1/a?x=1"])) as standby, client_of(standby.address) as client:
            assert client.write("a", {"k": "v"}).data == {"a": "b"}
    assert (active.asked[0].method, active.asked[0].target, active.asked[0].body) == ("PUT", "/v1/a?x=1", b'{"k":"v"}')


def test_a_redirect_from_https_to_http_is_refused(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    pair = make_certificate(tmp_path, authority, "127.0.0.1")
    with serve(answer(307, headers=["Location: http://127.0.0.1:1/v1/a"]), tls=pair) as server:
        with client_of(server.address, ca_cert=str(authority.path)) as client, pytest.raises(BadAnswer, match="without TLS"):
            client.read("a")


def test_an_answer_that_is_no_json_is_refused() -> None:
    with serve(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello") as server:
        with client_of(server.address) as client, pytest.raises(BadAnswer):
            client.read("a")


def test_an_error_page_of_something_else_is_not_taken_for_an_empty_error() -> None:
    with serve(answer(404, "a page", kind="text/html")) as server, client_of(server.address) as client:
        with pytest.raises(Refused, match="not JSON"):
            client.read("a")


def test_text_answers_keep_their_bytes() -> None:
    with (
        serve(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello") as server,
        client_of(server.address) as client,
    ):
        assert client.read("sys/metrics").content == b"hello"


def test_a_refused_connection_names_the_address_and_how_to_change_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unreachable) as raised:
        client_of(address).read("a")
    assert address in str(raised.value)
    assert "VAULT_ADDR" in str(raised.value)


def test_a_silent_server_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(Unreachable, match=r"VAULT_CLIENT_TIMEOUT"):
            client_of(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05).read("a")


def test_wrapping_is_asked_for_save_on_probes() -> None:
    with serve(*[answer(204)] * 3) as server, client_of(server.address, wrap_ttl="2m") as client:
        client.read("a")
        client.read("a", probe=True)
    assert [asked.headers.get("x-vault-wrap-ttl") for asked in server.asked] == ["2m", None]
    with serve(answer(204)) as server, client_of(server.address) as client:
        client.write("sys/wrapping/wrap", {"k": "v"})
    assert server.asked[0].headers["x-vault-wrap-ttl"] == "5m"


def test_a_hook_sees_each_request_before_it_is_sent_and_can_stop_it() -> None:
    class Stop(Exception):
        pass

    def stop(prepared: Prepared) -> None:
        raise Stop(prepared.url)

    client = Client(Settings(address="http://127.0.0.1:1"), before=stop)
    with pytest.raises(Stop, match=r"http://127\.0\.0\.1:1/v1/a$"):
        client.read("a")


def test_a_certificate_of_a_trusted_authority_is_accepted(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    pair = make_certificate(tmp_path, authority, "127.0.0.1")
    (tmp_path / "cas").mkdir()
    (tmp_path / "cas" / "one.pem").write_bytes(authority.path.read_bytes())
    for settings in ({"ca_cert": str(authority.path)}, {"ca_path": str(tmp_path / "cas")}, {"skip_verify": True}):
        with serve(answer(200, SECRET), tls=pair) as server, client_of(server.address, **settings) as client:
            assert client.read("a").data == {"a": "b"}


def test_a_certificate_of_another_authority_is_refused_and_the_flag_is_named(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    pair = make_certificate(tmp_path, authority, "127.0.0.1")
    (tmp_path / "other").mkdir()
    other = make_authority(tmp_path / "other")
    with serve(answer(200, SECRET), tls=pair) as server, client_of(server.address, ca_cert=str(other.path)) as client:
        with pytest.raises(Untrusted, match=r"-ca-cert.*strongroom up"):
            client.read("a")
        assert server.asked == []


def test_a_certificate_for_another_name_is_refused_unless_that_name_is_given(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    pair = make_certificate(tmp_path, authority, "vault.example")
    with serve(answer(200, SECRET), answer(200, SECRET), tls=pair) as server:
        with client_of(server.address, ca_cert=str(authority.path)) as client, pytest.raises(Untrusted, match="-tls-server-name"):
            client.read("a")
        with client_of(server.address, ca_cert=str(authority.path), server_name="vault.example") as client:
            assert client.read("a").found


def test_https_to_a_plain_port_says_so() -> None:
    with serve(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        with client_of(server.address.replace("http:", "https:")) as client, pytest.raises(Unreachable):
            client.read("a")


def test_the_client_s_certificate_is_shown(tmp_path: Path) -> None:
    import ssl

    authority = make_authority(tmp_path)
    pair = make_certificate(tmp_path, authority, "127.0.0.1")
    certificate, key = make_certificate(tmp_path, authority, "ada")
    seen: list[x509.Certificate] = []
    with serve(answer(200, SECRET), tls=pair) as server:
        assert server.context is not None
        server.context.verify_mode = ssl.CERT_REQUIRED
        server.context.load_verify_locations(authority.path)
        server.on_tls = lambda connection: seen.append(x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b""))
        with client_of(server.address, ca_cert=str(authority.path), client_cert=str(certificate), client_key=str(key)) as client:
            client.read("a")
    assert seen[0].subject.rfc4514_string() == "CN=ada"


@pytest.mark.parametrize("setting", ["ca_cert", "ca_path", "client_cert"])
@pytest.mark.parametrize("content", [None, b"not PEM"])
def test_an_unusable_file_is_named(tmp_path: Path, setting: str, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with serve(answer(204)) as server:
        with client_of(server.address.replace("http:", "https:"), **{setting: str(path)}) as client, pytest.raises(BadSettings) as raised:
            client.read("a")
    assert str(path) in str(raised.value)
    assert setting.replace("_", "-") in str(raised.value)


def test_no_repr_shows_a_token() -> None:
    client = client_of("http://127.0.0.1:1")
    shown = [
        repr(client),
        repr(client.settings),
        repr(client.prepare("GET", "a")),
        repr(Answer(200, {}, {"auth": {"client_token": TOKEN}}, b"")),
    ]
    assert not any(TOKEN in text for text in shown)
