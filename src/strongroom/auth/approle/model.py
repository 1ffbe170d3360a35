"""What is stored of a role and of a secret id, and the rules they obey. Pure functions of what was sent and what is stored.

Rules of this file:
- A field that was not sent keeps its value; every accepted field is shown again.
- A role's name and its role id are ASCII and count without case. A role id is shown as it was written; its lower-case form is the key of
  look-up, lockout and alias alike.
- A secret id is never wider than its role: in uses, time and networks.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.clock import rfc3339
from strongroom.core.fields import READERS, Names, Seconds, Texts, given
from strongroom.core.forms import Duration, NameList, body_of, members, merged
from strongroom.core.lockout import canonical_name
from strongroom.core.token.creation import check_metadata
from strongroom.core.token.parameters import TokenParameters
from strongroom.core.token.terms import bound_cidrs, covers
from strongroom.errors import InvalidRequest

NEVER: Final = "0001-01-01T00:00:00Z"
"""How clients in Go read an instant that is not set."""

MAX_SECRET: Final = 4_096
"""Characters of a secret id that a caller chose; Vault's limit."""


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role. `key` is random: rows of its secret ids begin with it."""

    key: bytes
    role_id: str
    bind_secret_id: Annotated[bool, "A login needs a secret id."] = True
    secret_id_bound_cidrs: Annotated[NameList, "Where a login may come from."] = ()
    secret_id_num_uses: Annotated[int, "How many logins a secret id is good for, 0 = any number."] = 0
    secret_id_ttl: Annotated[Duration, "How long a secret id lives, 0 = until it is destroyed."] = 0
    local_secret_ids: Annotated[bool, "Secret ids stay in this cluster; set when the role is made."] = False
    token: TokenParameters = TokenParameters()


UNKNOWN: Final = Role(key=bytes(16), role_id="")
"""Stands in for a role that does not exist, so that the same is looked up; no role has this key. A role as made without any field."""


class RoleWritten(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is written with beside its form: its role id, and old names."""

    role_id: Annotated[str | UnsetType, "Names the role at login; a random UUID where none is given."] = UNSET
    bound_cidr_list: Annotated[Names | UnsetType, "Old name of secret_id_bound_cidrs."] = UNSET
    enable_local_secret_ids: Annotated[bool | UnsetType, "What some clients send for local_secret_ids."] = UNSET


RoleBody: Final = body_of(Role, RoleWritten)

_OLD: Final = {"bound_cidr_list": "secret_id_bound_cidrs", "enable_local_secret_ids": "local_secret_ids"}


class SecretId(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored about a secret id. `num_uses` are left, 0 = any number; instants in ns, `ttl` in seconds, 0 = without end."""

    accessor: str
    num_uses: int = 0
    ttl: int = 0
    created: int = 0
    updated: int = 0
    expires: int = 0
    metadata: dict[str, str] = {}
    cidr_list: tuple[str, ...] = ()
    token_bound_cidrs: tuple[str, ...] = ()


class SecretIdBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a secret id is made with."""

    metadata: Annotated[Any, "Texts that go on the tokens and into the audit log: JSON as a text, an object, or `k=v,…`."] = ""
    cidr_list: Annotated[Names, "Where a login with it may come from; within the role's networks."] = Names()
    token_bound_cidrs: Annotated[Names, "Where its tokens may be used from; within the role's networks."] = Names()
    num_uses: Annotated[int | UnsetType, "How many logins it is good for; the role's number where none is given."] = UNSET
    ttl: Annotated[Seconds | UnsetType, "How long it lives; the role's time where none is given."] = UNSET


# -- roles ----------------------------------------------------------------------------------------------------------------------


def canonical_role_id(text: str) -> str:
    """The key of a role id. Raises InvalidRequest."""
    try:
        return canonical_name(text)
    except InvalidRequest:
        raise InvalidRequest("a role id is made of up to 128 ASCII letters, digits and . _ @ -") from None


def changed_role(before: Role, body: msgspec.Struct) -> Role:
    """A role after a write. Raises InvalidRequest."""
    after = merged(before, body, {"secret_id_bound_cidrs": bound_cidrs}, _OLD)
    for name in ("secret_id_num_uses", "secret_id_ttl"):
        if getattr(after, name) < 0:
            raise InvalidRequest(f"{name} cannot be negative")
    if not (after.bind_secret_id or after.secret_id_bound_cidrs or after.token.bound_cidrs):
        raise InvalidRequest("at least one constraint should be enabled on the role")
    return after


def without_defaults(body: msgspec.Struct) -> tuple[msgspec.Struct, tuple[str, ...]]:
    """The body of a write where `default-service` says no more than `service` does, and warnings that say so."""
    asked = given(body).get("token_type", "")
    kind = {"default-service": "service", "default-batch": "batch"}.get(asked)
    if kind is None:
        return body, ()
    return msgspec.structs.replace(body, token_type=kind), (f"{asked} has no useful meaning; adjusting to {kind}",)


def told_role(role: Role) -> dict[str, Any]:
    """The members of a read."""
    return members(role, ("policies", "period")) | {"secret_id_bound_cidrs": role.secret_id_bound_cidrs or None}


# -- secret ids -----------------------------------------------------------------------------------------------------------------


def new_secret_id(role: Role, body: SecretIdBody, accessor: str, max_ttl: int) -> SecretId:
    """A secret id that is not made yet: without its instants. Raises InvalidRequest."""
    if not role.bind_secret_id:
        raise InvalidRequest("bind_secret_id is not set on the role")
    logins_from, tokens_from = bound_cidrs(body.cidr_list), bound_cidrs(body.token_bound_cidrs)
    for asked, allowed in ((logins_from, role.secret_id_bound_cidrs), (tokens_from, role.token.bound_cidrs)):
        if not covers(allowed, asked):
            raise InvalidRequest("failed to verify subset relationship between CIDR blocks on the role and CIDR blocks on the secret ID")
    ttl = _bounded("ttl", body.ttl, "longer than the role's secret_id_ttl", role.secret_id_ttl)
    return SecretId(
        accessor=accessor,
        num_uses=_bounded("num_uses", body.num_uses, "higher than the role's secret_id_num_uses", role.secret_id_num_uses),
        ttl=min(ttl, max_ttl) if max_ttl else ttl,
        metadata=metadata(body.metadata),
        cidr_list=logins_from,
        token_bound_cidrs=tokens_from,
    )


def _bounded(name: str, asked: int | UnsetType, excess: str, limit: int) -> int:
    """What was asked for, else what the role says; 0 is the widest of all. Raises InvalidRequest."""
    if asked is UNSET:
        return limit
    if asked < 0:
        raise InvalidRequest(f"{name} cannot be negative")
    if limit and (asked == 0 or asked > limit):
        raise InvalidRequest(f"{name} cannot be {excess}")
    return int(asked)


def metadata(sent: object) -> dict[str, str]:
    """The metadata of a secret id, in any of the forms that clients send. Raises InvalidRequest."""
    try:
        if isinstance(sent, str) and sent.lstrip().startswith("{"):
            found = msgspec.json.decode(sent, type=dict[str, str])
        elif isinstance(sent, str):
            found = READERS[Texts]([part.strip() for part in sent.split(",") if part.strip()])
        else:
            found = READERS[Texts](sent)
    except (ValueError, RecursionError):
        raise InvalidRequest("'metadata' takes an object of texts, as JSON or written out, or k=v pairs with commas") from None
    check_metadata("metadata", found)
    return dict(found)


def shown_secret_id(found: SecretId) -> dict[str, Any]:
    """The members of a lookup."""
    return {
        "secret_id_accessor": found.accessor,
        "secret_id_num_uses": found.num_uses,
        "secret_id_ttl": found.ttl,
        "creation_time": rfc3339(found.created),
        "expiration_time": rfc3339(found.expires) or NEVER,
        "last_updated_time": rfc3339(found.updated),
        "metadata": found.metadata,
        "cidr_list": found.cidr_list,
        "token_bound_cidrs": found.token_bound_cidrs,
    }
