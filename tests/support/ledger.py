"""What a long run has finished, so that it can go on another day: rounds of a test, and whole tests.

Rules of this file: a line for each, in a file for each fault, in the directory that STRONGROOM_FAULTS names; without that nothing is noted.
With STRONGROOM_FAULTS_RESUME what is there counts.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

RULES = "rules"
"""What stands in the place of a fault for tests that inject none: state machines with many more steps."""


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
            print(f"{self.fault} {self.what}: round {number} passed, {seconds:.0f} s", flush=True)


def ledgers(item: pytest.Item) -> list[Ledger]:
    """Where it is noted that a test passed: with each fault that it injects."""
    return [Ledger(fault, item.nodeid) for mark in item.iter_markers("fault") for fault in mark.args] or [Ledger(RULES, item.nodeid)]


def passed(item: pytest.Item) -> bool:
    """Whether a test is not to be done again."""
    return all(ledger.done() for ledger in ledgers(item))
