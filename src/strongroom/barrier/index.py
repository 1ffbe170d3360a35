"""The authenticated index: one sealed row that vouches for the set of all others.

Rules of this file:
- Row = {gsn, count, Σ, sealed}; Σ = sum mod 2^512 of a keyed term per row (crypto/multiset.py). The index row itself is not counted.
- It is read and rewritten under the store's lock, in the transaction whose rows it accounts for. Terms are never stored.
- A database that was rolled back, or lost, gained or swapped a row, no longer adds up: `scrub` recomputes Σ and compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from strongroom.crypto.multiset import Multiset

_GENERATION = slice(6, 14)
_MODULUS = 1 << 512


class Index(msgspec.Struct, frozen=True):
    """What all rows add up to as of commit `gsn`. `sigma` is 64 bytes, big-endian; `sealed` counts every record ever sealed."""

    gsn: int
    count: int
    sigma: bytes
    sealed: int = 0

    @property
    def hex(self) -> str:
        """Σ as audit checkpoints carry it."""
        return self.sigma.hex()


EMPTY = Index(0, 0, bytes(64))


def record_generation(record: bytes) -> int:
    """The generation that stands in a record's header."""
    return int.from_bytes(record[_GENERATION], "big")


_NONE_KNOWN: Mapping[bytes, int] = {}


class Account:
    """Adds up the effect of one group on the index."""

    def __init__(self, terms: Multiset, index: Index) -> None:
        self._terms = terms
        self._sum = int.from_bytes(index.sigma, "big")
        self._count = index.count
        self._sealed = index.sealed + 1

    def replace(
        self, old: Mapping[bytes, bytes], new: Iterable[tuple[bytes, bytes | None]], known: Mapping[bytes, int] = _NONE_KNOWN
    ) -> dict[bytes, int]:
        """Rows `new` (None = deleted) take the place of `old`, which holds those among them that existed; returns the new rows' terms.

        `known` are terms of old rows that need not be worked out again.
        """
        term = self._terms.term
        total, terms = 0, {}
        for key, record in new:
            before = old.get(key)
            if before is not None:
                total -= known.get(key) or term(key, record_generation(before), before)
                self._count -= 1
            if record is not None:
                added = terms[key] = term(key, record_generation(record), record)
                total += added
                self._count += 1
                self._sealed += 1
        self._sum += total
        return terms

    def close(self, gsn: int) -> Index:
        """The index row to write with commit `gsn`."""
        return Index(gsn, self._count, (self._sum % _MODULUS).to_bytes(64, "big"), self._sealed)
