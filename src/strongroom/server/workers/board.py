"""What the processes of one server see at once: a few words the supervisor writes, and a page for each worker to post to.

Rules of this file:
- Shared memory, made before the fork. Each word and each page has one writer; nothing here is locked.
- A page has two halves. A post is written into the half that is not being read, then one word turns it over: who dies while posting
  leaves the last whole post. It stays when its worker is gone, so that counters never go back.
- Nothing secret is ever posted: a fork inherits it, and a core dump of any process would have it.
"""

from __future__ import annotations

import mmap
from typing import Final

HALF: Final = 16 << 10
"""Bytes of a post: the numbers of a worker take 3 KiB, the position of an audit device 150 bytes."""
MAX_SLOTS: Final = 64
"""Workers of one server: beyond this many cores the one writer is the limit."""
TRIES: Final = 16

_LEAD, _LIVE, _CLOSED, _RESTARTS, _KEYED, _WORDS = range(6)
_LENGTH: Final = 4


class Board:
    """See the rules above."""

    def __init__(self, slots: int) -> None:
        if not 1 <= slots <= MAX_SLOTS:
            raise ValueError(f"there can be 1 to {MAX_SLOTS} workers, not {slots}")
        self.slots = slots
        header = 8 * (_WORDS + slots)
        self._memory = mmap.mmap(-1, header + slots * 2 * HALF)
        view = memoryview(self._memory)
        self._words = view[:header].cast("Q")
        self._pages = view[header:]

    # -- the supervisor's words -----------------------------------------------------------------------------------

    @property
    def lead(self) -> int:
        """The slot whose worker runs timers and signs audit checkpoints."""
        return self._words[_LEAD]

    @lead.setter
    def lead(self, slot: int) -> None:
        self._words[_LEAD] = slot

    @property
    def restarts(self) -> int:
        """How often a worker that died was started again."""
        return self._words[_RESTARTS]

    @restarts.setter
    def restarts(self, number: int) -> None:
        self._words[_RESTARTS] = number

    @property
    def keyed(self) -> bool:
        """Whether a worker has the root key, or may have it still."""
        return bool(self._words[_KEYED])

    @keyed.setter
    def keyed(self, keyed: bool) -> None:
        self._words[_KEYED] = keyed

    def live(self) -> list[int]:
        """The slots whose worker runs."""
        return self._marked(_LIVE)

    def closed(self) -> list[int]:
        """The slots that were given up."""
        return self._marked(_CLOSED)

    def mark_live(self, slot: int, *, live: bool) -> None:
        """A worker was started, or ended."""
        self._words[_LIVE] = self._words[_LIVE] | 1 << slot if live else self._words[_LIVE] & ~(1 << slot)

    def mark_closed(self, slot: int) -> None:
        """A slot is given up."""
        self._words[_CLOSED] = self._words[_CLOSED] | 1 << slot

    def _marked(self, word: int) -> list[int]:
        marks = self._words[word]
        return [slot for slot in range(self.slots) if marks >> slot & 1]

    # -- pages ----------------------------------------------------------------------------------------------------

    def post(self, slot: int, text: bytes) -> None:
        """Replace what a slot posted. Raises ValueError for more than half a page."""
        if len(text) > HALF - _LENGTH:
            raise ValueError(f"a post has at most {HALF - _LENGTH} bytes, not {len(text)}")
        turn = self._words[_WORDS + slot] + 1
        half = self._half(slot, turn)
        half[:_LENGTH] = len(text).to_bytes(_LENGTH, "big")
        half[_LENGTH : _LENGTH + len(text)] = text
        self._words[_WORDS + slot] = turn

    def posts(self, slot: int) -> int:
        """How often a slot has posted: a number that stands still says that its worker does."""
        return self._words[_WORDS + slot]

    def posted(self, slot: int) -> bytes:
        """What a slot posted last, b"" where it posted nothing so far."""
        for _ in range(TRIES):
            turn = self._words[_WORDS + slot]
            text = bytes(self._half(slot, turn))
            if self._words[_WORDS + slot] == turn:
                return text[_LENGTH : _LENGTH + int.from_bytes(text[:_LENGTH], "big")]
        return b""

    def _half(self, slot: int, turn: int) -> memoryview:
        start = (2 * slot + (turn & 1)) * HALF
        return self._pages[start : start + HALF]
