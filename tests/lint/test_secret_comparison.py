"""Secrets are compared in constant time: `==` and `!=` on something named like a secret fail here.

A name is split into its snake_case words and whole words count: `token` and `recovery_token` do, `status_code` and `stage` do not.
A comparison that is about a name, a kind or an absent value rather than a secret is either with a literal or in the reviewed list.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.lint.source import definitions, modules

SECRET_WORDS = frozenset(
    "token tokens secret secrets mac macs hmac digest digests otp signature signatures nonce nonces password passwords passphrase "
    "passcode share shares credential credentials tag tags".split()
)

# A last word that makes the name one of a kind, a place, a size or a time of the secret, not the secret.
HARMLESS_LAST = frozenset("type kind name count size length len ttl path policies version index threshold bound algorithm config".split())

REVIEWED = frozenset[str]()
"""`path:function` of comparisons that are right as they are, each with its reason in a comment on its line here."""

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def words(name: str) -> list[str]:
    """snake_case and CamelCase names as lower-case words."""
    return [word.lower() for word in _WORDS.findall(name)]


def sounds_secret(node: ast.expr) -> bool:
    """A variable, attribute, constant key or call result that is named like a secret."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            parts = words(name)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            parts = words(name)
        case ast.Call(func=(ast.Name(id=name) | ast.Attribute(attr=name))):
            parts = words(name)
        case _:
            return False
    return bool(parts) and parts[-1] not in HARMLESS_LAST and not SECRET_WORDS.isdisjoint(parts)


def is_harmless(node: ast.expr) -> bool:
    """What no secret is ever compared with: a number, an empty or absent value, a length, a type, or a CONSTANT."""
    match node:
        case ast.Constant(value=value):
            return not value or isinstance(value, int)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper()
        case ast.Call(func=ast.Name(id="len" | "type")):
            return True
        case _:
            return False


def unsafe_comparisons(tree: ast.AST) -> Iterator[ast.Compare]:
    """Every `==`, `!=` whose operands sound like secrets."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
                if not isinstance(operator, ast.Eq | ast.NotEq) or is_harmless(left) or is_harmless(right):
                    continue
                if sounds_secret(left) or sounds_secret(right):
                    yield node


def found(path: str, tree: ast.Module) -> set[str]:
    """`path:function` of each unsafe comparison; the innermost function names it."""
    owners: dict[ast.Compare, str] = dict.fromkeys(unsafe_comparisons(tree), "<module>")
    for name, node in definitions(tree):
        owners.update(dict.fromkeys(unsafe_comparisons(node), name))
    return {f"{path}:{name}" for name in owners.values()}


@pytest.mark.parametrize("path", modules())
def test_no_secret_is_compared_with_equality(path: str) -> None:
    unsafe = found(path, modules()[path]) - REVIEWED
    assert not unsafe, f"use hmac.compare_digest in {sorted(unsafe)}, or add it to REVIEWED with the reason"


def test_the_reviewed_list_holds_nothing_that_is_gone() -> None:
    everything = set().union(*(found(path, tree) for path, tree in modules().items()))
    assert everything >= REVIEWED, f"remove {sorted(REVIEWED - everything)}"


@pytest.mark.parametrize(
    "code",
    [
        "token == given",
        "given != self.root_token",
        "a.mac == b.mac",
        "recoveryToken == x",
        "data['otp'] == x",
        "hmac(k, m) == x",
        "x == share",
        "0 < 1 and y == z.secret",
    ],
)
def test_the_lint_finds_what_it_is_for(code: str) -> None:
    assert found("x.py", ast.parse(f"def f():\n    return {code}\n")) == {"x.py:f"}


@pytest.mark.parametrize(
    "code",
    [
        "status_code == 200",
        "stage == other",
        "token_type == 'batch'",
        "len(token) == OTP_BYTES",
        "family == Family.SECRETS",
        "token is None",
        "secret_shares == 5",
        "machine == mine",
        "nonce == ''",
    ],
)
def test_the_lint_leaves_ordinary_names_alone(code: str) -> None:
    assert found("x.py", ast.parse(f"def f():\n    return {code}\n")) == set()
