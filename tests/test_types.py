"""Durations and instants as Vault's clients write and read them."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.clock import SECOND, SystemClock, parse_rfc3339, rfc3339
from strongroom.types import MAX_SECONDS, brief_duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600),
        ("3600", 3600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5h", 1800),
        ("2d", 172_800),
        ("1500ms", 1),
        ("999999us", 1),
        ("1µs", 1),
        ("1ns", 1),
        ("-1ns", -1),
        ("0.5", 1),
        (Decimal("0.5"), 1),
        ("0.0s", 0),
        ("-1h", -3600),
        ("+5m", 300),
        (" 5m ", 300),
        ("", 0),
        ("0", 0),
        ("0s", 0),
        ("1.9", 1),
        (Decimal("2.9"), 2),
        ("1m1m", 120),
        (MAX_SECONDS, MAX_SECONDS),
    ],
)
def test_a_duration_is_read_as_go_does(value: object, seconds: int) -> None:
    assert parse_duration(value) == seconds


WORDS = "h|1x|1h-5m|--1h|1 h|1e3|1h 5m|٣s|1H|+|-|1..5s|110000d|" + "1h" * 40 + "|" + "9" * 30
OTHERS = (MAX_SECONDS + 1, True, None, 1.5, b"1s", Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), 10**400, Decimal("1e999999"))


@pytest.mark.parametrize("value", [*WORDS.split("|"), *OTHERS])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(value)


@given(st.integers(-MAX_SECONDS, MAX_SECONDS))
def test_a_formatted_duration_reads_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (45, "45s"), (60, "1m0s"), (3600, "1h0m0s"), (12_319, "3h25m19s"), (-61, "-1m1s"), (90_000, "25h0m0s")]
)
def test_a_duration_is_written_as_go_does(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.one_of(st.text(max_size=20), st.text("0123456789.hmsdnuµ+- ", max_size=20), st.integers(), st.decimals()))
def test_any_value_is_a_duration_or_a_value_error(value: object) -> None:
    with suppress(ValueError):
        assert abs(parse_duration(value)) <= MAX_SECONDS


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, ""),
        (1_767_225_600 * SECOND, "2026-01-01T00:00:00Z"),
        (1_767_225_600 * SECOND + 1, "2026-01-01T00:00:00.000000001Z"),
        (1_767_225_600 * SECOND + 120_000_000, "2026-01-01T00:00:00.12Z"),
    ],
)
def test_an_instant_is_written_as_clients_read_it(ns: int, text: str) -> None:
    assert rfc3339(ns) == text


@given(st.integers(1, (1 << 63) - 1))
def test_an_instant_reads_back_to_the_nanosecond(ns: int) -> None:
    assert parse_rfc3339(rfc3339(ns)) == ns


@given(st.integers(1, 2_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)), st.integers(-14 * 60, 14 * 60))
def test_an_offset_is_applied(when: datetime, minutes: int) -> None:
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    text = f"{when:%Y-%m-%dT%H:%M:%S}{sign}{hours:02}:{rest:02}"
    expected = when - timedelta(minutes=minutes)
    assert parse_rfc3339(text) == int(expected.timestamp()) * SECOND
    assert parse_rfc3339(f"{when:%Y-%m-%dt%H:%M:%S}z") == int(when.timestamp()) * SECOND


NO_INSTANTS = """
2026-01-01|2026-01-01T00:00:00|2026-13-01T00:00:00Z|2026-01-01T25:00:00Z|2026-02-30T00:00:00Z|2026-01-01 00:00:00Z|2026-01-01T00:00:00.Z
2026-01-01T00:00:00.1234567890Z|2026-01-01T00:00:00+24:00|\N{FULLWIDTH DIGIT TWO}026-01-01T00:00:00Z|2026-01-01T00:00:00Z |
"""


@pytest.mark.parametrize("text", NO_INSTANTS.strip("\n").replace("\n", "|").split("|"))
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (45, "45s"),
        (60, "1m"),
        (90, "1m30s"),
        (3_600, "1h"),
        (3_605, "1h5s"),
        (5_400, "1h30m"),
        (36_000, "10h"),
        (2_764_800, "768h"),
    ],
)
def test_a_brief_duration_has_no_noughts(seconds: int, text: str) -> None:
    assert brief_duration(seconds) == text and parse_duration(text) == seconds


def test_the_clock_goes_forward() -> None:
    clock = SystemClock()
    first, second = clock.monotonic(), clock.monotonic()
    assert second >= first
    assert clock.now() > 1_767_225_600 * SECOND


def test_the_wall_clock_is_followed_forward_and_never_back() -> None:
    wall, steady = 1_000 * SECOND, 5 * SECOND
    clock = SystemClock(lambda: wall, lambda: steady)
    assert (clock.now(), clock.set_back()) == (1_000 * SECOND, 0)
    wall, steady = 900 * SECOND, 6 * SECOND
    assert clock.now() == 1_001 * SECOND - SECOND // 2_000
    assert clock.set_back() == 101 * SECOND - SECOND // 2_000
    wall, steady = 900 * SECOND + 999_994 * SECOND, 1_000_000 * SECOND
    assert clock.set_back() == 0, "a clock that was set back is met in the end"
    wall, steady = 2_000_000 * SECOND, 1_000_001 * SECOND
    assert (clock.now(), clock.set_back()) == (2_000_000 * SECOND, 0)


def test_a_pause_between_two_looks_is_not_a_clock_that_was_set_forward() -> None:
    moments = iter(range(1, 100))
    clock = SystemClock(lambda: 1_000 + next(moments), lambda: next(moments))
    told = [clock.now() for _ in range(20)]
    assert told == sorted(told)
    assert told[-1] <= 1_000 + 40
