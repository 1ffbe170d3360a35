"""The engine at `identity/`: who has logged in, and by which names.

Rules of this file:
- It reads. Entities and aliases are made by logins (core/identity.py); what changes them comes with groups.
- Members are Vault's, those of groups and merges too, which are empty.
- Names count without case, as logins made them; an alias whose method says that case counts is found as it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from strongroom.clock import rfc3339
from strongroom.core.core import SystemEngine
from strongroom.core.engine import ListBody, keys_response, list_, read, write
from strongroom.core.identity import AliasEntry, Entity
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest, NotFound

MAX_DETAILED: Final = 1_000
"""Longest listing that says more than names: each entry costs a look-up or two, on the loop."""


_SUMMARY: Final = frozenset(("canonical_id", "name", "mount_accessor", "mount_path", "mount_type", "metadata", "custom_metadata", "local"))
"""What a listing says of an alias."""


class LookupBody(msgspec.Struct, frozen=True):
    """By what to find an entity: one of these, or the last two together."""

    id: Annotated[str, "Its id."] = ""
    name: Annotated[str, "Its name."] = ""
    alias_id: Annotated[str, "The id of one of its aliases."] = ""
    alias_name: Annotated[str, "The name of one of its aliases."] = ""
    alias_mount_accessor: Annotated[str, "The accessor of the auth method that knows it by that name."] = ""


class IdentityEngine(SystemEngine, kind="identity", family="system"):
    """Who has logged in: entities, and the names by which auth methods know them."""

    folds = frozenset({"name"})

    # -- entities ---------------------------------------------------------------------------------------------------

    @list_("entity/id/", body=ListBody)
    def list_entities(self, body: ListBody) -> Response:
        """List the ids of all entities."""
        found = self.core.identities.entity_ids(self.call.transaction, body.after, body.limit)
        return _detailed(found, lambda entity_id: self._summary(self._entity(entity_id)))

    @read("entity/id/{id}")
    def read_entity(self, id: str) -> Response:  # noqa: A002 — the name in the path
        """Show an entity and its aliases."""
        return self._shown(self._entity(id))

    @list_("entity/name/", body=ListBody)
    def list_entities_by_name(self, body: ListBody) -> Response:
        """List the names of all entities."""
        found = self.core.identities.entity_names(self.call.transaction, body.after, body.limit)
        return keys_response(found)

    @read("entity/name/{name}")
    def read_entity_by_name(self, name: str) -> Response:
        """Show an entity and its aliases."""
        return self._shown(self._named(name))

    @write("lookup/entity", body=LookupBody, writes=False)
    def lookup_entity(self, body: LookupBody) -> Response | None:
        """Find an entity by its id, its name, or an alias; no content where there is none."""
        ways = ((body.id, self._entity), (body.name, self._named), (body.alias_id, self._by_alias_id))
        asked = [(value, find) for value, find in ways if value]
        by_alias = bool(body.alias_name or body.alias_mount_accessor)
        if not asked and not by_alias:
            raise InvalidRequest("query parameter not supplied")
        if len(asked) + by_alias > 1:
            raise InvalidRequest("query parameter conflict; please supply distinct set of query parameters")
        if by_alias and not (body.alias_name and body.alias_mount_accessor):
            raise InvalidRequest("both 'alias_name' and 'alias_mount_accessor' needs to be set")
        found = self._by_alias_name(body.alias_mount_accessor, body.alias_name) if by_alias else asked[0][1](asked[0][0])
        return self._shown(found) if found is not None else None

    # -- aliases ----------------------------------------------------------------------------------------------------

    @list_("entity-alias/id/", body=ListBody)
    def list_aliases(self, body: ListBody) -> Response:
        """List the ids of all aliases."""
        found = self.core.identities.alias_ids(self.call.transaction, body.after, body.limit)
        return _detailed(found, self._alias_summary)

    @read("entity-alias/id/{id}")
    def read_alias(self, id: str) -> Response:  # noqa: A002 — the name in the path
        """Show an alias."""
        alias = self.core.identities.alias_by_id(self.call.transaction, id)
        if alias is None:
            raise NotFound
        return Response(data={**self._alias(alias), "namespace_id": "root"})

    # -- finding ----------------------------------------------------------------------------------------------------

    def _entity(self, entity_id: str) -> Entity | None:
        return self.core.identities.entity(self.call.transaction, entity_id)

    def _named(self, name: str) -> Entity | None:
        return self.core.identities.named(self.call.transaction, name.lower())

    def _by_alias_id(self, alias_id: str) -> Entity | None:
        alias = self.core.identities.alias_by_id(self.call.transaction, alias_id)
        return self._entity(alias.entity_id) if alias is not None else None

    def _by_alias_name(self, accessor: str, name: str) -> Entity | None:
        find = self.core.identities.alias
        alias = find(self.call.transaction, accessor, name) or find(self.call.transaction, accessor, name.lower())
        return self._entity(alias.entity_id) if alias is not None else None

    def _aliases(self, entity: Entity) -> list[AliasEntry]:
        found = (self.core.identities.alias(self.call.transaction, accessor, name) for accessor, name in entity.aliases)
        return [alias for alias in found if alias is not None]

    # -- showing ----------------------------------------------------------------------------------------------------

    def _shown(self, entity: Entity | None) -> Response:
        if entity is None:
            raise NotFound
        members = {
            "id": entity.id,
            "name": entity.name,
            "metadata": entity.metadata or None,
            "policies": entity.policies,
            "disabled": entity.disabled,
            "aliases": [self._alias(alias) for alias in self._aliases(entity)],
            "group_ids": [],
            "direct_group_ids": [],
            "inherited_group_ids": [],
            "merged_entity_ids": None,
            "namespace_id": "root",
            "creation_time": rfc3339(entity.created),
            "last_update_time": rfc3339(entity.updated),
        }
        return Response(data=members)

    def _alias(self, alias: AliasEntry) -> dict[str, Any]:
        return {
            "id": alias.id,
            "canonical_id": alias.entity_id,
            "name": alias.name,
            **self._mount(alias),
            "metadata": alias.metadata or None,
            "custom_metadata": alias.custom_metadata or None,
            "merged_from_canonical_ids": None,
            "local": False,
            "creation_time": rfc3339(alias.created),
            "last_update_time": rfc3339(alias.updated),
        }

    def _mount(self, alias: AliasEntry) -> dict[str, str]:
        """The auth method of an alias, at its path of now; as it was where it is gone."""
        mount = self.core.mounts.table(self.call.transaction).by_accessor.get(alias.mount_accessor)
        path, kind = (mount.path, mount.kind) if mount is not None else (alias.mount_path, alias.mount_kind)
        return {"mount_accessor": alias.mount_accessor, "mount_path": path, "mount_type": kind}

    def _summary(self, entity: Entity | None) -> dict[str, Any]:
        if entity is None:
            return {}
        aliases = [{"id": alias.id, "name": alias.name, **self._mount(alias)} for alias in self._aliases(entity)]
        return {"name": entity.name, "aliases": aliases}

    def _alias_summary(self, alias_id: str) -> dict[str, Any]:
        alias = self.core.identities.alias_by_id(self.call.transaction, alias_id)
        return {name: value for name, value in self._alias(alias).items() if name in _SUMMARY} if alias is not None else {}


def _detailed(names: list[str], summary: Callable[[str], dict[str, Any]]) -> Response:
    """A listing, with a few words about each entry where there are not too many. Raises NotFound for none."""
    return keys_response(names, {name: summary(name) for name in names} if len(names) <= MAX_DETAILED else None)
