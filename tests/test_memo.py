"""A memo holds what it was given, and never more than it may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from strongroom.memo import remember


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
