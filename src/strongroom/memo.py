"""Bounded memory of what was worked out, for values that follow from their key alone.

Rules of this file: a full memo starts over. Each hot entry is then worked out once more, which is all that a memo saves; nothing is paid
for an order of use at every hit, and a flood of new keys costs no more than having no memo.
"""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakSet

K = TypeVar("K")
V = TypeVar("V")


def remember(memo: dict[K, V], most: int, key: K, value: V) -> V:
    """Keep a value in a memo of at most `most` entries, and hand it back."""
    if len(memo) >= most:
        memo.clear()
    memo[key] = value
    return value


class Memo(dict[K, V]):
    """A memo within a budget, which does not hold it: it goes with whatever it belongs to."""

    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__  # type: ignore[assignment]  # as what it is, not by what is in it


class Budget:
    """What several memos keep together: when that is full, all of them start over. One that went counts until then."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = 0
        self._filled: WeakSet[Memo[Any, Any]] = WeakSet()

    def remember(self, memo: Memo[K, V], most: int, key: K, value: V, weight: int = 1) -> V:
        """As `remember`, within the budget."""
        if len(memo) >= most:
            memo.clear()  # what it kept is counted until all start over
        elif not memo:
            self._filled.add(memo)
        if self._kept + weight > self._most:
            for each in self._filled:
                each.clear()
            self._filled, self._kept = WeakSet((memo,)), 0
        self._kept += weight
        memo[key] = value
        return value
