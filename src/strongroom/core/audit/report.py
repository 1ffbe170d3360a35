"""What a check of audit files found (verify.py), for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from strongroom.core.audit.checkpoint import Checkpoint

MOST_FINDINGS: Final = 1_000
"""Enough to see what happened; a file that was replaced would give one a line."""


class Finding(NamedTuple):
    """Something that is not as it was written. `line` counts from 1; 0 = the file as a whole."""

    file: str
    line: int
    what: str


@dataclass
class Report:
    """What was found. `last` is the newest checkpoint that verified; its gsn and sigma anchor the unseal."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    files: int = 0
    lines: int = 0
    streams: int = 0
    checkpoints: int = 0
    uncovered: int = 0
    last: Checkpoint | None = None

    @property
    def intact(self) -> bool:
        """Nothing was found."""
        return not self.findings

    def find(self, place: tuple[str, int], what: str) -> None:
        """Add a finding."""
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(*place, what))

    def note(self, place: tuple[str, int], what: str) -> None:
        """Add a note."""
        if len(self.notes) < MOST_FINDINGS:
            self.notes.append(Finding(*place, what))


def report_text(report: Report) -> str:
    """For people."""
    lines = [f"{_where(finding)}{finding.what}" for finding in report.findings]
    lines += [f"note: {_where(note)}{note.what}" for note in report.notes]
    lines.append(f"{report.files} files, {report.lines} lines, {report.streams} streams, {report.checkpoints} checkpoints")
    if report.last is not None:
        last = report.last
        end = "; it is the final one" if last.final else ""
        lines.append(f"last checkpoint: {last.number} of node {last.node} at {last.time}, gsn {last.gsn}{end}")
        lines.append(f"{report.uncovered} lines are not covered by a checkpoint yet")
    lines.append("intact" if report.intact else f"NOT intact: {len(report.findings)} findings")
    return "\n".join(lines)


def _where(finding: Finding) -> str:
    return f"{finding.file}:{finding.line}: " if finding.line else f"{finding.file}: " if finding.file else ""


def report_json(report: Report) -> bytes:
    """For programs."""
    return msgspec.json.encode(
        {
            "intact": report.intact,
            "findings": [finding._asdict() for finding in report.findings],
            "notes": [note._asdict() for note in report.notes],
            "files": report.files,
            "lines": report.lines,
            "streams": report.streams,
            "checkpoints": report.checkpoints,
            "uncovered": report.uncovered,
            "last": report.last,
        }
    )
