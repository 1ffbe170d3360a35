"""Routes of roles.

Rules of this file: a read of what is not there is 404; a write of what cannot be right stores nothing.
"""

from __future__ import annotations

import secrets

from strongroom.auth.agent.model import Role, RoleBody, changed_role, shown_role
from strongroom.auth.agent.store import Store
from strongroom.core.engine import ListBody, delete, list_, listed, read, write
from strongroom.core.names import role_name
from strongroom.core.request import Response
from strongroom.errors import NotFound


class Roles(Store):
    """Roles."""

    @list_("role/", body=ListBody)
    def list_roles(self, body: ListBody) -> Response:
        """List the roles."""
        return listed(self.store, "role", body)

    @read("role/{name}")
    def read_role(self, name: str) -> Response:
        """Show a role."""
        role = self.role(role_name(name))
        if role is None:
            raise NotFound
        return Response(data=shown_role(role))

    @write("role/{name}", body=RoleBody, exists="role_exists")
    def write_role(self, name: str, body: RoleBody) -> None:
        """Create a role, or change what is given of one."""
        name = role_name(name)
        before = self.role(name) or Role(key=secrets.token_bytes(16))
        self.store.put(f"role/{name}", changed_role(before, body))

    @delete("role/{name}")
    def delete_role(self, name: str) -> None:
        """Delete a role with its agents, their tokens and its enrolment tokens."""
        name = role_name(name)
        role = self.role(name)
        if role is not None:
            self.remove_role(name, role)
