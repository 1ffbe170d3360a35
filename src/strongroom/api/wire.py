"""From bytes to checked values, once, for every dialect: the path, the query, the body.

Rules of this file:
- `canonical_path` is the only place where a path is decoded. Router, policy, audit, lockout and storage use its result as it is, so there
  is nothing to disagree about. What has two readings is refused, not repaired: dot segments, empty segments, encoded slashes, a `%` that
  is left after decoding once, backslashes (some proxies turn them into slashes), invalid UTF-8, and whatever cannot be seen.
- A semicolon is an ordinary character: nothing here gives it a meaning, and names that contain one exist in migrated stores. Names are not
  normalised to a Unicode form either: two spellings are two names.
- Limits come before parsing where the raw bytes tell (T15.1). Counting in raw bytes also counts what stands inside strings, so such a
  count can only be too high; when it is, the strings are taken out and it is counted again.
- An error says what is wrong and where, never what stood there: bodies and queries hold secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, DecimalException
from types import NoneType
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes

import msgspec

from strongroom.errors import InvalidRequest

MAX_PATH: Final = 1_024
"""Bytes of a decoded path, so that its row key fits an index entry of PostgreSQL."""
MAX_SEGMENTS: Final = 64
MAX_PARAMETERS: Final = 100
"""As many as a request may have headers; the longest list of options in Vault's API has about forty."""

_MEMO_SIZE: Final = 8_192
_MEMO_TARGET: Final = 256
"""Longer targets are not remembered: 8,192 of up to 256 bytes and their paths are about 5 MB per worker."""
_memo: dict[bytes, str] = {}


# ---- paths


def canonical_path(target: bytes) -> tuple[str, bytes]:
    """The path without its leading slash, and the raw query. A trailing slash is kept. Raises InvalidRequest."""
    query = b""
    if b"?" in target:
        target, _, query = target.partition(b"?")
    path = _memo.get(target)
    if path is None:
        path = _decode_path(target)
        _remember(target, path)
    return path, query


def _remember(target: bytes, path: str) -> None:
    if len(target) > _MEMO_TARGET:
        return
    if len(_memo) >= _MEMO_SIZE:
        _memo.clear()  # a flood of new paths costs each of them a decoding, which is all that the memo saves
    _memo[target] = path


def _decode_path(target: bytes) -> str:
    if target[:1] != b"/":
        raise InvalidRequest("the request target must be a path that begins with '/'")
    if len(target) > 3 * MAX_PATH + 1:
        raise _bad_path(f"is longer than {MAX_PATH} bytes")
    if b"#" in target:
        raise _bad_path("holds a fragment; encode '#' as %23")
    raw = target[1:]
    if b"%" in raw:
        raw = _unquote(raw)
    if len(raw) > MAX_PATH:
        raise _bad_path(f"is longer than {MAX_PATH} bytes")
    try:
        path = raw.decode()
    except UnicodeDecodeError:
        raise _bad_path("is not valid UTF-8") from None
    _check_text(path)
    _check_segments(path)
    return path


_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH = re.compile(rb"%2[fF]")


def _unquote(raw: bytes) -> bytes:
    if _ESCAPE.search(raw):
        raise _bad_path("holds a '%' that begins no encoded byte")
    if _ENCODED_SLASH.search(raw):
        raise _bad_path("holds an encoded slash; names cannot contain '/'")
    raw = unquote_to_bytes(raw)
    if b"%" in raw:
        raise _bad_path("is encoded twice; encode it once")
    return raw


def _check_text(path: str) -> None:
    if not path.isprintable():
        raise _bad_path("holds control or invisible characters")
    if "\\" in path:
        raise _bad_path("holds a backslash")


def _check_segments(path: str) -> None:
    segments = path.removesuffix("/").split("/")
    if len(segments) > MAX_SEGMENTS:
        raise _bad_path(f"has more than {MAX_SEGMENTS} segments")
    if "" in segments and path:
        raise _bad_path("holds an empty segment ('//'); send the canonical path")
    if "." in segments or ".." in segments:
        raise _bad_path("holds a relative segment ('.' or '..'); send the canonical path")


def _bad_path(what: str) -> InvalidRequest:
    return InvalidRequest(f"the path {what}")


# ---- query and form


def parse_query(query: bytes) -> dict[str, str]:
    """Query parameters. A name that comes twice is refused: which of the two counts depends on who reads. Raises InvalidRequest."""
    return _parse_pairs(query, "query") if query else {}


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of an application/x-www-form-urlencoded body. Raises InvalidRequest.

    One in which nothing has a value is no form: curl says "form" of whatever it is given, and a bare secret would become a name, which
    audit shows.
    """
    fields = _parse_pairs(body, "form") if body else {}
    if fields and not any(value.strip("=") for value in fields.values()):  # base64 ends in one or two
        raise InvalidRequest("the form has no field with a value; send a JSON object, or name=value")
    return fields


def _parse_pairs(text: bytes, where: str) -> dict[str, str]:
    if text.count(b"&") >= MAX_PARAMETERS:
        raise InvalidRequest(f"the {where} has more than {MAX_PARAMETERS} parameters")
    pairs: dict[str, str] = {}
    for pair in text.split(b"&"):
        if not pair:
            continue
        name, _, value = pair.partition(b"=")
        key = _decode_component(name, where)
        if key in pairs:
            raise InvalidRequest(f"the {where} names a parameter twice; send it once")
        pairs[key] = _decode_component(value, where)
    return pairs


def _decode_component(raw: bytes, where: str) -> str:
    if _ESCAPE.search(raw):
        raise InvalidRequest(f"the {where} holds a '%' that begins no encoded byte")
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"the {where} is not valid UTF-8") from None
    if "\0" in text:
        raise InvalidRequest(f"the {where} holds a NUL character")
    return text


# ---- JSON


class JsonLimits(NamedTuple):
    """What a JSON body may be made of; its size in bytes is the listener's limit."""

    depth: int = 64
    nodes: int = 10_000
    """Containers and members: each costs about a hundred bytes once parsed, whatever it costs on the wire."""
    key: int = 512
    """Bytes of UTF-8."""
    number: int = 64
    """Characters."""


JSON_LIMITS: Final = JsonLimits()
MAX_EXPONENT: Final = 400
"""Beyond what a double can hold. 1e999999999 is eleven characters, and a gigabyte as an integer."""

_SMALL_INTEGER: Final = 1 << 64
_LARGE_INTEGER: Final = 10**64


def strict_json(body: bytes, limits: JsonLimits = JSON_LIMITS) -> dict[str, Any]:
    """Parse a body that must be one JSON object. Integers come back exact, other numbers as Decimal. Raises InvalidRequest.

    Refused beyond the grammar: invalid UTF-8, lone surrogates, NaN, a name twice in one object, and whatever is over a limit.
    """
    opened = body.count(b"{") + body.count(b"[")
    if opened > limits.depth or opened + body.count(b",") > limits.nodes:
        _check_shape(body, limits)
    value = _parse(body)
    if type(value) is not dict:
        _refuse("a JSON object is expected")
    members = _count_members(value)
    if members != body.count(b":") and members != _without_strings(body, limits).count(b":"):
        _refuse("an object names the same member twice")
    if len(body) > limits.key:
        _check_names(value, limits.key)
    return value


def _parse(body: bytes) -> Any:
    try:
        return _DECODER.decode(body)
    except UnicodeDecodeError:
        _refuse("it is not valid UTF-8")
    except (msgspec.DecodeError, DecimalException, RecursionError) as error:
        _refuse(_reason(error))


def _decimal(text: str) -> Decimal:
    if len(text) > JSON_LIMITS.number:
        raise InvalidRequest(f"error parsing JSON: a number has more than {JSON_LIMITS.number} characters")
    number = Decimal(text)
    if number and abs(number.adjusted()) > MAX_EXPONENT:
        raise InvalidRequest(f"error parsing JSON: a number's exponent is beyond {MAX_EXPONENT}")
    return number


_DECODER = msgspec.json.Decoder(float_hook=_decimal)


def _count_members(value: dict[str, Any]) -> int:
    """Members of all objects. A duplicate was merged away by the parser, and so is missing from this count."""
    return len(value) + _count_below(value.values())


def _count_below(values: Iterable[Any]) -> int:
    if _CHILDLESS.issuperset(map(type, values)):
        return 0
    total = 0
    for each in values:
        kind = type(each)
        if kind is dict:
            total += _count_members(each)
        elif kind is list:
            total += _count_below(each)
        elif kind is int and not -_SMALL_INTEGER < each < _SMALL_INTEGER:
            _check_integer(each)
    return total


_CHILDLESS: Final = frozenset((str, bool, NoneType, Decimal))
"""Types of values that have no members and need no look."""


def _check_integer(number: int) -> None:
    if abs(number) >= _LARGE_INTEGER:
        _refuse(f"a number has more than {JSON_LIMITS.number} digits")


def _check_names(value: Any, longest: int) -> None:
    if type(value) is dict:
        for name, member in value.items():
            if 4 * len(name) > longest and len(name.encode()) > longest:
                _refuse(f"a name is longer than {longest} bytes")
            if type(member) is dict or type(member) is list:
                _check_names(member, longest)
    else:
        for member in value:
            if type(member) is dict or type(member) is list:
                _check_names(member, longest)


def _check_shape(body: bytes, limits: JsonLimits) -> None:
    """Depth and number of nodes, exactly, without building anything."""
    bare = _without_strings(body, limits)
    opened = bare.count(b"{") + bare.count(b"[")
    if opened + bare.count(b",") > limits.nodes:
        _refuse(_TOO_MANY.format(limits.nodes))
    if opened <= limits.depth:
        return
    depth = 0
    for byte in bare.translate(None, _NOT_BRACKETS)[: 2 * limits.nodes]:  # in valid text there are as many closing as opening ones
        depth += 1 if byte in b"{[" else -1
        if depth > limits.depth:
            _refuse(f"it is nested deeper than {limits.depth} levels")


_NOT_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_TOO_MANY = "it has more than {} members and containers"


def _without_strings(body: bytes, limits: JsonLimits) -> bytes:
    """What stands outside of strings. Every second part between quotes is outside, once escaped quotes are gone."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * (limits.nodes + 1):  # two strings per member, two quotes per string
        _refuse(_TOO_MANY.format(limits.nodes))
    return b" ".join(body.split(b'"')[::2])


def _reason(error: Exception) -> str:
    """The parser's words, which give a position and never the text; a type of its own for what it cannot say."""
    if isinstance(error, msgspec.ValidationError) or not isinstance(error, msgspec.DecodeError):
        return "a number or a nesting is too large"
    return str(error).removeprefix("JSON is malformed: ") or "it is malformed"


def _refuse(what: str) -> NoReturn:
    raise InvalidRequest(f"error parsing JSON: {what}")
