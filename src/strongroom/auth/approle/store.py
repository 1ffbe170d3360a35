"""The rows of an approle mount, and what ends them.

    role/<name>                        Role
    accessor/<role's key>/<accessor>   Place of the secret id
    digest  i | keyed hash of the role id in lower case 32                  RoleName
    digest  s | role's key 16 | keyed hash of role's key and secret id 32   SecretId

Rules of this file:
- A secret id and its accessor come and go in one commit; one that is over counts as gone before its timer has run.
- What a stranger sends is looked up by hash: names cost more, and are remembered.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from strongroom.auth.approle.model import Role, SecretId, canonical_role_id, told_role
from strongroom.barrier.view import decoder, page_of
from strongroom.core.engine import Engine
from strongroom.core.entries import Entries
from strongroom.core.lockout import unlock
from strongroom.errors import InvalidRequest, NotFound

LABEL = b"approle secret ids"
"""Names the key of the hashes."""

ACCESSOR_LENGTH = 36
"""A UUID's."""

PAGE = 300
"""Secret ids that one step of a longer removal takes: two rows each, of the 1,000 that a call may stage."""


class RoleName(msgspec.Struct, frozen=True):
    """Which role has a role id."""

    name: str


class Place(msgspec.Struct, frozen=True):
    """The digest key of a secret id; what a timer and an accessor know of it."""

    row: bytes


class Below(msgspec.Struct, frozen=True):
    """Secret ids whose digest keys begin with `prefix`, from `after` on."""

    prefix: bytes
    after: bytes = b""


class Store(Engine):
    """Finds, stores and removes roles and secret ids."""

    # -- roles --------------------------------------------------------------------------------------------------

    roles = Entries(Role, pattern="role/{role_name}", told=told_role, missing='role "{}" does not exist', ends="role", deletes=False)

    def role(self, text: str) -> Role:
        """A role that something is to be done with. Raises NotFound."""
        name = self.roles.canonical(text)
        role = self.roles.get(name)
        if role is None:
            raise NotFound(f'role "{name}" does not exist')
        return role

    def by_role_id(self, role_id: str) -> tuple[str, Role] | None:
        """The name and the role behind a canonical role id."""
        found = self.store.settings(self._id(role_id), RoleName)
        role = self.roles.get(found.name) if found is not None else None
        return (found.name, role) if found is not None and role is not None else None

    def keep(self, name: str, role: Role, before: Role | None) -> None:
        """Store a role and the way to it from its role id. Raises InvalidRequest where another role has that id."""
        role_id = canonical_role_id(role.role_id)
        if before is None or before.role_id != role.role_id:
            found = self.store.settings(self._id(role_id), RoleName)
            if found is not None and found.name != name:
                raise InvalidRequest("role_id already in use")
            if before is not None:
                self._forget_id(before)
            self.store.put(self._id(role_id), RoleName(name))
        self.roles.put(name, role)

    def remove(self, name: str, role: Role) -> None:
        """Remove a role; its secret ids lead nowhere from now on, nor do tokens of its logins, and jobs clear them away."""
        self.roles.remove(name)
        self._forget_id(role)
        self.store.at(self.call.transaction.now, "drain", Below(b"s" + role.key))

    def _id(self, role_id: str) -> bytes:
        return b"i" + self.call.transaction.keys.mac(LABEL).digest(b"role id " + role_id.encode())

    def _forget_id(self, role: Role) -> None:
        role_id = canonical_role_id(role.role_id)
        self.store.delete(self._id(role_id))
        unlock(self.call.transaction, self.mount, role_id)

    # -- secret ids ---------------------------------------------------------------------------------------------

    def place(self, role: Role, text: str) -> bytes:
        """Where a secret id of a role lies."""
        return b"s" + role.key + self.call.transaction.keys.mac(LABEL).digest(role.key + text.encode())

    def secret_id(self, place: bytes) -> SecretId | None:
        """A secret id that is not over."""
        found = self.store.settings(place, SecretId)
        return None if found is None or 0 < found.expires <= self.call.transaction.now else found

    def by_accessor(self, role: Role, accessor: str) -> tuple[bytes, SecretId]:
        """A role's secret id by its accessor. Raises NotFound, for those of other roles too."""
        if not accessor:
            raise InvalidRequest("missing secret_id_accessor")
        if len(accessor) != ACCESSOR_LENGTH or "/" in accessor:
            no_accessor()
        place = self.store.settings(self._accessor(role.key, accessor), Place)
        found = self.secret_id(place.row) if place is not None else None
        if place is None or found is None:
            no_accessor()
        return place.row, found

    def add(self, role: Role, place: bytes, made: SecretId) -> None:
        """Store a new secret id with its accessor and its timer. Raises InvalidRequest where the role has one like it."""
        there = self.store.settings(place, SecretId)
        if there is not None:
            if self.secret_id(place) is not None:
                raise InvalidRequest("failed to store secret_id: SecretID is already registered")
            self.drop(place, there)
        self.store.put(place, made)
        self.store.put(self._accessor(role.key, made.accessor), Place(place))
        if made.expires:
            self.store.at(made.expires, "expire", Place(place))

    def use(self, place: bytes, found: SecretId) -> None:
        """Count a login, also one that fails after this; the last one ends the secret id."""
        if not found.num_uses:
            return
        if found.num_uses == 1:
            self.drop(place, found, charge=True)
            return
        left = msgspec.structs.replace(found, num_uses=found.num_uses - 1, updated=self.call.transaction.now)
        self.store.charge().put(place, left)

    def drop(self, place: bytes, found: SecretId, *, charge: bool = False) -> None:
        """Remove a secret id and its accessor."""
        store = self.store.charge() if charge else self.store
        store.delete(place)
        store.delete(self._accessor(place[1:17], found.accessor))

    def accessors(self, role: Role, after: str, limit: int) -> list[str]:
        """The accessors of a role's secret ids, sorted."""
        return page_of(self.store.directory(f"accessor/{role.key.hex()}").names, after, limit)

    @staticmethod
    def _accessor(key: bytes, accessor: str) -> str:
        return f"accessor/{key.hex()}/{accessor}"

    # -- timers -------------------------------------------------------------------------------------------------

    def due(self, job: str, payload: bytes) -> None:
        """`expire` ends a secret id, `tidy` all that are over, `drain` all of a role that is gone."""
        if job == "expire":
            place = decoder(Place).decode(payload).row
            found = self.store.settings(place, SecretId)
            if found is not None and self.secret_id(place) is None:
                self.drop(place, found)
            return
        below = decoder(Below).decode(payload)
        after = self._clear(below, everything=job == "drain")
        if after:
            self.store.at(self.call.transaction.now, job, Below(below.prefix, after))

    def _clear(self, below: Below, *, everything: bool) -> bytes:
        """Remove secret ids of the next page; where to go on, b"" at the end."""
        start, stop = self.store.row(below.after or below.prefix), self.store.row(below.prefix + b"\xff" * 80)
        rows = self.call.transaction.scan(start, stop, PAGE)
        head = len(self.store.row(b""))
        for key, plaintext in rows:
            found = decoder(SecretId).decode(plaintext)
            if everything or 0 < found.expires <= self.call.transaction.now:
                self.drop(key[head:], found)
        return rows[-1][0][head:] + b"\0" if len(rows) == PAGE else b""


def no_accessor() -> NoReturn:
    """What is said of an accessor that leads nowhere; Terraform looks for the words. What was sent may be a secret id, put into the wrong
    field: it is not repeated, and errors stand in the audit log in clear."""
    raise NotFound("failed to find accessor entry for secret_id_accessor")
