"""The cache of sealed rows: what is forgotten is gone, who watches hears it, and it stays within its bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.barrier import cache as module
from strongroom.barrier.cache import Cache


def key(area: int, name: int) -> bytes:
    return bytes([area]) * 16 + b"\x03" + bytes([name])


def test_a_forgotten_row_is_gone_and_its_area_hears_of_it() -> None:
    cache = Cache()
    heard: list[tuple[int, bytes | None]] = []
    for area in (1, 2):
        cache.watch(bytes([area]) * 16, lambda row, area=area: heard.append((area, row)))  # type: ignore[misc]
    for area in (1, 2, 3):
        cache.keep(key(area, 1), b"record")
    cache.forget([key(1, 1), key(1, 9), key(3, 1)])
    assert heard == [(1, key(1, 1)), (1, key(1, 9))]
    assert set(cache.rows) == {key(2, 1)}
    heard.clear()
    cache.forget(None)
    assert heard == [(1, None), (2, None)]
    assert not cache.rows


def test_what_is_kept_anew_begins_anew() -> None:
    cache = Cache()
    before = cache.keep(b"k" * 18, b"old")
    before.value, before.masks["device"] = "decoded", b"masked"
    after = cache.keep(b"k" * 18, b"new")
    assert after.record == b"new"
    assert after.value is None
    assert after.masks == {}


def test_an_entry_stands_for_as_long_as_the_cache_holds_it() -> None:
    """Whoever kept an entry asks it, not the cache: it must know however it was dropped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LIMIT_ROWS", 4)
        cache = Cache()
        kept = {key(1, name): cache.keep(key(1, name), b"record") for name in range(4)}
        replaced = kept[key(1, 3)]
        kept[key(1, 3)] = cache.keep(key(1, 3), b"newer")
        kept[key(1, 9)] = cache.keep(key(1, 9), b"one too many")
        cache.forget([key(1, 9)])
        assert not replaced.stands
        assert {row for row, entry in kept.items() if entry.stands} == set(cache.rows)
        assert 0 < len(cache.rows) < 4
        cache.forget(None)
        assert not any(entry.stands for entry in kept.values())


STEPS = st.lists(
    st.tuples(st.sampled_from(["keep", "absent", "forget", "everything"]), st.integers(0, 20), st.integers(0, 400)), max_size=120
)


@given(STEPS)
def test_it_stays_within_its_bounds_and_counts_right(steps: list[tuple[str, int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LIMIT_ROWS", 12)
        patch.setattr(module, "LIMIT_BYTES", 4_000)
        patch.setattr(module, "LIMIT_ABSENT", 6)
        cache = Cache()
        truth: dict[bytes, bytes | None] = {}
        for verb, name, size in steps:
            row = key(1, name)
            if verb == "everything":
                cache.forget(None)
                truth.clear()
            elif verb == "forget":
                cache.forget([row])
                truth.pop(row, None)
            else:
                truth[row] = bytes(size) if verb == "keep" else None
                assert cache.keep(row, truth[row]).record == truth[row]
                assert row in cache.rows, "what was just kept is there"
            assert len(cache.rows) <= 12
            assert sum(entry.record is None for entry in cache.rows.values()) <= 6
            assert all(truth[each] == entry.record for each, entry in cache.rows.items())
            assert cache._bytes == sum(module._size(each, entry) for each, entry in cache.rows.items()) <= 4_000


def guess(cache: Cache, times: int) -> None:
    for number in range(times):
        cache.keep(number.to_bytes(18), None)


def test_rows_that_are_not_there_push_out_none_that_is() -> None:
    """Strangers choose which rows are asked for in vain: whoever guesses tokens costs nobody else a read of the store."""
    cache = Cache()
    there = [cache.keep(key(1, name), b"record") for name in range(50)]
    guess(cache, 100_000)
    assert all(entry.stands for entry in there)
    assert len(cache.rows) <= 50 + module.LIMIT_ABSENT
    cache.forget(list(cache.rows))
    assert not cache.rows
    assert not cache._absent


@pytest.mark.control
def test_control_without_a_bound_of_their_own_they_do() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LIMIT_ABSENT", 1_000_000)
        cache = Cache()
        there = [cache.keep(key(1, name), b"record") for name in range(50)]
        guess(cache, 100_000)
        assert not any(entry.stands for entry in there)


def test_what_was_just_looked_for_is_still_here() -> None:
    """Where rows come from another machine, a call that is run again finds what its question brought."""
    cache = Cache()
    guess(cache, 20_000)
    assert all(number.to_bytes(18) in cache.rows for number in range(20_000 - module.LIMIT_ABSENT // 2, 20_000))


def test_writing_the_same_rows_again_and_again_drops_nothing() -> None:
    cache = Cache()
    for number in range(20_000):
        cache.forget([key(1, number % 50)])
        cache.keep(key(1, number % 50), bytes(4_096))
    assert len(cache.rows) == 50
