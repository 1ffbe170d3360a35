"""JSON comes out as it went in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.client import values
from strongroom.client.values import Json, Number

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20)


@given(TREES, st.sampled_from(["", "  "]))
def test_what_is_encoded_decodes_to_the_same(tree: Json, indent: str) -> None:
    assert values.decode(values.encode(tree, indent)) == tree


@given(TREES)
def test_the_compact_form_is_that_of_the_json_module(tree: Json) -> None:
    assert values.encode(tree) == json.dumps(tree, ensure_ascii=False, separators=(",", ":"))


@given(TREES)
def test_the_indented_form_is_that_of_the_json_module(tree: Json) -> None:
    assert values.encode(tree, "  ") == json.dumps(tree, ensure_ascii=False, indent=2)


@pytest.mark.parametrize("text", ["1.10", "1e400", "-0.0", "9007199254740993", "123456789012345678901234567890", "0.1e-7"])
def test_numbers_keep_their_text(text: str) -> None:
    assert values.encode(values.decode(text)) == text


def test_a_text_that_looks_like_a_number_stays_a_text() -> None:
    assert values.encode(["1.10", Number("1.10")]) == '["1.10",1.10]'


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", "", '{"a":1}x', "[" * 100_000])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        values.decode(text)
