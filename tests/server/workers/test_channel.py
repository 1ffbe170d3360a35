"""The channel: whole messages, answers that belong to their questions, and a root key that is wiped."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from strongroom.errors import Unavailable
from strongroom.server.workers import channel
from strongroom.server.workers.channel import Done, End, Ended, Hello, Open, ProgressWanted, SealOthers, ShareGiven, SharesTaken, pair

ROOT = bytes(range(100, 132))
Ends = tuple[End, End]


@pytest.fixture
def ends() -> Iterator[Ends]:
    left, right = pair()
    yield left, right
    left.close()
    right.close()


def test_a_message_and_its_key_arrive_whole(ends: Ends) -> None:
    left, right = ends
    left.send(Open((b"set",)), ROOT, 7)
    assert right.receive() == Open((b"set",))
    assert (bytes(right.root), right.number) == (ROOT, 7)
    right.wipe()
    assert right.root == bytearray(32)


def test_a_message_without_a_key_has_none_of_an_earlier_one(ends: Ends) -> None:
    left, right = ends
    left.send(Open(), ROOT)
    right.receive()
    left.send(Hello())
    right.receive()
    assert right.root == bytearray(32)


def test_what_was_received_does_not_stay_in_the_buffer(ends: Ends) -> None:
    left, right = ends
    left.send(ShareGiven(b"set", 2, b"a share that is secret", accept=False))
    assert right.receive() == ShareGiven(b"set", 2, b"a share that is secret", accept=False)
    assert not any(right._body)


def test_an_answer_that_came_too_late_is_not_taken_for_the_next(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "ANSWER_SECONDS", 0.05)
    left, right = ends
    with pytest.raises(Unavailable):
        left.ask(SealOthers())
    monkeypatch.setattr(channel, "ANSWER_SECONDS", 5.0)

    def answer() -> None:
        for problem in ("to the first", "to the second"):
            right.receive()
            right.answer(Done(problem))

    other = threading.Thread(target=answer)
    other.start()
    assert left.ask(ProgressWanted()) == Done("to the second")
    other.join()


def test_the_end_of_the_other_side_is_told(ends: Ends) -> None:
    left, right = ends
    right.close()
    with pytest.raises(Ended):
        left.receive()
    with pytest.raises(Unavailable):
        left.ask(Hello())


@pytest.mark.parametrize("packet", [b"", b"x", ROOT + b"\0\0\0\0", ROOT + b"\0\0\0\0\x81\xa4type\xa5Other", ROOT + b"\0\0\0\0\xff" * 99])
def test_what_is_no_message_ends_the_channel(packet: bytes) -> None:
    raw, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    raw.send(packet)
    with pytest.raises(Ended):
        End(other).receive()
    raw.close()
    other.close()


def test_shares_are_not_printed() -> None:
    for message in (ShareGiven(b"s", 1, b"secret", accept=True), SharesTaken(True, (b"secret",), False)):
        assert "secret" not in repr(message)
