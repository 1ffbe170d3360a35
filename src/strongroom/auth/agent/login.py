"""What an agent does itself: ask for a challenge, log in, change its key.

Rules of this file:
- A challenge is given to everybody for every name, and stores nothing.
- A key is changed by a proof with the old one and a proof with the new one, over the same challenge. The agent stays who it is; its tokens
  live on unless it says that the old key may be known to others.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from strongroom.auth.agent.agents import Administration
from strongroom.auth.agent.challenges import CHALLENGE_SECONDS, message, new_challenge
from strongroom.auth.agent.enrolment import Enrolments
from strongroom.auth.agent.keys import exact, public_key
from strongroom.auth.agent.model import Agent, Role, agent_name, shown_agent
from strongroom.auth.agent.proofs import refuse
from strongroom.core.engine import login, write
from strongroom.core.logins import end_logins
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import granted, is_here, renewed
from strongroom.crypto.errors import UnusableKey
from strongroom.errors import InvalidRequest


class ChallengeBody(msgspec.Struct, frozen=True):
    """Who wants to prove who he is."""

    name: Annotated[str, "The agent's name."] = ""


class LoginBody(msgspec.Struct, frozen=True):
    """An answer to a challenge."""

    name: Annotated[str, "The agent's name."] = ""
    challenge: Annotated[str, "A challenge for that name, not older than a minute and not answered before."] = ""
    signature: Annotated[str, "By the agent's key, in base64, over the message for login."] = ""


class RotateBody(msgspec.Struct, frozen=True):
    """A new key, with proof by the old one and by the new one."""

    challenge: Annotated[str, "A challenge for the agent's name."] = ""
    signature: Annotated[str, "By the present key, in base64, over the message for rotation."] = ""
    key_type: Annotated[str, "ed25519 or ml-dsa-65."] = "ed25519"
    public_key: Annotated[str, "The new raw public key in base64."] = ""
    new_signature: Annotated[str, "By the new key, in base64, over the same message."] = ""
    revoke_tokens: Annotated[bool, "End the tokens that the present key led to."] = False


class Agents(Enrolments, Administration, kind="agent", family="auth"):
    """Log in with a key of one's own, as deployed agents do."""

    @write("challenge", body=ChallengeBody, public=True, writes=False)
    def challenge(self, body: ChallengeBody) -> Response:
        """Give a challenge, whether or not there is such an agent."""
        text = new_challenge(self.challenge_mac, self.mount.uuid, agent_name(body.name), self.call.transaction.now)
        return Response(data={"challenge": text, "mount_accessor": self.mount.accessor, "expires_in": CHALLENGE_SECONDS})

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        name, agent, role = self.proved(body.name, body.challenge, body.signature, "login")
        self._check_address(role)
        return Response(grant=self._granted(name, agent, role))

    def _check_address(self, role: Role) -> None:
        if not is_here(role.token, self.call.request.peer):
            refuse("the role's networks do not have this address")

    def _granted(self, name: str, agent: Agent, role: Role) -> Grant:
        alias = Alias(agent.id, {**agent.metadata, "agent": name, "role": agent.role})
        internal = {"agent": name, "id": agent.id}
        return granted(role.token, self.call, alias, name, internal, rests_on=(f"agent/{name}", f"role/{agent.role}"))

    def renew_login(self, grant: Grant) -> Grant:
        """The agent must still be the one that logged in, and its role have the same policies."""
        agent = self.agent(grant.internal.get("agent", ""))
        role = self.role_of(agent.role, agent.role_key) if agent is not None else None
        if agent is None or role is None or agent.revoked or agent.id != grant.internal.get("id"):
            raise InvalidRequest("the agent does not exist any more, not renewing")
        return renewed(role.token, grant)

    @write("agents/{name}/rotate", body=RotateBody, public=True)
    def rotate(self, name: str, body: RotateBody) -> Response:
        """Change an agent's key, by proof of the present one and of the new one."""
        key = self._new_key(body)
        fields = (body.key_type.encode(), key)
        name, agent, role = self.proved(name, body.challenge, body.signature, "rotate", *fields)
        self._check_address(role)
        signed = message("rotate", self.mount.accessor, name, body.challenge, *fields)
        if not self.holds(body.key_type, key, exact(body.new_signature), signed):
            refuse("the second signature is not by the new key")
        if body.key_type not in role.key_types:
            raise InvalidRequest(f"key_type must be one that the role takes: {', '.join(role.key_types)}")
        if self.owner(key) is not None:
            raise InvalidRequest("an agent has this public key; make a new key pair")
        after = msgspec.structs.replace(agent, kind=body.key_type, key=key, rotated=self.call.transaction.now)
        self.keep_agent(name, after, agent)
        if body.revoke_tokens:
            end_logins(self.call.transaction, self.mount, f"agent/{name}")
        return Response(data=shown_agent(name, after, self.uses(name)))

    def _new_key(self, body: RotateBody) -> bytes:
        try:
            return public_key(body.key_type, body.public_key)
        except UnusableKey as error:
            raise InvalidRequest(str(error)) from None
