"""Entities: one person or machine, however it logs in.

Rules of this file:
- The first login of an alias makes its entity; (mount accessor, alias name) leads to exactly one.
- Alias names arrive canonical: the auth method made them so before lockout, look-up and audit.
- An entity's policies and metadata are read at request time, so a change works on living tokens.
- Rows: `entity/<id>` → Entity, `alias/<accessor>/<name>` → AliasEntry, `name/<entity name>` → NameEntry, `alias-id/<id>` → AliasPlace. In
  the second the "/" of a name is written %2F and its "%" %25: an alias is one segment, whatever an issuer calls somebody.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from strongroom.barrier.view import page_of
from strongroom.core import areas
from strongroom.core.committed import Committed
from strongroom.core.mount import Mount
from strongroom.core.policy.templates import AliasView, Identity
from strongroom.core.response import Alias
from strongroom.core.transaction import Transaction
from strongroom.crypto.ids import base62, uuid4_text
from strongroom.memo import remember

MAX_KNOWN = 50_000
"""Entities kept between requests."""


class AliasEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The name of an entity at one auth mount."""

    id: str
    name: str
    entity_id: str
    mount_accessor: str
    mount_path: str
    mount_kind: str
    metadata: dict[str, str] = {}
    custom_metadata: dict[str, str] = {}
    created: int = 0
    updated: int = 0


class Entity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody. `aliases` are (accessor, name) pairs."""

    id: str
    name: str
    policies: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    disabled: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    created: int = 0
    updated: int = 0


class NameEntry(msgspec.Struct, frozen=True):
    """Which entity has a name."""

    entity_id: str


class AliasPlace(msgspec.Struct, frozen=True):
    """Where an alias lies."""

    mount_accessor: str
    name: str


class Known(NamedTuple):
    """What the ACL needs of an entity."""

    policies: tuple[str, ...]
    disabled: bool
    view: Identity


class Identities:
    """Reads entities, and makes them at login."""

    def __init__(self, committed: Committed) -> None:
        self._known: dict[str, Known] = {}
        committed.cache.watch(areas.IDENTITY, lambda _key: self._known.clear())

    def entity(self, transaction: Transaction, entity_id: str) -> Entity | None:
        """An entity's row."""
        return transaction.view(areas.IDENTITY).settings(f"entity/{entity_id}", Entity)

    def count(self, transaction: Transaction) -> int:
        """How many entities there are."""
        return len(transaction.view(areas.IDENTITY).directory("entity"))

    def alias(self, transaction: Transaction, accessor: str, name: str) -> AliasEntry | None:
        """An alias's row."""
        return transaction.view(areas.IDENTITY).settings(_alias_row(accessor, name), AliasEntry)

    def alias_by_id(self, transaction: Transaction, alias_id: str) -> AliasEntry | None:
        """An alias's row, by its id."""
        place = transaction.view(areas.IDENTITY).settings(f"alias-id/{alias_id}", AliasPlace)
        return self.alias(transaction, place.mount_accessor, place.name) if place is not None else None

    def named(self, transaction: Transaction, name: str) -> Entity | None:
        """The entity that has a name."""
        found = transaction.view(areas.IDENTITY).settings(f"name/{name}", NameEntry)
        return self.entity(transaction, found.entity_id) if found is not None else None

    def entity_ids(self, transaction: Transaction, after: str, limit: int) -> list[str]:
        """Ids of entities, sorted."""
        return page_of(transaction.view(areas.IDENTITY).directory("entity").names, after, limit)

    def entity_names(self, transaction: Transaction, after: str, limit: int) -> list[str]:
        """Names of entities, sorted."""
        return page_of(transaction.view(areas.IDENTITY).directory("name").names, after, limit)

    def alias_ids(self, transaction: Transaction, after: str, limit: int) -> list[str]:
        """Ids of aliases, sorted."""
        return page_of(transaction.view(areas.IDENTITY).directory("alias-id").names, after, limit)

    def identity(self, transaction: Transaction, entity_id: str) -> Known | None:
        """Policies and template values of an entity; None where it is gone."""
        if transaction.touched(areas.IDENTITY):
            return self._load(transaction, entity_id)
        known = self._known.get(entity_id)
        if known is None:
            known = self._load(transaction, entity_id)
            if known is not None:
                remember(self._known, MAX_KNOWN, entity_id, known)
        return known

    def _load(self, transaction: Transaction, entity_id: str) -> Known | None:
        entity = self.entity(transaction, entity_id)
        if entity is None:
            return None
        aliases = (self.alias(transaction, accessor, name) for accessor, name in entity.aliases)
        views = {
            alias.mount_accessor: AliasView(alias.id, alias.name, alias.metadata, alias.custom_metadata)
            for alias in aliases
            if alias is not None
        }
        return Known(entity.policies, entity.disabled, Identity(entity.id, entity.name, entity.metadata, views))

    def login(self, transaction: Transaction, alias: Alias, mount: Mount) -> str:
        """The entity behind an alias that just logged in, made now if it is new; its alias metadata is refreshed."""
        view = transaction.view(areas.IDENTITY)
        found = self.alias(transaction, mount.accessor, alias.name)
        if found is not None:
            if found.metadata != alias.metadata:
                changed = msgspec.structs.replace(found, metadata=alias.metadata, updated=transaction.now)
                view.put(_alias_row(mount.accessor, alias.name), changed)
            return found.entity_id
        entity_id, alias_id = uuid4_text(), uuid4_text()
        name = f"entity_{base62(8).lower()}"
        now = transaction.now
        view.put(
            _alias_row(mount.accessor, alias.name),
            AliasEntry(
                alias_id, alias.name, entity_id, mount.accessor, mount.path, mount.kind, alias.metadata, alias.custom_metadata, now, now
            ),
        )
        view.put(f"alias-id/{alias_id}", AliasPlace(mount.accessor, alias.name))
        view.put(f"entity/{entity_id}", Entity(entity_id, name, aliases=((mount.accessor, alias.name),), created=now, updated=now))
        view.put(f"name/{name}", NameEntry(entity_id))
        return entity_id


def _alias_row(accessor: str, name: str) -> str:
    return f"alias/{accessor}/{name.replace('%', '%25').replace('/', '%2F')}"
