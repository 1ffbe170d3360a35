"""Bounded memory of what was worked out, for values that follow from their key alone.

Rules of this file: a full memo starts over. Each hot entry is then worked out once more, which is all that a memo saves; nothing is paid
for an order of use at every hit, and a flood of new keys costs no more than having no memo.
"""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def remember(memo: dict[K, V], most: int, key: K, value: V) -> V:
    """Keep a value in a memo of at most `most` entries, and hand it back."""
    if len(memo) >= most:
        memo.clear()
    memo[key] = value
    return value
