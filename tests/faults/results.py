"""`python -m tests.faults.results DIRECTORY`: what `make faults` has finished so far, as a table to publish with a release."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any


def table(directory: Path) -> str:
    """A row for each test that goes in rounds, and one for all others of a fault."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for file in sorted(directory.glob("*.jsonl"), key=lambda path: (len(path.stem), path.stem)):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            found[file.stem, "" if "::" in entry["what"] else entry["what"]].append(entry)
    lines = ["| fault | rounds of | numbers (each is its seed) | seconds | last finished |", "|---|---|---|---|---|"]
    for (fault, what), entries in found.items():
        which = _spans(sorted({entry["round"] for entry in entries})) if what else _count({entry["what"] for entry in entries})
        seconds, last = sum(entry["seconds"] for entry in entries), max(entry["at"] for entry in entries)
        lines.append(f"| {fault} | {what or 'whole tests'} | {which} | {seconds:.0f} | {last} |")
    return "\n".join(lines)


def _count(tests: set[str]) -> str:
    return f"{len(tests)} passed"


def _spans(numbers: list[int]) -> str:
    """1, 2, 3, 7 → 1–3, 7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{first}–{last}" if last > first else f"{first}" for first, last in spans)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
