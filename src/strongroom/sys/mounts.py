"""sys/mounts and sys/remount: secrets engines come, are tuned, move and go.

Rules of this file:
- What may be set, and how it is shown, is core/tuning.py; mounting itself is core/mounting.py; here are the routes.
- Moving a mount keeps its rows and history; what was issued below the old path ends.
- Unmounting an absent mount succeeds: nothing is mounted there.
- `vault auth tune` and the Go client's GetAuth name auth methods here too, as auth/PATH: the way that needs no sudo.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from strongroom.core import areas, mounting
from strongroom.core.engine import delete, read, write
from strongroom.core.mounts import mount_path
from strongroom.core.response import Response
from strongroom.core.tuning import EnableBody, TuneBody, shown_mount, shown_tuning
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest, NotFound
from strongroom.sys.routes import Routes, warned

MIGRATIONS_KEPT = 100
"""Moves whose status can be asked for: clients ask right after the move."""


class RemountBody(msgspec.Struct, frozen=True):
    """What moving takes; auth methods are written as `auth/<path>`."""

    source: Annotated[str, "where it is mounted"] = msgspec.field(name="from", default="")
    target: Annotated[str, "where it shall be mounted"] = msgspec.field(name="to", default="")


class Migration(msgspec.Struct, frozen=True):
    """A move that was made."""

    id: str
    source: str
    target: str


class Migrations(msgspec.Struct, frozen=True):
    """The latest moves, newest last."""

    moves: tuple[Migration, ...] = ()


class MountRoutes(Routes):
    """Secrets engines."""

    @read("mounts")
    def read_mounts(self) -> Response:
        """List the secrets engines with their settings."""
        version = self.core.settings.reported_version
        mounts = mounting.mounted(self.core, self.call, "secrets")
        return Response(data={path: shown_mount(mount, version) for path, mount in mounts.items()}, mirror=True)

    @read("mounts/{path...}/tune")
    def read_mount_tuning(self, path: str) -> Response:
        """Read the settings of a secrets engine, or of the auth method at auth/PATH, durations as they take effect."""
        mount = mounting.whole(self.core, self.call, path, mounting.NOT_SHOWN)
        return Response(data=shown_tuning(mount, self.core.mounts.ttls(mount)), mirror=True)

    @write("mounts/{path...}/tune", body=TuneBody)
    def tune_mount(self, path: str, body: TuneBody) -> Response | None:
        """Change settings of a secrets engine, or of the auth method at auth/PATH."""
        mount = mounting.whole(self.core, self.call, path, mounting.NOT_TUNED)
        return warned(mounting.tune(self.core, self.call, mount, body))

    @read("mounts/{path...}")
    def read_mount(self, path: str) -> Response:
        """Read the settings of one secrets engine, or of the auth method at auth/PATH."""
        return Response(data=shown_mount(mounting.whole(self.core, self.call, path), self.core.settings.reported_version), mirror=True)

    @write("mounts/{path...}", body=EnableBody)
    def enable_mount(self, path: str, body: EnableBody) -> Response | None:
        """Mount a secrets engine."""
        return warned(mounting.enable(self.core, self.call, "secrets", path, body))

    @delete("mounts/{path...}")
    def disable_mount(self, path: str) -> None:
        """Unmount a secrets engine: its secrets are gone, its leases end."""
        mounting.remove(self.core, self.call, "secrets", path)

    @write("remount", body=RemountBody, sudo=True)
    def remount(self, body: RemountBody) -> Response:
        """Move a secrets engine or auth method; what it issued below the old path ends."""
        source, target = (text.strip("/") + "/" for text in (body.source, body.target))
        family = mounting.check_move(source, target)
        mount = self.core.mounts.table(self.call.transaction).by_path.get(source)
        if mount is None:
            raise InvalidRequest(f'no matching mount at "{source}"')
        free = mounting.prefix(family) + mount_path(target.removeprefix(mounting.prefix(family)))
        taken = self.core.mounts.table(self.call.transaction).conflict(free)
        if taken:
            raise InvalidRequest(f'path already in use at "{taken}"')
        self.core.mounts.store(self.call.transaction, msgspec.structs.replace(mount, path=free))
        self.core.tombstones.add(self.call.transaction, source.rstrip("/"))
        migration = Migration(uuid4_text(), source, free)
        settings = self.call.transaction.view(areas.SETTINGS)
        kept = self._migrations().moves[1 - MIGRATIONS_KEPT :]
        settings.put("remounts", Migrations((*kept, migration)))
        return Response(data={"migration_id": migration.id}, mirror=True)

    @read("remount/status/{migration_id}")
    def remount_status(self, migration: str) -> Response:
        """Say how a move went."""
        found = [move for move in self._migrations().moves if move.id == migration]
        if not found:
            raise NotFound
        info: dict[str, Any] = {"source_mount": found[0].source, "target_mount": found[0].target, "status": "success"}
        return Response(data={"migration_id": migration, "migration_info": info})

    def _migrations(self) -> Migrations:
        return self.call.transaction.view(areas.SETTINGS).settings("remounts", Migrations) or Migrations()
