"""The keys of an installation, and the boot rows that hold them.

Rules of this file:
- The root key R is random. Seals wrap R, R wraps the keyring, the keyring's epoch keys encrypt records.
- Epoch keys come and go; stable keys (row names, token ids, index, audit …) are made once, at init, and never change.
- A boot row can be read while sealed. It carries a record's header (version, algorithm 0, epoch 0, generation), so that the
  authenticated index counts it like any other row:

      version u8 | algorithm u8 = 0 | epoch u32 = 0 | generation u64 | payload

  The keyring's payload is sealed by a key derived from R; the installation header's is clear, and authenticated by a MAC kept inside
  the keyring's associated data.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from contextlib import suppress
from typing import Final

import msgspec

from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.mac import derive
from strongroom.crypto.records import xaes_open, xaes_seal
from strongroom.errors import StorageTampered, StorageUnusable

BOOT = bytes(16) + b"\0"
"""Row-key prefix of the boot rows."""
INSTALLATION_KEY = BOOT + b"installation"
KEYRING_KEY = BOOT + b"keyring"
SEALS_KEY = BOOT + b"seals"
HANDOVER_KEY = BOOT + b"handover"
"""For a while after the root key changed: the new one under the old one, so that other processes follow without people."""

FORMAT = 1
"""Version of everything under this file; a newer one is refused, an older one is migrated."""

_HEADER = struct.Struct(">BBIQ")
_NONCE = 24
HANDOVER: Final = _NONCE + 32 + 16
"""Bytes of a handover: nonce, root key, tag. A row holds one after the other while several root keys are followed."""


def boot_record(generation: int, payload: bytes) -> bytes:
    """Put the clear header before a boot row's payload."""
    return _HEADER.pack(1, 0, 0, generation) + payload


def boot_payload(record: bytes) -> bytes:
    """The payload of a boot row. Raises StorageTampered."""
    if len(record) < _HEADER.size or record[:6] != b"\x01\0\0\0\0\0":
        raise StorageTampered("a boot row")
    return record[_HEADER.size :]


class Installation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Public facts about the store, readable while sealed. Its encoding is authenticated: a new field has a default, which is left out.

    `by_time`: tokens and accessors are stored in the order in which they were made.
    """

    format: int
    id: bytes
    cluster_id: str
    created: int
    by_time: bool = False


class Epoch(msgspec.Struct, frozen=True):
    """One generation of the record key. `created` in ns since the epoch; `sealed_before` is how many records there were until then."""

    number: int
    key: bytes
    created: int
    sealed_before: int = 0

    def __repr__(self) -> str:
        return f"Epoch({self.number})"


class Stable(msgspec.Struct, frozen=True):
    """Keys that never change: row names (64 bytes, AES-SIV) and one for each other purpose."""

    names: bytes
    tokens: bytes
    lockout: bytes
    index: bytes
    audit: bytes
    batch: bytes
    signing: bytes

    def __repr__(self) -> str:
        return "Stable()"


class RotateConfig(msgspec.Struct, frozen=True):
    """When a new epoch begins by itself. `interval` in seconds, 0 = never by age."""

    enabled: bool = True
    max_operations: int = 3_865_470_566
    interval: int = 90 * 86_400


class Keyring(msgspec.Struct, frozen=True):
    """All keys below R."""

    epochs: tuple[Epoch, ...]
    stable: Stable
    rotate: RotateConfig = RotateConfig()

    @property
    def current(self) -> Epoch:
        """The epoch that new records are sealed under."""
        return self.epochs[-1]

    def rotated(self, now: int, sealed_before: int = 0) -> Keyring:
        """This keyring with one more epoch."""
        fresh = Epoch(self.current.number + 1, secrets.token_bytes(32), now, sealed_before)
        return msgspec.structs.replace(self, epochs=(*self.epochs, fresh))

    def without(self, below: int) -> Keyring:
        """This keyring without the epochs below `below`; their records cannot be read any more."""
        return msgspec.structs.replace(self, epochs=tuple(e for e in self.epochs if e.number >= below))

    def __repr__(self) -> str:
        return f"Keyring({len(self.epochs)} epochs)"


def new_keyring(now: int) -> Keyring:
    """Fresh keys for a fresh installation."""
    stable = Stable(*(secrets.token_bytes(size) for size in (64, 32, 32, 64, 32, 32, 64)))
    return Keyring((Epoch(1, secrets.token_bytes(32), now),), stable)


def _associated(installation: Installation) -> bytes:
    return b"strongroom keyring" + msgspec.msgpack.encode(installation)


def seal_keyring(root: bytes | bytearray, keyring: Keyring, installation: Installation) -> bytes:
    """Wrap the keyring with R; the installation header is authenticated with it."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + xaes_seal(derive(bytes(root), b"keyring", 32), nonce, msgspec.msgpack.encode(keyring), _associated(installation))


def seal_handover(old: bytes | bytearray, new: bytes | bytearray, installation: Installation) -> bytes:
    """The new root key under the old one."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + xaes_seal(derive(bytes(old), b"handover", 32), nonce, bytes(new), _associated(installation))


def handovers(payload: bytes) -> tuple[bytes, ...]:
    """The handovers in a row, oldest first. Raises InvalidRecord."""
    if not payload or len(payload) % HANDOVER:
        raise InvalidRecord("the handover of the root key is cut short")
    return tuple(payload[at : at + HANDOVER] for at in range(0, len(payload), HANDOVER))


def open_handover(old: bytes | bytearray, payload: bytes, installation: Installation) -> bytes:
    """The root key that the handovers of a row lead to, from whichever of them the old one opens. Raises InvalidRecord."""
    found = bytes(old)
    for handover in handovers(payload):
        with suppress(InvalidRecord):  # it is from an older root key than ours
            found = xaes_open(derive(found, b"handover", 32), handover[:_NONCE], handover[_NONCE:], _associated(installation))
    if hmac.compare_digest(found, bytes(old)):
        raise InvalidRecord("no handover leads on from this root key")
    return found


def open_keyring(root: bytes | bytearray, payload: bytes, installation: Installation) -> Keyring:
    """Unwrap the keyring. Raises InvalidRecord when R is not the one it was wrapped with."""
    if installation.format > FORMAT:
        raise StorageUnusable(f"the store has format {installation.format}, this program reads up to {FORMAT}: start a newer strongroom")
    if len(payload) <= _NONCE:
        raise InvalidRecord("the keyring is cut short")
    clear = xaes_open(derive(bytes(root), b"keyring", 32), payload[:_NONCE], payload[_NONCE:], _associated(installation))
    return msgspec.msgpack.decode(clear, type=Keyring)
