"""Roles: which service accounts, of which namespaces, get which policies.

Rules of this file: a role that leaves open who may log in is refused when it is written, not when it is used.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.kubernetes.selector import parse_selector
from strongroom.core.fields import Names, given
from strongroom.core.mounts import Ttls
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed, shown
from strongroom.errors import InvalidRequest

BY_UID: Final = "serviceaccount_uid"
BY_NAME: Final = "serviceaccount_name"

NO_AUDIENCE: Final = (
    "This role does not specify an audience. In a future version of Vault, specifying an audience will be required. "
    "A token made for another service of the cluster logs in here, too."
)
LONG_TTL: Final = "max_ttl is greater than the system or backend mount's maximum TTL value; issued tokens' max TTL value will be truncated"


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """The stored form."""

    names: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    selector: str = ""
    audience: str = ""
    alias_name_source: str = BY_UID
    token: TokenParameters = TokenParameters()


class RoleBody(TokenBody, frozen=True, kw_only=True):
    """What a role is written with."""

    bound_service_account_names: Annotated[Names | UnsetType, "Service accounts; * stands for any text, a * alone for all."] = UNSET
    bound_service_account_namespaces: Annotated[Names | UnsetType, "Their namespaces; * stands for any text, a * alone for all."] = UNSET
    bound_service_account_namespace_selector: Annotated[
        str | UnsetType, "A label selector in JSON; namespaces that it selects count besides those listed."
    ] = UNSET
    audience: Annotated[str | UnsetType, "The audience that tokens must be made for."] = UNSET
    alias_name_source: Annotated[str | UnsetType, "What names the entity alias: serviceaccount_uid or serviceaccount_name."] = UNSET


_FIELDS: Final = {
    "names": "bound_service_account_names",
    "namespaces": "bound_service_account_namespaces",
    "selector": "bound_service_account_namespace_selector",
    "audience": "audience",
    "alias_name_source": "alias_name_source",
}
"""The stored name of each field."""

_OLD: Final = ("policies", "bound_cidrs", "ttl", "max_ttl", "period", "num_uses")
"""Token parameters that are shown by their old names, too, where they are set."""


def changed_role(before: Role | None, body: RoleBody) -> Role:
    """A role after a write. Raises InvalidRequest."""
    start, sent = before or Role(), given(body, _FIELDS.values())
    fields = {stored: sent[name] for stored, name in _FIELDS.items() if name in sent}
    role = msgspec.structs.replace(start, **fields, token=changed(start.token, body))
    _check(role)
    return role


def shown_role(role: Role) -> dict[str, Any]:
    """The members of a read."""
    members = {sent: getattr(role, stored) for stored, sent in _FIELDS.items() if stored != "audience" or role.audience}
    return members | shown(role.token, _OLD)


def warnings(role: Role, ttls: Ttls) -> tuple[str, ...]:
    """What whoever wrote the role should know."""
    said = {NO_AUDIENCE: not role.audience.strip(), LONG_TTL: 0 < ttls.max < role.token.max_ttl}
    return tuple(text for text, due in said.items() if due)


def _check(role: Role) -> None:
    """Raises InvalidRequest."""
    if not role.names:
        raise InvalidRequest('"bound_service_account_names" can not be empty')
    if not role.namespaces and not role.selector:
        message = '"bound_service_account_namespaces" can not be empty if "bound_service_account_namespace_selector" is not set'
        raise InvalidRequest(message)
    for names in (role.names, role.namespaces):
        if len(names) > 1 and "*" in names:
            raise InvalidRequest('can not mix "*" with values')
    if role.selector:
        parse_selector(role.selector)
    if role.alias_name_source not in (BY_UID, BY_NAME):
        raise InvalidRequest(f"invalid alias_name_source, must be one of: {BY_UID}, {BY_NAME}")
