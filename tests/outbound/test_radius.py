"""RADIUS: the RFC's own example, and answers that count or do not (CVE-2024-3596)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidRequest
from strongroom.outbound import radius
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import Refused, Unreachable
from strongroom.outbound.radius import ACCEPT, CHALLENGE, REJECT, Forged, Question, Server, ask, hidden, question, verified
from tests.support.radius import SECRET, Answering, Asked, answering


def server(port: int, host: str = "127.0.0.1", timeout: float = 3) -> Server:
    return Server(host, port, SECRET, 10, "tests", 3, timeout)


@pytest.fixture
def peer() -> Iterator[Answering]:
    with answering(lambda asked: [asked.answer(ACCEPT)]) as made:
        yield made


# -- packets --------------------------------------------------------------------------------------------------------------------

AUTHENTICATOR = bytes.fromhex("0f403f9473978057bd83d5cb98f4227a")
"""RFC 2865, 7.1: nemo logs in with arctangent; the secret is xyzzy5461."""
ACCEPTED = bytes.fromhex("0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103")


def test_a_password_is_hidden_as_in_the_rfc() -> None:
    assert hidden(b"arctangent", b"xyzzy5461", AUTHENTICATOR).hex() == "0dbe708d93d413ce3196e43f782a0aee"


def test_a_response_authenticator_is_that_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Question(b"", 0, AUTHENTICATOR)
    with pytest.raises(Forged, match="it has no Message-Authenticator"):
        verified(ACCEPTED, asked, b"xyzzy5461")
    for at in range(len(ACCEPTED)):
        with pytest.raises(Forged, match="its"):
            verified(bytes((*ACCEPTED[:at], ACCEPTED[at] ^ 1, *ACCEPTED[at + 1 :])), asked, b"xyzzy5461")


@given(st.text(min_size=1, max_size=60).filter(lambda text: 0 < len(text.encode()) <= 128 and "\0" not in text))
def test_what_is_sent_can_be_read_by_who_knows_the_secret(password: str) -> None:
    asked = Asked(question(server(1), "alice", password).packet)
    assert (asked.name, asked.password, asked.authentic) == ("alice", password, True)
    assert asked.attributes[0][0] == radius.MESSAGE_AUTHENTICATOR
    assert password.encode() not in asked.packet or len(password) < 4


@pytest.mark.parametrize("password", ["", "x" * 129, "é" * 65, "a\0b"])
def test_a_password_that_no_packet_holds_is_refused(password: str) -> None:
    with pytest.raises(InvalidRequest, match="password for RADIUS"):
        question(server(1), "alice", password)


def test_two_questions_have_nothing_in_common() -> None:
    first, second = (question(server(1), "alice", "same") for _ in range(2))
    assert first.authenticator != second.authenticator
    assert Asked(first.packet).one(2) != Asked(second.packet).one(2)


@given(st.binary(max_size=200))
def test_junk_is_forged_and_nothing_else(junk: bytes) -> None:
    with pytest.raises(Forged):
        verified(junk, Question(b"", 0, AUTHENTICATOR), SECRET)


# -- answers --------------------------------------------------------------------------------------------------------------------

OLD: dict[str, Callable[[Asked], bytes]] = {
    "without Message-Authenticator": lambda asked: asked.old_answer(ACCEPT),
    "with an empty one": lambda asked: asked.old_answer(ACCEPT, bytes((80, 2))),
    "with a wrong one": lambda asked: asked.old_answer(ACCEPT, bytes((80, 18)) + bytes(16)),
    "with a wrong one and a right one": lambda asked: asked.sealed(
        asked.answer(ACCEPT)[:2] + (20 + 36).to_bytes(2, "big"), asked.answer(ACCEPT)[20:] + bytes((80, 18)) + bytes(16)
    ),
    "hidden in another attribute": lambda asked: asked.old_answer(ACCEPT, bytes((18, 20)) + asked.answer(ACCEPT)[20:38]),
    "with attributes that end early": lambda asked: asked.old_answer(ACCEPT, bytes((18, 9))),
    "under another secret": lambda asked: asked.sealed(asked.answer(ACCEPT)[:4], asked.answer(ACCEPT)[20:], b"guessed"),
    "to another question": lambda asked: Asked(asked.packet[:4] + bytes(16) + asked.packet[20:]).answer(ACCEPT),
    "with another identifier": lambda asked: bytes((ACCEPT, asked.identifier ^ 1)) + asked.answer(ACCEPT)[2:],
    "turned from a refusal": lambda asked: bytes((ACCEPT,)) + asked.answer(REJECT)[1:],
    "the question itself": lambda asked: asked.packet,
    "nothing": lambda asked: b"",
}


@pytest.mark.parametrize("kind", OLD)
def test_an_answer_that_the_server_did_not_send_is_dropped(peer: Answering, kind: str) -> None:
    peer.respond = lambda asked: [OLD[kind](asked), asked.answer(REJECT)]
    assert ask(Outbound(), server(peer.port), "alice", "guess") == REJECT


@pytest.mark.parametrize("kind", ["without Message-Authenticator", "with a wrong one"])
def test_without_the_check_the_answer_would_count(peer: Answering, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The negative control."""

    def lenient(packet: bytes, asked: Question, secret: bytes) -> int:
        head = packet[:4] + asked.authenticator
        if hashlib.md5(head + packet[20:] + secret, usedforsecurity=False).digest() != packet[4:20]:
            raise Forged
        return packet[0]

    monkeypatch.setattr(radius, "verified", lenient)
    peer.respond = lambda asked: [OLD[kind](asked), asked.answer(REJECT)]
    assert ask(Outbound(), server(peer.port), "alice", "guess") == ACCEPT


@pytest.mark.parametrize("code", [ACCEPT, REJECT, CHALLENGE])
def test_a_right_answer_counts_wherever_it_stands(peer: Answering, code: int) -> None:
    peer.respond = lambda asked: [b"junk", asked.answer(code, bytes((18, 4)) + b"hi") + b"padding"]
    assert ask(Outbound(), server(peer.port), "alice", "guess") == code


def test_a_lost_question_is_repeated_as_it_was(peer: Answering) -> None:
    lost = iter((True, True, False))
    peer.respond = lambda asked: [] if next(lost) else [asked.answer(ACCEPT)]
    assert ask(Outbound(), server(peer.port, timeout=0.3), "alice", "right") == ACCEPT
    assert len({asked.packet for asked in peer.asked}) == 1 and len(peer.asked) == 3


def test_without_an_answer_it_ends_in_time(peer: Answering) -> None:
    peer.respond = lambda asked: []
    with pytest.raises(Unreachable, match="no answer"):
        ask(Outbound(), server(peer.port, timeout=0.2), "alice", "right")
    assert len(peer.asked) == radius.TRIES


def test_where_nobody_listens_the_next_address_is_tried(peer: Answering) -> None:
    assert ask(Outbound(), server(peer.port, "localhost"), "alice", "right") == ACCEPT
    port = peer.port
    peer.close()
    with pytest.raises(Unreachable):
        ask(Outbound(), server(port, timeout=0.3), "alice", "right")


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "224.0.0.1"])
def test_where_nobody_goes_nothing_is_sent(host: str) -> None:
    with pytest.raises(Refused):
        ask(Outbound(), server(1812, host), "alice", "right")


def test_nothing_secret_is_shown() -> None:
    assert "secret" not in repr(server(1)) and "guess" not in repr(question(server(1), "alice", "guess"))


def test_another_library_reads_the_same() -> None:
    """pyrad, as the server: name, password and Message-Authenticator."""
    packet = pytest.importorskip("pyrad.packet")
    dictionary = pytest.importorskip("pyrad.dictionary").Dictionary(
        io.StringIO("ATTRIBUTE User-Name 1 string\nATTRIBUTE User-Password 2 octets\nATTRIBUTE Message-Authenticator 80 octets\n")
    )
    for password in ("right", "x" * 16, "é" * 64):
        asked = question(server(1), "alice", password)
        read = packet.AuthPacket(packet=asked.packet, secret=SECRET, dict=dictionary)
        assert (read["User-Name"], read.PwDecrypt(read["User-Password"][0])) == (["alice"], password)
        assert read.verify_message_authenticator()
        reply = read.CreateReply()
        assert verified(reply.ReplyPacket(), asked, SECRET) == ACCEPT
