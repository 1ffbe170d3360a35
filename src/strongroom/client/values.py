"""JSON values as the client holds them: exact numbers, typed access, no `Any`.

Rules of this file:
- A number with a fraction or exponent stays the text it was (`Number`), so 1.10 and 1e400 come out as they went in.
- NaN and Infinity are not JSON and are refused.
- Only the json module is imported: start-up time of the CLI is a promise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
Object: TypeAlias = "dict[str, Json]"


class Number(str):
    """A decimal number, kept as its text."""

    __slots__ = ()


def _refuse(name: str) -> Json:
    raise ValueError(f"{name} is not a JSON number")


def decode(text: str | bytes) -> Json:
    """Parse one JSON text. Raises ValueError."""
    try:
        value: Json = json.loads(text, parse_float=Number, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return value


def encode(value: Json, indent: str = "", _margin: str = "") -> str:
    """JSON text of a value; compact, or over several lines when `indent` is given."""
    if isinstance(value, dict):
        colon = ": " if indent else ":"
        members = [encode_basestring(key) + colon + encode(item, indent, _margin + indent) for key, item in value.items()]
        return _enclose("{", members, "}", indent, _margin)
    if isinstance(value, list):
        return _enclose("[", [encode(item, indent, _margin + indent) for item in value], "]", indent, _margin)
    return scalar(value)


def scalar(value: Json) -> str:
    """JSON text of a value that holds no others."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, Number)):
        return str(value)
    return encode_basestring(value) if isinstance(value, str) else encode(value)


def _enclose(start: str, members: list[str], end: str, indent: str, margin: str) -> str:
    if not members:
        return start + end
    if not indent:
        return start + ",".join(members) + end
    inner = f"\n{margin}{indent}"
    return f"{start}{inner}{f',{inner}'.join(members)}\n{margin}{end}"


def mapping(value: object) -> Object:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: object, default: str = "") -> str:
    """The value if it is a text, else the default."""
    return str(value) if isinstance(value, str) else default


def number(value: object, default: int = 0) -> int:
    """The value if it is a whole number (also one written as text), else the default."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20 else default


def texts(value: object) -> list[str]:
    """The texts in a list, or nothing."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def without_empty(values: Mapping[str, Json]) -> Object:
    """The members that were given: neither null nor an empty text."""
    return {key: value for key, value in values.items() if value is not None and value != ""}
