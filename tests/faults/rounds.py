"""Rounds of a long test: few in CI, many under `make faults`, where what was done is remembered and the rest can be done another day.

Rules of this file:
- A round is one repetition with a number that is its seed, and stands by itself: any of them can be left out or done again.
- A finished round is a line in a file of the directory that STRONGROOM_FAULTS names; with STRONGROOM_FAULTS_RESUME it is not done again.
- A part ends after `BUDGET_SECONDS`, whatever is left: as skipped, saying how to go on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import PROFILE

BUDGET_SECONDS = 25 * 60.0
LONG = PROFILE == "long"


class Ledger:
    """The finished rounds of one test."""

    def __init__(self, fault: str, what: str) -> None:
        directory = os.environ.get("STRONGROOM_FAULTS", "")
        self.fault, self.what = fault, what
        self._file = Path(directory) / f"{fault}.jsonl" if directory else None

    def done(self) -> set[int]:
        if self._file is None or not self._file.exists() or not os.environ.get("STRONGROOM_FAULTS_RESUME"):
            return set()
        lines = [json.loads(line) for line in self._file.read_text().splitlines()]
        return {line["round"] for line in lines if line["what"] == self.what}

    def note(self, number: int, seconds: float) -> None:
        if self._file is not None:
            self._file.parent.mkdir(exist_ok=True)
            entry = {
                "what": self.what,
                "round": number,
                "seconds": round(seconds, 1),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            with self._file.open("a") as file:
                file.write(json.dumps(entry) + "\n")


def rounds(fault: str, what: str, short: int, long: int) -> Iterator[int]:
    """The numbers of the rounds that are left; a round counts as finished when the next one is asked for."""
    ledger, began = Ledger(fault, what), time.monotonic()
    numbers = [number for number in range(1, (long if LONG else short) + 1) if number not in ledger.done()]
    for number in numbers:
        if time.monotonic() - began > BUDGET_SECONDS:
            pytest.skip(f"rounds from {number} on are left; go on with: make faults F={fault} RESUME=1")
        start = time.monotonic()
        yield number
        ledger.note(number, time.monotonic() - start)
