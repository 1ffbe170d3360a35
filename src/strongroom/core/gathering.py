"""A long read gives way to everybody else: it is done in shares, one in each run of its call (docs/decisions/145-long-lists-give-way.md).

Rules of this file:
- A share says where the next one begins; a run that raises on its way changes nothing of what was gathered before.
- What is gathered was so when its share was read, not at one instant. Who asks, and for what, is looked at anew in each run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from strongroom.core.call import Call, Pause

T = TypeVar("T")
C = TypeVar("C")


class Gathered(Generic[T, C]):
    """What the shares so far gave, and where the next one begins; None = that was all."""

    __slots__ = ("items", "next")

    def __init__(self, start: C) -> None:
        self.items: list[T] = []
        self.next: C | None = start


def gathered(call: Call, name: Hashable, start: C, share: Callable[[C], tuple[list[T], C | None]]) -> list[T]:
    """All that `share` gives from `start` on; it says where the next share begins, None at the end. Raises Pause until then."""
    key = ("gathered", name)
    so_far: Gathered[T, C] = call.remembered.get(key) or Gathered(start)
    if so_far.next is not None:
        items, so_far.next = share(so_far.next)
        so_far.items += items
    if so_far.next is not None:
        raise Pause(key, so_far)
    return so_far.items
