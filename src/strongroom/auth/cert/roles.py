"""Roles and the mount's settings.

Rules of this file: a role is `certs/<name>`, as clients of Vault know it; its certificates are public and are shown as they were written.
"""

from __future__ import annotations

import msgspec

from strongroom.auth.cert.model import Role, RoleBody, Settings, canonical, changed_role, changed_settings, shown_role
from strongroom.core.configuration import Configuration
from strongroom.core.engine import Engine, write
from strongroom.core.entries import Entries
from strongroom.core.mounts import Ttls
from strongroom.core.request import Response


def warnings(role: Role, ttls: Ttls) -> tuple[str, ...]:
    """What whoever wrote the role should know."""
    given = role.token.max_ttl
    if not 0 < ttls.max < given:
        return ()
    return (f"Given max_ttl of {given} seconds is greater than current mount/system default of {ttls.max} seconds",)


class Roles(Engine):
    """Roles and settings."""

    settings = Configuration(
        Settings,
        changed=changed_settings,
        default=Settings(),
        creates=False,
        says={"read": "Show the settings.", "write": "Change the settings that are given."},
    )
    roles = Entries(
        Role,
        pattern="certs/{name}",
        name=canonical,
        told=shown_role,
        warnings=warnings,
        ends="role",
        says={"delete": "Delete a role, and end the tokens of its logins."},
    )

    @write("certs/{name}", body=RoleBody, exists="role_exists")
    def write_role(self, name: str, body: msgspec.Struct) -> Response | None:
        """Create a role, or change what is given of one."""
        name = canonical(name)
        role = changed_role(name, self.roles.get(name), body)
        self.roles.put(name, role)
        return self.roles.written(role)
