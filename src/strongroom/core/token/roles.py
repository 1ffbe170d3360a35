"""Token roles: who may make which tokens below `auth/token/create/<role>`.

Rules of this file:
- A role's allowed policies take the place of the rule that a child has no more than its parent: a role can grant more. Disallowed ones win.
- Policy names are canonical or refused, globs hold `*` only; `root` can be neither named nor matched.
- Every accepted field is shown again, under its old name too where it has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import Names, Seconds, given
from strongroom.core.forms import Duration, NameList, Reads, body_of, members, merged
from strongroom.core.glob import fits_any
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.token.terms import bound_cidrs
from strongroom.errors import InvalidRequest

_GLOB = re.compile(r"[a-z0-9_.:/@ *-]{1,256}", re.ASCII)
_SUFFIX = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:-]*[A-Za-z0-9_])?", re.ASCII)
_ABSENT: Final = frozenset(("token_bound_cidrs", "token_num_uses"))

TOO_LONG: Final = (
    "Given explicit max TTL of {} is greater than system/mount allowed value of {} seconds; "
    "until this is fixed attempting to create tokens against this role will result in an error"
)


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role."""

    allowed_policies: Annotated[NameList, "Policies that tokens of this role may have, and have where none are asked for."] = ()
    allowed_policies_glob: Annotated[NameList, "Patterns of policies that may be asked for."] = ()
    disallowed_policies: Annotated[NameList, "Policies that no token of this role has."] = ()
    disallowed_policies_glob: Annotated[NameList, "Patterns of policies that no token of this role has."] = ()
    orphan: Annotated[bool, "Tokens have no parent and outlive their maker's."] = False
    renewable: Annotated[bool, "Tokens can be renewed."] = True
    path_suffix: Annotated[str, "Goes behind the creation path, so that these tokens can be revoked by prefix."] = ""
    allowed_entity_aliases: Annotated[NameList, "Entity aliases a token may be made for; `*` matches any text."] = ()
    token_bound_cidrs: Annotated[NameList, "Where tokens may be used from."] = ()
    token_explicit_max_ttl: Annotated[Duration, "A hard end that no renewal and no period moves."] = 0
    token_period: Annotated[Duration, "Each renewal gives this long, without an end."] = 0
    token_type: Annotated[str, "service, batch, default-service or default-batch."] = "default-service"
    token_no_default_policy: Annotated[bool, "Leave the default policy out."] = False
    token_num_uses: Annotated[int, "How many requests a token is good for, 0 = any number."] = 0
    formerly: tuple[str, ...] = ()
    """The old names by which fields were last written: only those are read back, as in Vault."""


class OldNames(msgspec.Struct, frozen=True, kw_only=True):
    """What clients send for a role's fields, too."""

    period: Annotated[Seconds | UnsetType, "Old name of token_period."] = UNSET
    explicit_max_ttl: Annotated[Seconds | UnsetType, "Old name of token_explicit_max_ttl."] = UNSET
    bound_cidrs: Annotated[Names | UnsetType, "Old name of token_bound_cidrs."] = UNSET


RoleBody: Final = body_of(Role, OldNames)


def changed(before: Role | None, body: msgspec.Struct) -> Role:
    """A role after a write. Raises InvalidRequest."""
    after = merged(before or Role(), body, _READ, {name: f"token_{name}" for name in OldNames.__struct_fields__})
    if after.token_num_uses < 0:
        raise InvalidRequest("error parsing role fields: 'token_num_uses' cannot be negative")
    if after.token_type == "batch":
        for wrong, what in (
            (not after.orphan, "non-orphan tokens"),
            (after.token_period, "periodic tokens"),
            (after.renewable, "renewable tokens"),
            (after.token_explicit_max_ttl, "tokens with an explicit max TTL"),
            (after.token_num_uses, "tokens with limited use count"),
        ):
            if wrong:
                raise InvalidRequest(f"'token_type' cannot be 'batch' when role is set to generate {what}")
    return msgspec.structs.replace(after, formerly=_formerly(after.formerly, given(body)))


def _formerly(names: tuple[str, ...], sent: Mapping[str, Any]) -> tuple[str, ...]:
    """Which fields are known by their old names: those that were last written so."""
    kept = {name for name in names if f"token_{name}" not in sent}
    return tuple(sorted(kept | {name for name in OldNames.__struct_fields__ if name in sent}))


def names_hard_end(body: msgspec.Struct) -> bool:
    """Whether a body says anything of explicit_max_ttl."""
    return not {"explicit_max_ttl", "token_explicit_max_ttl"}.isdisjoint(given(body))


def shown(role: Role) -> dict[str, Any]:
    """Every field as it stands, but for the name. As in Vault some are not there when they say nothing."""
    found = {name: value for name, value in members(role).items() if value or name not in _ABSENT}
    found["allowed_entity_aliases"] = found["allowed_entity_aliases"] or None
    return found | {"period": 0, "explicit_max_ttl": 0} | {name: getattr(role, f"token_{name}") for name in role.formerly}


def _globs(texts: tuple[str, ...]) -> tuple[str, ...]:
    found = {text.lower() if text.isascii() else "" for text in texts}
    if not all(_GLOB.fullmatch(text) for text in found):
        raise InvalidRequest("a policy pattern is made of the characters of policy names and *")
    return tuple(sorted(found))


def _suffix(text: str) -> str:
    if text and not _SUFFIX.fullmatch(text):
        raise InvalidRequest("given role path suffix contains invalid characters; must match \\w[\\w-.]+\\w")
    return text


def _type(text: str) -> str:
    """A role says what its tokens are; there is no default beyond it. Raises InvalidRequest."""
    if text in DEFAULT_TYPES or text in ("service", "batch"):
        return text
    raise InvalidRequest("invalid 'token_type' value: it is service, batch, default-service or default-batch")


def _aliases(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(text.isascii() and text.isprintable() and len(text) <= 256 for text in texts):
        raise InvalidRequest("entity aliases are made of printable ASCII characters")
    return tuple(sorted({text.lower() for text in texts}))


DEFAULT_TYPES: Final = ("default-service", "default-batch")
"""What a role can leave to whoever asks for a token."""

_READ: Final[Reads] = {
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
            raise InvalidRequest(f'token policy "{name}" is not among the policies that the role allows')
        if _among(name, role.disallowed_policies, role.disallowed_policies_glob):
            raise InvalidRequest(f'token policy "{name}" is disallowed by this role')
    return tuple(sorted(chosen))


def allows_alias(role: Role, name: str) -> bool:
    """Whether a token may be made for this entity alias (lower case)."""
    return fits_any(name, role.allowed_entity_aliases)


def _among(name: str, names: tuple[str, ...], globs: tuple[str, ...]) -> bool:
    return name in names or fits_any(name, globs)
