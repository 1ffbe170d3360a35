"""Proof that somebody holds an agent's key: a signature that answers a challenge.

Rules of this file:
- Everything that can be wrong is refused in the same words, after the same work; `reason` tells the audit log which it was.
- The work depends on what was sent alone: the kind of key is that of the signature, and where no agent has such a key another one is
  checked, in vain.
- Only who holds the key makes rows: a challenge is marked as answered once the signature was right, in the agent's one row, and durably,
  whatever comes of the request (a charge).
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final, NoReturn

from strongroom.auth.agent.challenges import BadChallenge, Challenge, message, open_challenge
from strongroom.auth.agent.keys import KINDS, exact, kind_of, verify
from strongroom.auth.agent.model import Agent, Answered, Role, Uses, agent_name
from strongroom.auth.agent.store import Store
from strongroom.clock import SECOND
from strongroom.crypto.errors import InvalidSignature
from strongroom.crypto.mac import Mac
from strongroom.errors import InvalidRequest, TooManyRequests

INVALID: Final = "invalid agent, challenge or signature"
LABEL: Final = b"agent challenges"

KEPT_SECONDS: Final = 60
"""How long an answered challenge is remembered after its end: nodes' clocks differ, and it must be over for all of them."""
MAX_ANSWERED: Final = 64
"""Challenges that one agent may answer within the two minutes that they are remembered; an agent logs in when its token ends."""


class Proofs(Store):
    """Checks signatures of agents."""

    @property
    def challenge_mac(self) -> Mac:
        """What makes and opens challenges."""
        return self.call.transaction.keys.mac(LABEL)

    def proved(self, name: str, challenge: str, signature: str, purpose: str, *rest: bytes) -> tuple[str, Agent, Role]:
        """The agent that answered a challenge, under its canonical name, and its role. Raises InvalidRequest, TooManyRequests."""
        try:
            name = agent_name(name)
        except InvalidRequest:
            refuse("no agent can have this name")
        opened = self.opened(name, challenge)
        agent = self.agent(name)
        right = self._signed(agent, message(purpose, self.mount.accessor, name, challenge, *rest), exact(signature))
        if agent is None:
            refuse(f"{name}: there is no such agent")
        if not right:
            refuse(f"{name}: the signature is not by the agent's key")
        self._mark(name, opened)
        if agent.revoked:
            refuse(f"{name}: the agent was revoked")
        role = self.role_of(agent.role, agent.role_key)
        if role is None:
            refuse(f"{name}: the agent's role was deleted")
        return name, agent, role

    def opened(self, name: str, challenge: str) -> Challenge:
        """A challenge of this mount for this agent that is not over. Raises InvalidRequest."""
        try:
            return open_challenge(self.challenge_mac, self.mount.uuid, name, challenge, self.call.transaction.now)
        except BadChallenge as error:
            refuse(f"{name}: {error}")

    def _signed(self, agent: Agent | None, signed: bytes, signature: bytes) -> bool:
        kind = kind_of(signature)
        if not kind:
            refuse("the signature has no length that signatures have")
        is_its = agent is not None and agent.kind == kind
        key = agent.key if agent is not None and is_its else KINDS[kind].dummy()
        return self.holds(kind, key, signature, signed) and is_its

    def holds(self, kind: str, key: bytes, signature: bytes, signed: bytes) -> bool:
        """Whether a key made a signature; worked out on the pool."""
        if kind_of(signature) != kind:
            return False
        try:
            self.call.once("signature", kind, key, signature, signed, fn=lambda: verify(kind, key, signature, signed))
        except InvalidSignature:
            return False
        return True

    def _mark(self, name: str, challenge: Challenge) -> None:
        """Remember that a challenge was answered. Raises where it was before, or too many were."""
        now = self.call.transaction.now
        uses = self.uses(name)
        kept = tuple(one for one in uses.answered if one.until > now) if uses is not None else ()
        if any(compare_digest(one.nonce, challenge.nonce) for one in kept):
            refuse(f"{name}: the challenge was answered before")
        if len(kept) >= MAX_ANSWERED:
            raise TooManyRequests("this agent logs in too often; keep the token and renew it", KEPT_SECONDS)
        answered = (*kept, Answered(challenge.expires + KEPT_SECONDS * SECOND, challenge.nonce))
        self.store.charge().put(f"uses/{name}", Uses(now, self.call.request.peer.address, answered))


def refuse(reason: str) -> NoReturn:
    """What is said of every proof that fails."""
    raise InvalidRequest(INVALID, reason=reason)
