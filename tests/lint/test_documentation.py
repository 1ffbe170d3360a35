"""Whoever opens a file is told its rules: each module, public class and public function has a docstring.

An empty `__init__.py` has nothing to say. A method that a Protocol documents, an override, a dunder, a one-liner, a decorated method (a
route has its help text in its declaration) and a function inside a function need not repeat or add words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.lint.source import modules, type_of_function


@cache
def contracts() -> frozenset[str]:
    """The names of methods that some Protocol of the package explains to all who implement it."""
    classes = [node for tree in modules().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    protocols = [node for node in classes if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)]
    methods = [method for protocol in protocols for method in protocol.body if isinstance(method, type_of_function)]
    return frozenset(method.name for method in methods if ast.get_docstring(method) is not None)


def is_public(name: str) -> bool:
    """Neither `_private` nor `__dunder__`."""
    return not name.startswith("_")


def undocumented(tree: ast.Module) -> Iterator[str]:
    """What of a module lacks its docstring.

    Methods are judged only in classes without a base: others inherit the words with the contract.
    """
    if tree.body and ast.get_docstring(tree) is None:
        yield "<module>"
    for node in tree.body:
        if isinstance(node, (*type_of_function, ast.ClassDef)) and is_public(node.name):
            if ast.get_docstring(node) is None:
                yield node.name
            if isinstance(node, ast.ClassDef) and not node.bases:
                yield from (f"{node.name}.{name}" for name in undocumented_methods(node))


def undocumented_methods(owner: ast.ClassDef) -> Iterator[str]:
    """Public methods of more than a line's worth that nobody explains."""
    for method in owner.body:
        if not isinstance(method, type_of_function) or not is_public(method.name) or method.name in contracts():
            continue
        if len(method.body) > 1 and not method.decorator_list and ast.get_docstring(method) is None:
            yield method.name


@pytest.mark.parametrize("path", modules())
def test_every_module_class_and_function_says_what_it_is_for(path: str) -> None:
    missing = list(undocumented(modules()[path]))
    assert not missing, f"{path}: no docstring on {missing}"


def test_the_lint_finds_what_it_is_for() -> None:
    tree = ast.parse("def public(): ...\ndef _private(): ...\nclass Thing:\n    def method(self):\n        x = 1\n        return x\n")
    assert list(undocumented(tree)) == ["<module>", "public", "Thing", "Thing.method"]
