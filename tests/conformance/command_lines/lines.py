"""Command lines and what came of them: the exit code, and the shape of what was printed.

Rules of this file:
- `command_lines.json` is a list of lines in the order in which they are given to one server. People write `run` and the like; `record`
  writes `code` and `out`, from Vault's program at Vault's server.
- Shape is what a script goes by: the members and types of JSON, the headings and first column of a table, a text of one line. Longer
  prose is each program's own, and so is all of standard error.
- Where strongroom does otherwise on purpose, `ours` says what and `because` why.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.cli.run import Result
from tests.conformance.recorded.conversation import ALONE, PATTERNS

TABLE: Final = Path(__file__).parent / "command_lines.json"
OWN: Final = ("build_date", "deprecation_status", "active_time", "cluster_name", "cluster_id")
"""Members that one of the programs shows and no script asks for."""
_COLUMNS = re.compile(r" {2,}")
_OF_THE_SERVER: Final = ((re.compile(r"127\.0\.0\.1:\d+"), "<address>"), (re.compile(r"^1\.18\.\d$"), "<version>"))
_PROSE: Final = "prose"

Run = Callable[[list[str], str], Result]


class Ours(msgspec.Struct, frozen=True, omit_defaults=True):
    """What strongroom does otherwise, and why."""

    because: str
    code: int = 0
    out: Any = None


class Line(msgspec.Struct, omit_defaults=True):
    """One command line; `{name}` stands for what an earlier one printed and `keep` named. `files` are written first."""

    run: str
    stdin: str = ""
    files: dict[str, str] = {}
    keep: str = ""
    code: int = 0
    out: Any = None
    ours: Ours | None = None


def load() -> list[Line]:
    """The table."""
    return msgspec.json.decode(TABLE.read_bytes(), type=list[Line])


def save(lines: list[Line]) -> None:
    """A line of the table a line, so that what changed can be seen."""
    shown = ",\n".join("  " + json.dumps(msgspec.to_builtins(line), ensure_ascii=False) for line in lines)
    TABLE.write_text(f"[\n{shown}\n]\n", encoding="utf-8")


def outcomes(lines: list[Line], run: Run, folder: Path) -> list[tuple[int, Any]]:
    """The code and the shape of every line, given one after another; files lie in `folder`, where `run` runs them."""
    kept: dict[str, str] = {}
    found = []
    for line in lines:
        for name, text in line.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        words = [_filled(word, kept) for word in shlex.split(line.run)]
        result = run(words, _filled(line.stdin, kept))
        if line.keep:
            kept[line.keep] = result.out.strip()
        found.append((result.code, shape(result.out)))
    return found


def _filled(text: str, kept: dict[str, str]) -> str:
    for name, value in kept.items():
        text = text.replace("{" + name + "}", value)
    return text


def shape(out: str) -> Any:
    """What a script goes by."""
    try:
        return _members(json.loads(out))
    except ValueError:
        pass
    lines = [line.rstrip() for line in out.splitlines() if line.strip()]
    if len(lines) > 1 and set(lines[1]) <= {"-", " "}:
        first = [_column(line) for line in lines[2:]]
        return [_COLUMNS.split(lines[0]), *(name for name in first if name not in ALONE)]
    return _PROSE if len(lines) > 1 else "".join(_text(line) for line in lines)


def _column(line: str) -> str:
    return _text(_COLUMNS.split(line)[0])


def _members(value: Any) -> Any:
    if isinstance(value, dict):
        return {_text(name): _members(item) for name, item in sorted(value.items()) if name not in ALONE and name not in OWN}
    if isinstance(value, list):
        return [_members(item) for item in value[:1]]
    return "null" if value is None else "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def _text(text: str) -> str:
    for pattern, stands in (*PATTERNS, *_OF_THE_SERVER):
        text = pattern.sub(stands, text)
    return text
