"""An agent as a test drives it: keys and messages come from the client's own code, which shares nothing with the server's."""

from __future__ import annotations

import base64
from typing import Any

from strongroom.client.agent_key import AgentKey, message, new_key, token_id
from strongroom.core.request import Operation, Peer
from strongroom.testing import Strongroom

AGENT = "auth/agent/"
ROLE = AGENT + "role/web"

INVALID = (400, "invalid agent, challenge or signature")
OK = (200, "")


def fresh(**role: Any) -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/agent", {"type": "agent"})
    room.write(ROLE, {"token_policies": "reader", **role})
    return room


def enrol_token(room: Strongroom, role: str = ROLE, **fields: Any) -> str:
    return str(room.json(room.write(role + "/enrol-token", fields))["enrol_token"])


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class Machine:
    """One deployed agent."""

    def __init__(self, room: Strongroom, name: str = "web-1", kind: str = "ed25519") -> None:
        self.room = room
        self.name = name
        self.key = new_key(kind)

    def ask(self, path: str, body: dict[str, Any], peer: Peer | None = None) -> tuple[int, str]:
        """Status and text of a request without a token."""
        work = self.room.request(Operation.UPDATE, AGENT + path, body, token="", peer=peer)
        return OK if work.error is None else (work.error.status, str(work.error))

    def challenge(self) -> str:
        return str(self.room.json(self.room.write(AGENT + "challenge", {"name": self.name}, token=""))["challenge"])

    @property
    def accessor(self) -> str:
        return str(self.room.json(self.room.write(AGENT + "challenge", {"name": self.name}, token=""))["mount_accessor"])

    def enrolment(self, token: str, **changes: Any) -> dict[str, Any]:
        """The body of an enrolment; `changes` take effect after it was signed."""
        challenge = self.challenge()
        fields = (token_id(token).encode(), self.key.kind.encode(), self.key.public)
        signature = self.key.sign(message("enrol", self.accessor, self.name, challenge, *fields))
        body = {
            "enrol_token": token,
            "name": self.name,
            "key_type": self.key.kind,
            "public_key": text(self.key.public),
            "challenge": challenge,
            "signature": signature,
        }
        return body | changes

    def enrol(self, token: str, peer: Peer | None = None, **changes: Any) -> tuple[int, str]:
        return self.ask("enrol", self.enrolment(token, **changes), peer)

    def answer(self, key: AgentKey | None = None, **changes: Any) -> dict[str, Any]:
        """The body of a login."""
        challenge = self.challenge()
        signature = (key or self.key).sign(message("login", self.accessor, self.name, challenge))
        return {"name": self.name, "challenge": challenge, "signature": signature} | changes

    def login(self, peer: Peer | None = None, **changes: Any) -> tuple[int, str]:
        return self.ask("login", self.answer(**changes), peer)

    def token(self) -> str:
        """A login that must succeed."""
        return self.room.login(AGENT + "login", self.answer()).client_token.reveal()

    def rotation(self, following: AgentKey, **changes: Any) -> dict[str, Any]:
        """The body of a rotation."""
        challenge = self.challenge()
        signed = message("rotate", self.accessor, self.name, challenge, following.kind.encode(), following.public)
        body = {
            "challenge": challenge,
            "signature": self.key.sign(signed),
            "key_type": following.kind,
            "public_key": text(following.public),
            "new_signature": following.sign(signed),
        }
        return body | changes

    def rotate(self, kind: str = "ed25519", **changes: Any) -> tuple[int, str]:
        """Change the key; it is taken over where the server took it."""
        following = new_key(kind)
        found = self.ask(f"agents/{self.name}/rotate", self.rotation(following, **changes))
        if found == OK:
            self.key = following
        return found


def enrolled(room: Strongroom, name: str = "web-1", kind: str = "ed25519", **fields: Any) -> Machine:
    """A machine that is enrolled."""
    machine = Machine(room, name, kind)
    assert machine.enrol(enrol_token(room, **fields)) == OK
    return machine


def lives(room: Strongroom, token: str) -> bool:
    """Whether the very next request with the token is let in."""
    return room.request(Operation.READ, "auth/token/lookup-self", token=token).error is None
