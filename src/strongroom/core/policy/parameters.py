"""What a rule says of the fields of a request: allowed, denied, required.

Rules of this file:
- Top-level names only, in lower case; values match exactly, or as text with `*` at the beginning or end.
- An empty list of values means any value. The name `*` means any name.
- A denied value is also found inside a list and in its text form, in any case, because fields are read leniently: `5`, `"5"` and
  `["5"]` say the same, and so do two spellings of a policy's name. So do `true`, `"t"` and `1` where `true` is denied, and `"60m"`,
  `3600` and `"1h"` where one of them is (core/fields.py).
- A text with commas may be read as a list (`policies=team-a,admin`): it is denied where one of its parts is, and passes a pattern with `*`
  only if each of its parts does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from strongroom.core.fields import READERS, SignedSeconds
from strongroom.core.policy.rules import Rule
from strongroom.errors import PermissionDenied


def check_parameters(rule: Rule, data: Mapping[str, Any]) -> None:
    """Raises PermissionDenied unless the rule lets these fields pass."""
    lowered = [(name.lower(), value) for name, value in data.items()]
    if not data.keys() >= set(rule.required_parameters):  # no route reads a field that is written with capitals
        raise PermissionDenied
    if lowered and "*" in rule.denied_parameters:
        raise PermissionDenied
    for name, value in lowered:
        denied = rule.denied_parameters.get(name)
        if denied is not None and (not denied or _contains(value, denied)):
            raise PermissionDenied
        if rule.allowed_parameters:
            _check_allowed(rule.allowed_parameters, name, value)


def _check_allowed(allowed: Mapping[str, tuple[Any, ...]], name: str, value: Any) -> None:
    listed = allowed.get(name)
    if listed is None and "*" in allowed:
        return
    if listed is None or (listed and not _is_among(value, listed)):
        raise PermissionDenied


def _is_among(value: Any, listed: Sequence[Any]) -> bool:
    if "*" in listed or not isinstance(value, str) or value in listed:
        return any(_matches(value, one) for one in listed)
    return all(any(_matches(part, one) for one in listed) for part in (value, *_parts(value)))


def _contains(value: Any, denied: Sequence[Any]) -> bool:
    if any(_matches(value, one) or _matches(_as_text(value), _as_text(one)) or _reads_as(value, one) for one in denied):
        return True
    parts = _parts(value) if isinstance(value, str) else value
    return isinstance(parts, list | tuple) and any(_contains(item, denied) for item in parts)


def _parts(text: str) -> list[str]:
    """What a text is read as where a list is expected; nothing where it would be read as it is."""
    parts = [part.strip() for part in text.split(",")]
    return [] if parts == [text] else parts


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | Decimal) else value.lower() if isinstance(value, str) else value


def _reads_as(value: Any, denied: Any) -> bool:
    """Whether a field that takes what is denied, a truth or a number, would read this value as the same."""
    if isinstance(value, list | tuple | Mapping):
        return False
    read = READERS[bool if _as_text(denied) in ("true", "false") else SignedSeconds]
    try:
        return denied != "" and bool(read(value) == read(denied))
    except ValueError:
        return False


def _matches(value: Any, listed: Any) -> bool:
    """Like values of like types; True is not 1."""
    if isinstance(value, str) and isinstance(listed, str):
        return _fits(value, listed)
    if isinstance(value, bool) or isinstance(listed, bool):
        return value is listed
    if isinstance(value, list | tuple) and isinstance(listed, list | tuple):
        return len(value) == len(listed) and all(_same(one, other) for one, other in zip(value, listed, strict=True))
    return _same(value, listed)


def _same(value: Any, listed: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(listed, Mapping):
        return value.keys() == listed.keys() and all(_same(value[key], listed[key]) for key in value)
    if isinstance(value, list | tuple) and isinstance(listed, list | tuple):
        return len(value) == len(listed) and all(_same(one, other) for one, other in zip(value, listed, strict=True))
    return isinstance(value, bool) == isinstance(listed, bool) and bool(value == listed)


def _fits(text: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    begins, ends = pattern.startswith("*"), pattern.endswith("*")
    if begins and ends:
        return pattern[1:-1] in text
    if begins:
        return text.endswith(pattern[1:])
    return text.startswith(pattern[:-1]) if ends else text == pattern
