"""What the processes of one server log, for whoever follows it: shared memory, made before the fork.

Rules of this file:
- One ring for each process, and one writer for each ring; readers never hold anybody up. Who falls behind by half a ring has lost lines.
- A line is one event that logs.py has cleaned, as JSON: what is no line of the log is never written here.
- The level is one word that any process may set and all go by: what is said at one worker holds for all of them at their next line.
"""

from __future__ import annotations

import mmap
from typing import Final, NamedTuple

RING: Final = 64 << 10
"""Bytes a process: several hundred lines. A follower looks four times a second."""
LONGEST: Final = RING // 4
"""A line beyond it, which logs.py's own limits make impossible, is left out. So what is being written reaches no half that is read."""


class Read(NamedTuple):
    """Whole lines, where to go on, and whether any were lost before them."""

    lines: list[bytes]
    at: int
    lost: bool


class LogTail:
    """See the rules above."""

    def __init__(self, rings: int) -> None:
        self.rings = rings
        words = 8 * (1 + rings)
        view = memoryview(mmap.mmap(-1, words + rings * RING))
        self._words = view[:words].cast("Q")  # the level, and how much was written to each ring
        self._text = view[words:]

    @property
    def level(self) -> int:
        """The least level that is written to the log."""
        return self._words[0]

    @level.setter
    def level(self, level: int) -> None:
        self._words[0] = level

    def end(self, ring: int) -> int:
        """How many bytes were written to a ring so far."""
        return self._words[1 + ring]

    def write(self, ring: int, line: bytes) -> None:
        """Add a line. The caller is the only writer of this ring."""
        if len(line) >= LONGEST:
            return
        end = self.end(ring)
        self._put(ring, end % RING, line + b"\n")
        self._words[1 + ring] = end + len(line) + 1

    def _put(self, ring: int, at: int, text: bytes) -> None:
        room = self._ring(ring)
        first = text[: RING - at]
        room[at : at + len(first)] = first
        room[: len(text) - len(first)] = text[len(first) :]

    def read(self, ring: int, at: int) -> Read:
        """The lines since `at`, which an earlier read gave, or `end`."""
        end = self.end(ring)
        if end - at <= RING // 2:
            start, stop = at % RING, at % RING + end - at
            room = self._ring(ring)
            text = bytes(room[start:stop]) + bytes(room[: max(0, stop - RING)])
            if self.end(ring) - at <= RING - LONGEST:
                return Read(text.split(b"\n")[:-1], end, lost=False)
        return Read([], self.end(ring), lost=True)

    def _ring(self, ring: int) -> memoryview:
        return self._text[ring * RING : (ring + 1) * RING]
