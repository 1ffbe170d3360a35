"""What is logged can be followed: whole lines in order, however the ring turns, and who falls behind is told."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from strongroom.server.logtail import LONGEST, RING, LogTail


@given(st.lists(st.lists(st.integers(1, LONGEST - 2), max_size=2), min_size=1, max_size=30))
def test_lines_come_out_as_they_went_in_wherever_the_ring_begins_anew(looks: list[list[int]]) -> None:
    tail = LogTail(2)
    at = tail.end(1)
    for lengths in looks:
        written = [bytes([65 + number]) * length for number, length in enumerate(lengths)]
        for line in written:
            tail.write(1, line)
        assert tail.read(0, 0).lines == [], "each ring is its own"
        found = tail.read(1, at)
        at = found.at
        assert found.lost == (sum(lengths) + len(lengths) > RING // 2)
        assert found.lines == ([] if found.lost else written)


def test_who_falls_behind_is_told_and_goes_on_from_there() -> None:
    tail = LogTail(1)
    for _ in range(100):
        tail.write(0, b"x" * 1_000)
    found = tail.read(0, 0)
    assert (found.lines, found.lost) == ([], True)
    tail.write(0, b"y")
    assert tail.read(0, found.at).lines == [b"y"]


def test_a_line_that_could_fill_the_ring_is_left_out() -> None:
    tail = LogTail(1)
    tail.write(0, b"x" * LONGEST)
    assert tail.end(0) == 0


def test_another_process_sees_the_lines_and_the_level() -> None:
    tail = LogTail(2)
    child = os.fork()
    if not child:
        tail.write(1, b"from the child")
        tail.level = 40
        os._exit(0)
    os.waitpid(child, 0)
    assert (tail.read(1, 0).lines, tail.level) == ([b"from the child"], 40)
