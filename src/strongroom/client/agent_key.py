"""An agent's key pair and what it signs, from the side that holds the private key.

    message = "strongroom agent 1" NUL | (u16 length | field)…
              fields: purpose, mount accessor, agent name, challenge, and for
              enrol: enrolment token id, key type, public key · rotate: key type, new public key

Rules of this file:
- A private key is its seed of 32 bytes; it leaves this module in the key file only (agent_file.py).
- Written from the protocol's description (docs/agent.md) without the server's code: each is the other's test.
"""

from __future__ import annotations

import base64
import secrets
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from strongroom.client.errors import BadSettings

SEED_BYTES = 32
TYPES = ("ed25519", "ml-dsa-65")


class AgentKey(NamedTuple):
    """A key pair. `kind` is one of TYPES."""

    kind: str
    seed: bytes

    @property
    def public(self) -> bytes:
        """The raw public key."""
        return self._private().public_key().public_bytes_raw()

    def sign(self, message: bytes) -> str:
        """A signature, in base64."""
        return base64.b64encode(self._private().sign(message)).decode()

    def _private(self) -> Ed25519PrivateKey | MLDSA65PrivateKey:
        if self.kind == "ed25519":
            return Ed25519PrivateKey.from_private_bytes(self.seed)
        return MLDSA65PrivateKey.from_seed_bytes(self.seed)

    def __repr__(self) -> str:
        return f"AgentKey({self.kind})"


def new_key(kind: str) -> AgentKey:
    """A new key pair. Raises BadSettings."""
    if kind not in TYPES:
        raise BadSettings(f"the key type is one of {', '.join(TYPES)}")
    return AgentKey(kind, secrets.token_bytes(SEED_BYTES))


def message(purpose: str, accessor: str, name: str, challenge: str, *rest: bytes) -> bytes:
    """What is signed for a purpose."""
    fields = [*(text.encode() for text in (purpose, accessor, name, challenge)), *rest]
    return b"strongroom agent 1\0" + b"".join(len(field).to_bytes(2, "big") + field for field in fields)


def token_id(enrol_token: str) -> str:
    """The id of an enrolment token."""
    return sha256(b"strongroom agent enrolment token\0" + enrol_token.encode()).hexdigest()[:32]
