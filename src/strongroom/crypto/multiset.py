"""A keyed fingerprint of a set of rows that grows and shrinks row by row.

    Σ = Σ over rows of HMAC-SHA-512(key; u16 length | row key | generation u64 | SHA-256(record))  mod 2^512

Rules of this file:
- Order does not matter and a term that was added can be taken away, so a commit touches only the terms of its own rows.
- A term is computed when needed and never stored: whoever holds the database could subtract one.
- The row key is length-prefixed; all else has one length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import sha256

from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.mac import Mac512

SUM_BYTES = 64
EMPTY = 0
"""Σ of no rows."""

_MODULUS_MASK = (1 << 8 * SUM_BYTES) - 1
_LENGTH = struct.Struct(">H")
_GENERATION = struct.Struct(">Q")


class Multiset:
    """Computes terms under one index key."""

    def __init__(self, key: bytes) -> None:
        keyed = Mac512(key)
        self._inner = keyed.inner.copy
        self._outer = keyed.outer.copy

    def term(self, row_key: bytes, generation: int, record: bytes) -> int:
        """What one row contributes to Σ."""
        inner, outer = self._inner(), self._outer()
        inner.update(b"%b%b%b%b" % (_LENGTH.pack(len(row_key)), row_key, _GENERATION.pack(generation), sha256(record).digest()))
        outer.update(inner.digest())
        return int.from_bytes(outer.digest(), "big")


def add(total: int, terms: Iterable[int]) -> int:
    """Σ with these rows."""
    return total + sum(terms) & _MODULUS_MASK


def remove(total: int, terms: Iterable[int]) -> int:
    """Σ without these rows."""
    return total - sum(terms) & _MODULUS_MASK


def encode(total: int) -> bytes:
    """Σ as 64 bytes."""
    return total.to_bytes(SUM_BYTES, "big")


def decode(data: bytes) -> int:
    """Σ from 64 bytes. Raises InvalidRecord."""
    if len(data) != SUM_BYTES:
        raise InvalidRecord(f"a sum of the index has {SUM_BYTES} bytes")
    return int.from_bytes(data, "big")
