"""Shares and tokens encrypted to the OpenPGP keys of those who are to have them, so that nobody else sees them on their way.

Rules of this file:
- Keys come as Vault's clients send them: base64 of one binary public key, without armor. Nothing is fetched, `keybase:` names neither.
- A key that cannot be encrypted to is refused before anything is made: what is shown once must not be lost for it.
- A secret key is refused: who sends one has given it away.
- Sequoia decides what a usable key is (revocation, expiry, algorithms); its messages carry stack traces and are not passed on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from strongroom.errors import InvalidRequest

if TYPE_CHECKING:
    from pysequoia import Cert

LARGEST: Final = 256 << 10
"""Bytes of a key: one with hundreds of signatures and a picture has less."""
PUBLIC_KEY: Final = 6
"""The packet that a public key begins with (RFC 9580, 5.5.1.1)."""
KEYBASE: Final = "keybase:"
MISSING: Final = (
    "encrypting keys with PGP needs the extra strongroom[pgp], which is not installed; "
    "leave the PGP keys out and hand the keys over by another protected way"
)


class Recipient(NamedTuple):
    """A key that can be encrypted to."""

    fingerprint: str
    cert: Cert

    def encrypt(self, plaintext: bytes) -> bytes:
        """A binary message for this key."""
        from pysequoia import encrypt

        return bytes(encrypt(plaintext, recipients=[self.cert], armor=False))


def recipients(texts: Sequence[str]) -> list[Recipient]:
    """The keys of these texts. Raises InvalidRequest, saying which of them cannot be used and why."""
    return [_recipient(number, text) for number, text in enumerate(texts, 1)]


def encrypted(plaintexts: Iterable[bytes], texts: Sequence[str]) -> list[bytes]:
    """Each of these to its key."""
    return [recipient.encrypt(plaintext) for plaintext, recipient in zip(plaintexts, recipients(texts), strict=True)]


def _recipient(number: int, text: str) -> Recipient:
    if text.startswith(KEYBASE):
        raise InvalidRequest(f"PGP key {number}: keybase names are not looked up here; send the key itself")
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise InvalidRequest(f"error decoding given PGP key {number}: it is base64 of a binary public key, without armor") from None
    if not raw or len(raw) > LARGEST:
        raise InvalidRequest(f"PGP key {number} is empty, or longer than {LARGEST} bytes")
    if _tag(raw[0]) != PUBLIC_KEY:
        raise InvalidRequest(
            f"PGP key {number} is not a public key; a secret key stays with its owner, and one that was sent is to be revoked"
        )
    try:
        return _usable(number, raw)
    except ImportError:
        raise InvalidRequest(MISSING) from None
    except RuntimeError:
        raise InvalidRequest(f"error parsing entity: PGP key {number} is no public key that can be encrypted to") from None


def _tag(octet: int) -> int:
    """The kind of a packet, in the new and the old form of its head (RFC 9580, 4.2)."""
    return octet & 0x3F if octet & 0x40 else octet >> 2 & 0x0F


def _usable(number: int, raw: bytes) -> Recipient:
    from pysequoia import Cert, encrypt

    cert = Cert.from_bytes(raw)
    if cert.is_revoked:
        raise InvalidRequest(f"PGP key {number} is revoked")
    if cert.expiration is not None and cert.expiration <= datetime.now(UTC):
        raise InvalidRequest(f"PGP key {number} has expired")
    encrypt(b"", recipients=[cert], armor=False)
    return Recipient(cert.fingerprint, cert)
