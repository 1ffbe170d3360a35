"""A slot is given up after three deaths in ten seconds, and not before."""

from __future__ import annotations

import pytest

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


def test_a_worker_is_silent_from_its_last_post_on_and_only_while_it_serves() -> None:
    slot = Slot(0, [])
    assert slot.silent(5, 10.0) == 0
    assert slot.silent(5, 90.0) == 0, "it does not serve yet"
    slot.serves = True
    assert slot.silent(5, 100.0) == 10.0
    assert slot.silent(6, 101.0) == 0
    assert slot.silent(6, 104.0) == 3.0
