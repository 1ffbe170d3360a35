"""A stored row is its own form: what is written and told comes from its declaration."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET

from strongroom.core.fields import Names, Seconds, Texts, compile_fields, read_fields
from strongroom.core.forms import Duration, HiddenText, NameList, TextMap, body_of, hidden, members, merged, one_of, own, some_of
from strongroom.core.token.parameters import TokenParameters
from strongroom.errors import InvalidRequest


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    number: int = 0
    names: Annotated[NameList, "Names."] = ("a",)
    wait: Annotated[Duration, "A time."] = 60
    texts: Annotated[TextMap, "Texts."] = {}
    mixed: Annotated[dict[str, int | str], dict[str, Any], "Anything."] = {}
    flag: Annotated[bool, "A flag."] = True
    secret: Annotated[HiddenText, "A secret; never told."] = ""
    token: TokenParameters = TokenParameters()


class Plain(msgspec.Struct, frozen=True):
    text: Annotated[str, "A text."] = ""
    hashed: HiddenText = ""


class OldNames(msgspec.Struct, frozen=True, kw_only=True):
    alias: Annotated[str | msgspec.UnsetType, "Old name of names."] = UNSET


BODY = body_of(Row, OldNames)


def sent(**data: Any) -> msgspec.Struct:
    body: msgspec.Struct = read_fields(compile_fields(BODY), data)
    return body


def test_a_body_has_the_fields_with_a_text_and_those_of_tokens() -> None:
    kinds = {field.name: (field.kind, field.description) for field in compile_fields(BODY).table}
    assert kinds["names"] == (Names, "Names.")
    assert kinds["wait"] == (Seconds, "A time.")
    assert kinds["texts"] == (Texts, "Texts.")
    assert kinds["mixed"] == (dict[str, Any], "Anything.")
    assert kinds["alias"] == (str, "Old name of names.")
    assert list(kinds).index("alias") < list(kinds).index("token_policies"), "the row's own fields come first, then those beside it"
    assert "number" not in kinds
    assert BODY.__name__ == "RowBody"
    assert own(Row) == ("names", "wait", "texts", "mixed", "flag", "secret")
    assert body_of(Plain).__struct_fields__ == ("text",)


def test_what_was_not_sent_keeps_its_value() -> None:
    before = Row(number=7, names=("x",), secret="s", token=TokenParameters(ttl=5))
    assert merged(before, sent()) == before
    after = merged(before, sent(wait="1h", flag="false", policies="p"), number=8)
    assert after == Row(
        number=8, names=("x",), wait=3_600, flag=False, secret="s", token=TokenParameters(ttl=5, policies=("p",), old=("policies",))
    )


def test_an_old_name_counts_where_the_new_one_was_not_sent() -> None:
    old = {"alias": "names"}
    split = {"names": tuple}
    assert merged(Row(), sent(alias="xy"), split, old).names == ("x", "y")
    assert merged(Row(), sent(alias="xy", names="b"), split, old).names == ("b",)
    assert merged(Row(), sent(), split, old).names == ("a",)


def test_a_field_that_was_sent_is_read_by_its_reader() -> None:
    def upper(names: tuple[str, ...]) -> tuple[str, ...]:
        if "" in names:
            raise InvalidRequest("a name cannot be empty")
        return tuple(name.upper() for name in names)

    reads = {"names": upper}
    assert merged(Row(), sent(names="a,b"), reads).names == ("A", "B")
    assert merged(Row(), sent(), reads).names == ("a",)
    with pytest.raises(InvalidRequest):
        merged(Row(), sent(names=[""]), reads)


def test_a_read_tells_all_but_what_is_hidden() -> None:
    told = members(Row(secret="s", token=TokenParameters(ttl=5, max_ttl=9, old=("ttl",))), ("ttl", "max_ttl", "period"))
    assert told.keys() >= {"names", "wait", "texts", "mixed", "flag", "token_ttl", "token_policies"}
    assert told["ttl"] == 5
    assert not told.keys() & {"secret", "number", "max_ttl", "period", "token"}
    assert members(Plain("t", "h")) == {"text": "t"}


def test_a_row_with_a_hidden_field_is_known_as_one() -> None:
    assert hidden(Row) == {"secret"}
    assert hidden(Plain) == {"hashed"}
    assert not hidden(OldNames)


def test_stored_rows_are_plain_values() -> None:
    """Bytes that were stored before a row was a form are read as before, and come out the same."""
    row = Row(names=("b",), wait=5, texts={"k": "v"}, mixed={"n": 1})
    raw = msgspec.msgpack.encode({"names": ["b"], "wait": 5, "texts": {"k": "v"}, "mixed": {"n": 1}})
    assert msgspec.msgpack.decode(raw, type=Row) == row
    assert msgspec.msgpack.encode(row) == raw


def test_one_of_a_few_and_some_of_many() -> None:
    one = one_of(("iam", "ec2"), "it is iam or ec2")
    assert one("ec2") == "ec2"
    with pytest.raises(InvalidRequest, match="it is iam or ec2"):
        one("")
    some = some_of(("a", "b", "c"), ("a", "b"), "among a, b and c")
    assert some(("c", "a", "c")) == ("a", "c")
    assert some(("default",)) == ("a", "b")
    assert some(("c", "default")) == ("a", "b", "c")
    assert some(()) == ()
    with pytest.raises(InvalidRequest, match="among a, b and c"):
        some(("a", "d"))
