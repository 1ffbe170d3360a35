"""Signatures that hold as long as either of two schemes does: Ed25519 and ML-DSA-65.

    signature = u16 length | Ed25519 | u16 length | ML-DSA-65
    both sign   "strongroom signature 1" NUL | u16 length | context | message

Rules of this file:
- Both must verify. A signature with one half missing, empty or exchanged is no signature.
- `context` names what is signed ("audit checkpoint", "backup manifest"): a signature never serves for another purpose.
- Private keys are kept as their seeds, 32 bytes each.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from strongroom.crypto.errors import InvalidSignature

SEED_BYTES = 32
PRIVATE_BYTES = 2 * SEED_BYTES
ED25519_PUBLIC_BYTES = 32
PUBLIC_BYTES = ED25519_PUBLIC_BYTES + 1_952
ED25519_SIGNATURE_BYTES = 64
MLDSA_SIGNATURE_BYTES = 3_309
SIGNATURE_BYTES = 2 + ED25519_SIGNATURE_BYTES + 2 + MLDSA_SIGNATURE_BYTES

_DOMAIN = b"strongroom signature 1\0"
_LAYOUT = struct.Struct(f">H{ED25519_SIGNATURE_BYTES}sH{MLDSA_SIGNATURE_BYTES}s")
_LENGTH = struct.Struct(">H")


@dataclass(frozen=True, slots=True, repr=False)
class DualSigner:
    """Both private keys."""

    ed25519: Ed25519PrivateKey
    mldsa: MLDSA65PrivateKey

    @classmethod
    def generate(cls) -> DualSigner:
        """A new pair of keys."""
        return cls(Ed25519PrivateKey.generate(), MLDSA65PrivateKey.generate())

    @classmethod
    def from_bytes(cls, seeds: bytes) -> DualSigner:
        """The keys whose seeds `to_bytes` gave."""
        if len(seeds) != PRIVATE_BYTES:
            raise ValueError(f"a signing key has {PRIVATE_BYTES} bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(seeds[:SEED_BYTES]), MLDSA65PrivateKey.from_seed_bytes(seeds[SEED_BYTES:]))

    def to_bytes(self) -> bytes:
        """Both seeds: secret."""
        return self.ed25519.private_bytes_raw() + self.mldsa.private_bytes_raw()

    def public(self) -> DualVerifier:
        """What others need to check signatures."""
        return DualVerifier(self.ed25519.public_key(), self.mldsa.public_key())

    def sign(self, message: bytes, *, context: bytes) -> bytes:
        """Both signatures; about a millisecond."""
        signed = _signed(message, context)
        ed25519, mldsa = self.ed25519.sign(signed), self.mldsa.sign(signed)
        return _LAYOUT.pack(len(ed25519), ed25519, len(mldsa), mldsa)


@dataclass(frozen=True, slots=True)
class DualVerifier:
    """Both public keys."""

    ed25519: Ed25519PublicKey
    mldsa: MLDSA65PublicKey

    @classmethod
    def from_bytes(cls, data: bytes) -> DualVerifier:
        """The keys that `to_bytes` gave."""
        if len(data) != PUBLIC_BYTES:
            raise ValueError(f"a verification key has {PUBLIC_BYTES} bytes")
        ed25519, mldsa = data[:ED25519_PUBLIC_BYTES], data[ED25519_PUBLIC_BYTES:]
        return cls(Ed25519PublicKey.from_public_bytes(ed25519), MLDSA65PublicKey.from_public_bytes(mldsa))

    def to_bytes(self) -> bytes:
        """Both public keys, raw."""
        return self.ed25519.public_bytes_raw() + self.mldsa.public_bytes_raw()

    def verify(self, message: bytes, signature: bytes, *, context: bytes) -> None:
        """Raises InvalidSignature unless both halves are there and both are good."""
        ed25519, mldsa = _halves(signature)
        signed = _signed(message, context)
        try:
            self.ed25519.verify(ed25519, signed)
            self.mldsa.verify(mldsa, signed)
        except exceptions.InvalidSignature:
            raise InvalidSignature("signature does not belong to this message, purpose and key") from None


def _signed(message: bytes, context: bytes) -> bytes:
    return _DOMAIN + _LENGTH.pack(len(context)) + context + message


def _halves(signature: bytes) -> tuple[bytes, bytes]:
    """Both schemes have one signature length, so there is one legal layout."""
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidSignature(f"a signature has {SIGNATURE_BYTES} bytes: Ed25519 and ML-DSA-65, both required")
    ed25519_length, ed25519, mldsa_length, mldsa = _LAYOUT.unpack(signature)
    if (ed25519_length, mldsa_length) != (ED25519_SIGNATURE_BYTES, MLDSA_SIGNATURE_BYTES):
        raise InvalidSignature("the parts of the signature do not have the lengths of Ed25519 and ML-DSA-65")
    return ed25519, mldsa
