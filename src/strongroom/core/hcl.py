"""A reader for the part of HCL 1 and JSON in which policies and server configurations are written.

Rules of this file:
- One pass, one character class at a time: reading takes time in proportion to the text, whatever the text.
- The result is a frozen tree. A block, an object and a JSON object are all a `Body`; `Body.blocks` makes `path "a" { }`,
  `path = { a = { } }` and `{"path": {"a": { }}}` the same thing for the caller.
- Nothing is evaluated: no variables, no calls; `${…}` is text.
- Every refusal is an `HclError` with line and column, and quotes keys only, never values.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeAlias

from strongroom.errors import InvalidRequest

MAX_BYTES: Final = 1 << 20
"""A policy or configuration of more than 1 MiB is a mistake or an attack."""

MAX_DEPTH: Final = 32
"""Nested bodies and lists; keeps recursion far from the interpreter's limit."""

MAX_NODES: Final = 100_000
"""Entries and list items of one text; bounds the memory of the tree."""

Value: TypeAlias = "str | int | Decimal | bool | tuple[Value, ...] | Body | None"


class HclError(InvalidRequest):
    """The text cannot be read; says where."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Entry:
    """`key = value` or `key "label" { body }`."""

    key: str
    labels: tuple[str, ...]
    value: Value
    line: int
    column: int

    def error(self, message: str) -> HclError:
        """An error that points at this entry."""
        return HclError(self.line, self.column, message)


@dataclass(frozen=True, slots=True)
class Block:
    """A body with as many labels as the caller asked for."""

    labels: tuple[str, ...]
    body: Body
    line: int
    column: int

    def error(self, message: str) -> HclError:
        """An error that points at this block."""
        return HclError(self.line, self.column, message)


@dataclass(frozen=True, slots=True)
class Body:
    """Entries in the order of the text; the same key may occur several times."""

    entries: tuple[Entry, ...]

    def get(self, key: str) -> Value:
        """The value of an attribute that may occur once, None where it is absent."""
        return entry.value if (entry := self.unique().get(key)) else None

    def unique(self) -> dict[str, Entry]:
        """All entries by key; a key that occurs twice is an error."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.key in found:
                raise entry.error(f"{shown(entry.key)} is given twice; keep one of them")
            found[entry.key] = entry
        return found

    def blocks(self, name: str, labels: int = 0) -> Iterator[Block]:
        """Every block of that name with that many labels, however it was written."""
        for entry in self.entries:
            if entry.key == name:
                yield from _unfold(entry, entry.labels, entry.value, labels)


def _unfold(entry: Entry, names: tuple[str, ...], value: Value, wanted: int) -> Iterator[Block]:
    if isinstance(value, tuple):
        for item in value:
            yield from _unfold(entry, names, item, wanted)
    elif not isinstance(value, Body) or len(names) > wanted:
        raise entry.error(f"{shown(entry.key)} must be a block with {wanted} label(s) before it")
    elif len(names) == wanted:
        yield Block(names, value, entry.line, entry.column)
    else:
        for inner in value.entries:
            yield from _unfold(inner, (*names, inner.key, *inner.labels), inner.value, wanted)


def plain(value: Value) -> object:
    """The value as dict, list and scalars; a key that occurs twice is an error."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if not isinstance(value, Body):
        return value
    for entry in value.entries:
        if entry.labels:
            raise entry.error(f"{shown(entry.key)} takes no labels here")
    return {key: plain(entry.value) for key, entry in value.unique().items()}


def shown(key: str) -> str:
    """A key as errors show it: quoted, printable, short."""
    return ascii(key if len(key) <= 64 else key[:61] + "...")


def parse(text: str, most: int = MAX_NODES) -> Body:
    """Read HCL, or JSON if the text begins with a brace, of at most so many entries. Raises HclError and nothing else."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise HclError(1, 1, "the text is not Unicode: it has half a surrogate pair; send UTF-8") from error
    if size > MAX_BYTES:
        raise HclError(1, 1, f"the text is longer than {MAX_BYTES} bytes; split it")
    return _Reader(text, most).document()


_SPACE: Final = re.compile(r"[ \t\r\n]+")
_LINE: Final = re.compile(r"[^\n]*")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NUMBER: Final = re.compile(r"-?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?)")
_HEREDOC: Final = re.compile(r"<<(-?)([A-Za-z_][A-Za-z0-9_]{0,63})\r?\n")
_JSON_PLAIN: Final = re.compile(r'[^"\\\x00-\x1f]*')
_HCL_PLAIN: Final = re.compile(r'[^"\\\n\x00]*')
_HEX: Final = {length: re.compile(rf"[0-9a-fA-F]{{{length}}}") for length in (2, 4, 8)}
_OCTAL: Final = re.compile(r"[0-7]{3}")
_JSON_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HCL_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_WIDTHS: Final = {"x": 2, "u": 4, "U": 8}
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False}


class _Reader:
    """The text, where we are in it, and what was counted so far."""

    def __init__(self, text: str, most: int) -> None:
        self.text = text
        self.most = most
        self.at = 1 if text.startswith("\ufeff") else 0
        self.nodes = 0
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.json = text[self.at :].lstrip(" \t\r\n").startswith("{")

    def document(self) -> Body:
        """The whole text."""
        self.skip()
        if not self.json:
            return self.hcl_body(0, closing="")
        self.at += 1
        body = self.json_body(1)
        if self.peek():
            raise self.error("there is more text after the object; remove it")
        return body

    def place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self.lines, at)
        return line, at - self.lines[line - 1] + 1

    def error(self, message: str, at: int | None = None) -> HclError:
        return HclError(*self.place(self.at if at is None else at), message)

    def skip(self) -> None:
        """Past white space and comments."""
        while True:
            if match := _SPACE.match(self.text, self.at):
                self.at = match.end()
            elif self.json or not self.text.startswith(("#", "//", "/*"), self.at):
                return
            elif self.text.startswith("/*", self.at):
                end = self.text.find("*/", self.at + 2)
                if end < 0:
                    raise self.error("the comment is not closed; add */")
                self.at = end + 2
            else:
                self.at = self.match(_LINE).end()

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.error("unexpected character")
        return found

    def peek(self) -> str:
        """The next character that is not white space or comment, "" at the end."""
        self.skip()
        return self.text[self.at : self.at + 1]

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise self.error(f"expected {character!r}")
        self.at += 1

    def count(self, depth: int) -> None:
        self.nodes += 1
        if self.nodes > self.most:
            raise self.error(f"more than {self.most} entries; split the text")
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH}")

    # bodies

    def hcl_body(self, depth: int, closing: str) -> Body:
        entries = []
        while (character := self.peek()) != closing:
            if not character:
                raise self.error("the block is not closed; add }")
            entries.append(self.hcl_entry(depth))
            if self.peek() == ",":
                self.at += 1
        self.at += len(closing)
        return Body(tuple(entries))

    def hcl_entry(self, depth: int) -> Entry:
        self.count(depth)
        start = self.at
        key = self.name()
        labels = []
        while (character := self.peek()) not in ("=", "{"):
            labels.append(self.name())
            self.count(depth)
        if character == "=" and labels:
            raise self.error(f"{shown(key)} has labels, so a block must follow, not '='")
        if character == "=":
            self.at += 1
            value = self.value(depth)
        else:
            self.at += 1
            value = self.hcl_body(depth + 1, "}")
        return Entry(key, tuple(labels), value, *self.place(start))

    def name(self) -> str:
        if self.peek() == '"':
            return self.string()
        found = _WORD.match(self.text, self.at)
        if found is None:
            raise self.error("expected a name, '=' or '{'" if self.peek() else "the text ends in the middle of an entry")
        self.at = found.end()
        return found[0]

    def json_body(self, depth: int) -> Body:
        entries: dict[str, Entry] = {}
        if self.peek() == "}":
            self.at += 1
            return Body(())
        while True:
            self.count(depth)
            if self.peek() != '"':
                raise self.error("expected a name in double quotes")
            start = self.at
            key = self.string()
            if key in entries:
                raise self.error(f"{shown(key)} is given twice; keep one of them", start)
            self.expect(":")
            entries[key] = Entry(key, (), self.value(depth), *self.place(start))
            if self.peek() != ",":
                break
            self.at += 1
        self.expect("}")
        return Body(tuple(entries.values()))

    # values

    def value(self, depth: int) -> Value:
        character = self.peek()
        if character == '"':
            return self.string()
        if character == "{":
            self.at += 1
            return self.json_body(depth + 1) if self.json else self.hcl_body(depth + 1, "}")
        if character == "[":
            return self.items(depth + 1)
        if character == "<" and not self.json:
            return self.heredoc()
        if word := _WORD.match(self.text, self.at):
            return self.word(word)
        return self.number()

    def items(self, depth: int) -> tuple[Value, ...]:
        self.at += 1
        found: list[Value] = []
        while self.peek() != "]":
            self.count(depth)
            found.append(self.value(depth))
            if self.peek() != ",":
                break
            self.at += 1
            if self.json and self.peek() == "]":
                raise self.error("JSON has no comma after the last item")
        self.expect("]")
        return tuple(found)

    def word(self, found: re.Match[str]) -> bool | None:
        if self.json and found[0] == "null":
            self.at = found.end()
            return None
        if found[0] not in _WORDS:
            raise self.error("expected a value; text must be in double quotes")
        self.at = found.end()
        return _WORDS[found[0]]

    def number(self) -> int | Decimal:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            raise self.error("expected a value")
        text, digits = found[0], found[0].lstrip("-")
        following = self.text[found.end() : found.end() + 1]
        if following.isalnum() or following in ("_", "."):
            raise self.error("this is not a number, or it is too long; put text in double quotes")
        leading = len(digits) > 1 and digits[0] == "0" and digits[1] not in ".eE"
        if leading and self.json:
            raise self.error("JSON numbers have no leading zero")
        if not leading and not digits.isdecimal():
            self.at = found.end()
            return Decimal(text)
        try:
            number = int(text, 0 if digits[1:2] in ("x", "X") else 8 if leading else 10)
        except ValueError as error:
            raise self.error("a number with a leading zero is octal; this one is not") from error
        self.at = found.end()
        return number

    # text

    def string(self) -> str:
        start = self.at
        self.at += 1
        parts = []
        while True:
            found = self.match(_JSON_PLAIN if self.json else _HCL_PLAIN)
            self.at = found.end()
            parts.append(found[0])
            character = self.text[self.at : self.at + 1]
            if character == '"':
                self.at += 1
                return "".join(parts)
            if character != "\\":
                raise self.error("the text is not closed; add a double quote", start)
            self.at += 1
            parts.append(self.escape())

    def escape(self) -> str:
        character = self.text[self.at : self.at + 1]
        known = (_JSON_ESCAPES if self.json else _HCL_ESCAPES).get(character)
        if known is not None:
            self.at += 1
            return known
        if character in _WIDTHS and (character == "u" or not self.json):
            self.at += 1
            return self.code_point(_WIDTHS[character])
        octal = None if self.json else _OCTAL.match(self.text, self.at)
        if octal is None:
            raise self.error("unknown escape after '\\'; write '\\\\' for the character itself")
        self.at = octal.end()
        return chr(int(octal[0], 8))

    def code_point(self, width: int) -> str:
        code = self.hexadecimal(width)
        if 0xD800 <= code <= 0xDBFF and self.text.startswith("\\u", self.at):
            self.at += 2
            low = self.hexadecimal(4)
            if 0xDC00 <= low <= 0xDFFF:
                return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00))
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise self.error("the escape is not a Unicode character")
        return chr(code)

    def hexadecimal(self, width: int) -> int:
        found = _HEX[width].match(self.text, self.at)
        if found is None:
            raise self.error(f"expected {width} hexadecimal digits")
        self.at = found.end()
        return int(found[0], 16)

    def heredoc(self) -> str:
        """`<<MARK` up to a line that is MARK. `<<-MARK` removes the closing line's indentation where every line has it."""
        start = self.at
        opening = _HEREDOC.match(self.text, self.at)
        if opening is None:
            raise self.error("expected <<NAME and a new line")
        self.at = opening.end()
        lines: list[str] = []
        while self.at < len(self.text):
            found = self.match(_LINE)
            line = found[0]
            self.at = found.end()
            if line.strip(" \t\r") == opening[2]:
                return _outdented(lines, line[: len(line) - len(line.lstrip(" \t"))] if opening[1] else "")
            lines.append(line + "\n")
            self.at += 1
        raise self.error("the heredoc is not closed; put its name on a line of its own", start)


def _outdented(lines: list[str], indent: str) -> str:
    if indent and all(line.startswith(indent) for line in lines):
        lines = [line[len(indent) :] for line in lines]
    return "".join(lines)
