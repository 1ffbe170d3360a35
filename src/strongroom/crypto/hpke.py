"""Encryption to a recipient that holds as long as ML-KEM-768 or X25519 does: HPKE (RFC 9180) over X-Wing.

    private key = seed 32      public key = ML-KEM-768 1,184 | X25519 32      sealed = encapsulated key 1,120 | ciphertext | tag 16

Rules of this file:
- One message per encapsulation, one recipient per blob: nothing is ever tried with several keys.
- `info` names purpose and place, length-prefixed by the caller where it has parts; another `info` does not open.
- Keys have X-Wing's own serialisation, so they are also those of other programs.

For what is stored for years or leaves the host: unseal wraps, backups, exports. The sender is not authenticated: sign what must be.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import shake_256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from strongroom.crypto.errors import InvalidRecord

PRIVATE_BYTES = 32
MLKEM_PUBLIC_BYTES = 1_184
PUBLIC_BYTES = MLKEM_PUBLIC_BYTES + 32
OVERHEAD = 1_120 + 16
"""Bytes a sealed message is longer than its plaintext."""

_MLKEM_SEED_BYTES = 64
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A private key."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != PRIVATE_BYTES:
            raise ValueError(f"a recipient's private key has {PRIVATE_BYTES} bytes")

    @classmethod
    def generate(cls) -> Recipient:
        """A new key."""
        return cls(os.urandom(PRIVATE_BYTES))

    @classmethod
    def from_bytes(cls, seed: bytes) -> Recipient:
        """The key that `to_bytes` gave."""
        return cls(seed)

    def to_bytes(self) -> bytes:
        """The seed: secret."""
        return self.seed

    def public(self) -> bytes:
        """What `seal` needs."""
        mlkem, x25519 = self._keys()
        return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The plaintext. Raises InvalidRecord."""
        try:
            return _SUITE.decrypt(sealed, MLKEM768X25519PrivateKey(*self._keys()), info)
        except (InvalidTag, ValueError):
            raise InvalidRecord("sealed message does not open: it was changed, or is for another recipient or purpose") from None

    def _keys(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        """X-Wing's expandDecapsulationKey."""
        expanded = shake_256(self.seed).digest(_MLKEM_SEED_BYTES + 32)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        return mlkem, X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])


def seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """A blob that only this recipient opens, for this purpose. Raises ValueError for bytes that are no public key."""
    if len(public) != PUBLIC_BYTES:
        raise ValueError(f"a recipient's public key has {PUBLIC_BYTES} bytes")
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(public[MLKEM_PUBLIC_BYTES:])
        return _SUITE.encrypt(plaintext, MLKEM768X25519PublicKey(mlkem, x25519), info)
    except ValueError:
        raise ValueError("these bytes are no X-Wing public key: they were changed or cut") from None
