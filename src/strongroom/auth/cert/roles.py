"""Routes of roles and of the mount's settings.

Rules of this file: a role is `certs/<name>`, as clients of Vault know it; its certificates are public and are shown as they were written.
"""

from __future__ import annotations

import msgspec

from strongroom.auth.cert.model import Role, RoleBody, Settings, SettingsBody, canonical, changed_role, changed_settings, shown_role
from strongroom.core.engine import Engine, ListBody, delete, list_, listed, read, write
from strongroom.core.logins import end_logins
from strongroom.core.request import Response
from strongroom.errors import NotFound


class Roles(Engine):
    """Roles and settings."""

    # -- roles --------------------------------------------------------------------------------------------------

    @list_("certs/", body=ListBody)
    def list_roles(self, body: ListBody) -> Response:
        """List the roles, in lower case."""
        return listed(self.store, "certs", body)

    @read("certs/{name}")
    def read_role(self, name: str) -> Response:
        """Show a role."""
        role = self.role(canonical(name))
        if role is None:
            raise NotFound
        return Response(data=shown_role(role))

    def role_exists(self, name: str) -> bool:
        """Whether a write to the role changes it rather than makes it."""
        return self.role(canonical(name)) is not None

    @write("certs/{name}", body=RoleBody, exists="role_exists")
    def write_role(self, name: str, body: RoleBody) -> Response | None:
        """Create a role, or change what is given of one."""
        name = canonical(name)
        role = changed_role(name, self.role(name), body)
        self.store.put(f"certs/{name}", role)
        if self.max_ttl and role.token.max_ttl > self.max_ttl:
            warning = (
                f"Given max_ttl of {role.token.max_ttl} seconds is greater than current mount/system default of {self.max_ttl} seconds"
            )
            return Response(warnings=(warning,))
        return None

    @delete("certs/{name}")
    def delete_role(self, name: str) -> None:
        """Delete a role, and end the tokens of its logins."""
        name = canonical(name)
        self.store.delete(f"certs/{name}")
        end_logins(self.call.transaction, self.mount, f"role/{name}")

    def role(self, name: str) -> Role | None:
        """A role by its canonical name."""
        return self.store.settings(f"certs/{name}", Role)

    # -- settings -----------------------------------------------------------------------------------------------

    @read("config")
    def read_settings(self) -> Response:
        """Show the settings."""
        return Response(data=msgspec.structs.asdict(self.settings()))

    @write("config", body=SettingsBody)
    def write_settings(self, body: SettingsBody) -> None:
        """Change the settings that are given."""
        self.store.put("config", changed_settings(self.settings(), body))

    def settings(self) -> Settings:
        """The mount's settings."""
        return self.store.settings("config", Settings) or Settings()
