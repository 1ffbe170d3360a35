"""Enrolment: an administrator makes a token, an agent turns it into a place for its own public key.

Rules of this file:
- The token is shown once, stored as a keyed hash, good for one agent and over soon. It is used up by the commit that stores the agent:
  of any number of enrolments at one moment one succeeds, and one that fails costs the holder nothing.
- The agent proves that it holds the key that it enrols. Everything about the token that can be wrong is refused in the same words; what
  is wrong with a key or a name is told to whoever holds a good token.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET

from strongroom.auth.agent.challenges import message, token_id
from strongroom.auth.agent.keys import exact, public_key
from strongroom.auth.agent.model import (
    Agent,
    Enrolment,
    EnrolTokenBody,
    Role,
    agent_name,
    checked_metadata,
    checked_ttl,
    shown_agent,
    shown_enrolment,
)
from strongroom.auth.agent.proofs import Proofs
from strongroom.clock import SECOND, rfc3339
from strongroom.core.engine import ListBody, delete, keys_response, list_, paged, read, write
from strongroom.core.names import role_name
from strongroom.core.response import Response
from strongroom.core.token.terms import bound_cidrs, lets_in
from strongroom.crypto.errors import UnusableKey
from strongroom.crypto.ids import enrolment_token, uuid4_text
from strongroom.errors import InvalidRequest

INVALID: Final = "invalid enrolment token or proof"


class EnrolBody(msgspec.Struct, frozen=True):
    """What an agent enrols with."""

    enrol_token: Annotated[str, "The enrolment token."] = ""
    name: Annotated[str, "The name the agent will have."] = ""
    key_type: Annotated[str, "ed25519 or ml-dsa-65."] = "ed25519"
    public_key: Annotated[str, "The raw public key in base64."] = ""
    challenge: Annotated[str, "A challenge for that name."] = ""
    signature: Annotated[str, "By that key, in base64, over the message for enrolment."] = ""


class Enrolments(Proofs):
    """Enrolment tokens and their use."""

    @write("role/{name}/enrol-token", body=EnrolTokenBody)
    def create_enrol_token(self, name: str, body: EnrolTokenBody) -> Response:
        """Make a token with which one agent can enrol."""
        role = self.roles.known(role_name(name))
        now = self.call.transaction.now
        ttl = role.enrol_ttl if body.ttl is UNSET else checked_ttl("ttl", body.ttl)
        token = enrolment_token()
        made = Enrolment(
            id=token_id(token),
            role=role_name(name),
            role_key=role.key,
            created=now,
            expires=now + ttl * SECOND,
            agent=agent_name(body.agent) if body.agent else "",
            metadata=checked_metadata(body.metadata),
            cidrs=bound_cidrs(body.bound_cidrs),
        )
        self.add_enrolment(self.place(token), made)
        shown = {"enrol_token": token, "enrol_token_id": made.id, "ttl": ttl, "expiration_time": rfc3339(made.expires)}
        return Response(data=shown, accessor=made.id)

    @list_("role/{name}/enrol-token/", body=ListBody)
    def list_enrol_tokens(self, name: str, body: ListBody) -> Response:
        """List the ids of a role's enrolment tokens that are not used."""
        return keys_response(paged(self.store.list(f"token/{self.roles.known(role_name(name)).key.hex()}"), body))

    @read("role/{name}/enrol-token/{id}")
    def read_enrol_token(self, name: str, id: str) -> Response:  # noqa: A002  named as in the path
        """Show what an enrolment token is good for."""
        return Response(data=shown_enrolment(self.enrolment_by_id(self.roles.known(role_name(name)), id)[1]))

    @delete("role/{name}/enrol-token/{id}")
    def delete_enrol_token(self, name: str, id: str) -> None:  # noqa: A002  named as in the path
        """Take an enrolment token back."""
        self.drop_enrolment(*self.enrolment_by_id(self.roles.known(role_name(name)), id))

    @write("enrol", body=EnrolBody, public=True)
    def enrol(self, body: EnrolBody) -> Response:
        """Enrol an agent: its name and its public key, by proof that it has the private one."""
        place = self.place(body.enrol_token)
        found = self.enrolment(place)
        role = self.role_of(found.role, found.role_key) if found is not None else None
        if found is None or role is None:
            raise InvalidRequest(INVALID, reason="there is no such enrolment token; it may be used, over or taken back")
        name = agent_name(body.name)
        self._check_place(role, found)
        key = self._key(role, body)
        self._check_proof(name, key, body)
        self._check_free(name, key, role, found)
        agent = Agent(
            id=uuid4_text(),
            role=found.role,
            role_key=found.role_key,
            kind=body.key_type,
            key=key,
            enrolled=self.call.transaction.now,
            enrolment=found.id,
            metadata=found.metadata,
        )
        self.keep_agent(name, agent, None)
        self.drop_enrolment(place, found)
        return Response(data=shown_agent(name, agent, None) | {"mount_accessor": self.mount.accessor})

    def _check_place(self, role: Role, found: Enrolment) -> None:
        address = self.call.request.peer.address
        if not all(lets_in(networks, address) for networks in (role.enrol_bound_cidrs, found.cidrs)):
            raise InvalidRequest(INVALID, reason="the networks of the role or the enrolment token do not have this address")

    def _key(self, role: Role, body: EnrolBody) -> bytes:
        """The public key, of a kind that the role takes. Raises InvalidRequest."""
        if body.key_type not in role.key_types:
            raise InvalidRequest(f"key_type must be one that the role takes: {', '.join(role.key_types)}")
        try:
            return public_key(body.key_type, body.public_key)
        except UnusableKey as error:
            raise InvalidRequest(str(error)) from None

    def _check_proof(self, name: str, key: bytes, body: EnrolBody) -> None:
        self.opened(name, body.challenge)
        fields = (token_id(body.enrol_token).encode(), body.key_type.encode(), key)
        signed = message("enrol", self.mount.accessor, name, body.challenge, *fields)
        if not self.holds(body.key_type, key, exact(body.signature), signed):
            raise InvalidRequest(INVALID, reason="the signature is not by the key that was to be enrolled")

    def _check_free(self, name: str, key: bytes, role: Role, found: Enrolment) -> None:
        if found.agent not in ("", name):
            raise InvalidRequest("the enrolment token is for another agent's name")
        if self.agent(name) is not None:
            raise InvalidRequest("an agent of this name is enrolled; choose another name, or delete that one first")
        if self.owner(key) is not None:
            raise InvalidRequest("another agent has this public key; make a new key pair")
        if role.max_agents and len(self.members(role)) >= role.max_agents:
            raise InvalidRequest(f"the role has its {role.max_agents} agents; delete one, or raise max_agents")
