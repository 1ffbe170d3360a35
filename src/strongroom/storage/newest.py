"""Which commit is the newest: one word of memory that all processes of this host see, so that a read need not ask the store.

Rules of this file:
- The word is twice the gsn of the newest commit, plus one while the next is being committed. Only who holds the store's lock writes it.
- An odd word says nothing for sure: the commit may be seen already, and its process may be dead. Readers then ask the store; who next
  holds the lock puts the word right. So nobody has to clean up after a process that was killed.
- A word is eight aligned bytes, written at once: a reader sees the old one or the new one.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

ALONE: Sequence[int] = (0,)
"""The word of a store that only this process writes: it never moves, because whoever commits drops what changed itself."""


class Newest:
    """The word in shared memory. Make it before the processes are forked."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.word = memoryview(self._memory).cast("Q")
        """Element 0 is the word."""

    def stands(self, gsn: int) -> None:
        """This is the newest commit; the caller holds the lock."""
        if self.word[0] != stamp(gsn):
            self.word[0] = stamp(gsn)

    def moves(self, gsn: int) -> None:
        """A commit after `gsn` may be seen from now on; the caller holds the lock."""
        self.word[0] = stamp(gsn) + 1


def stamp(gsn: int) -> int:
    """What the word is while this commit is the newest."""
    return gsn << 1
