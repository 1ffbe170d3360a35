"""The HCL and JSON reader: what it reads, where it points when it refuses, and that nothing makes it slow or crash."""

from __future__ import annotations

import contextlib
import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.hcl import MAX_BYTES, MAX_DEPTH, MAX_NODES, Body, HclError, parse, plain
from strongroom.errors import InvalidRequest

EVERYTHING = """
# a comment
// another
/* and
   one more */
ui = true
count = 42
hex = 0x1F
octal = 0700
ratio = -1.50
large = 1.5e3
text = "tab\\t quote\\" \\u00e9 \\U0001F511 \\x41 \\101"
list = ["a", 1, [true],]
object = { "quoted key" = "v", other = 2 }
listener "tcp" "inner" { address = "[::]:8200" tls_disable = false }
raw = <<EOT
first
  "second" # not a comment
EOT
indented = <<-EOT
    one
      two
    EOT
"""


def test_every_form_of_hcl_is_read() -> None:
    body = parse(EVERYTHING)
    values = {entry.key: entry.value for entry in body.entries}
    assert values["ui"] is True
    assert (values["count"], values["hex"], values["octal"]) == (42, 31, 0o700)
    assert (values["ratio"], values["large"]) == (Decimal("-1.50"), Decimal(1500))
    assert values["text"] == 'tab\t quote" é 🔑 A A'
    assert values["list"] == ("a", 1, (True,))
    assert plain(values["object"]) == {"quoted key": "v", "other": 2}
    assert values["raw"] == 'first\n  "second" # not a comment\n'
    assert values["indented"] == "one\n  two\n"
    (listener,) = body.blocks("listener", labels=2)
    assert listener.labels == ("tcp", "inner")
    assert plain(listener.body) == {"address": "[::]:8200", "tls_disable": False}


@pytest.mark.parametrize(
    "text",
    [
        'path "a" { x = 1 }\npath "b" { x = 2 }',
        'path { "a" { x = 1 } "b" = { x = 2 } }',
        'path = [{ "a" = { x = 1 } }, { b = { x = 2 } }]',
        '"path" "a" { x = 1 }, "path" "b" { "x" = 2 }',
        '{"path": {"a": {"x": 1}, "b": {"x": 2}}}',
        '{"path": [{"a": {"x": 1}}, {"b": [{"x": 2}]}]}',
        '\ufeff{"path": {"a": {"x": 1}, "b": {"x": 2}}}',
    ],
)
def test_blocks_are_the_same_however_they_are_written(text: str) -> None:
    assert [(block.labels, plain(block.body)) for block in parse(text).blocks("path", labels=1)] == [(("a",), {"x": 1}), (("b",), {"x": 2})]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a", 1, 2),
        ("a =", 1, 4),
        ("\n\n  = 1", 3, 3),
        ('a "b" = 1', 1, 7),
        ("x {", 1, 4),
        ("x }", 1, 3),
        ("}", 1, 1),
        ('a = "open', 1, 5),
        ('a = "two\nlines"', 1, 5),
        ('a = "\\q"', 1, 7),
        ('a = "\\ud800"', 1, 12),
        ('a = "\\U00110000"', 1, 16),
        ("a = <<E\nno end", 1, 5),
        ("a = [1 2]", 1, 8),
        ("a = [1,", 1, 8),
        ("a = yes", 1, 5),
        ("a = null", 1, 5),
        ("a = 09", 1, 5),
        ("a = 1.", 1, 5),
        ("a = 12ab", 1, 5),
        ("a = 1e9999", 1, 5),
        ("a = " + "9" * 41, 1, 5),
        ("/* open", 1, 1),
        ("a = 1 \x00", 1, 7),
        ("ä = 1", 1, 1),
        ('{"a": 01}', 1, 7),
        ('{"a": 1,}', 1, 9),
        ('{"a": [1,]}', 1, 10),
        ('{"a": 1} {}', 1, 10),
        ('{"a": 1, "a": 2}', 1, 10),
        ('{"a": TRUE}', 1, 7),
        ("{a: 1}", 1, 2),
        ('{"a" = 1}', 1, 6),
        ('{"a": "\t"}', 1, 7),
        ('{"a": 1 # comment\n}', 1, 9),
        ("\ud800", 1, 1),
    ],
)
def test_a_refusal_points_at_the_place(text: str, line: int, column: int) -> None:
    with pytest.raises(HclError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert isinstance(caught.value, InvalidRequest)


def test_a_key_given_twice_is_found_by_whoever_wants_it_once() -> None:
    body = parse("a = 1\nb = 2\na = 3")
    assert len(body.entries) == 3
    with pytest.raises(HclError, match="line 3, column 1: 'a' is given twice"):
        body.unique()


def test_size_depth_and_nodes_are_limited() -> None:
    with pytest.raises(HclError, match="longer than"):
        parse("#" * (MAX_BYTES + 1))
    for nest in ("a = " + "[" * 10_000, "a { " * 10_000, '{"a":' * 10_000, "a = " + "{ a = " * 10_000):
        with pytest.raises(HclError, match="nested deeper"):
            parse(nest)
    parse("a = " + "[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1))
    with pytest.raises(HclError, match="entries"):
        parse("a = [" + "1," * (MAX_NODES + 1) + "]")


@pytest.mark.parametrize(
    "piece",
    ["a ", "/* ", '"\\', " ", "\n", "<<A\n", '"', "#", "a = <<-E\n x\n", "-", "9" * 39 + " ", "[", "a\n{\n", "//\n", '"a" '],
)
def test_reading_takes_linear_time(piece: str) -> None:
    """Half a megabyte of each awkward piece is read or refused within a second or so; quadratic time would take minutes."""
    started = time.perf_counter()
    for opening in ("", "{", "a = ", 'a = "'):
        with contextlib.suppress(HclError):
            parse(opening + piece * (200_000 // len(piece)))
    assert time.perf_counter() - started < 5


@given(st.text() | st.text(alphabet='ab="{}[]<>-_.,:#/*\\\n \t019exuU$', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse(text), Body)
    except HclError as error:
        place = (error.line, error.column)
    else:
        place = (1, 1)
    assert min(place) >= 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**39), 10**39) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), _JSON, max_size=5), st.booleans())
def test_json_means_what_it_means_elsewhere(value: dict[str, object], ascii_only: bool) -> None:
    assert plain(parse(json.dumps(value, ensure_ascii=ascii_only))) == value
