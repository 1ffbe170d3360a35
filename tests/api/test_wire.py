"""What may be a path, a query or a JSON body, and that nothing of it is echoed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api import wire
from strongroom.api.wire import JsonLimits, canonical_path, parse_form, parse_query, strict_json
from strongroom.errors import InvalidRequest

# ---- paths


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/v1/secret/data/a", "v1/secret/data/a", b""),
        (b"/v1/secret/metadata/", "v1/secret/metadata/", b""),
        (b"/", "", b""),
        (b"/a?b=/../c%2F", "a", b"b=/../c%2F"),
        (b"/a?b?c", "a", b"b?c"),
        (b"/a%20b", "a b", b""),
        (b"/a+b;c,d@e:f=g~h...i", "a+b;c,d@e:f=g~h...i", b""),
        (b"/%C3%A9/%61", "é/a", b""),
        (b"/a%23b%3Fc", "a#b?c", b""),
        (b"/...", "...", b""),
        (b"/" + b"/".join([b"a"] * 64), "/".join(["a"] * 64), b""),
        (b"/" + b"a" * 1_024, "a" * 1_024, b""),
    ],
)
def test_a_canonical_path_is_decoded_once(target: bytes, path: str, query: bytes) -> None:
    for _ in range(2):
        assert canonical_path(target) == (path, query)


REFUSED_PATHS = [
    b"", b"a", b"*", b"http://a/b", b"//", b"//a", b"/a//b", b"/a//", b"/.", b"/..", b"/a/./b", b"/a/../b", b"/a/..", b"/../a", b"/a/.",
    b"/./", b"/%2e", b"/%2E%2e/a", b"/a/.%2e/b", b"/a/%2e%2e", b"/%252e%252e/a", b"/a%252fb", b"/a%25b", b"/a%", b"/a%2", b"/a%zz",
    b"/a%2Fb",
    b"/a%2fb", b"/a%00b", b"/a\0b", b"/a%0ab", b"/a%0d%0ab", b"/a%7f", b"/a%C2%85", b"/a\\b", b"/a%5Cb", b"/a%5cb", b"/%EF%BB%BFa",
    b"/a%E2%80%AEb", b"/a%E2%80%8Bb", b"/a%E2%80%A8b", b"/%C0%AF", b"/%C0%AE%C0%AE/a", b"/%E0%80%AF", b"/%ED%A0%80", b"/%FF", b"/\xc3",
    b"/a#b", b"/a%E2%80%8F", b"/" + b"a" * 1_025, b"/" + b"%61" * 1_025, b"/" + b"/".join([b"a"] * 65), b"/%C2%A0",
]  # fmt: skip


@pytest.mark.parametrize("target", REFUSED_PATHS)
def test_a_path_with_two_readings_is_refused(target: bytes) -> None:
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            canonical_path(target)


@settings(max_examples=1_000)
@given(st.lists(st.sampled_from([b"a", b"/", b".", b"%2e", b"%2F", b"%", b"25", b"%5c", b"%00", b";", b"\xc3", b"%C3%A9", b" "])))
def test_what_is_accepted_has_no_other_reading(parts: list[bytes]) -> None:
    target = b"/" + b"".join(parts)
    try:
        path, _ = canonical_path(target)
    except InvalidRequest:
        return
    segments = path.removesuffix("/").split("/")
    assert not {".", ".."} & set(segments)
    assert path == "" or "" not in segments
    assert not set("%\\\0") & set(path)
    assert target.count(b"/") == path.count("/") + 1


def test_the_memo_is_bounded() -> None:
    for number in range(wire._MEMO_SIZE + 10):
        canonical_path(b"/memo/%d" % number)
    assert len(wire._memo) <= wire._MEMO_SIZE
    canonical_path(b"/" + b"b" * 1_000)
    assert not any(len(target) > wire._MEMO_TARGET for target in wire._memo)


# ---- query and form


def test_parameters_are_decoded_once() -> None:
    assert parse_query(b"list=true&after=a%2Fb+c&e=&f") == {"list": "true", "after": "a/b c", "e": "", "f": ""}
    assert parse_query(b"") == parse_form(b"") == {}
    assert parse_query(b"a=%2541&&b=1=2") == {"a": "%41", "b": "1=2"}
    assert parse_form(b"Action=GetCallerIdentity&Version=2011-06-15")["Version"] == "2011-06-15"


@pytest.mark.parametrize(
    "query", [b"a=1&a=2", b"a=1&%61=2", b"a=%", b"a=%zz", b"a=%FF", b"a=%00", b"a=\xff", b"&".join(b"a%d" % n for n in range(101))]
)
def test_doubtful_parameters_are_refused_without_an_echo(query: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_query(query)
    assert query.decode("latin-1") not in str(caught.value)


# ---- JSON


def test_numbers_are_exact() -> None:
    found = strict_json(b'{"a": 9007199254740993, "b": 1.10, "c": -1e5, "d": 12345678901234567890123, "e": [0.1], "f": -0}')
    assert found == {
        "a": 2**53 + 1,
        "b": Decimal("1.10"),
        "c": Decimal("-1E+5"),
        "d": 12345678901234567890123,
        "e": [Decimal("0.1")],
        "f": 0,
    }
    assert str(found["b"]) == "1.10"
    assert not any(type(value) is float for value in found.values())


REFUSED_JSON = {
    "duplicate": b'{"canary":1,"canary":2}',
    "duplicate with colons in values": b'{"a":"x:y","a":"canary:2"}',
    "duplicate by escape": b'{"a":1,"\\u0061":"canary"}',
    "duplicate with space before the colon": b'{"a" :1,"a"\n: "canary"}',
    "duplicate deep": b'{"a":[{"b":{"c":"canary","c":2}}]}',
    "duplicate in an escaped string's shadow": b'{"a":"\\"","a":"\\":canary"}',
    "array": b'["canary"]',
    "string": b'"canary"',
    "null": b"null",
    "number": b"17",
    "nothing": b"",
    "space": b"  ",
    "trailing": b'{"a":"canary"} x',
    "two": b'{"a":"canary"}{}',
    "truncated": b'{"a":"canary',
    "comment": b'{/*canary*/}',
    "trailing comma": b'{"a":"canary",}',
    "single quotes": b"{'a':'canary'}",
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "leading zero": b'{"a":01}',
    "bad UTF-8": b'{"a":"canary\xff"}',
    "bad UTF-8 in a name": b'{"canary\xc3":1}',
    "overlong": b'{"a":"\xc0\xaf"}',
    "encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "BOM": b'\xef\xbb\xbf{"a":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "lone high surrogate": b'{"a":"\\ud800 canary"}',
    "lone low surrogate": b'{"a":"\\udc00"}',
    "swapped surrogates": b'{"a":"\\udc00\\ud800"}',
    "lone surrogate in a name": b'{"\\ud800":1}',
    "control character": b'{"a":"canary\x01"}',
    "raw newline": b'{"a":"canary\n"}',
    "number of 65 digits": b'{"a":' + b"9" * 65 + b"}",
    "number of 4,301 digits": b'{"a":' + b"9" * 4_301 + b"}",
    "fraction of 70 characters": b'{"a":0.' + b"1" * 68 + b"}",
    "exponent bomb": b'{"a":1e999999999}',
    "exponent out of Decimal": b'{"a":1e99999999999999999999}',
    "small exponent bomb": b'{"a":1e-999999999}',
    "name of 513 bytes": b'{"' + b"k" * 513 + b'":1}',
    "name of 513 bytes in letters of two": b'{"a":[{"' + "é".encode() * 257 + b'":1}]}',
    "depth of 65": b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    "depth of 100,000": b'{"a":' + b"[" * 100_000,
    "10,001 members": b"{" + b",".join(b'"%d":1' % number for number in range(10_001)) + b"}",
    "10,001 containers": b'{"a":[' + b",".join([b"{}"] * 10_001) + b"]}",
    "many strings": b'{"a":[' + b",".join([b'"["'] * 30_000) + b"]}",
    "a million quotes": b'"' * 1_000_000,
    "half a million escapes": b'"\\' * 500_000 + b"{" * 70,
}  # fmt: skip


@pytest.mark.parametrize("body", REFUSED_JSON)
def test_a_body_outside_the_rules_is_refused_without_an_echo(body: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        strict_json(REFUSED_JSON[body])
    assert str(caught.value).startswith("error parsing JSON: ")
    assert "canary" not in str(caught.value)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' \t\r\n{"a" : 1}\n',
        b'{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}',
        b'{"a":"{{{{[[[[,,,,::::"}',
        b'{"a":"' + b"," * 100_000 + b'"}',
        b'{"a":"' + b"[{:" * 50_000 + b'"}',
        b'{"a":"' + b'\\"' * 50_000 + b'","b:":"\\\\"}',
        b'{"a":"\\\\","b":"\\\\\\":c"}',
        b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
        b"{" + b",".join(b'"%d":1' % number for number in range(9_999)) + b"}",
        b'{"' + b"k" * 512 + b'":' + b"9" * 64 + b"}",
        '{"é":"\U0001f512","\\ud83d\\udd12":"\\u0000"}'.encode(),
    ],
)
def test_a_body_within_the_rules_reads_as_python_reads_it(body: bytes) -> None:
    assert strict_json(body) == json.loads(body)


def test_limits_are_the_callers() -> None:
    with pytest.raises(InvalidRequest):
        strict_json(b'{"a":{"b":1}}', JsonLimits(depth=1))
    with pytest.raises(InvalidRequest):
        strict_json(b'{"a":1,"b":2}', JsonLimits(nodes=1))


class Doubled(Exception):
    """The reference saw a name twice."""


def reference(body: bytes) -> Any:
    """Python's own parser, told to object to duplicates."""

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Doubled
        return dict(pairs)

    return json.loads(body, object_pairs_hook=build)


text = st.text(st.sampled_from(list('ab:,{}[]"\\/é')), max_size=4)
names = st.sampled_from(["a", "b", ":", '"', '":'])


@st.composite
def documents(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return json.dumps(draw(text), ensure_ascii=draw(st.booleans()))
    space = draw(st.sampled_from(["", " ", "\n"]))
    if draw(st.booleans()):
        return "[" + ",".join(draw(documents(depth - 1)) for _ in range(draw(st.integers(0, 3)))) + "]"
    return "{" + ",".join(f"{json.dumps(draw(names))}{space}:{draw(documents(depth - 1))}" for _ in range(draw(st.integers(0, 3)))) + "}"


@settings(max_examples=500, deadline=None)
@given(documents())
def test_duplicates_are_found_exactly_where_a_slow_parser_finds_them(document: str) -> None:
    body = b'{"x":%b}' % document.encode()
    try:
        expected = reference(body)
    except Doubled:
        with pytest.raises(InvalidRequest, match="twice"):
            strict_json(body)
    else:
        assert strict_json(body) == expected
