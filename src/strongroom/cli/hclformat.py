"""Formats HCL as `policy fmt` does: two blanks a level, aligned `=`, no blanks at line ends.

Rules of this file:
- Only blanks change. Texts, comments, heredocs and the order of lines stay, so a policy means the same afterwards.
- It judges nothing but whether what is opened is closed: whether the text is a policy is the server's word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Line(NamedTuple):
    """A line without its margin: depth, text, and where its `=` is (-1: it sets nothing, or not on one line)."""

    depth: int
    text: str
    equals: int


class _Scan(NamedTuple):
    opened: int
    closed_first: int
    equals: int
    inside_comment: bool
    heredoc: str


def formatted(text: str) -> str:
    """The text with its blanks put right; formatting twice changes nothing."""
    lines: list[Line | str] = []
    depth = 0
    for line, scan in _scanned(text):
        if scan is None:
            lines.append(line)
            continue
        opens = scan.opened > 0 and line.endswith("{")
        shown = f"{line[:-1].rstrip()} {{".lstrip() if opens else line
        lines.append(Line(max(depth - scan.closed_first, 0), shown, scan.equals))
        depth = max(depth + scan.opened, 0)
    return "".join(f"{line}\n" for line in _squeeze(_align(lines)))


def unclosed(text: str) -> str:
    """What is opened and not closed, or closed and not opened; nothing where all is well."""
    depth = 0
    for number, (_, scan) in enumerate(_scanned(text), 1):
        depth += scan.opened if scan is not None else 0
        if depth < 0:
            return f"line {number} closes what was not opened"
    return "it ends before what was opened is closed; add }" if depth else ""


def _scanned(text: str) -> Iterator[tuple[str, _Scan | None]]:
    """Each line, stripped, with what is in it; lines inside of heredocs and comments as they are, with nothing."""
    comment, heredoc = False, ""
    for raw in text.splitlines():
        if heredoc:
            yield raw, None
            heredoc = "" if raw.strip() == heredoc else heredoc
        elif comment:
            yield raw.rstrip(), None
            comment = "*/" not in raw
        else:
            scan = _scan(raw.strip())
            yield raw.strip(), scan
            comment, heredoc = scan.inside_comment, scan.heredoc


def _scan(text: str) -> _Scan:
    opened, closed_first, equals, index, leading = 0, 0, -1, 0, True
    while index < len(text):
        mark = text[index]
        if mark == '"':
            index = _after_text(text, index)
            leading = False
            continue
        if mark == "#" or text.startswith("//", index):
            break
        if text.startswith("/*", index):
            end = text.find("*/", index + 2)
            if end < 0:
                return _Scan(opened, closed_first, equals, True, "")
            index = end + 2
            continue
        if text.startswith("<<", index):
            return _Scan(opened, closed_first, equals, False, text[index + 2 :].lstrip("-").strip())
        if mark in "}])":
            opened -= 1
            closed_first += leading
        elif mark in "{[(":
            opened += 1
        elif mark == "=" and opened == 0 and equals < 0:
            equals = index
        leading = leading and mark in "}]), "
        index += 1
    return _Scan(opened, closed_first, equals, False, "")


def _after_text(text: str, start: int) -> int:
    index = start + 1
    while index < len(text) and text[index] != '"':
        index += 2 if text[index] == "\\" else 1
    return index + 1


def _align(lines: list[Line | str]) -> list[str]:
    result: list[str] = []
    block: list[Line] = []
    for line in [*lines, ""]:
        if isinstance(line, Line) and line.equals > 0 and (not block or block[-1].depth == line.depth):
            block.append(line)
            continue
        result += _aligned(block)
        block = [line] if isinstance(line, Line) and line.equals > 0 else []
        if not block:
            result.append(line if isinstance(line, str) else ("  " * line.depth + line.text if line.text else ""))
    return result[:-1]


def _aligned(block: list[Line]) -> list[str]:
    split = [(line.depth, line.text[: line.equals].rstrip(), line.text[line.equals + 1 :].lstrip()) for line in block]
    width = max((len(name) for _, name, _ in split), default=0)
    return [f"{'  ' * depth}{name.ljust(width)} = {value}".rstrip() for depth, name, value in split]


def _squeeze(lines: list[str]) -> list[str]:
    kept = [line for index, line in enumerate(lines) if line or (index and lines[index - 1])]
    return kept[:-1] if kept and not kept[-1] else kept
