"""Bodies become typed structs: lenient where Vault's clients rely on it, strict elsewhere, and errors never show the value."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.fields import SCHEMAS, Lines, Names, Seconds, Texts, compile_fields, read_fields
from strongroom.errors import InvalidRequest


class Body(msgspec.Struct, frozen=True):
    text: str = ""
    flag: bool = False
    number: int = 0
    wait: Seconds = Seconds(0)
    names: Names = Names()
    lines: Lines = Lines()
    texts: Texts = Texts()
    mapping: dict[str, Any] = {}
    items: list[Any] = []
    numbers: list[int] = []
    anything: Any = None
    maybe: str | msgspec.UnsetType = msgspec.UNSET
    nullable: int | None = 7
    described: Annotated[str, "What it is."] = "d"


class Strict(msgspec.Struct, frozen=True):
    one: str
    two: int
    type_: str = msgspec.field(name="type", default="")


FIELDS = compile_fields(Body)
STRICT = compile_fields(Strict)


def one(name: str, value: object) -> Any:
    return getattr(read_fields(FIELDS, {name: value}), name)


@pytest.mark.parametrize(
    ("name", "value", "want"),
    [
        ("text", "x", "x"),
        ("text", 12, "12"),
        ("text", True, "true"),
        ("text", Decimal("1.10"), "1.10"),
        ("text", None, ""),
        ("flag", "true", True),
        ("flag", "T", True),
        ("flag", 1, True),
        ("flag", "0", False),
        ("flag", "", False),
        ("number", "12", 12),
        ("number", "-3", -3),
        ("number", Decimal("4.0"), 4),
        ("number", "", 0),
        ("number", 2**63 - 1, 2**63 - 1),
        ("wait", "1h30m", 5400),
        ("wait", 60, 60),
        ("wait", "60", 60),
        ("wait", "2d", 172_800),
        ("names", "a, b,,c ", ("a", "b", "c")),
        ("names", ["a,b", "c"], ("a,b", "c")),
        ("names", "", ()),
        ("lines", "a, b", ("a, b",)),
        ("lines", ["a", 1], ("a", "1")),
        ("texts", {"a": 1, "b": True}, {"a": "1", "b": "true"}),
        ("texts", ["a=1=2", "b="], {"a": "1=2", "b": ""}),
        ("texts", "a=b", {"a": "b"}),
        ("texts", "", {}),
        ("mapping", {"a": [1]}, {"a": [1]}),
        ("items", (1, "a"), [1, "a"]),
        ("numbers", "1, 2", [1, 2]),
        ("numbers", ["1", 2], [1, 2]),
        ("numbers", 5, [5]),
        ("anything", {"x": None}, {"x": None}),
        ("nullable", None, None),
        ("nullable", "3", 3),
        ("maybe", "x", "x"),
        ("maybe", None, msgspec.UNSET),
    ],
)
def test_what_clients_send_is_read(name: str, value: object, want: object) -> None:
    assert one(name, value) == want


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", ["secretvalue"]),
        ("text", {"secretvalue": 1}),
        ("flag", "secretvalue"),
        ("flag", 2),
        ("flag", []),
        ("number", "secretvalue"),
        ("number", True),
        ("number", "1e9"),
        ("number", "٣"),
        ("number", Decimal("1.5")),
        ("number", Decimal("1e400000")),
        ("number", 2**63),
        ("number", "99999999999999999999"),
        ("wait", "secretvalue"),
        ("wait", True),
        ("wait", "11y"),
        ("wait", 10**30),
        ("names", {"secretvalue": 1}),
        ("names", [["secretvalue"]]),
        ("lines", 5),
        ("texts", ["secretvalue"]),
        ("texts", {"a": {"secretvalue": 1}}),
        ("texts", 5),
        ("mapping", "secretvalue"),
        ("items", "secretvalue"),
        ("numbers", "1,secretvalue"),
    ],
)
def test_what_cannot_be_right_is_named_and_not_shown(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        one(name, value)
    assert refused.value.messages[0].startswith(f'Field validation failed: error converting input for field "{name}": it takes ')
    assert "secretvalue" not in str(refused.value)


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_fields(STRICT, {"two": "x"})
    wrong = 'Field validation failed: error converting input for field "two": it takes a whole number'
    assert refused.value.messages == ("missing field 'one'", wrong)
    for missing in ({"two": 1}, {"one": None, "two": 1}):
        with pytest.raises(InvalidRequest, match="missing field 'one'"):
            read_fields(STRICT, missing)


def test_a_field_has_the_name_that_clients_use() -> None:
    assert read_fields(STRICT, {"one": "", "two": 1, "type": "x", "unknown": 1}).type_ == "x"
    assert STRICT.names == {"one", "two", "type"}


def test_what_was_not_sent_is_the_default_and_nobodys_else() -> None:
    first, second = read_fields(FIELDS, {}), read_fields(FIELDS, {})
    assert first == Body()
    first.mapping["a"] = first.texts["b"] = 1
    first.items.append(1)
    assert second.mapping == second.texts == read_fields(FIELDS, {}).texts == {}
    assert second.items == read_fields(FIELDS, {}).items == []


def test_every_type_is_documented() -> None:
    for field in FIELDS.table:
        assert field.kind in SCHEMAS
    assert next(field for field in FIELDS.table if field.name == "described").description == "What it is."


def test_a_type_without_a_reader_is_an_error_at_import() -> None:
    class Odd(msgspec.Struct):
        when: set[int]

    with pytest.raises(TypeError, match="no reader"):
        compile_fields(Odd)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS.names)), JSON, max_size=4))
def test_any_members_are_a_body_or_a_refusal(data: dict[str, Any]) -> None:
    try:
        body = read_fields(FIELDS, data)
    except InvalidRequest:
        return
    assert isinstance(body.text, str)
    assert isinstance(body.number, int)
    assert isinstance(body.wait, int)
    assert all(isinstance(name, str) for name in (*body.names, *body.lines, *body.texts, *body.texts.values()))
    assert all(isinstance(number, int) for number in body.numbers)
