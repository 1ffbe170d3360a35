"""A second, slow opinion on who may: written from the rules in words, sharing nothing with strongroom.core but Operation's names."""

from __future__ import annotations

import re
from collections.abc import Iterable

Policies = Iterable[Iterable[tuple[str, frozenset[str]]]]


def _regex(pattern: str) -> re.Pattern[str]:
    glob = pattern.endswith("*")
    segments = pattern[:-1].split("/") if glob else pattern.split("/")
    parts = []
    for number, segment in enumerate(segments):
        wild = segment == "+" and not (glob and number == len(segments) - 1)
        parts.append("[^/]*" if wild else re.escape(segment))
    return re.compile("/".join(parts) + (".*" if glob else ""), re.DOTALL)


def _wild(pattern: str) -> bool:
    return pattern.endswith("*") or "+" in pattern.split("/")


def _before(pattern: str) -> int:
    """How many characters stand before the first wildcard."""
    length = 0
    for segment in pattern.split("/"):
        if segment == "+":
            return length
        length += len(segment) + 1
    return len(pattern) - 1 if pattern.endswith("*") else len(pattern)


def _better(one: str, other: str) -> str:
    if _before(one) != _before(other):
        return max(one, other, key=_before)
    if one.endswith("*") != other.endswith("*"):
        return other if one.endswith("*") else one
    if one.split("/").count("+") != other.split("/").count("+"):
        return min(one, other, key=lambda pattern: pattern.split("/").count("+"))
    if len(one) != len(other):
        return max(one, other, key=len)
    return max(one, other)


def _best(patterns: Iterable[str], *paths: str) -> str | None:
    best = None
    for pattern in patterns:
        if _wild(pattern) and any(_regex(pattern).fullmatch(path) for path in paths):
            best = pattern if best is None else _better(best, pattern)
    return best


def allows(policies: Policies, operation: str, path: str) -> bool:
    """Whether the policies, as (pattern, capabilities) pairs, allow the operation."""
    merged: dict[str, set[str]] = {}
    for policy in policies:
        for pattern, capabilities in policy:
            merged.setdefault(pattern, set()).update(capabilities)
    decides: str | None = path if path in merged and not _wild(path) else None
    if decides is None and operation in ("list", "scan"):
        bare = path.removesuffix("/")
        inside = _best(merged, path)
        if inside and "deny" in merged[inside] and not _regex(inside).fullmatch(bare):
            return False
        decides = bare if bare in merged and not _wild(bare) else _best(merged, path, bare)
    elif decides is None:
        decides = _best(merged, path)
    granted = merged[decides] if decides is not None else set()
    return operation in granted and "deny" not in granted
