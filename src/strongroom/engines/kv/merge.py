"""What PATCH and subkeys do with parsed JSON. Pure, and recursive as deep as the codec let a body be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(target: object, changes: object) -> Any:
    """RFC 7396: objects merge member by member, null removes a member, everything else replaces."""
    if not isinstance(changes, Mapping):
        return changes
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def subkeys(data: object, depth: int) -> Any:
    """The same tree with null for every leaf; objects at `depth`, and empty ones, are leaves too. 0 = no limit."""
    if not isinstance(data, Mapping) or not data:
        return None
    return {name: None if depth == 1 else subkeys(value, depth - 1 if depth else 0) for name, value in data.items()}
