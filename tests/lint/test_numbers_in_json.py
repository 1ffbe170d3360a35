"""JSON whose types are not known beforehand is read with a hook for its floats.

The parser's own way takes ten microseconds for one such as 1e300: a second of everybody's time for a body of strangers that is full of
them. And what no double holds is an error there, which comes up wherever stored text is read again.
"""

from __future__ import annotations

import ast

import pytest

from tests.lint.source import modules

REVIEWED = {
    "server/offline.py": "a report of our own, on a terminal",
    "testing/room.py": "answers that tests look into",
}


def untyped(tree: ast.AST) -> list[int]:
    """Lines of `msgspec.json.decode` and `msgspec.json.Decoder` that say neither a type nor a hook."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if ast.unparse(call.func) in FREE and not _says(call)]


FREE = {"msgspec.json.decode": 1, "msgspec.json.Decoder": 0}
"""The calls, and how many positional arguments say no type."""


def _says(call: ast.Call) -> bool:
    named = {keyword.arg for keyword in call.keywords}
    return bool(named & {"type", "float_hook"}) or len(call.args) > FREE[ast.unparse(call.func)]


@pytest.mark.parametrize("path", [path for path in modules() if path.split("/")[0] not in ("cli", "client", "agent")])
def test_no_json_is_read_without_a_word_about_its_numbers(path: str) -> None:
    assert path in REVIEWED or not untyped(modules()[path]), "give a type, or float_hook=Decimal"


def test_the_lint_finds_what_it_is_for() -> None:
    """The negative control."""
    calls = ("decode(a)", "Decoder()", "decode(a, type=b)", "Decoder(a)", "Decoder(float_hook=c)")
    text = "\n".join(f"msgspec.json.{call}" for call in calls)
    assert untyped(ast.parse(text)) == [1, 2]
    assert all(untyped(modules()[path]) for path in REVIEWED)
