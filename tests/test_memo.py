"""A memo holds what it was given, and never more than it may."""

from __future__ import annotations

import weakref

from hypothesis import given
from hypothesis import strategies as st

from strongroom.memo import Budget, Memo, remember


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 10))
def test_the_newest_is_there_and_the_bound_holds(keys: list[int], most: int) -> None:
    memo: dict[int, str] = {}
    for key in keys:
        assert remember(memo, most, key, str(key)) == memo[key] == str(key)
        assert len(memo) <= most


def test_a_full_memo_starts_over() -> None:
    memo = {1: "one", 2: "two"}
    remember(memo, 2, 3, "three")
    assert memo == {3: "three"}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=80), st.integers(1, 5), st.integers(1, 12))
def test_memos_with_a_budget_keep_no_more_than_it_together(steps: list[tuple[int, int]], most: int, budget: int) -> None:
    memos: list[Memo[int, str]] = [Memo() for _ in range(4)]
    shared = Budget(budget)
    for which, key in steps:
        if key not in memos[which]:  # what is known is not remembered again
            assert shared.remember(memos[which], most, key, str(key)) == memos[which][key] == str(key)
        assert all(len(memo) <= most for memo in memos)
        assert sum(map(len, memos)) <= budget


def test_what_weighs_more_leaves_less_room() -> None:
    shared = Budget(10)
    one: Memo[int, str] = Memo()
    other: Memo[int, str] = Memo()
    shared.remember(one, 9, 1, "one", weight=6)
    shared.remember(other, 9, 2, "two", weight=4)
    assert (one, other) == ({1: "one"}, {2: "two"})
    shared.remember(other, 9, 3, "three", weight=1)
    assert (one, other) == ({}, {3: "three"})


def test_a_budget_does_not_hold_what_went() -> None:
    """A secret that is written again and again leaves a memo of its masks each time."""
    shared = Budget(1_000_000)
    memos = [Memo[int, str]() for _ in range(100)]
    for memo in memos:
        shared.remember(memo, 9, 1, "one")
    gone = [weakref.ref(memo) for memo in memos[1:]]
    del memos[1:], memo
    assert not any(each() for each in gone)
    assert memos == [{1: "one"}]
    shared.remember(memos[0], 9, 2, "two", weight=1_000_000)
    assert memos == [{2: "two"}], "and clears what is left"
