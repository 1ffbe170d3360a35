"""Flags are read as Vault's users type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli.errors import UsageError
from strongroom.cli.flags import Flag, parse

DECLARED = (
    Flag("format", "", choices=("json", "table")),
    Flag("mount", ""),
    Flag("force", "", "switch", aliases=("f",)),
    Flag("version", "", "number"),
    Flag("policy", "", "many", aliases=("policies",)),
)


@pytest.mark.parametrize(
    "words",
    [["-mount=kv", "a"], ["--mount=kv", "a"], ["-mount", "kv", "a"], ["--mount", "kv", "a"], ["a", "-mount", "kv"], ["a", "--mount=kv"]],
)
def test_one_or_two_dashes_blank_or_equals_before_or_after(words: list[str]) -> None:
    flags, arguments = parse(words, DECLARED)
    assert (flags.text("mount"), arguments) == ("kv", ["a"])


@pytest.mark.parametrize(
    ("words", "on", "rest"),
    [
        (["-force", "a"], True, ["a"]),
        (["-f"], True, []),
        (["-force=false", "a"], False, ["a"]),
        (["-force=T"], True, []),
        (["a"], False, ["a"]),
    ],
)
def test_a_switch_takes_a_value_only_after_equals(words: list[str], on: bool, rest: list[str]) -> None:
    flags, arguments = parse(words, DECLARED)
    assert (flags.switch("force"), arguments) == (on, rest)


def test_a_flag_may_be_repeated_and_lists_split_at_commas() -> None:
    flags, _ = parse(["-policy=a,b", "-policies", "c", "-mount=x", "-mount=y"], DECLARED)
    assert flags.many("policy") == ["a,b", "c"]
    assert flags.listed("policy") == ["a", "b", "c"]
    assert flags.text("mount") == "y"


def test_a_dash_alone_is_an_argument_and_two_end_the_flags() -> None:
    assert parse(["-", "--", "-force", "--", "-x"], DECLARED)[1] == ["-", "-force", "--", "-x"]


def test_values_may_hold_equals_signs_dashes_and_nothing() -> None:
    flags, arguments = parse(["-mount=a=b", "-policy", "-x", "key=-v=1"], DECLARED)
    assert (flags.text("mount"), flags.many("policy"), arguments) == ("a=b", ["-x"], ["key=-v=1"])
    assert parse(["-mount="], DECLARED)[0].text("mount", "default") == ""


@pytest.mark.parametrize(
    "words", [["-nothing"], ["-mount"], ["-version=two"], ["-version="], ["-version=٣"], ["-force=maybe"], ["-format=xml"], ["---mount=a"]]
)
def test_what_cannot_be_right_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(words, DECLARED)


@given(st.text().map("canary-{}".format))
def test_no_error_repeats_a_value(value: str) -> None:
    for name in ("nothing", "version", "force", "format"):
        said = ""
        try:
            parse([f"-{name}={value}"], DECLARED)
        except UsageError as error:
            said = str(error)
        assert value not in said


@given(st.lists(st.text().filter(lambda word: not word.startswith("-"))))
def test_words_without_dashes_are_arguments(words: list[str]) -> None:
    assert parse(words, DECLARED)[1] == words


def test_pairs_need_a_key_and_an_equals_sign() -> None:
    assert parse(["-policy=a=b=c"], DECLARED)[0].pairs("policy") == {"a": "b=c"}
    for bad in ("a", "=b"):
        with pytest.raises(UsageError):
            parse([f"-policy={bad}"], DECLARED)[0].pairs("policy")
