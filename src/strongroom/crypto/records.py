"""The format of every sealed record.

    version u8 = 1 | algorithm u8 = 1 | epoch u32 | generation u64 | nonce 24 | ciphertext | tag 16

Rules of this file:
- XAES-256-GCM as C2SP publishes it: a fresh AES-GCM key per record, derived by two AES blocks from the epoch's key and half of
  a 192-bit random nonce. No nonce counter has to survive crashes, forks or several nodes.
- A record is bound to its place: installation, row key and the whole header are associated data, every variable part with its
  length before it. Moved to another row, server, epoch or generation it does not open.
- Records are not key-committing: an epoch's key is secret and chosen by number, never by trial. Do not use this for blobs
  that several keys may try.
- `generation` is the gsn of the commit. It never repeats, so a record of an earlier commit under the same row key is another one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.ids import RandomPool
from strongroom.memo import remember

VERSION = 1
XAES_256_GCM = 1
"""The only algorithm number; an archive with another one needs a newer server."""

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
HEADER_BYTES = 14
OVERHEAD = HEADER_BYTES + NONCE_BYTES + TAG_BYTES
"""Bytes a record is longer than its plaintext."""

KEPT_KEYS = 1_024
"""Derived keys that one epoch's cipher keeps: 3 MiB."""

_BODY = HEADER_BYTES + NONCE_BYTES
_KIND = VERSION << 8 | XAES_256_GCM
_HEADER = struct.Struct(">HIQ")
"""Version and algorithm together as one number: read, compared and written in one step."""
_NONCE = struct.Struct(">QI12s")
_HALF = struct.Struct(">QI")
_FRONT = struct.Struct(">HIQQI12s")
"""Header and nonce of a record. Unpacking numbers and packing blocks saves 0.4 of 4.4 µs over slices and joins."""
_BLOCK = struct.Struct(">IQI")
_BLOCKS = struct.Struct(">IQIIQI")
_LENGTH = struct.Struct(">H")
_PREFIXES = (b"\x00\x01X\x00", b"\x00\x02X\x00")
"""Of the two derivation blocks: counter u16, label, separator (NIST SP 800-108r1 in counter mode over CMAC)."""
_TOO_SHORT = "record is shorter than an empty one"
_INVALID = "record does not open: it was changed, or sealed for another place or under another key"


class Header(NamedTuple):
    """What a record says about itself before it is opened: unauthenticated until then."""

    version: int
    algorithm: int
    epoch: int
    generation: int


def record_header(record: bytes) -> Header:
    """Read the header of a record. Raises InvalidRecord for one that is too short to be a record."""
    if len(record) < OVERHEAD:
        raise InvalidRecord(_TOO_SHORT)
    kind, epoch, generation = _HEADER.unpack_from(record)
    return Header(kind >> 8, kind & 0xFF, epoch, generation)


class Xaes:
    """XAES-256-GCM under one key. A key may seal 2^80 messages with random nonces."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"an XAES-256-GCM key has {KEY_BYTES} bytes")
        self._encrypt_blocks = Cipher(AES256(key), ECB()).encryptor().update
        subkey = _cmac_subkey(self._encrypt_blocks(bytes(16)))
        label, self._upper, self._lower = _BLOCK.unpack(subkey.to_bytes(16))
        self._first, self._second = (int.from_bytes(prefix) ^ label for prefix in _PREFIXES)

    def seal(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Ciphertext and tag. The nonce must be random and never used before."""
        upper, lower, rest = _split(nonce)
        return self.derived(upper, lower).encrypt(rest, plaintext, aad)

    def open(self, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """The plaintext. Raises InvalidRecord."""
        upper, lower, rest = _split(nonce)
        try:
            return self.derived(upper, lower).decrypt(rest, ciphertext, aad)
        except InvalidTag:
            raise InvalidRecord(_INVALID) from None

    def derived(self, upper: int, lower: int) -> AESGCM:
        """The key of one message, from the first 8 and the next 4 bytes of its nonce.

        CMAC of two one-block messages, their subkey already folded into the constants.
        """
        upper ^= self._upper
        lower ^= self._lower
        return AESGCM(self._encrypt_blocks(_BLOCKS.pack(self._first, upper, lower, self._second, upper, lower)))


class RecordCipher:
    """Seals and opens the records of one epoch of one installation."""

    def __init__(self, installation: bytes, epoch: int, key: bytes) -> None:
        self.epoch = epoch
        self._derive = Xaes(key).derived
        self._kept: dict[tuple[int, int], AESGCM] = {}
        self._prefix = _LENGTH.pack(len(installation)) + installation

    def _derived(self, upper: int, lower: int) -> AESGCM:
        """The key of records whose nonces begin so, kept: those of one group share it, and each costs 2 µs and 3 KiB."""
        return self._kept.get((upper, lower)) or remember(self._kept, KEPT_KEYS, (upper, lower), self._derive(upper, lower))

    def seal(self, row_key: bytes, generation: int, plaintext: bytes) -> bytes:
        """A record that opens only at this row key."""
        header = _HEADER.pack(_KIND, self.epoch, generation)
        nonce = _take_nonce()
        upper, lower, rest = _NONCE.unpack(nonce)
        aad = self._prefix + _LENGTH.pack(len(row_key)) + row_key + header
        return header + nonce + self._derive(upper, lower).encrypt(rest, plaintext, aad)

    def sealer(self) -> Callable[[bytes, int, bytes], bytes]:
        """Seals the records of one group: (row key, generation, plaintext) → record, a third of the price of `seal`.

        The first half of an XAES nonce chooses a key, the second is the GCM nonce under it. Here the first half is drawn once, so that
        its key is derived once; the second half is random for each record. With at most 2^17 records in a group no two meet under one
        key (2^-63), and to the reader these are records as any others.
        """
        first, prefix, epoch = _take_half(), self._prefix, self.epoch
        encrypt = self._derive(*_HALF.unpack(first)).encrypt

        def seal(row_key: bytes, generation: int, plaintext: bytes) -> bytes:
            header = _HEADER.pack(_KIND, epoch, generation)
            second = _take_half()
            return header + first + second + encrypt(second, plaintext, prefix + _LENGTH.pack(len(row_key)) + row_key + header)

        return seal

    def opener(self, row_key: bytes, record: bytes) -> Callable[[], bytes]:
        """Opens this record again and again: its key is derived once. For records that were opened before."""
        _, _, _, upper, lower, rest = _FRONT.unpack_from(record)
        aad = self._prefix + _LENGTH.pack(len(row_key)) + row_key + record[:HEADER_BYTES]
        return partial(self._derived(upper, lower).decrypt, rest, record[_BODY:], aad)

    def open(self, row_key: bytes, record: bytes) -> bytes:
        """The plaintext of a record found at this row key. Raises InvalidRecord."""
        if len(record) < OVERHEAD:
            raise InvalidRecord(_TOO_SHORT)
        kind, epoch, _, upper, lower, rest = _FRONT.unpack_from(record)
        if kind != _KIND:
            raise InvalidRecord("record has a version or an algorithm that this server does not know")
        if epoch != self.epoch:
            raise InvalidRecord("record is of another epoch than the key it was opened with")
        aad = self._prefix + _LENGTH.pack(len(row_key)) + row_key + record[:HEADER_BYTES]
        try:
            return self._derived(upper, lower).decrypt(rest, record[_BODY:], aad)
        except InvalidTag:
            raise InvalidRecord(_INVALID) from None


def xaes_seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """One-off XAES-256-GCM, for wraps. Keep an `Xaes` where a key is used more than once."""
    return Xaes(key).seal(nonce, plaintext, aad)


def xaes_open(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes = b"") -> bytes:
    """Undo `xaes_seal`. Raises InvalidRecord."""
    return Xaes(key).open(nonce, ciphertext, aad)


def new_nonce() -> bytes:
    """A nonce for `xaes_seal`."""
    return _take_nonce()


_take_nonce = RandomPool(NONCE_BYTES).take
_take_half = RandomPool(NONCE_BYTES // 2).take


def _split(nonce: bytes) -> tuple[int, int, bytes]:
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"an XAES-256-GCM nonce has {NONCE_BYTES} bytes")
    upper, lower, rest = _NONCE.unpack(nonce)
    return upper, lower, rest


def _cmac_subkey(block: bytes) -> int:
    """K1 of NIST SP 800-38B: the encrypted zero block doubled in GF(2^128), without a branch on its secret bit."""
    value = int.from_bytes(block)
    return (value << 1 & (1 << 128) - 1) ^ 0x87 * (value >> 127)
