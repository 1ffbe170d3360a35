"""The rows of an agent mount, the routes of roles, and what ends them.

    role/<name>                                Role
    agent/<name>                               Agent
    uses/<agent's name>                        Uses
    member/<role's key>/<agent's name>         Mark
    token/<role's key>/<enrolment token's id>  Place of the enrolment token
    digest  e | keyed hash of the enrolment token 32   Enrolment
    digest  k | keyed hash of the public key 32        Owner

Rules of this file:
- A role's agents and enrolment tokens count while the role has the key that they were made under: a role that is deleted takes them
  with it at once, and a job clears them away.
- A public key belongs to one agent: a copied disk image does not enrol twice.
"""

from __future__ import annotations

import secrets

import msgspec

from strongroom.auth.agent.model import Agent, Enrolment, Role, Uses, changed_role
from strongroom.barrier.view import decoder
from strongroom.core.engine import Engine, delete
from strongroom.core.entries import Entries
from strongroom.core.logins import end_logins
from strongroom.core.names import role_name
from strongroom.errors import NotFound

LABEL = b"agent enrolment"
"""Names the key of the hashes."""

PAGE = 100
"""Agents or enrolment tokens that one step of a longer removal takes: a few rows each, of the 1,000 that a call may stage."""


class Mark(msgspec.Struct, frozen=True):
    """A row whose key says everything."""


class Owner(msgspec.Struct, frozen=True):
    """Which agent has a public key."""

    name: str


class Place(msgspec.Struct, frozen=True):
    """The digest key of an enrolment token; what a timer and a listing know of it."""

    row: bytes


class Below(msgspec.Struct, frozen=True):
    """Agents and enrolment tokens of a role that is gone."""

    key: bytes


class Store(Engine):
    """Finds, stores and removes roles, enrolment tokens and agents."""

    # -- roles --------------------------------------------------------------------------------------------------

    roles = Entries(
        Role,
        changed=lambda before, body: changed_role(before or Role(key=secrets.token_bytes(16)), body),
        missing='role "{}" does not exist',
        ends="role",
        deletes=False,
        says={"list": "List the roles."},
    )

    @delete("role/{name}")
    def delete_role(self, name: str) -> None:
        """Delete a role with its agents, their tokens and its enrolment tokens."""
        name = role_name(name)
        role = self.roles.get(name)
        if role is not None:
            self.roles.remove(name)
            self.store.at(self.call.transaction.now, "drain", Below(role.key))

    def role_of(self, name: str, key: bytes) -> Role | None:
        """The role that something was made under, while it stands."""
        role = self.roles.get(name)
        return role if role is not None and role.key == key else None

    def members(self, role: Role) -> list[str]:
        """The names of a role's agents."""
        return self.store.list(f"member/{role.key.hex()}")

    # -- enrolment tokens ---------------------------------------------------------------------------------------

    def place(self, token: str) -> bytes:
        """Where an enrolment token lies."""
        return b"e" + self._hash(b"token " + token.encode())

    def enrolment(self, place: bytes) -> Enrolment | None:
        """An enrolment token that is neither used nor over, nor of a role that is gone."""
        found = self.store.settings(place, Enrolment)
        if found is None or found.expires <= self.call.transaction.now or self.role_of(found.role, found.role_key) is None:
            return None
        return found

    def add_enrolment(self, place: bytes, made: Enrolment) -> None:
        """Store a new enrolment token with its timer."""
        self.store.put(place, made)
        self.store.put(self._listed(made), Place(place))
        self.store.at(made.expires, "expire", Place(place))

    def drop_enrolment(self, place: bytes, found: Enrolment) -> None:
        """Remove an enrolment token: it was used, is over, or is taken back."""
        self.store.delete(place)
        self.store.delete(self._listed(found))

    def enrolment_by_id(self, role: Role, token_id: str) -> tuple[bytes, Enrolment]:
        """A role's enrolment token by its id. Raises NotFound."""
        at = self.store.settings(f"token/{role.key.hex()}/{token_id}", Place)
        found = self.enrolment(at.row) if at is not None else None
        if at is None or found is None:
            raise NotFound
        return at.row, found

    @staticmethod
    def _listed(found: Enrolment) -> str:
        return f"token/{found.role_key.hex()}/{found.id}"

    # -- agents -------------------------------------------------------------------------------------------------

    def agent(self, name: str) -> Agent | None:
        """An agent by its canonical name."""
        return self.store.settings(f"agent/{name}", Agent)

    def shown_agent(self, name: str) -> Agent:
        """An agent that is to be read. Raises NotFound."""
        agent = self.agent(role_name(name))
        if agent is None:
            raise NotFound
        return agent

    def uses(self, name: str) -> Uses | None:
        """When an agent last proved who it is."""
        return self.store.settings(f"uses/{name}", Uses)

    def owner(self, key: bytes) -> Owner | None:
        """The agent that has a public key."""
        return self.store.settings(self._key_row(key), Owner)

    def keep_agent(self, name: str, agent: Agent, before: Agent | None) -> None:
        """Store an agent, and the way to it from its key."""
        if before is None:
            self.store.put(f"member/{agent.role_key.hex()}/{name}", Mark())
        elif before.key != agent.key:
            self.store.delete(self._key_row(before.key))
        self.store.put(self._key_row(agent.key), Owner(name))
        self.store.put(f"agent/{name}", agent)

    def remove_agent(self, name: str, agent: Agent) -> None:
        """Remove an agent; its tokens end."""
        self._forget_agent(name, agent)
        end_logins(self.call.transaction, self.mount, f"agent/{name}")

    def _forget_agent(self, name: str, agent: Agent) -> None:
        for row in (f"agent/{name}", f"uses/{name}", f"member/{agent.role_key.hex()}/{name}", self._key_row(agent.key)):
            self.store.delete(row)

    def _key_row(self, key: bytes) -> bytes:
        return b"k" + self._hash(b"key " + key)

    def _hash(self, text: bytes) -> bytes:
        return self.call.transaction.keys.mac(LABEL).digest(text)

    # -- timers -------------------------------------------------------------------------------------------------

    def due(self, job: str, payload: bytes) -> None:
        """`expire` ends an enrolment token, `drain` clears away what a role left."""
        if job == "expire":
            place = decoder(Place).decode(payload).row
            found = self.store.settings(place, Enrolment)
            if found is not None and found.expires <= self.call.transaction.now:
                self.drop_enrolment(place, found)
            return
        below = decoder(Below).decode(payload)
        if self._drain(below.key.hex()):
            self.store.at(self.call.transaction.now, job, below)

    def _drain(self, key: str) -> bool:
        """Remove the next agents and enrolment tokens of a role; True when there may be more."""
        names = self.store.list(f"member/{key}", limit=PAGE)
        for name in names:
            agent = self.agent(name)
            if agent is not None and agent.role_key.hex() == key:
                self._forget_agent(name, agent)  # its tokens ended with the role
            self.store.delete(f"member/{key}/{name}")
        ids = self.store.list(f"token/{key}", limit=PAGE)
        for token_id in ids:
            at = self.store.settings(f"token/{key}/{token_id}", Place)
            if at is not None:
                self.store.delete(at.row)
            self.store.delete(f"token/{key}/{token_id}")
        return bool(names or ids)
