"""JSON values as YAML: block style, keys sorted, anything that is not plainly a word in double quotes.

Rules of this file:
- It only writes, and only what JSON can say; what it writes reads back to the same value under YAML 1.1 and 1.2.
"""

from __future__ import annotations

from strongroom.client import values
from strongroom.client.values import Json

_WORDS = frozenset("y n yes no on off true false null none ~ nan inf infinity".split())
_MARKS = frozenset("-_./:@ +,()")


def dump(value: Json) -> str:
    """The value as a YAML document."""
    return "\n".join(_lines(value))


def _lines(value: Json) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, item in sorted(value.items()) for line in _member(f"{_text(key)}:", item)]
    if isinstance(value, list) and value:
        return [line for item in value for line in _item(item)]
    return [_scalar(value)]


def _member(head: str, item: Json) -> list[str]:
    if isinstance(item, dict) and item:
        return [head, *(f"  {line}" for line in _lines(item))]
    if isinstance(item, list) and item:
        return [head, *_lines(item)]
    return [f"{head} {_scalar(item)}"]


def _item(item: Json) -> list[str]:
    first, *rest = _lines(item)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _scalar(value: Json) -> str:
    if isinstance(value, str) and not isinstance(value, values.Number):
        return _text(value)
    return values.encode(value)


def _text(text: str) -> str:
    plain = (
        text[:1].isalpha()
        and text.isascii()
        and all(mark.isalnum() or mark in _MARKS for mark in text)
        and text.lower() not in _WORDS
        and ": " not in text
        and not text.endswith((":", " "))
    )
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return "".join(mark if mark.isprintable() else _escaped(ord(mark)) for mark in values.scalar(text))


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
