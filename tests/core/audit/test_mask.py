"""Masking: names, numbers and structure stay; no text does."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.audit.mask import Mask
from strongroom.core.response import Json
from strongroom.core.secret import Secret
from strongroom.crypto.mac import Mac

KEY = bytes(range(32))
MASK = Mask(KEY)

NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12)


def hashed(text: str) -> str:
    return f"hmac-sha256:{Mac(KEY).hex(text.encode())}"


def masked(value: Any, clear: frozenset[str] = frozenset(), name: str = "") -> Any:
    """The rule, said plainly."""
    match value:
        case str():
            return value if name in clear else hashed(value)
        case list():
            return [masked(item, clear, name) for item in value]
        case dict():
            return {key: masked(item, clear, key) for key, item in value.items()}
    return value


@given(VALUES)
def test_text_and_values_are_masked_alike(value: Any) -> None:
    expected = masked(value)
    assert msgspec.json.decode(MASK.value(value)) == expected
    assert msgspec.json.decode(MASK.json(msgspec.json.encode(value))) == expected


@given(VALUES, NAMES)
def test_only_listed_names_keep_their_texts(value: Any, name: str) -> None:
    clear = frozenset({name})
    body = {name: value, "other": value}
    assert msgspec.json.decode(MASK.json(msgspec.json.encode(body), clear)) == masked(body, clear)


@given(st.dictionaries(NAMES, VALUES, max_size=3))
def test_layout_of_the_text_does_not_matter_and_the_line_stays_one(value: Any) -> None:
    pretty = msgspec.json.format(msgspec.json.encode(value), indent=2)
    result = MASK.json(pretty)
    assert b"\n" not in result
    assert msgspec.json.decode(result) == masked(value)


@given(st.binary(max_size=60) | st.text('"\\:{}[],a1 \n', max_size=40).map(str.encode))
def test_what_is_not_json_becomes_one_hash_of_the_whole(text: bytes) -> None:
    result = MASK.json(text)
    msgspec.json.decode(result)
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        assert result == MASK.quoted(text)


@pytest.mark.parametrize("text", [b'{"a":"x"hunter2"}', b'{"a":hunter2}', b"hunter2", b'{"a":"hunter2', b'"hunter2\\"', b"{'a':'hunter2'}"])
def test_a_malformed_body_never_shows_what_is_in_it(text: bytes) -> None:
    assert b"hunter2" not in MASK.json(text)
    assert b"hunter2" not in MASK.json(text, frozenset({"a"}))


def test_equal_texts_have_equal_hashes_however_they_are_escaped() -> None:
    assert MASK.json(rb'"\u0061\/\n"') == MASK.quoted(b"a/\n")
    assert MASK.json('"é😀"'.encode()) == MASK.json(rb'"\u00e9\ud83d\ude00"')


def test_numbers_keep_every_digit() -> None:
    assert MASK.json(b"[1.10,123456789012345678901234567890]") == b"[1.10,123456789012345678901234567890]"
    assert MASK.value({"a": Decimal("1.10")}) == b'{"a":1.10}'


def test_what_is_not_json_counts_as_text() -> None:
    class Unknown:
        def __repr__(self) -> str:
            return "hunter2"

    for value in (b"hunter2", Secret("hunter2"), Unknown(), Json(b'"hunter2"'), msgspec.Raw(b'"hunter2"'), bytearray(b"hunter2")):
        assert MASK.value(value) == MASK.quoted(b"hunter2")
    assert MASK.value(datetime(2026, 1, 1, tzinfo=UTC)) == b'"2026-01-01T00:00:00Z"'
    assert MASK.value(("a", None)) == b"[%b,null]" % MASK.quoted(b"a")
