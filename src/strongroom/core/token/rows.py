"""Where tokens lie: the rows of the token area, and the timers about one token or all.

Rules of this file:
- A token is stored only as a keyed hash, its digest; so is an accessor. Before it stands the time with which tokens and accessors of ours
  begin, so that what a commit makes fills a few pages of the store instead of one page each. Older stores have the hash alone.
- Rows: `t`+digest → TokenEntry, `a`+accessor hash → AccessorEntry, `p`+parent digest+digest → Mark.
"""

from __future__ import annotations

import msgspec

from strongroom.barrier.view import DIGESTS
from strongroom.core import areas
from strongroom.core.transaction import Transaction
from strongroom.crypto.ids import INSTANT_LENGTH, SERVICE_PREFIX, TOKEN_LENGTH

ROWS = areas.TOKENS + DIGESTS
"""How every key of the area begins; the functions below but `token_key` give what follows, as a View takes it."""

_TOKENS = ROWS + b"t"
_AFTER_PREFIX = slice(len(SERVICE_PREFIX), len(SERVICE_PREFIX) + INSTANT_LENGTH)
_AT_FRONT = slice(INSTANT_LENGTH)


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


def token_digest(transaction: Transaction, text: str) -> bytes:
    """The 32 bytes under which a token is stored. Of an id that a caller chose not a character stands in the clear."""
    ours = len(text) == TOKEN_LENGTH and text.startswith(SERVICE_PREFIX)
    return _placed(transaction, transaction.keys.tokens.digest(text.encode()), text[_AFTER_PREFIX] if ours else "")


def accessor_row(transaction: Transaction, name: str) -> bytes:
    """The row that says where an accessor leads."""
    return b"a" + _placed(transaction, transaction.keys.tokens.digest(b"accessor:" + name.encode()), name[_AT_FRONT])


def _placed(transaction: Transaction, hashed: bytes, instant: str) -> bytes:
    """The hash behind the time, four bytes shorter."""
    if not transaction.keys.installation.by_time:
        return hashed
    return instant.encode()[:INSTANT_LENGTH].ljust(INSTANT_LENGTH) + hashed[: len(hashed) - INSTANT_LENGTH]


def child_row(parent: bytes, digest: bytes = b"") -> bytes:
    """The row that says that a token hangs below another; without `digest` what such rows of a parent begin with."""
    return b"p" + parent + digest
