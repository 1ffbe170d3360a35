"""How a body becomes a typed struct: lenient exactly where Vault's clients rely on it, strict elsewhere.

Rules of this file:
- A route's body is one frozen Struct; a field's type says what is accepted, `Annotated[…, "text"]` what the API docs say of it.
- Clients send `"true"`, `"10"`, `"1h"`, `"a,b"` and `["k=v"]` for booleans, numbers, durations, lists and maps: all are read.
- Compiled once per Struct into a table of (name, reader, default); decoding is one loop.
- `Seconds`, `SignedSeconds`, `Names`, `Lines` and `Texts` only say how a field is read: the values are plain int, tuple and dict.
- A field of type `X | UnsetType` tells "not sent" from every value.
- Errors name the field and what it takes, in the words that Vault begins with, never the value.
"""

from __future__ import annotations

import base64
import binascii
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from strongroom.errors import InvalidRequest
from strongroom.types import parse_duration


class Seconds(int):
    """A duration field: seconds inside, `3600`, `"1h"` or `"90m"` outside; not negative."""


class SignedSeconds(Seconds):
    """A duration field to which a negative duration means something."""


class Names(tuple[str, ...]):
    """A list of texts; one text with commas is read as a list too."""

    __slots__ = ()


class Lines(tuple[str, ...]):
    """A list of texts in which a comma means itself."""

    __slots__ = ()


class Texts(dict[str, str]):
    """A map of text to text; `["k=v", …]` and `"k=v"` are read too."""


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    raise ValueError("a text")


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False", ""))


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise ValueError("true or false")


def _integer(value: object) -> int:
    if isinstance(value, bool):
        raise ValueError("a whole number")
    if isinstance(value, int):
        number = value
    elif (isinstance(value, Decimal) and value.adjusted() < 20 and value == value.to_integral_value()) or (
        isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 20
    ):
        number = int(value)
    elif value == "":
        number = 0
    else:
        raise ValueError("a whole number")
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError("a whole number of 64 bits")
    return number


def _seconds(value: object) -> int:
    seconds = _signed_seconds(value)
    if seconds < 0:
        raise ValueError("a duration that is not negative")
    return seconds


def _signed_seconds(value: object) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"a duration: {error}") from None


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list | tuple):
        return tuple(_text(part) for part in value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return (_text(value),)
    if value is None:
        return ()
    raise ValueError("a list of texts, or one text with commas")


def _lines(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list | tuple):
        return tuple(_text(part) for part in value)
    if value is None:
        return ()
    raise ValueError("a list of texts")


def _texts(value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(key): _text(item) for key, item in value.items()}
    if value is None or value == "":
        return {}
    parts = [value] if isinstance(value, str) else value
    if isinstance(parts, list | tuple) and all(isinstance(part, str) and "=" in part for part in parts):
        return dict(part.split("=", 1) for part in parts)
    raise ValueError("a map of text to text")


def _mapping(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise ValueError("an object")


def _list(value: object) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise ValueError("a list")


def _integers(value: object) -> list[int]:
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    return [_integer(part.strip() if isinstance(part, str) else part) for part in parts if part != ""]


def _anything(value: object) -> Any:
    return value


READERS: dict[Any, Callable[[object], Any]] = {
    str: _text,
    bool: _boolean,
    int: _integer,
    Seconds: _seconds,
    SignedSeconds: _signed_seconds,
    Names: _names,
    Lines: _lines,
    Texts: _texts,
    dict[str, Any]: _mapping,
    list[Any]: _list,
    list[int]: _integers,
    Any: _anything,
    object: _anything,
}

SCHEMAS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    Seconds: {"type": "string", "format": "seconds"},
    SignedSeconds: {"type": "string", "format": "seconds"},
    Names: {"type": "array", "items": {"type": "string"}},
    Lines: {"type": "array", "items": {"type": "string"}},
    Texts: {"type": "object", "additionalProperties": {"type": "string"}},
    dict[str, Any]: {"type": "object"},
    list[Any]: {"type": "array", "items": {}},
    list[int]: {"type": "array", "items": {"type": "integer"}},
    Any: {},
    object: {},
}
"""OpenAPI schema of each field type."""


class Field(NamedTuple):
    """One member of a body."""

    name: str
    kind: Any
    read: Callable[[object], Any]
    required: bool
    default: Any
    description: str
    nullable: bool


class Fields(NamedTuple):
    """A compiled body type."""

    struct: type[msgspec.Struct]
    table: tuple[Field, ...]
    names: frozenset[str]
    by_name: dict[str, tuple[str, Field]]
    required: tuple[str, ...]
    defaults: dict[str, Any]
    mutable: tuple[str, ...]
    """Attributes whose default is copied for each request, so that requests share nothing."""


def compile_fields(struct: type[msgspec.Struct]) -> Fields:
    """Turn a Struct into its table. Raises TypeError for a field type that has no reader, at import time of the engine."""
    hints = typing.get_type_hints(struct, include_extras=True)
    defaults = {field.name: field for field in msgspec.structs.fields(struct)}
    by_name: dict[str, tuple[str, Field]] = {}
    values: dict[str, Any] = {}
    for name, hint in hints.items():
        if name not in defaults:
            continue
        description = ""
        if typing.get_origin(hint) is typing.Annotated:
            hint, description, *_ = typing.get_args(hint)
        kind, nullable = _strip(hint)
        if kind not in READERS:
            raise TypeError(f"{struct.__name__}.{name}: no reader for {kind!r}")
        info = defaults[name]
        default = info.default_factory() if info.default_factory is not msgspec.NODEFAULT else info.default
        values[name] = _plain(default)
        field = Field(info.encode_name, kind, READERS[kind], info.required, values[name], description, nullable)
        by_name[field.name] = (name, field)
    table = tuple(field for _, field in by_name.values())
    required = tuple(field.name for field in table if field.required)
    mutable = tuple(name for name, value in values.items() if isinstance(value, dict | list))
    return Fields(struct, table, frozenset(by_name), by_name, required, values, mutable)


def decoded(text: str) -> str:
    """A policy itself where it was sent in base64; no policy with a rule is base64 by accident."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return text


def given(body: msgspec.Struct, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The fields of a body that were sent, all or those named: what a write changes."""
    return {name: value for name in (names or body.__struct_fields__) if (value := getattr(body, name)) is not msgspec.UNSET}


def _plain(default: Any) -> Any:
    """A default in the bare type that readers give: stored structs and answers take no subclasses."""
    if isinstance(default, Seconds):
        return int(default)
    if isinstance(default, Names | Lines):
        return tuple(default)
    return dict(default) if isinstance(default, Texts) else default


def _strip(hint: Any) -> tuple[Any, bool]:
    """The bare type of `X`, `X | UnsetType`, `X | None`, and whether null is a value of it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part not in (type(None), msgspec.UnsetType)]
        if len(parts) == 1:
            return parts[0], type(None) in typing.get_args(hint)
    return hint, False


WRONG_FIELD: Final = 'Field validation failed: error converting input for field "{}": it takes {}'


def read_fields(fields: Fields, data: Mapping[str, Any], wrong: str = WRONG_FIELD) -> Any:
    """Make the Struct of a request's members. Raises InvalidRequest naming each field that is missing or wrong."""
    problems = [f"missing field {name!r}" for name in fields.required if data.get(name) is None and not _says_null(fields, data, name)]
    values = fields.defaults.copy()
    for attribute in fields.mutable:
        values[attribute] = values[attribute].copy()
    for name, value in data.items():
        found = fields.by_name.get(name)
        if found is None:
            continue
        attribute, field = found
        if value is None:
            if field.nullable:
                values[attribute] = None
            continue
        try:
            values[attribute] = field.read(value)
        except ValueError as error:
            problems.append(wrong.format(name, error))
    if problems:
        raise InvalidRequest(*problems)
    return fields.struct(**values)


def _says_null(fields: Fields, data: Mapping[str, Any], name: str) -> bool:
    return name in data and fields.by_name[name][1].nullable
