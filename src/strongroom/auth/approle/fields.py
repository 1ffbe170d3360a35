"""Routes of a role's single fields: shown, changed, and put back to what a new role has.

Rules of this file: one line per field; body, check and read-back are those of the whole role.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from strongroom.auth.approle.model import UNKNOWN, Role, RoleBody, changed_role, told_role
from strongroom.auth.approle.store import Store
from strongroom.core.engine import delete, read, write
from strongroom.core.names import role_name
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest

Reading = Callable[[Store, str], Response]
Writing = Callable[[Store, str, msgspec.Struct], None]
Deleting = Callable[[Store, str], None]

OLD_CIDRS = 'The "bound_cidr_list" field is deprecated and will be removed. Please use "secret_id_bound_cidrs" instead.'

_HINTS = typing.get_type_hints(RoleBody, include_extras=True)


def single(path: str, name: str, *shown: str, warnings: tuple[str, ...] = (), optional: bool = False) -> tuple[Reading, Writing, Deleting]:
    """The routes of one field: `shown` are the names it is read back by, and can be sent under; its own where none are given.

    `optional`: a write that says nothing of it is none, as in Vault.
    """
    names = shown or (name,)
    pattern = f"role/{{role_name}}/{path}"
    body_type = msgspec.defstruct(f"{name.title()}Body", [(each, _HINTS[each], UNSET) for each in names], frozen=True, kw_only=True)

    def reading(self: Store, role: str) -> Response:
        found = self.roles.shown(role)
        members = _members(found)
        return Response(data={each: members[each] for each in names if each in members}, warnings=warnings)

    def writing(self: Store, role: str, body: msgspec.Struct) -> None:
        before = self.role(role)
        if all(getattr(body, each) is UNSET for each in names):
            if optional:
                return
            raise InvalidRequest(f"missing {names[0]}")
        self.keep(role_name(role), changed_role(before, body), before)

    def deleting(self: Store, role: str) -> None:
        first = _members(UNKNOWN)[names[0]]
        if self.roles.exists(role):
            writing(self, role, body_type(**{names[0]: () if first is None else first}))

    for function, says in (
        (reading, f"Show a role's {name}."),
        (writing, f"Change a role's {name}."),
        (deleting, f"Reset a role's {name}."),
    ):
        function.__doc__, function.__name__ = says, f"{function.__name__}_{name}"
    return read(pattern)(reading), write(pattern, body=body_type)(writing), delete(pattern)(deleting)


def _members(role: Role) -> dict[str, Any]:
    """The members of a read of the whole role, and an old name that only has a route."""
    told = told_role(role)
    return told | {"bound_cidr_list": role.secret_id_bound_cidrs or None, "token_bound_cidrs": told["token_bound_cidrs"] or None}


class Fields(Store):
    """Single fields of roles."""

    read_policies, write_policies, delete_policies = single("policies", "token_policies", "token_policies", "policies")
    read_uses, write_uses, delete_uses = single("secret-id-num-uses", "secret_id_num_uses")
    read_secret_ttl, write_secret_ttl, delete_secret_ttl = single("secret-id-ttl", "secret_id_ttl")
    read_ttl, write_ttl, delete_ttl = single("token-ttl", "token_ttl")
    read_max_ttl, write_max_ttl, delete_max_ttl = single("token-max-ttl", "token_max_ttl")
    read_token_uses, write_token_uses, delete_token_uses = single("token-num-uses", "token_num_uses")
    read_bind, write_bind, delete_bind = single("bind-secret-id", "bind_secret_id")
    read_cidrs, write_cidrs, delete_cidrs = single("secret-id-bound-cidrs", "secret_id_bound_cidrs", optional=True)
    read_old_cidrs, write_old_cidrs, delete_old_cidrs = single("bound-cidr-list", "bound_cidr_list", warnings=(OLD_CIDRS,), optional=True)
    read_token_cidrs, write_token_cidrs, delete_token_cidrs = single("token-bound-cidrs", "token_bound_cidrs", optional=True)
    read_period, write_period, delete_period = single("period", "token_period", "token_period", "period")

    @read("role/{role_name}/local-secret-ids")
    def read_local(self, name: str) -> Response:
        """Show whether a role's secret ids stay in this cluster."""
        return Response(data={"local_secret_ids": self.roles.shown(name).local_secret_ids})
