"""Results in a file, a line each, so that a long run can be interrupted and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Results:
    """Name → numbers; what is put is in the file at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: dict[str, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            name, numbers = json.loads(line)
            self.found[name] = numbers

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def put(self, name: str, numbers: dict[str, Any]) -> None:
        """Keep and show a result."""
        self.found[name] = numbers
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, numbers]) + "\n")
        shown = {key: round(value, 2) if isinstance(value, float) else value for key, value in numbers.items()}
        print(name, shown, flush=True)
