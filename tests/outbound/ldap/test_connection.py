"""A conversation with a directory that is slow, broken or hostile ends, soon, as an error that says which of these (T13.3)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from strongroom.outbound.ldap import ber, connection, messages
from strongroom.outbound.ldap.connection import Connection, DirectoryError, InvalidCredentials
from strongroom.outbound.ldap.filters import compile_filter, encode_filter
from strongroom.outbound.ldap.messages import SUBTREE, Answer, Search
from tests.client.certificates import make_authority, make_certificate
from tests.support.scripted_directory import EXTENDED, SEARCH, Respond, Scripted, bind_password, entry, message, result, scripted

ANYTHING = encode_filter(compile_filter("(a=*)", frozenset()), {})
SEARCHED = Search("dc=example", SUBTREE, ANYTHING, ("cn",))
PAGED = Search("dc=example", SUBTREE, ANYTHING, ("cn",), page_size=1)


@contextmanager
def talking(respond: Respond, seconds: float = 5.0) -> Iterator[tuple[Connection, Scripted]]:
    with scripted(respond) as directory:
        opened = Connection(socket.create_connection(("127.0.0.1", directory.port)), seconds)
        try:
            yield opened, directory
        finally:
            opened.close()


@contextmanager
def fails(says: str) -> Iterator[None]:
    """It ends in an error whose reason says so; what strangers are told does not."""
    with pytest.raises(DirectoryError) as caught:
        yield
    assert says in caught.value.reason and says not in str(caught.value)


# -- bind -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "password"), [("", ""), ("", "secret"), ("cn=a", "")])
def test_a_bind_that_proves_nothing_is_not_sent(name: str, password: str) -> None:
    """Directories answer success to it (RFC 4513, 5.1.2)."""
    with talking(result) as (opened, directory):
        with pytest.raises(ValueError):
            opened.bind(name, password)
        opened.bind("cn=a", "secret")
        assert [bind_password(request) for request in directory.asked] == ["secret"]


def test_only_success_is_success() -> None:
    """Every result code there is."""
    codes = iter(range(128))

    def respond(request: Answer) -> bytes:
        return result(request, next(codes))

    with talking(respond) as (opened, _):
        opened.bind("cn=a", "secret")
        for code in range(1, 128):
            with pytest.raises(DirectoryError if code in connection.UNAVAILABLE else InvalidCredentials):
                opened.bind("cn=a", "secret")


def test_the_known_bytes_of_a_bind_are_sent() -> None:
    assert messages.bind_anonymously(1).hex() == "300c020101600702010304008000"
    assert messages.bind(1, "cn=a", "b").hex() == "301102010160" + "0c" + "0201030404636e3d61800162"
    assert messages.start_tls(1).hex() == "301d02010177188016" + messages.START_TLS.encode().hex()
    assert messages.unbind(3).hex() == "30050201034200"


# -- search ---------------------------------------------------------------------------------------------------------


def test_entries_come_with_all_values_whatever_case_their_names_have() -> None:
    def respond(request: Answer) -> bytes:
        return entry(request, "cn=a", CN=["a"], photo=[b"\xff"], cn=["b"]) + entry(request, "cn=c") + result(request)

    with talking(respond) as (opened, _):
        first, second = opened.search(SEARCHED)
        assert first.texts("cn") == ("a", "b") and first.texts("photo") == () and first.attributes["photo"] == (b"\xff",)
        assert second.texts("cn") == ()


def test_references_are_passed_over_and_a_referral_is_a_failure() -> None:
    """T13.3: nobody is sent anywhere."""
    answers = iter([0, 10])

    def respond(request: Answer) -> bytes:
        reference = message(request.id, ber.element(0x73, ber.octets("ldap://127.0.0.1:1/dc=elsewhere")))
        return entry(request, "cn=a") + reference + result(request, next(answers))

    with talking(respond) as (opened, directory):
        assert [found.name for found in opened.search(SEARCHED)] == ["cn=a"]
        with fails("referral"):
            opened.search(SEARCHED)
        assert directory.connections == 1


def test_pages_are_asked_for_until_the_last() -> None:
    def respond(request: Answer) -> bytes:
        cookie = b"more" if len(directory.asked) == 1 else b""
        value = ber.element(ber.SEQUENCE, ber.integer(0), ber.octets(cookie))
        control = ber.element(ber.SEQUENCE, ber.octets(messages.PAGED_RESULTS), ber.octets(value))
        other = ber.element(ber.SEQUENCE, ber.octets("1.2.3"), ber.boolean(True))
        return entry(request, f"cn={len(directory.asked)}") + result(request, 0, ber.element(0xA0, other, control))

    with talking(respond) as (opened, directory):
        assert [found.name for found in opened.search(PAGED)] == ["cn=1", "cn=2"]
        assert b"more" in directory.asked[1].controls


def test_what_a_directory_cuts_off_is_a_failure_unless_it_was_asked_to() -> None:
    def respond(request: Answer) -> bytes:
        return entry(request, "cn=a") + result(request, messages.SIZE_LIMIT_EXCEEDED)

    with talking(respond) as (opened, _):
        assert len(opened.search(Search("dc=example", SUBTREE, ANYTHING, ("cn",), size_limit=1))) == 1
        with fails("sizeLimitExceeded"):
            opened.search(SEARCHED)


# -- bounds ---------------------------------------------------------------------------------------------------------


def test_more_entries_than_anybody_has_are_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_ENTRIES", 10)
    with talking(lambda request: entry(request, "cn=a") * 11) as (opened, _):
        with fails("more than 10 entries"):
            opened.search(SEARCHED)


@pytest.mark.parametrize(("limit", "says"), [("MAX_MESSAGE", "longer message"), ("MAX_ANSWER", "more than any answer")])
def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch, limit: str, says: str) -> None:
    monkeypatch.setattr(connection, limit, 4_096)

    def respond(request: Answer) -> bytes:
        return entry(request, "cn=" + "a" * 3_000) * (2 if limit == "MAX_ANSWER" else 1) + entry(request, "cn=" + "a" * 5_000)

    with talking(respond) as (opened, _):
        with fails(says):
            opened.search(SEARCHED)


def test_a_long_message_is_refused_before_it_is_read() -> None:
    with talking(lambda _request: bytes.fromhex("3084ffffffff")) as (opened, _):
        with fails("longer message"):
            opened.search(SEARCHED)


@pytest.mark.parametrize("drip", [True, False])
def test_the_deadline_holds_however_slowly_a_directory_answers(drip: bool) -> None:
    """One byte at a time keeps no thread either."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            for byte in b"\x30\x82\x10\x00" + bytes(4_096):
                if stop.wait(0.02):
                    return
                if drip:
                    try:
                        peer.sendall(bytes((byte,)))
                    except OSError:
                        return

    thread = threading.Thread(target=serve)
    thread.start()
    opened = Connection(socket.create_connection(listener.getsockname()), 0.3)
    start = time.monotonic()
    with fails("in time"):
        opened.search(SEARCHED)
    assert time.monotonic() - start < 3
    stop.set()
    opened.close()
    thread.join()
    listener.close()


NONSENSE: dict[str, Callable[[Answer], bytes | None]] = {
    "closes the connection": lambda _request: None,
    "no LDAP": lambda _request: b"HTTP/1.1 400 Bad Request\r\n\r\n" + bytes(200),
    "something else": lambda request: message(request.id + 1, ber.element(0x65, ber.integer(0, ber.ENUMERATED))),
    "something else than it was asked": lambda request: message(request.id, ber.element(0x70, ber.integer(0, ber.ENUMERATED))),
    "sent something that is no LDAP": lambda request: message(request.id, ber.element(0x65)),
    "closed the connection": lambda _request: message(
        0, ber.element(0x78, ber.integer(52, ber.ENUMERATED), ber.octets(""), ber.octets(""))
    ),
}


@pytest.mark.parametrize("says", NONSENSE)
def test_nonsense_is_an_error_and_nothing_of_it_is_quoted(says: str) -> None:
    with talking(NONSENSE[says]) as (opened, _):
        with pytest.raises(DirectoryError) as caught:
            opened.search(SEARCHED)
        assert "the directory" in caught.value.reason and "HTTP" not in caught.value.reason
        with pytest.raises(DirectoryError):
            opened.bind("cn=a", "secret")


def test_a_page_that_says_nonsense_about_the_next_is_an_error() -> None:
    nonsense = ber.element(0xA0, ber.element(ber.SEQUENCE, ber.octets(messages.PAGED_RESULTS)))
    with talking(lambda request: result(request, 0, nonsense)) as (opened, _):
        with fails("no LDAP"):
            opened.search(PAGED)


def test_any_cut_of_an_answer_is_an_error() -> None:
    def whole(request: Answer) -> bytes:
        return entry(request, "cn=a", cn=["a"]) + result(request)

    length = len(whole(Answer(1, SEARCH, b"")))
    for cut in range(length):
        sent = threading.Event()

        def respond(request: Answer, cut: int = cut, sent: threading.Event = sent) -> bytes | None:
            sent.set()
            return whole(request)[:cut]

        with talking(respond, seconds=5.0) as (opened, directory):
            opened._send(messages.search(opened._next(), SEARCHED))
            sent.wait(5)
            opened._socket.shutdown(socket.SHUT_WR)  # the script then closes, with the rest unsaid
            with pytest.raises(DirectoryError):
                opened._collect(1, [])
            assert directory.connections == 1


# -- StartTLS -------------------------------------------------------------------------------------------------------


def test_a_refused_starttls_is_the_end() -> None:
    """T13.3."""
    with talking(lambda request: result(request, 2)) as (opened, directory):
        with fails("refuses StartTLS"):
            opened.start_tls(ssl.create_default_context(), "localhost")
        assert [request.kind for request in directory.asked] == [EXTENDED]


def test_what_came_before_tls_is_not_taken_for_what_came_through_it() -> None:
    with talking(lambda request: result(request) + message(2, ber.element(0x61, ber.integer(0, ber.ENUMERATED)))) as (opened, _):
        with fails("between StartTLS and TLS"):
            opened.start_tls(ssl.create_default_context(), "localhost")


@pytest.mark.parametrize(("host", "known", "says"), [("localhost", False, "certificate"), ("other.example", True, "Hostname mismatch")])
def test_the_certificate_must_be_known_and_of_the_host(tmp_path: Path, host: str, known: bool, says: str) -> None:
    authority = make_authority(tmp_path)
    certificate, key = make_certificate(tmp_path, authority, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        with peer, contextlib.suppress(OSError):
            context.wrap_socket(peer, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    opened = Connection(socket.create_connection(listener.getsockname()), 5)
    with fails(says):
        opened.secure(ssl.create_default_context(cafile=authority.path if known else None), host)
    opened.close()
    thread.join()
    listener.close()
