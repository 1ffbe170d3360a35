"""Routes of roles and their role ids.

Rules of this file: a read of what is not there is 404; a write to a part of a role that is not there makes nothing.
"""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec

from strongroom.auth.approle.model import UNKNOWN, RoleBody, changed_role, without_defaults
from strongroom.auth.approle.store import Store
from strongroom.core.configuration import answer
from strongroom.core.engine import delete, read, write
from strongroom.core.fields import given
from strongroom.core.names import role_name
from strongroom.core.response import Response
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest

LONG_TTL = "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value will be truncated"


class RoleIdBody(msgspec.Struct, frozen=True):
    """A new role id."""

    role_id: Annotated[str, "The role id: up to 128 ASCII letters, digits and . _ @ - in any case."] = ""


class Roles(Store):
    """Roles."""

    @write("role/{role_name}", body=RoleBody, exists="role_exists")
    def write_role(self, name: str, body: msgspec.Struct) -> Response | None:
        """Create a role, or change what is given of one."""
        name = role_name(name)
        before = self.roles.get(name)
        start = before or msgspec.structs.replace(UNKNOWN, key=secrets.token_bytes(16), role_id=uuid4_text())
        body, warnings = without_defaults(body)
        role = changed_role(start, body)
        if before is not None and role.local_secret_ids is not before.local_secret_ids:
            raise InvalidRequest("local_secret_ids can only be modified during role creation")
        role_id = given(body).get("role_id")
        if role_id:
            role = msgspec.structs.replace(role, role_id=role_id)
        self.keep(name, role, before)
        return answer((*warnings, LONG_TTL) if 0 < self.max_ttl < role.token.max_ttl else warnings)

    @delete("role/{role_name}")
    def delete_role(self, name: str) -> None:
        """Delete a role and its secret ids; tokens of earlier logins end with it."""
        name = role_name(name)
        role = self.roles.get(name)
        if role is not None:
            self.remove(name, role)

    @read("role/{role_name}/role-id")
    def read_role_id(self, name: str) -> Response:
        """Show a role's role id."""
        return Response(data={"role_id": self.roles.shown(name).role_id})

    @write("role/{role_name}/role-id", body=RoleIdBody)
    def write_role_id(self, name: str, body: RoleIdBody) -> None:
        """Give a role another role id; the old one leads nowhere from then on."""
        if not body.role_id:
            raise InvalidRequest("missing role_id")
        role = self.role(name)
        self.keep(role_name(name), msgspec.structs.replace(role, role_id=body.role_id), role)
