"""sys/locked-users: who is locked out after wrong passwords, and letting them in again.

Rules of this file: only names that exist are listed; unlocking what is not locked is no error.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from strongroom.core.engine import read, write
from strongroom.core.lockout import locked_names, unlock
from strongroom.core.mount import Mount
from strongroom.core.names import subject_name
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest
from strongroom.sys.routes import Routes


class LockedBody(msgspec.Struct, frozen=True):
    """Which auth method to look at."""

    mount_accessor: Annotated[str, "Accessor of an auth method; all where it is not given."] = ""


class LockedUsers(Routes):
    """Lockouts."""

    @read("locked-users", body=LockedBody)
    def locked_users(self, body: LockedBody) -> Response:
        """Show how many users are locked, and who, by auth method."""
        table = self.core.mounts.table(self.call.transaction)
        mounts = [self._mount(body.mount_accessor)] if body.mount_accessor else list(table.by_path.values())
        bounds = {mount.accessor: self.core.limits(mount) for mount in mounts if mount.path.startswith("auth/")}
        shown: list[dict[str, Any]] = [
            {"mount_accessor": accessor, "counts": len(names), "alias_identifiers": names}
            for accessor, names in locked_names(self.call.transaction, bounds).items()
        ]
        total = sum(entry["counts"] for entry in shown)
        namespaces = [] if not shown else [{"namespace_id": "root", "namespace_path": "", "counts": total, "mount_accessors": shown}]
        return Response(data={"by_namespace": namespaces, "total": total})

    @write("locked-users/{mount_accessor}/unlock/{alias_identifier}")
    def unlock_user(self, accessor: str, alias: str) -> None:
        """Let a locked user try again."""
        unlock(self.call.transaction, self._mount(accessor), subject_name(alias).lower())

    def _mount(self, accessor: str) -> Mount:
        mount = self.core.mounts.table(self.call.transaction).by_accessor.get(accessor)
        if mount is None or mount.tainted or not mount.path.startswith("auth/"):
            raise InvalidRequest("no auth method has this accessor")
        return mount
