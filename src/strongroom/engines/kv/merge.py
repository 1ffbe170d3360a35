"""What PATCH and subkeys do with parsed JSON. Pure, and recursive as deep as the codec let a body be.

Rules of this file: what many merges made is no larger than what one body can bring (api/wire.py, server/limits.py): every read of a
secret masks each of its texts for audit, and whoever may merge would choose what that costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from strongroom.errors import TooLarge

MOST_BYTES: Final = 1 << 20
MOST_NODES: Final = 10_000
"""Containers and members, counted as in api/wire.py."""


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
    return {name: None if depth == 1 or depth < 0 else subkeys(value, depth - 1 if depth else 0) for name, value in data.items()}


def check_size(data: object, text: bytes) -> None:
    """Raises TooLarge for what could not have been written at once."""
    if len(text) > MOST_BYTES or _nodes(data) > MOST_NODES:
        raise TooLarge(f"the merged secret would have more than {MOST_NODES} members or {MOST_BYTES} bytes; take members out with null")


def _nodes(value: object) -> int:
    if isinstance(value, Mapping):
        return max(1, len(value)) + sum(map(_nodes, value.values()))
    if isinstance(value, list):
        return max(1, len(value)) + sum(map(_nodes, value))
    return 0
