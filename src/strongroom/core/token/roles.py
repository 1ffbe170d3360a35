"""Token roles: who may make which tokens below `auth/token/create/<role>`.

Rules of this file:
- A role's allowed policies take the place of the rule that a child has no more than its parent: a role can grant more. Disallowed ones win.
- Policy names are canonical or refused, globs hold `*` only; `root` can be neither named nor matched.
- Every accepted field is shown again, under its old name too where it has one.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import Names, Seconds
from strongroom.core.glob import fits_any
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.token.parameters import token_type
from strongroom.core.token.terms import bound_cidrs
from strongroom.errors import InvalidRequest

_GLOB = re.compile(r"[a-z0-9_.:/@ *-]{1,256}", re.ASCII)
_SUFFIX = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:-]*[A-Za-z0-9_])?", re.ASCII)
_DURATIONS = ("token_period", "token_explicit_max_ttl")


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored role."""

    allowed_policies: tuple[str, ...] = ()
    allowed_policies_glob: tuple[str, ...] = ()
    disallowed_policies: tuple[str, ...] = ()
    disallowed_policies_glob: tuple[str, ...] = ()
    orphan: bool = False
    renewable: bool = True
    path_suffix: str = ""
    allowed_entity_aliases: tuple[str, ...] = ()
    token_bound_cidrs: tuple[str, ...] = ()
    token_explicit_max_ttl: int = 0
    token_period: int = 0
    token_type: str = "default-service"
    token_no_default_policy: bool = False
    token_num_uses: int = 0


class RoleBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is written with; the last three are old names."""

    allowed_policies: Annotated[Names | UnsetType, "Policies that tokens of this role may have, and have where none are asked for."] = UNSET
    allowed_policies_glob: Annotated[Names | UnsetType, "Patterns of policies that may be asked for."] = UNSET
    disallowed_policies: Annotated[Names | UnsetType, "Policies that no token of this role has."] = UNSET
    disallowed_policies_glob: Annotated[Names | UnsetType, "Patterns of policies that no token of this role has."] = UNSET
    orphan: Annotated[bool | UnsetType, "Tokens have no parent and outlive their maker's."] = UNSET
    renewable: Annotated[bool | UnsetType, "Tokens can be renewed."] = UNSET
    path_suffix: Annotated[str | UnsetType, "Goes behind the creation path, so that these tokens can be revoked by prefix."] = UNSET
    allowed_entity_aliases: Annotated[Names | UnsetType, "Entity aliases a token may be made for; `*` matches any text."] = UNSET
    token_bound_cidrs: Annotated[Names | UnsetType, "Where tokens may be used from."] = UNSET
    token_explicit_max_ttl: Annotated[Seconds | UnsetType, "A hard end that no renewal and no period moves."] = UNSET
    token_period: Annotated[Seconds | UnsetType, "Each renewal gives this long, without an end."] = UNSET
    token_type: Annotated[str | UnsetType, "service, batch, default-service or default-batch."] = UNSET
    token_no_default_policy: Annotated[bool | UnsetType, "Leave the default policy out."] = UNSET
    token_num_uses: Annotated[int | UnsetType, "How many requests a token is good for, 0 = any number."] = UNSET
    period: Annotated[Seconds | UnsetType, "Old name of token_period."] = UNSET
    explicit_max_ttl: Annotated[Seconds | UnsetType, "Old name of token_explicit_max_ttl."] = UNSET
    bound_cidrs: Annotated[Names | UnsetType, "Old name of token_bound_cidrs."] = UNSET


OLD_NAMES = {"token_period": "period", "token_explicit_max_ttl": "explicit_max_ttl", "token_bound_cidrs": "bound_cidrs"}


def changed(before: Role, body: RoleBody) -> Role:
    """A role after a write. Raises InvalidRequest."""
    fields: dict[str, Any] = {}
    for name in Role.__struct_fields__:
        value = getattr(body, name)
        if value is UNSET and name in OLD_NAMES:
            value = getattr(body, OLD_NAMES[name])
        if value is not UNSET:
            fields[name] = _READ[name](value) if name in _READ else value
    after = msgspec.structs.replace(before, **fields)
    if any(getattr(after, name) < 0 for name in (*_DURATIONS, "token_num_uses")):
        raise InvalidRequest("periods, TTLs and numbers of uses cannot be negative")
    if after.token_type == "batch" and (after.token_period or after.token_num_uses or after.token_explicit_max_ttl):
        raise InvalidRequest("a role whose tokens are batch tokens has no period, number of uses or explicit max TTL")
    if after.token_type == "batch" and not after.orphan and after.renewable and "renewable" in fields:
        raise InvalidRequest("batch tokens cannot be renewed: set 'renewable' to false")
    return after


def shown(name: str, role: Role) -> dict[str, Any]:
    """Every field as it stands."""
    members: dict[str, Any] = {"name": name} | {field: getattr(role, field) for field in Role.__struct_fields__}
    return members | {old: members[new] for new, old in OLD_NAMES.items()}


def _globs(texts: tuple[str, ...]) -> tuple[str, ...]:
    found = {text.lower() if text.isascii() else "" for text in texts}
    if not all(_GLOB.fullmatch(text) for text in found):
        raise InvalidRequest("a policy pattern is made of the characters of policy names and *")
    return tuple(sorted(found))


def _suffix(text: str) -> str:
    if text and not _SUFFIX.fullmatch(text):
        raise InvalidRequest("'path_suffix' has letters, digits, _ . : and -, and begins and ends with a letter, digit or _")
    return text


def _type(text: str) -> str:
    kind = token_type(text)
    return "default-service" if kind == "default" else kind


def _aliases(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(text.isascii() and text.isprintable() and len(text) <= 256 for text in texts):
        raise InvalidRequest("entity aliases are made of printable ASCII characters")
    return tuple(sorted({text.lower() for text in texts}))


_READ: dict[str, Any] = {
    "allowed_policies": assignable_policies,
    "disallowed_policies": assignable_policies,
    "allowed_policies_glob": _globs,
    "disallowed_policies_glob": _globs,
    "path_suffix": _suffix,
    "allowed_entity_aliases": _aliases,
    "token_bound_cidrs": bound_cidrs,
    "token_type": _type,
}
"""How fields that are more than their type are read."""


# -- what a role says of a token that is being made -----------------------------------------------------------------


def restricts(role: Role) -> bool:
    """Whether the role has rules of its own about policies."""
    return bool(role.allowed_policies or role.allowed_policies_glob or role.disallowed_policies or role.disallowed_policies_glob)


def role_policies(role: Role, wanted: tuple[str, ...], parent: tuple[str, ...], no_default: bool) -> tuple[str, ...]:
    """The policies of a new token under a role that has rules about them. Raises InvalidRequest."""
    add_default = not no_default and not _among("default", role.disallowed_policies, role.disallowed_policies_glob)
    extra = {"default"} if add_default else set()
    allowed = {*role.allowed_policies, *extra}
    if wanted:
        chosen = {*wanted, *extra}
    elif role.allowed_policies or role.allowed_policies_glob:
        chosen = allowed
    else:
        chosen = {*parent, *extra}
    for name in chosen:
        if (role.allowed_policies or role.allowed_policies_glob) and not _among(name, tuple(allowed), role.allowed_policies_glob):
            raise InvalidRequest(f"token policy {name!r} is not among the policies that the role allows")
        if _among(name, role.disallowed_policies, role.disallowed_policies_glob):
            raise InvalidRequest(f"token policy {name!r} is disallowed by this role")
    return tuple(sorted(chosen))


def allows_alias(role: Role, name: str) -> bool:
    """Whether a token may be made for this entity alias (lower case)."""
    return fits_any(name, role.allowed_entity_aliases)


def _among(name: str, names: tuple[str, ...], globs: tuple[str, ...]) -> bool:
    return name in names or fits_any(name, globs)
