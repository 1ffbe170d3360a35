"""What agents sign, and the challenges in it.

    challenge = base64url( 1 | expires u64 ns | nonce 16 | HMAC-SHA-256(key; mount uuid | 1 | expires | nonce | agent name) ), no padding
    message   = "strongroom agent 1" NUL | (u16 length | field)…
                fields: purpose, mount accessor, agent name, challenge, and what the purpose adds:

    enrol    token id, key type, public key
    login    –
    rotate   key type, public key         signed by the old key and by the new one

Rules of this file:
- A challenge is not stored, so a flood of them costs nothing that stays: it carries its own end and its own proof.
- Lengths stand before fields, so that no two lists of fields make one message. A signature for one purpose, mount, name or challenge
  serves for no other.
- Pure functions of what was sent and a key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from hashlib import sha256
from typing import Final, NamedTuple

from strongroom.clock import SECOND
from strongroom.crypto.ids import RandomPool
from strongroom.crypto.mac import Mac

CHALLENGE_SECONDS: Final = 60
"""For one signature and one round trip."""

_DOMAIN: Final = b"strongroom agent 1\0"
_TOKEN_DOMAIN: Final = b"strongroom agent enrolment token\0"
_HEAD: Final = struct.Struct(">BQ16s")
_TAG_BYTES: Final = 32
_VERSION: Final = 1
_LENGTH: Final = struct.Struct(">H")

_nonce = RandomPool(16).take


class BadChallenge(ValueError):
    """Not a challenge of this mount for this agent, or one that is over."""


class Challenge(NamedTuple):
    """An opened challenge. `expires` in ns."""

    expires: int
    nonce: bytes


def new_challenge(mac: Mac, mount: bytes, name: str, now: int) -> str:
    """A challenge for an agent of this name, whether or not there is one."""
    head = _HEAD.pack(_VERSION, now + CHALLENGE_SECONDS * SECOND, _nonce())
    return _text(head + _tag(mac, mount, head, name))


def open_challenge(mac: Mac, mount: bytes, name: str, text: str, now: int) -> Challenge:
    """What a challenge says. Raises BadChallenge."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadChallenge("not a challenge") from None
    head, tag = raw[: _HEAD.size], raw[_HEAD.size :]
    if len(raw) != _HEAD.size + _TAG_BYTES or _text(raw) != text or not hmac.compare_digest(tag, _tag(mac, mount, head, name)):
        raise BadChallenge("not a challenge of this mount for this agent")
    _, expires, nonce = _HEAD.unpack(head)
    if now >= expires:
        raise BadChallenge("the challenge is over")
    return Challenge(expires, nonce)


def message(purpose: str, accessor: str, name: str, challenge: str, *rest: bytes) -> bytes:
    """What is signed."""
    fields = (purpose.encode(), accessor.encode(), name.encode(), challenge.encode(), *rest)
    return _DOMAIN + b"".join(_LENGTH.pack(len(field)) + field for field in fields)


def token_id(token: str) -> str:
    """The name of an enrolment token, which its holder can work out and which gives nothing of it away (it has 256 random bits)."""
    return sha256(_TOKEN_DOMAIN + token.encode()).hexdigest()[:32]


def _tag(mac: Mac, mount: bytes, head: bytes, name: str) -> bytes:
    return mac.digest(mount + head + name.encode())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
