"""A slot is given up after three deaths in ten seconds, and not before."""

from __future__ import annotations

import pytest

from strongroom.server.workers.channel import pair
from strongroom.server.workers.slots import Slot


@pytest.mark.parametrize(
    ("deaths", "given_up"),
    [
        ([0.0], False),
        ([0.0, 1.0], False),
        ([0.0, 1.0, 2.0], True),
        ([0.0, 5.0, 10.0], True),
        ([0.0, 5.0, 10.1], False),
        ([0.0, 9.0, 18.0, 27.0, 36.0], False),
        ([0.0, 20.0, 21.0, 22.0], True),
    ],
)
def test_three_deaths_in_ten_seconds(deaths: list[float], given_up: bool) -> None:
    slot = Slot(0, [])
    assert [slot.died(at) for at in deaths][-1] is given_up


def test_a_worker_is_silent_from_its_start_or_its_last_post_on() -> None:
    slot, (asks, orders) = Slot(0, []), pair()
    slot.begin(1, asks, orders, 10.0)
    assert slot.silent(0, 70.0) == 60.0, "it has never posted"
    assert slot.silent(5, 100.0) == 0
    assert slot.silent(5, 110.0) == 10.0
    slot.end()
    slot.begin(2, asks, orders, 120.0)
    assert slot.silent(5, 121.0) == 1.0, "a new worker is not blamed for the time of the old one"
    slot.end()
