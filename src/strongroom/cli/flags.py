"""Flags as Vault's users type them: `-format=json`, `--format json`, `-force`, `-force=false`, before or after the arguments.

Rules of this file:
- A flag is declared once, as a `Flag`; parsing, help and completion come from that.
- `--` ends the flags, `-` alone is an argument (standard input), a switch takes a value only after `=`.
- Errors name flags, never the values given to them: those may be secrets.
- Hand-written because click alone costs more than the whole of `kv get` (docs/decisions/010-cli-flags.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from strongroom.cli.errors import UsageError

Kind = Literal["text", "switch", "number", "many"]
_TRUTHS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


class Flag(NamedTuple):
    """One flag. `kind`: a text, an on/off switch, a whole number, or a text that may be given several times."""

    name: str
    help: str
    kind: Kind = "text"
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


class Flags:
    """The flags that were given, read by their declared kind."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    def given(self, name: str) -> bool:
        """Whether the flag was there at all."""
        return name in self._values

    def text(self, name: str, default: str = "") -> str:
        """The last value given."""
        return self._values[name][-1] if name in self._values else default

    def switch(self, name: str, default: bool = False) -> bool:
        """On or off."""
        return _TRUTHS[self._values[name][-1].lower()] if name in self._values else default

    def number(self, name: str) -> int | None:
        """The whole number given, or None."""
        return int(self._values[name][-1]) if name in self._values else None

    def many(self, name: str) -> list[str]:
        """Every value given, in order."""
        return self._values.get(name, [])

    def listed(self, name: str) -> list[str]:
        """Every value given, each split at its commas."""
        return [part for value in self.many(name) for part in (piece.strip() for piece in value.split(",")) if part]

    def pairs(self, name: str) -> dict[str, str]:
        """Every `key=value` given."""
        split = [value.partition("=") for value in self.many(name)]
        if any(not equals or not key for key, equals, _ in split):
            raise UsageError(f"-{name} takes key=value")
        return {key: value for key, _, value in split}


def parse(words: Sequence[str], declared: Iterable[Flag]) -> tuple[Flags, list[str]]:
    """Split words into flags and arguments. Raises UsageError."""
    known = {alias: flag for flag in declared for alias in (flag.name, *flag.aliases)}
    values: dict[str, list[str]] = {}
    arguments: list[str] = []
    queue = iter(words)
    for word in queue:
        if word == "--":
            arguments.extend(queue)
        elif word == "-" or not word.startswith("-"):
            arguments.append(word)
        else:
            flag, value = _one(word, known, queue)
            values.setdefault(flag.name, []).append(value)
    return Flags(values), arguments


def _one(word: str, known: Mapping[str, Flag], queue: Iterable[str]) -> tuple[Flag, str]:
    name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
    flag = known.get(name)
    if flag is None:
        raise UsageError(f"there is no flag -{name if name.isprintable() else '…'}{_suggestion(name, known)}")
    if not equals:
        value = "true" if flag.kind == "switch" else _next(flag, queue)
    _check(flag, value)
    return flag, value


def _next(flag: Flag, queue: Iterable[str]) -> str:
    value = next(iter(queue), None)
    if value is None:
        raise UsageError(f"-{flag.name} needs a value")
    return value


def _check(flag: Flag, value: str) -> None:
    if flag.kind == "switch" and value.lower() not in _TRUTHS:
        raise UsageError(f"-{flag.name} is a switch: it takes nothing, =true or =false")
    digits = value.removeprefix("-")
    if flag.kind == "number" and not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise UsageError(f"-{flag.name} takes a whole number")
    if flag.choices and value not in flag.choices:
        raise UsageError(f"-{flag.name} takes one of: {', '.join(flag.choices)}")


def _suggestion(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only for mistakes

    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean -{close[0]}?" if close else ""
