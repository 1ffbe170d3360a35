"""Seals: who wraps the root key R, and how the store remembers it.

Rules of this file:
- R is random and independent of every seal; several seals may wrap the same R at once. Changing seals re-wraps R, never records.
- The configuration lies in a boot row, readable while sealed; it carries a MAC under a key derived from R, so an edited one is
  refused as soon as R is known, before anything is served.
- A wrap is bound to the installation, the seal's kind and its share set: put elsewhere it does not open.
- A seal is a class in `barrier/seals/<kind>.py`, found by name; there is no list to edit.

A set is `superseded` from the commit that installs its successor until that successor is known to have reached its holders:
while both stand, either opens the store, so a crash between the commit and the answer leaves nobody locked out.
"""

from __future__ import annotations

import hmac
import importlib
import importlib.util
import re
from collections.abc import Mapping
from typing import Protocol

import msgspec

from strongroom.barrier.keyring import SEALS_KEY, Installation, boot_payload
from strongroom.barrier.shares import ShareSet
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.mac import Mac, derive
from strongroom.crypto.records import NONCE_BYTES, new_nonce, xaes_open, xaes_seal
from strongroom.errors import ConfigError, StorageTampered
from strongroom.storage.api import Storage

SHAMIR = "shamir"


class Wrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """R under one seal. `share_set` is there where people hold the key, `key_id` where the seal names its key."""

    kind: str
    sealed: bytes
    share_set: ShareSet | None = None
    key_id: str = ""
    superseded: bool = False

    def __repr__(self) -> str:
        return f"Wrap({self.kind})"


class Recovery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Recovery shares authorise where a seal opens by itself; they open nothing. `check` recognises the combined key."""

    share_set: ShareSet
    check: bytes
    superseded: bool = False

    def __repr__(self) -> str:
        return f"Recovery({self.share_set.threshold} of {self.share_set.shares})"


class SealConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the boot row holds."""

    wraps: tuple[Wrap, ...]
    recoveries: tuple[Recovery, ...] = ()
    mac: bytes = b""

    @property
    def kind(self) -> str:
        """The kind that clients are told: that of the first wrap in force."""
        return next(wrap.kind for wrap in self.wraps if not wrap.superseded)

    @property
    def unseal_sets(self) -> list[ShareSet]:
        """Share sets that open the store, the one in force first."""
        wraps = sorted(self.wraps, key=lambda wrap: wrap.superseded)
        return [wrap.share_set for wrap in wraps if wrap.share_set is not None]

    @property
    def recovery_sets(self) -> list[ShareSet]:
        """Share sets that only authorise, the one in force first."""
        return [recovery.share_set for recovery in sorted(self.recoveries, key=lambda recovery: recovery.superseded)]

    @property
    def authority(self) -> list[ShareSet]:
        """Share sets whose holders together may rekey and make root tokens: unseal shares where there are any, else recovery shares."""
        return self.unseal_sets or self.recovery_sets

    @property
    def overlapping(self) -> bool:
        """Whether a superseded set still works."""
        return any(wrap.superseded for wrap in self.wraps) or any(recovery.superseded for recovery in self.recoveries)

    def settled(self) -> SealConfig:
        """This configuration without superseded sets; to be signed again."""
        wraps = tuple(wrap for wrap in self.wraps if not wrap.superseded)
        return SealConfig(wraps, tuple(recovery for recovery in self.recoveries if not recovery.superseded))

    def signed(self, root: bytes | bytearray, installation: Installation) -> bytes:
        """The boot row's payload, authenticated under R."""
        return msgspec.msgpack.encode(msgspec.structs.replace(self, mac=self._mac(root, installation)))

    def authenticate(self, root: bytes | bytearray, installation: Installation) -> None:
        """Raises StorageTampered unless this configuration was signed under R for this installation."""
        if not hmac.compare_digest(self.mac, self._mac(root, installation)):
            raise StorageTampered("the seal configuration")

    def _mac(self, root: bytes | bytearray, installation: Installation) -> bytes:
        parts = msgspec.msgpack.encode((msgspec.structs.replace(self, mac=b""), installation))
        return Mac(derive(bytes(root), b"header", 32)).digest(parts)


class Seal(Protocol):
    """Something that holds a key R can be wrapped with."""

    kind: str
    key_id: str

    def wrap(self, root: bytes | bytearray, context: bytes) -> bytes:
        """R, sealed and bound to the context. Raises Unavailable when the provider cannot be reached."""
        ...

    def unwrap(self, sealed: bytes, context: bytes) -> bytearray:
        """R. Raises InvalidRecord when this is not the key it was wrapped with, Unavailable when the provider cannot be reached."""
        ...


class KeySeal:
    """A seal that has its key in hand: XAES-256-GCM under a key derived from it. Subclasses say their `kind`."""

    kind = ""

    def __init__(self, key: bytes | bytearray, key_id: str = "") -> None:
        self._key = derive(bytes(key), b"strongroom seal wrap", 32)
        self.key_id = key_id

    def wrap(self, root: bytes | bytearray, context: bytes) -> bytes:
        """R, sealed and bound to the context."""
        nonce = new_nonce()
        return nonce + xaes_seal(self._key, nonce, bytes(root), context)

    def unwrap(self, sealed: bytes, context: bytes) -> bytearray:
        """R. Raises InvalidRecord."""
        if len(sealed) <= NONCE_BYTES:
            raise InvalidRecord("the wrapped root key is cut short")
        return bytearray(xaes_open(self._key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_id})"


def _context(installation: Installation, kind: str, share_set: ShareSet | None) -> bytes:
    parts = (installation.id, kind, b"" if share_set is None else share_set.id)
    return b"strongroom root key" + msgspec.msgpack.encode(parts)


def wrapped(seal: Seal, root: bytes | bytearray, installation: Installation, share_set: ShareSet | None = None) -> Wrap:
    """R under a seal."""
    sealed = seal.wrap(root, _context(installation, seal.kind, share_set))
    return Wrap(seal.kind, sealed, share_set, seal.key_id)


def unwrapped(seal: Seal, wrap: Wrap, installation: Installation) -> bytearray:
    """R out of a wrap. Raises InvalidRecord and Unavailable."""
    return seal.unwrap(wrap.sealed, _context(installation, wrap.kind, wrap.share_set))


def recovery_check(key: bytes | bytearray, installation: Installation) -> bytes:
    """By this a combined recovery key is recognised; it has 256 random bits, so the check tells nothing about it."""
    return Mac(derive(bytes(key), b"recovery check", 32)).digest(installation.id)


def stored_config(storage: Storage) -> SealConfig | None:
    """The seal configuration; None where `init` has not been run. Raises StorageTampered."""
    row = storage.get_many([SEALS_KEY]).get(SEALS_KEY)
    return None if row is None else decoded_config(boot_payload(row))


def decoded_config(payload: bytes) -> SealConfig:
    """The configuration of a boot row's payload. Raises StorageTampered."""
    try:
        config = msgspec.msgpack.decode(payload, type=SealConfig)
    except (msgspec.MsgspecError, ValueError):
        raise StorageTampered("the seal configuration") from None
    if all(wrap.superseded for wrap in config.wraps):
        raise StorageTampered("the seal configuration")
    return config


_KIND = re.compile(r"[a-z][a-z0-9]{0,30}", re.ASCII)


def configured_seal(kind: str, options: Mapping[str, str]) -> Seal | None:
    """The seal that a `seal "<kind>" {…}` stanza describes; None for shamir, whose key people bring. Raises ConfigError."""
    name = f"strongroom.barrier.seals.{kind}"
    if _KIND.fullmatch(kind) is None or importlib.util.find_spec(name) is None:
        raise ConfigError(f"seal {kind!r}: there is no such seal; leave the stanza out for shamir")
    seal: Seal | None = importlib.import_module(name).configured(options)
    return seal
