"""sys/plugins: which kinds of engines there are. All are part of the program: none can be registered, and none runs as its own process.

Rules of this file: the catalog is the list of files (core/registry.py); reloading has nothing to do and says so by succeeding.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from strongroom.core.engine import list_, read, write
from strongroom.core.fields import Names
from strongroom.core.registry import kinds
from strongroom.core.request import Response
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest, NotFound
from strongroom.sys.routes import Routes

TYPES = ("auth", "database", "secret")


class ReloadBody(msgspec.Struct, frozen=True):
    """What to reload."""

    plugin: Annotated[str, "kind of engine"] = ""
    mounts: Annotated[Names, "or the paths of some mounts"] = Names()
    scope: Annotated[str, "global: on every node; answers 202 with an id"] = ""


class PluginRoutes(Routes):
    """The catalog of engines."""

    @read("plugins/catalog")
    def read_catalog(self) -> Response:
        """List the kinds of engines."""
        names: dict[str, Any] = {kind: _kinds(kind) for kind in TYPES}
        detailed = [self._described(kind, name) for kind in TYPES for name in names[kind]]
        return Response(data={**names, "detailed": detailed})

    @list_("plugins/catalog/{kind}/", sudo=True)
    def list_kinds(self, kind: str) -> Response:
        """List the kinds of engines of one type."""
        return Response(data={"keys": _kinds(kind)})

    @read("plugins/catalog/{kind}/{name}", sudo=True)
    def read_kind(self, kind: str, name: str) -> Response:
        """Describe one kind of engine."""
        if name not in _kinds(kind):
            raise NotFound
        described = self._described(kind, name)
        return Response(data={**described, "args": [], "command": "", "sha256": ""})

    def _described(self, kind: str, name: str) -> dict[str, Any]:
        return {
            "type": kind,
            "name": name,
            "version": f"v{self.core.settings.reported_version}+builtin.strongroom",
            "builtin": True,
            "deprecation_status": "supported",
        }

    @write("plugins/reload/backend", body=ReloadBody, writes=False)
    def reload_plugins(self, body: ReloadBody) -> Response:
        """Reload engines: they are part of the program, so there is nothing to do."""
        if bool(body.plugin) == bool(body.mounts):
            raise InvalidRequest("plugin or mounts must be provided, and not both")
        if body.scope not in ("", "global"):
            raise InvalidRequest("scope is blank or global")
        return Response(data={"reload_id": uuid4_text()}, status=202) if body.scope else Response()


def _kinds(kind: str) -> list[str]:
    if kind not in TYPES:
        raise InvalidRequest(f"{kind!r} is not a type of plugin; there are {', '.join(TYPES)}")
    if kind == "database":
        return []
    return [name for name in kinds("auth" if kind == "auth" else "secrets") if name != "cubbyhole"]
