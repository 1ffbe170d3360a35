"""Formatting a policy changes blanks and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli.hclformat import formatted, unclosed

PIECES = [
    "path",
    ' "secret/{{x}}/*"',
    " {",
    "}",
    "\n",
    "=",
    "  ",
    "# a = b {",
    "/* {",
    "*/",
    "[",
    "]",
    '"\\"=',
    "capabilities",
    "\n\n\n",
    "<<EOT\n",
    "EOT\n",
    ",",
]


def bare(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('path "a"{\ncapabilities=["read"]\n}', 'path "a" {\n  capabilities = ["read"]\n}\n'),
        ("a=1\nlonger   =2\n\nb=3", "a      = 1\nlonger = 2\n\nb = 3\n"),
        ("x = [\n1,\n2,\n]\n", "x = [\n  1,\n  2,\n]\n"),
        ('# {\na = "#{ = "  # = {\nb = 1', '# {\na = "#{ = "  # = {\nb = 1\n'),
        ("/* {\n   kept\n*/\na=1", "/* {\n   kept\n*/\na = 1\n"),
        ("a=<<EOT\n  {  kept\nEOT\nb=1", "a = <<EOT\n  {  kept\nEOT\nb = 1\n"),
        ("\n\n\na=1\n\n\n\nb=2\n\n", "a = 1\n\nb = 2\n"),
        ("", ""),
    ],
)
def test_a_policy_is_put_right(before: str, after: str) -> None:
    assert formatted(before) == after


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_only_blanks_change_and_a_second_time_changes_nothing(text: str) -> None:
    once = formatted(text)
    assert bare(once) == bare(text)
    assert formatted(once) == once


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('path "x" {', "before what was opened"),
        ('path "x" {\n  capabilities = ["read"\n}\n', "before what was opened"),
        ("a = 1\n}\n", "line 2 closes"),
        ('# {\na = "{"\nb = <<EOT\n{\nEOT\n/* { */\npath "x" {\n}\n', ""),
        ("", ""),
    ],
)
def test_what_is_not_closed_is_told(text: str, what: str) -> None:
    told = unclosed(text)
    assert what in told
    assert bool(told) == bool(what)
