"""sys/plugins: which kinds of engines there are. All are part of the program: none can be registered, and none runs as its own process.

Rules of this file: the catalog is the list of files (core/registry.py); reloading has nothing to do and says so by succeeding.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from strongroom.core import mounting
from strongroom.core.engine import list_, read, write
from strongroom.core.fields import Names
from strongroom.core.registry import kinds
from strongroom.core.response import Response
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest, NotFound, several
from strongroom.sys.routes import Routes

TYPES = ("auth", "database", "secret")


class ReloadBody(msgspec.Struct, frozen=True):
    """What to reload."""

    plugin: Annotated[str, "kind of engine"] = ""
    mounts: Annotated[Names, "or the paths of some mounts"] = Names()
    scope: Annotated[str, "global: on every node; answers 202 with an id"] = ""


class ScopeBody(msgspec.Struct, frozen=True):
    """Where to reload."""

    scope: Annotated[str, "global: on every node; answers 202 with an id"] = ""


class PluginRoutes(Routes):
    """The catalog of engines."""

    @read("plugins/catalog")
    def read_catalog(self) -> Response:
        """List the kinds of engines."""
        names: dict[str, Any] = {kind: _kinds(kind) for kind in TYPES}
        detailed = [self._described(kind, name) for kind in TYPES for name in names[kind]]
        return Response(data={**names, "detailed": detailed})

    @list_("plugins/catalog/{type}/", sudo=True)
    def list_kinds(self, kind: str) -> Response:
        """List the kinds of engines of one type."""
        return Response(data={"keys": _kinds(kind)})

    @read("plugins/catalog/{type}/{name}", sudo=True)
    def read_kind(self, kind: str, name: str) -> Response:
        """Describe one kind of engine."""
        if name not in _kinds(kind):
            raise NotFound
        described = {member: value for member, value in self._described(kind, name).items() if member != "type"}
        return Response(data={**described, "args": None, "command": "", "sha256": ""})

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
        if body.plugin and body.mounts:
            raise InvalidRequest("plugin and mounts cannot be set at the same time")
        if not body.plugin and not body.mounts:
            raise InvalidRequest("plugin or mounts must be provided")
        if body.scope not in ("", "global"):
            raise InvalidRequest("reload scope must be omitted or 'global'")
        for path in body.mounts:
            mounting.whole(self.core, self.call, path, several('cannot fetch mount entry on "{}"'))
        return _reloaded(any(body.plugin in _kinds(kind) for kind in TYPES) or bool(body.mounts), body.scope)

    @write("plugins/reload/{type}/{name}", body=ScopeBody, writes=False)
    def reload_kind(self, kind: str, name: str, body: ScopeBody) -> Response:
        """Reload engines of one kind, or of the kind `unknown`: they are part of the program, so there is nothing to do."""
        if body.scope not in ("", "global"):
            raise InvalidRequest("reload scope must be omitted or 'global'")
        return _reloaded(any(name in _kinds(each) for each in (TYPES if kind == "unknown" else (kind,))), body.scope)

    @read("plugins/pins")
    def pinned_versions(self) -> Response:
        """List the versions that engines are held at: each has the program's, so none is."""
        return Response(data={"pinned_versions": []})

    @read("plugins/runtimes/catalog")
    def runtimes(self) -> Response:
        """List what runs engines beside the program: nothing does."""
        return Response(data={"runtimes": []})


def _reloaded(known: bool, scope: str) -> Response:
    warnings = () if known else ("no plugins were reloaded",)
    return Response(data={"reload_id": uuid4_text()}, warnings=warnings, status=202 if scope else 0)


def _kinds(kind: str) -> list[str]:
    if kind not in TYPES:
        raise InvalidRequest(f"{kind!r} is not a type of plugin; there are {', '.join(TYPES)}")
    if kind == "database":
        return []
    return [name for name in kinds("auth" if kind == "auth" else "secrets") if name != "cubbyhole"]
