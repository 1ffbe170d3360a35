"""The format of a snapshot.

    "strongroom-snapshot/1\\n" | u32 length | header | chunk… | u32 length | manifest | signature 3,379

    header      msgpack: what a store shows while sealed (installation, seals, keyring), and the content key under one or more locks
    chunk       u32 length, its highest bit set on the last one | AES-256-GCM ciphertext | tag 16
    plaintext   of all chunks in one: (u16 length | row key | u32 length | record)… in the order of row keys
    manifest    JSON, in the clear: which store, which commit, how many rows, and the SHA-256 of everything before it
    signature   Ed25519 and ML-DSA-65 over the manifest (crypto/signatures.py), by the key that signs audit checkpoints

Rules of this file:
- Records stay as they lie in the store: whoever opens a snapshot but not the store's seal reads no secret. What the chunks hide besides
  is the shape of the tree, sizes and times of change.
- Locks are tried by their name, never in turn, and the header commits to the one content key: no two keys open one snapshot.
- The key of the chunks is derived from the content key and the hash of the header: nothing before the chunks can be exchanged. A chunk's
  nonce is its number and whether it is the last: none can be dropped, swapped, repeated or cut off.
- Every length is bounded before it is believed.
"""

from __future__ import annotations

import hmac
import struct
from hashlib import sha256
from typing import Final

import msgspec

from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.mac import derive
from strongroom.errors import InvalidRequest

FORMAT: Final = 1
FAMILY: Final = b"strongroom-snapshot/"
MAGIC: Final = b"%b%d\n" % (FAMILY, FORMAT)
LONGEST_MAGIC: Final = len(FAMILY) + 8

CONTEXT: Final = b"backup manifest"
"""What a signature over a manifest is for."""

CHUNK: Final = 1 << 18
"""Plaintext bytes of every chunk but the last: 256 KiB cost one call and little memory."""
LAST: Final = 1 << 31
TAG: Final = 16

MAX_HEADER: Final = 1 << 20
"""Bytes: installation, seals with 255 shares twice over and a keyring of hundreds of epochs have 100 KiB."""
MAX_MANIFEST: Final = 1 << 16
MAX_LOCKS: Final = 64
MAX_RECORD: Final = 16 << 20
"""Bytes of one row: four times what a request may stage."""

LENGTH: Final = struct.Struct(">I")

INSTALLATION, RECIPIENT = "installation", "recipient"
"""Kinds of locks: the store's own stable keys, and somebody's HPKE key."""


class InvalidSnapshot(InvalidRequest):
    """A file is not a whole snapshot, or not one that can be opened here. Nothing was changed."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"the snapshot {name}: {text}; nothing was changed")


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content key, sealed for somebody. `key_id` names a recipient: the beginning of his public key's SHA-256."""

    kind: str
    sealed: bytes
    key_id: bytes = b""

    def __repr__(self) -> str:
        return f"Lock({self.kind} {self.key_id.hex()})"


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands before the chunks. `installation`, `seals` and `keyring` are payloads of the boot rows of those names."""

    id: bytes
    installation: bytes
    seals: bytes
    keyring: bytes
    gsn: int
    created: int
    locks: tuple[Lock, ...]
    commitment: bytes

    def __repr__(self) -> str:
        return f"Header({self.id.hex()}, commit {self.gsn})"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot holds. `rows` and `sigma` are those of the store's index at commit `gsn`, `sha256` is of all bytes before this."""

    format: int
    id: str
    installation: str
    cluster_id: str
    gsn: int
    min_epoch: int
    rows: int
    sigma: str
    created: int
    program: str
    chunks: int
    size: int
    sha256: str


def commitment(key: bytes) -> bytes:
    """What the header says of the content key: nobody finds another one with the same."""
    return derive(key, b"strongroom snapshot commitment")


def check_commitment(key: bytes, header: Header) -> None:
    """Raises InvalidRecord unless this is the content key that the header commits to."""
    if len(key) != 32 or not hmac.compare_digest(commitment(key), header.commitment):
        raise InvalidRecord("the lock holds another key than the one the snapshot was made with")


def chunk_key(key: bytes, head: bytes) -> bytes:
    """The key of the chunks behind these bytes."""
    return derive(key, b"strongroom snapshot chunks" + sha256(head).digest())


def chunk_nonce(number: int, *, last: bool) -> bytes:
    """A chunk's place. The key is used for this one snapshot."""
    return number.to_bytes(11) + bytes([last])


def lock_context(snapshot: bytes, installation: bytes) -> bytes:
    """What a lock is bound to: both ids have 16 bytes."""
    return b"strongroom snapshot lock" + snapshot + installation


def key_id(public: bytes) -> bytes:
    """The name of a recipient."""
    return sha256(public).digest()[:8]
