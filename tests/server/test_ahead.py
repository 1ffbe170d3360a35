"""Rows are fetched ahead for a call that walks, and for no other."""

from __future__ import annotations

from strongroom.server.ahead import AFTER, MOST, ahead
from strongroom.storage.api import Scan, Wanted

AREA, OTHER = bytes(16) + b"\x01", bytes(15) + b"\x02\x01"


def keys(*numbers: int, area: bytes = AREA) -> Wanted:
    return Wanted(frozenset(area + bytes([number]) for number in numbers))


def test_a_call_that_missed_little_in_the_area_gets_what_it_misses_alone() -> None:
    assert ahead(keys(9), keys(*range(AFTER - 1))) == frozenset()
    assert ahead(keys(9), keys(*range(50), area=OTHER)) == frozenset()


def test_a_walk_gets_more_each_time_and_no_more_than_the_most() -> None:
    assert ahead(keys(9), keys(*range(AFTER))) == {Scan(AREA + b"\x09", bytes(16) + b"\x02", 1 << AFTER)}
    assert ahead(keys(9), keys(*range(100, 200))) == {Scan(AREA + b"\x09", bytes(16) + b"\x02", MOST)}
