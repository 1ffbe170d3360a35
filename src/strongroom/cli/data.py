"""The data of a write, as typed: `key=value`, `key=@file`, `key=-`, and for a whole JSON object `@file` or `-`.

Rules of this file:
- A value starting with a literal `@` is written `\\@…`; a key given twice becomes a list.
- Files and standard input are taken as they are, byte for byte, and must be UTF-8; standard input can be used once.
- Arguments show up in process lists and shell history: help and errors recommend `key=-` and `key=@file`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from strongroom.cli.errors import LOCAL, CommandError, UsageError
from strongroom.client import values
from strongroom.client.values import Json, Object

HINT = "values in arguments show up in process lists; use key=- (standard input) or key=@file for secrets"


class Sources:
    """Where values may come from besides the argument itself."""

    def __init__(self, read_input: Callable[[], bytes]) -> None:
        self._read_input = read_input
        self._used = False

    def standard_input(self) -> str:
        """All of standard input, once."""
        if self._used:
            raise UsageError("standard input (-) can be used for one value only; use key=@file for the others")
        self._used = True
        return utf8(self._read_input(), "standard input")

    def file(self, path: str) -> str:
        """The text of a file. Raises CommandError."""
        return utf8(self.binary(path), f"the file {path}")

    def binary(self, path: str) -> bytes:
        """The content of a file. Raises CommandError."""
        try:
            with open(path, "rb") as source:  # noqa: PTH123  pathlib would cost the CLI 4 ms
                return source.read()
        except OSError as error:
            raise CommandError(f"the file {path} cannot be read: {error.strerror}", LOCAL) from None


def parse(words: Sequence[str], sources: Sources) -> Object:
    """The object that these arguments describe. Raises UsageError."""
    result: Object = {}
    for position, word in enumerate(words, 1):
        if word == "-":
            result.update(_whole(sources.standard_input(), "standard input"))
        elif word.startswith("@"):
            result.update(_whole(sources.file(word[1:]), f"the file {word[1:]}"))
        else:
            _add(result, *_pair(word, position, sources))
    return result


def texts(words: Sequence[str], sources: Sources) -> dict[str, str]:
    """The same where only texts make sense, as for queries. Raises UsageError."""
    return {key: value if isinstance(value, str) else values.encode(value) for key, value in parse(words, sources).items()}


def _pair(word: str, position: int, sources: Sources) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise UsageError(f"data argument {position} is not key=value; {HINT}")
    if value == "-":
        return key, sources.standard_input()
    if value.startswith("@"):
        return key, sources.file(value[1:])
    if value.startswith("\\@"):
        value = value[1:]
    return key, utf8(value.encode("utf-8", "surrogateescape"), f"the value of {key}")


def _add(result: Object, key: str, value: Json) -> None:
    if key not in result:
        result[key] = value
        return
    present = result[key]
    result[key] = [*present, value] if isinstance(present, list) else [present, value]


def _whole(text: str, origin: str) -> Object:
    try:
        value = values.decode(text)
    except ValueError:
        raise UsageError(f'{origin} is not JSON; give an object such as {{"key": "value"}}') from None
    if not isinstance(value, dict):
        raise UsageError(f'{origin} holds JSON, but not an object such as {{"key": "value"}}')
    return value


def utf8(content: bytes, origin: str) -> str:
    """What came in as text. Raises UsageError."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{origin} is not UTF-8 text; encode binary data first, for instance with base64") from None
