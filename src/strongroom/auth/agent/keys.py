"""Public keys of agents: which kinds there are, how they are written, and what their signatures are checked with.

Rules of this file:
- A kind is told by a name where a key is given, and by the signature's length where one is checked: what a check costs depends on what
  was sent, and not on whom it is about.
- Base64 has one spelling here. A key whose signatures anybody could make is no key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from strongroom.crypto.errors import InvalidSignature, UnusableKey


class Kind(NamedTuple):
    """A kind of key. `load` makes what verifies of the raw public key; `dummy` is a public key that nobody has the private one of."""

    key_bytes: int
    signature_bytes: int
    load: Callable[[bytes], Ed25519PublicKey | MLDSA65PublicKey]
    dummy: Callable[[], bytes]


@cache
def _dummy_ed25519() -> bytes:
    return Ed25519PrivateKey.generate().public_key().public_bytes_raw()


@cache
def _dummy_mldsa() -> bytes:
    return MLDSA65PrivateKey.generate().public_key().public_bytes_raw()


KINDS: Final = {
    "ed25519": Kind(32, 64, Ed25519PublicKey.from_public_bytes, _dummy_ed25519),
    "ml-dsa-65": Kind(1_952, 3_309, MLDSA65PublicKey.from_public_bytes, _dummy_mldsa),
}

SMALL_ORDER: Final = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
"""Ed25519 points of order 1, 2, 4 and 8 in all their encodings, without the sign bit: one signature fits many messages of such a key."""


def public_key(kind: str, text: str) -> bytes:
    """The raw public key of what an agent sent. Raises UnusableKey."""
    found = KINDS.get(kind)
    if found is None:
        raise UnusableKey(f"key_type is one of {', '.join(KINDS)}")
    raw = exact(text)
    if len(raw) != found.key_bytes:
        raise UnusableKey(f"a public key of the type {kind} is the base64 of {found.key_bytes} bytes")
    if kind == "ed25519" and raw[:31] + bytes([raw[31] & 0x7F]) in SMALL_ORDER:
        raise UnusableKey("the public key is a point of small order, for which anybody can sign; make a new key pair")
    try:
        found.load(raw)
    except ValueError:
        raise UnusableKey("the public key is not a point of its curve; make a new key pair") from None
    return raw


def kind_of(signature: bytes) -> str:
    """The kind of key that makes signatures of this length; "" for none."""
    return next((name for name, kind in KINDS.items() if len(signature) == kind.signature_bytes), "")


def verify(kind: str, key: bytes, signature: bytes, message: bytes) -> None:
    """Raises InvalidSignature unless the key signed the message; about 0.3 ms."""
    try:
        KINDS[kind].load(key).verify(signature, message)
    except exceptions.InvalidSignature:
        raise InvalidSignature("signature does not belong to this message and key") from None


def exact(text: str) -> bytes:
    """The bytes of standard base64 with padding; b"" for every other text and for another spelling of the same bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""
