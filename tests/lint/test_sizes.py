"""Nothing grows unnoticed: functions stay within 70 lines and modules within 500, or stand in a reviewed list with their reason.

Most functions have about 12 lines and most modules 60 to 250; these are limits that say "look again", not goals.
"""

from __future__ import annotations

import pytest

from tests.lint.source import PACKAGE, Function, definitions, modules, type_of_function

MAX_FUNCTION = 70
MAX_MODULE = 500

LONG_FUNCTIONS: dict[str, str] = {}
"""`path:function` → why it reads better in one piece."""

LONG_MODULES: dict[str, str] = {}
"""path → why it is one file."""


def lines(node: Function) -> int:
    """From `def` to the last line, docstring included."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def long_functions(path: str) -> dict[str, int]:
    """The functions of a module over the limit, with their length."""
    functions = [(name, node) for name, node in definitions(modules()[path]) if isinstance(node, type_of_function)]
    return {f"{path}:{name}": lines(node) for name, node in functions if lines(node) > MAX_FUNCTION}


def length(path: str) -> int:
    """The lines of a module."""
    return len((PACKAGE / path).read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("path", modules())
def test_functions_and_modules_stay_small(path: str) -> None:
    too_long = {name: count for name, count in long_functions(path).items() if name not in LONG_FUNCTIONS}
    assert not too_long, f"over {MAX_FUNCTION} lines: {too_long}"
    assert length(path) <= MAX_MODULE or path in LONG_MODULES, f"{path} has {length(path)} lines"


def test_the_reviewed_lists_hold_nothing_that_is_gone() -> None:
    assert {name for path in modules() for name in long_functions(path)} >= LONG_FUNCTIONS.keys()
    assert all(path in modules() and length(path) > MAX_MODULE for path in LONG_MODULES)
