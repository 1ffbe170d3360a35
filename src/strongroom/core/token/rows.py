"""Where tokens lie: the rows of the token area, and the timers about one token or all.

Rules of this file:
- A token is stored only as a keyed hash, its digest; so is an accessor.
- Rows: `t`+digest → TokenEntry, `a`+accessor hash → AccessorEntry, `p`+parent digest+digest → Mark.
"""

from __future__ import annotations

import msgspec

from strongroom.barrier.view import DIGESTS
from strongroom.core import areas
from strongroom.core.transaction import Transaction

ROWS = areas.TOKENS + DIGESTS
"""How every key of the area begins; the functions below but `token_key` give what follows, as a View takes it."""

_TOKENS = ROWS + b"t"


class AccessorEntry(msgspec.Struct, frozen=True):
    """Where an accessor leads, and the accessor itself for listing."""

    digest: bytes
    accessor: str


class Mark(msgspec.Struct, frozen=True):
    """A row whose key says everything."""


class DigestJob(msgspec.Struct, frozen=True):
    """A job about one token."""

    digest: bytes


class TidyJob(msgspec.Struct, frozen=True):
    """Where the walk over all tokens goes on."""

    after: bytes = b""


def token_key(digest: bytes) -> bytes:
    """Whole key of a token's row."""
    return _TOKENS + digest


def token_row(digest: bytes) -> bytes:
    """A token's row in its area."""
    return b"t" + digest


def accessor_row(transaction: Transaction, name: str) -> bytes:
    """The row that says where an accessor leads."""
    return b"a" + transaction.keys.tokens.digest(b"accessor:" + name.encode())


def child_row(parent: bytes, digest: bytes = b"") -> bytes:
    """The row that says that a token hangs below another; without `digest` what such rows of a parent begin with."""
    return b"p" + parent + digest
