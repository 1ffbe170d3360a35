"""Data arguments become an object, and no error repeats a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.cli.data import Sources, parse, texts
from strongroom.cli.errors import CommandError, UsageError
from strongroom.client.values import Number, Object


def read(*words: str, stdin: bytes = b"") -> Object:
    return parse(words, Sources(lambda: stdin))


def test_values_are_texts_and_repeated_keys_lists() -> None:
    assert read("a=1", "b=", "c=x=y", "a=2", "a=3") == {"a": ["1", "2", "3"], "b": "", "c": "x=y"}


def test_a_value_may_come_from_a_file_or_standard_input_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("two\nlines\n")
    assert read(f"a=@{tmp_path}/f", "b=-", stdin=b"in\n") == {"a": "two\nlines\n", "b": "in\n"}


def test_a_literal_at_sign_is_escaped() -> None:
    assert read("a=\\@x", "b=\\y") == {"a": "@x", "b": "\\y"}


def test_a_whole_object_keeps_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text('{"a": 1.10, "b": 9007199254740993}')
    assert read(f"@{tmp_path}/f.json", "-", stdin=b'{"c": null}') == {"a": Number("1.10"), "b": 9007199254740993, "c": None}


@pytest.mark.parametrize("word", ["hunter2", "=hunter2"])
def test_a_word_that_is_no_pair_is_named_by_its_place(word: str) -> None:
    with pytest.raises(UsageError, match="data argument 2") as raised:
        read("a=b", word)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("words", "stdin"), [(["-"], b"[1]"), (["-"], b"{"), (["a=-"], b"\xff"), (["a=-", "b=-"], b""), (["a=\udcff"], b"")]
)
def test_what_cannot_be_sent_is_refused(words: list[str], stdin: bytes) -> None:
    with pytest.raises(UsageError):
        read(*words, stdin=stdin)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="none"):
        read(f"a=@{tmp_path}/none")


def test_queries_hold_texts() -> None:
    assert texts(["-"], Sources(lambda: b'{"a": [1], "b": "c"}')) == {"a": "[1]", "b": "c"}
