"""What a role makes of the claims of a token whose signature held: who it is, what goes on the alias, and whether the role is for him.

Rules of this file:
- Pure. Checks raise InvalidRequest with Vault's sentences and quote a claim's name, never its value.
- A claim is named by its name, or by a JSON pointer (RFC 6901) where that begins with "/". A pointer leads through objects and lists.
- Values compare by type and whole: "1" is not 1, true is not 1, and a prefix is no match. A glob knows `*` alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from strongroom.core.glob import fits
from strongroom.core.names import subject_name
from strongroom.core.token.creation import MAX_META_TEXT
from strongroom.errors import InvalidRequest

Scalar = str | bool | int
Bound = Scalar | list[Scalar]
Claims = Mapping[str, Any]

MAX_GROUPS = 2_000
"""Groups that one token names; the issuers' own limits are lower (Entra ID: 200)."""


class Identity(NamedTuple):
    """Who logged in: the alias's name, what goes on it, and the groups the issuer puts him in."""

    name: str
    metadata: dict[str, str]
    groups: tuple[str, ...] = ()


def claim(claims: Claims, name: str) -> Any:
    """The value of a claim; None where there is none. A single audience counts as a list of one (RFC 7519, section 4.1.3)."""
    value = _pointed(claims, name) if name.startswith("/") else claims.get(name)
    return [value] if name in ("aud", "/aud") and isinstance(value, str) else value


def _pointed(claims: Claims, pointer: str) -> Any:
    found: Any = claims
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, list) and step.isascii() and step.isdigit() and len(step) < 6 and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


# -- who ------------------------------------------------------------------------------------------------------------------------


def user(claims: Claims, name: str, *, pointer: bool) -> str:
    """The alias's name. Raises InvalidRequest."""
    value = claim(claims, name) if pointer else claims.get(name)
    if value is None:
        raise InvalidRequest(f'claim "{name}" not found in token')
    if not isinstance(value, str):
        raise InvalidRequest(f'claim "{name}" could not be converted to string')
    return subject_name(value)


def metadata(claims: Claims, mappings: Mapping[str, str]) -> dict[str, str]:
    """What the mapped claims say, under the names they are mapped to; a claim that is not there is left out. Raises InvalidRequest."""
    found = {}
    for source, target in mappings.items():
        value = claim(claims, source)
        if value is None:
            continue
        if not isinstance(value, str):
            raise InvalidRequest(f"error converting claim '{source}' to string")
        if len(value) > MAX_META_TEXT:
            raise InvalidRequest(f"claim '{source}' has more than {MAX_META_TEXT} characters, too long for metadata")
        found[target] = value
    return found


def groups(claims: Claims, name: str) -> tuple[str, ...]:
    """The groups a claim names. Raises InvalidRequest."""
    value = claim(claims, name)
    if value is None:
        raise InvalidRequest(f'failed to fetch groups: "{name}" claim not found in token')
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise InvalidRequest(f'"{name}" claim could not be converted to string list')
    if len(values) > MAX_GROUPS:
        raise InvalidRequest(f'"{name}" claim names more than {MAX_GROUPS} groups')
    return tuple(each for each in values if each)


# -- whether he may -------------------------------------------------------------------------------------------------------------


def check_bound(claims: Claims, bound: Mapping[str, Bound], *, globs: bool) -> None:
    """Every bound claim is there and has one of its values. Raises InvalidRequest."""
    for name, expected in bound.items():
        value = claim(claims, name)
        if value is None:
            raise InvalidRequest(f'error validating claims: claim "{name}" is missing')
        allowed = expected if isinstance(expected, list) else [expected]
        values = value if isinstance(value, list) else [value]
        if not any(_matches(each, pattern, globs=globs) for each in values for pattern in allowed):
            raise InvalidRequest(f'error validating claims: claim "{name}" does not match any associated bound claim values')


def _matches(value: object, pattern: Scalar, *, globs: bool) -> bool:
    if globs and isinstance(value, str) and isinstance(pattern, str):
        return fits(value, pattern)
    return type(value) is type(pattern) and value == pattern


_TARGET = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


def check_mappings(mappings: Mapping[str, str]) -> None:
    """Each claim goes to a metadata name of its own. Raises InvalidRequest."""
    for target in mappings.values():
        if target == "role":
            raise InvalidRequest('metadata key "role" is reserved and may not be a mapping destination')
        if not _TARGET.fullmatch(target):
            raise InvalidRequest("a metadata key is made of up to 128 ASCII letters, digits and _ . -")
    if len(set(mappings.values())) < len(mappings):
        repeated = next(target for target in mappings.values() if list(mappings.values()).count(target) > 1)
        raise InvalidRequest(f'multiple keys are mapped to metadata key "{repeated}"')
