"""sys/internal: what clients ask before they ask: which mounts there are for them, what they may do, which routes exist.

Rules of this file:
- Nothing here tells a caller of a mount or route that its policies do not reach, save mounts set to be listed for everybody.
- Routes are public where clients call them without knowing whether they may; each then looks at the token itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec

from strongroom.core import mounting
from strongroom.core.engine import Engine, list_, read, write
from strongroom.core.envelope import encode
from strongroom.core.mount import Mount
from strongroom.core.openapi import document
from strongroom.core.registry import engine_class
from strongroom.core.response import Bare, Response
from strongroom.core.token.entry import Token
from strongroom.core.tuning import shown_mount
from strongroom.errors import Forbidden, InvalidRequest, InvalidToken, NotFound, PermissionDenied
from strongroom.memo import Budget
from strongroom.sys.routes import Routes

MOST_DOCUMENTS: Final = 256
_BUDGET: Final = Budget(16 << 20)
"""Documents kept, and their bytes: one takes a millisecond or more to make, and a stranger may ask for it as often as he likes."""


class DocumentBody(msgspec.Struct, frozen=True):
    """What may be said about the OpenAPI document."""

    generic_mount_paths: Annotated[bool, "show mount paths as parameters"] = False
    context: Annotated[str, "accepted for Vault's clients"] = ""


class InternalRoutes(Routes):
    """What clients ask before they ask."""

    # -- mounts ---------------------------------------------------------------------------------------------------

    @read("internal/ui/mounts", public=True)
    def visible_mounts(self) -> Response:
        """List the mounts that the caller can reach, and those listed for everybody; whose token is not known any more is told so."""
        if self.call.request.credential:
            self._token()
        return Response(data={"auth": self._visible("auth"), "secret": self._visible("secrets")})

    def _visible(self, family: str) -> dict[str, Any]:
        mounts = mounting.mounted(self.core, self.call, family)
        return {path: self._shown(mount) for path, mount in mounts.items() if self._is_visible(mount)}

    def _is_visible(self, mount: Mount) -> bool:
        token = self.call.token
        return mount.config.listing_visibility == "unauth" or (token is not None and token.acl.may_reach(mount.path))

    def _shown(self, mount: Mount) -> dict[str, Any]:
        if self.call.token is not None:
            return self._told(mount)
        return {"type": mount.kind, "description": mount.description, "options": mount.options}

    @read("internal/ui/mounts/{path...}", public=True)
    def preflight(self, path: str) -> Response:
        """Say which mount a path lies in. No mount there and no right to it look the same."""
        mount = self.core.mounts.table(self.call.transaction).match(path + "/")
        token = self._token()
        if mount is None or not token.acl.may_reach(mount.path):
            raise Forbidden(f'preflight capability check returned 403, please ensure client\'s policies grant access to path "{path}/"')
        return Response(data={**self._told(mount), "path": mount.path.removeprefix("auth/")})

    def _told(self, mount: Mount) -> dict[str, Any]:
        """A mount as sys/mounts shows it, but with the lifetimes in effect."""
        shown = shown_mount(mount, self.core.settings.reported_version)
        ttls = self.core.mounts.ttls(mount)
        return {**shown, "config": {**shown["config"], "default_lease_ttl": ttls.default, "max_lease_ttl": ttls.max}}

    @read("internal/ui/namespaces", public=True)
    def visible_namespaces(self) -> Response:
        """List the namespaces below this one; there is only the root namespace."""
        self._token()
        return Response(data={"keys": [""]})

    def _token(self) -> Token:
        """The caller's token, good for anything or not."""
        if self.call.token is None:
            raise InvalidToken if self.call.request.credential else PermissionDenied
        return self.call.token

    # -- rights and routes ----------------------------------------------------------------------------------------

    @read("internal/ui/resultant-acl")
    def resultant_acl(self) -> Response:
        """Show the rules that apply to the caller, merged over its policies."""
        return Response(data=self._token().acl.resultant())

    @read("internal/specs/openapi", body=DocumentBody, public=True)
    def read_openapi(self, body: DocumentBody) -> Response:
        """The OpenAPI document of the routes that the caller can reach."""
        acl = self.call.token.acl if self.call.token is not None else None
        asked, kept = (acl, body.generic_mount_paths), self.core.mounts.table(self.call.transaction).documents
        text = kept.get(asked)
        if text is None:
            text = encode(document(self._engines(), self.core.settings.reported_version, *asked))
            _BUDGET.remember(kept, MOST_DOCUMENTS, asked, text, weight=len(text))
        return Response(bare=Bare(text))

    @write("internal/specs/openapi", body=DocumentBody, public=True, writes=False)
    def post_openapi(self, body: DocumentBody) -> Response:
        """The OpenAPI document of the routes that the caller can reach."""
        return self.read_openapi(body)

    def _engines(self) -> Iterable[tuple[Mount, type[Engine]]]:
        """Every mount with its class; one whose extra is not installed has no routes to show."""
        for mount in self.core.mounts.table(self.call.transaction).by_path.values():
            with suppress(InvalidRequest):
                yield mount, engine_class(mount.family, mount.kind, mount.options.get("version", ""))

    # -- counters and tables --------------------------------------------------------------------------------------

    @read("internal/counters/entities")
    def count_entities(self) -> Response:
        """Count the entities."""
        return Response(data={"counters": {"entities": {"total": self.core.identities.count(self.call.transaction)}}})

    @read("internal/counters/tokens")
    def count_tokens(self) -> Response:
        """Count the service tokens that live."""
        living = self.core.tokens.living(self.call, lambda _digest, _entry: None)
        return Response(data={"counters": {"service_tokens": {"total": len(living)}}})

    @list_("internal/inspect/router/", sudo=True)
    def router_tags(self) -> Response:
        """List the tables of the router."""
        return Response(data={"keys": sorted(_TAGS)})

    @read("internal/inspect/router/{tag}", sudo=True)
    def inspect_router(self, tag: str) -> Response:
        """Show one table of the router."""
        if tag not in _TAGS:
            raise NotFound(f"there is no table {tag!r}; there are {', '.join(sorted(_TAGS))}")
        rows = [_router_row(mount) for mount in self.core.mounts.table(self.call.transaction).by_uuid.values()]
        return Response(data={tag: {str(row[_TAGS[tag]]): row for row in rows}})


_TAGS = {"root": "mount_path", "uuid": "uuid", "accessor": "accessor", "storage": "uuid"}


def _router_row(mount: Mount) -> dict[str, Any]:
    return {
        "mount_namespace": "",
        "mount_path": mount.path,
        "accessor": mount.accessor,
        "uuid": mount.uuid.hex(),
        "type": mount.kind,
        "tainted": mount.tainted,
    }
