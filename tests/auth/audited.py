"""What the audit log says of a login, read back from a real file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from strongroom.testing import Strongroom


def audit_to(room: Strongroom, directory: Path) -> Path:
    """From now on the room writes an audit log; its file."""
    file = directory / "audit.log"
    room.write("sys/audit/file", {"type": "file", "options": {"file_path": str(file)}})
    return file


def reasons(file: Path) -> list[str]:
    """Why requests were refused, as the log says it, in order; "" for those that were not or without a reason."""
    entries: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    return [entry.get("reason", "") for entry in entries if entry["type"] == "response"]
