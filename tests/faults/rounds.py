"""Rounds of a long test: few in CI, many under `make faults`, where what was done is remembered and the rest can be done another day.

Rules of this file:
- A round is one repetition with a number that is its seed, and stands by itself: any of them can be left out or done again.
- A finished round is noted (tests/support/ledger.py), and so is a whole test that passed; what was noted can be left out the next time.
- A part ends after `BUDGET_SECONDS`, whatever is left: as skipped, saying how to go on. Skipped is not passed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.conftest import PROFILE
from tests.support.ledger import Ledger

BUDGET_SECONDS = 25 * 60.0
LONG = PROFILE == "long"


def rounds(fault: str, what: str, short: int, long: int) -> Iterator[int]:
    """The numbers of the rounds that are left; a round counts as finished when the next one is asked for."""
    ledger, began = Ledger(fault, what), time.monotonic()
    done = ledger.done()
    numbers = [number for number in range(1, (long if LONG else short) + 1) if number not in done]
    for number in numbers:
        if time.monotonic() - began > BUDGET_SECONDS:
            pytest.skip(f"rounds from {number} on are left; go on with: make faults F={fault} RESUME=1")
        start = time.monotonic()
        yield number
        ledger.note(number, time.monotonic() - start)
