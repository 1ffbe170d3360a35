"""Whoever logs somebody in says what the login rests on, so that deleting it ends the tokens (T10.3, core/logins.py)."""

from __future__ import annotations

import ast

import pytest

from tests.lint.source import modules

METHODS = {path: tree for path, tree in modules().items() if path.startswith("auth/")}


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """Calls of a function by its plain name."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in found if isinstance(call.func, ast.Name) and call.func.id == name]


def silent(tree: ast.AST) -> list[int]:
    """Lines of calls of `granted` that do not say what the login rests on."""
    return [call.lineno for call in calls(tree, "granted") if not any(keyword.arg == "rests_on" for keyword in call.keywords)]


@pytest.mark.parametrize("path", METHODS)
def test_every_login_says_what_it_rests_on(path: str) -> None:
    assert not silent(METHODS[path])


def kind(path: str) -> str:
    """The auth method that a module is of."""
    return path.split("/")[1].removesuffix(".py")


def ends(tree: ast.AST) -> bool:
    """Whether a module ends logins: itself, or through entries that say what rests on them (core/entries.py)."""
    declared = (keyword.value for call in calls(tree, "Entries") for keyword in call.keywords if keyword.arg == "ends")
    return bool(calls(tree, "end_logins")) or any(ast.unparse(value) not in ("''", '""') for value in declared)


def test_every_method_ends_logins_somewhere() -> None:
    grants = {kind(path) for path, tree in METHODS.items() if calls(tree, "granted")}
    ending = {kind(path) for path, tree in METHODS.items() if ends(tree)}
    assert len(grants) > 8
    assert not grants - ending


def test_the_lint_finds_what_it_is_for() -> None:
    """The negative control."""
    assert silent(ast.parse("x = granted(a, b)\ny = granted(a, b, rests_on=('role/x',))")) == [1]
    assert not ends(ast.parse("x = Entries(Role, ends='')"))
    assert ends(ast.parse("x = Entries(Role, ends='role')"))
    assert ends(ast.parse("end_logins(a, b, 'role/x')"))
