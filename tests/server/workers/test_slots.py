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
