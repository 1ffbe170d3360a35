"""Roles: which service accounts, of which namespaces, get which policies.

Rules of this file: a role that leaves open who may log in is refused when it is written, not when it is used.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.kubernetes.selector import parse_selector
from strongroom.core.engine import Engine, ListBody, delete, list_, listed, read, write
from strongroom.core.fields import Names
from strongroom.core.logins import end_logins
from strongroom.core.names import role_name
from strongroom.core.request import Response
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed, shown
from strongroom.errors import InvalidRequest, NotFound

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


class Roles(Engine):
    """Roles."""

    @list_("role/", body=ListBody)
    def list_roles(self, body: ListBody) -> Response:
        """List the roles, in lower case."""
        return listed(self.store, "role", body)

    @read("role/{name}")
    def read_role(self, name: str) -> Response:
        """Show a role."""
        role = self.role(role_name(name))
        if role is None:
            raise NotFound
        return Response(data=_shown(role))

    def role_exists(self, name: str) -> bool:
        """Whether a write to the role changes it rather than makes it."""
        return self.role(role_name(name)) is not None

    @write("role/{name}", body=RoleBody, exists="role_exists")
    def write_role(self, name: str, body: RoleBody) -> Response | None:
        """Create a role, or change what is given of one."""
        name = role_name(name)
        before = self.role(name) or Role()
        given = {stored: value for stored, sent in _FIELDS.items() if (value := getattr(body, sent)) is not UNSET}
        role = msgspec.structs.replace(before, **given, token=changed(before.token, body))
        _check(role)
        self.store.put(f"role/{name}", role)
        said = {NO_AUDIENCE: not role.audience.strip(), LONG_TTL: 0 < self.max_ttl < role.token.max_ttl}
        warnings = tuple(text for text, due in said.items() if due)
        return Response(warnings=warnings) if warnings else None

    @delete("role/{name}")
    def delete_role(self, name: str) -> None:
        """Delete a role; tokens of earlier logins end with it."""
        name = role_name(name)
        if self.role(name) is not None:
            self.store.delete(f"role/{name}")
            end_logins(self.call.transaction, self.mount, f"role/{name}")

    def role(self, name: str) -> Role | None:
        """A role by its canonical name."""
        return self.store.settings(f"role/{name}", Role)


def _shown(role: Role) -> dict[str, Any]:
    members = {sent: getattr(role, stored) for stored, sent in _FIELDS.items() if stored != "audience" or role.audience}
    return members | shown(role.token, _OLD)


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
