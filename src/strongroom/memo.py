"""Bounded memory of what was worked out, for values that follow from their key alone.

Rules of this file: a full memo starts over. Each hot entry is then worked out once more, which is all that a memo saves; nothing is paid
for an order of use at every hit, and a flood of new keys costs no more than having no memo.
"""

from __future__ import annotations

from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def remember(memo: dict[K, V], most: int, key: K, value: V) -> V:
    """Keep a value in a memo of at most `most` entries, and hand it back."""
    if len(memo) >= most:
        memo.clear()
    memo[key] = value
    return value


class Budget:
    """What several memos keep together: when that is full, all of them start over."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = 0
        self._filled: list[dict[Any, Any]] = []

    def remember(self, memo: dict[K, V], most: int, key: K, value: V, weight: int = 1) -> V:
        """As `remember`, within the budget."""
        if len(memo) >= most:
            memo.clear()  # what it kept is counted until all start over
        elif not memo:
            self._filled.append(memo)
        if self._kept + weight > self._most:
            for each in self._filled:
                each.clear()
            self._filled, self._kept = [memo], 0
        self._kept += weight
        memo[key] = value
        return value
