"""Which test injects which fault: read from the marks in the tests' source, without running or importing any.

Rules of this file: `@pytest.mark.fault("F6")` on a test, or `pytestmark` for all of a file; `long` beside it means that CI leaves it out,
  `control` that it shows that the harness finds what it is for.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lint.source import ROOT

START, END = "<!-- Made by `make docs` from the marks of the tests; edits here are lost. -->", "<!-- end -->"


class Marked(NamedTuple):
    """One test that injects one fault."""

    fault: str
    file: str
    name: str
    long: bool
    control: bool


def marked() -> list[Marked]:
    """Every one, in the order of files and lines."""
    return [each for path in sorted((ROOT / "tests").rglob("test_*.py")) for each in _of(path)]


def _of(path: Path) -> Iterator[Marked]:
    text = path.read_text(encoding="utf-8")
    if "mark.fault(" not in text:
        return
    tree, file = ast.parse(text), path.relative_to(ROOT).as_posix()
    assigned = (node for node in tree.body if isinstance(node, ast.Assign))
    everywhere = [call for node in assigned if _names(node) == ["pytestmark"] for call in _calls(node.value)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = [call for decorator in node.decorator_list for call in _calls(decorator)]
            is_long = any(name == "long" for name, _ in own) and not any(name == "parametrize" for name, _ in own)
            is_control = any(name == "control" for name, _ in own)
            for name, arguments in [*everywhere, *own]:
                if name == "fault":
                    yield from (Marked(fault, file, node.name, is_long, is_control) for fault in arguments)


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _calls(node: ast.expr) -> list[tuple[str, list[str]]]:
    """`pytest.mark.fault("F6")` → ("fault", ["F6"])."""
    if isinstance(node, ast.List | ast.Tuple):
        return [call for each in node.elts for call in _calls(each)]
    call = node.func if isinstance(node, ast.Call) else node
    if not isinstance(call, ast.Attribute):
        return []
    arguments = node.args if isinstance(node, ast.Call) else []
    return [(call.attr, [each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)])]


def number(fault: str) -> int:
    """F6 → 6."""
    return int(fault[1:])


def table() -> str:
    """Each fault: the files of its tests, and which of them have controls. Without numbers, so that one test more changes no page."""
    found: dict[str, list[Marked]] = defaultdict(list)
    for each in marked():
        found[each.fault].append(each)
    lines = ["| | tests | controls |", "|---|---|---|"]
    for fault in sorted(found, key=number):
        lines.append(f"| {fault} | {_files(found[fault])} | {_files([each for each in found[fault] if each.control]) or '–'} |")
    return "\n".join(lines)


def _files(tests: list[Marked]) -> str:
    return ", ".join(f"`{file}`" for file in dict.fromkeys(each.file for each in tests))


def with_table(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"
