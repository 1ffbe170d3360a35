"""Tables, durations and YAML, as values go in and text comes out."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli import output, yaml
from strongroom.client.values import Json, Number

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9\-_./:@ +,()]*")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (1, "1s"), (60, "1m"), (61, "1m1s"), (3600, "1h"), (3601, "1h0m1s"), (5400, "1h30m"), (2764800, "768h"), (-90, "-1m30s")],
)
def test_durations_are_go_s_without_trailing_zeros(seconds: int, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "<nil>"), (True, "true"), (Number("1.10"), "1.10"), ([1, [2]], "[1 [2]]"), ({"b": 1, "a": None}, "map[a:<nil> b:1]"), ("", "")],
)
def test_cells_are_as_go_prints_them(value: Json, text: str) -> None:
    assert output.cell(value) == text


@pytest.mark.parametrize(
    ("title", "width", "text"),
    [
        ("Secret Path", 17, "== Secret Path =="),
        ("Metadata", 24, "======= Metadata ======="),
        ("Data", 17, "====== Data ======"),
        ("Data", 3, "== Data =="),
    ],
)
def test_banners_are_as_wide_as_what_is_below(title: str, width: int, text: str) -> None:
    assert output.padded(title, width) == text


@given(st.text())
def test_no_table_cell_can_drive_a_terminal(text: str) -> None:
    shown = output.table([("k", text)])
    assert all(mark.isprintable() or mark in "\n\t" for mark in shown)


@given(st.text())
def test_a_yaml_text_reads_back_to_itself(text: str) -> None:
    shown = yaml.dump(text)
    assert "\n" not in shown
    if shown == text:
        assert PLAIN.fullmatch(text)
        assert text.lower() not in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
        assert ": " not in text
        assert not text.endswith((":", " "))
    else:
        wide = re.sub(r"\\U([0-9a-f]{8})", lambda match: chr(int(match[1], 16)), shown)
        assert json.loads(wide) == text


def test_yaml_nests_by_two_blanks_and_lists_stand_at_their_key() -> None:
    tree: Json = {"b": [{"x": 1, "y": {"z": "no"}}, [1, [2]]], "a": {}, "n": Number("1.10")}
    assert yaml.dump(tree) == 'a: {}\nb:\n- x: 1\n  "y":\n    z: "no"\n- - 1\n  - - 2\n"n": 1.10'
