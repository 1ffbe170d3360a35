"""The board: words of the supervisor's, and posts that are whole whenever they are read."""

from __future__ import annotations

import os
import signal
import time

import pytest

from strongroom.server.workers.board import HALF, MAX_SLOTS, Board


def test_a_post_is_read_until_the_next_one_and_by_all() -> None:
    board = Board(2)
    assert board.posted(0) == b""
    board.post(0, b"one")
    board.post(1, b"another's")
    board.post(0, b"two")
    assert (board.posted(0), board.posted(1)) == (b"two", b"another's")


def test_what_is_too_long_is_refused_and_changes_nothing() -> None:
    board = Board(1)
    board.post(0, b"x" * (HALF - 4))
    with pytest.raises(ValueError, match="at most"):
        board.post(0, b"x" * (HALF - 3))
    assert len(board.posted(0)) == HALF - 4


@pytest.mark.parametrize("slots", [0, MAX_SLOTS + 1])
def test_there_are_one_to_64_slots(slots: int) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        Board(slots)


def test_words_are_seen_in_another_process() -> None:
    board = Board(3)
    board.lead, board.restarts = 2, 5
    board.mark_live(0, live=True)
    board.mark_live(2, live=True)
    board.mark_closed(1)
    pid = os.fork()
    if pid == 0:
        right = (board.lead, board.restarts, board.live(), board.closed()) == (2, 5, [0, 2], [1])
        board.post(0, b"from the child")
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert board.posted(0) == b"from the child"
    board.mark_live(0, live=False)
    assert board.live() == [2]


def test_no_reader_ever_sees_half_a_post_not_even_of_a_writer_that_is_killed() -> None:
    board = Board(1)
    pid = os.fork()
    if pid == 0:
        number = 0
        while True:
            number = (number + 1) % 256
            board.post(0, bytes([number]) * (1 + 61 * number % 9_000))
    try:
        end, seen = time.monotonic() + 0.4, set[bytes]()
        while time.monotonic() < end:
            seen.add(board.posted(0))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    seen.add(board.posted(0))
    assert len(seen) > 2
    assert all(len(set(text)) <= 1 and (not text or len(text) == 1 + 61 * text[0] % 9_000) for text in seen)
