"""Batch tokens: tokens that are not stored, because each is its own sealed entry.

    srb_ | base64url( nonce 24 | sealed TokenEntry ), without padding

Rules of this file:
- One token has one spelling: other base64 of the same bytes is no token. What does not open is refused like any unknown token.
"""

from __future__ import annotations

import base64
import binascii
from hmac import compare_digest

import msgspec

from strongroom.core.secret import Secret
from strongroom.core.token.entry import TokenEntry
from strongroom.core.transaction import Transaction
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.ids import BATCH_PREFIX
from strongroom.crypto.records import NONCE_BYTES, new_nonce
from strongroom.errors import InvalidRequest, InvalidToken

MAX_TEXT = 4_096
"""Characters of a credential: a batch token carries its metadata, everything else is far shorter."""

_AAD = b"strongroom batch token"


def seal_batch(transaction: Transaction, entry: TokenEntry) -> Secret:
    """The token that is this entry. Raises InvalidRequest where it would be too long to be sent back."""
    nonce = new_nonce()
    text = _text(nonce + transaction.keys.batch.seal(nonce, msgspec.msgpack.encode(entry), _AAD))
    if len(text) > MAX_TEXT:
        raise InvalidRequest("a batch token carries its metadata and policies, too long here; ask for a service token")
    return Secret(text)


def open_batch(transaction: Transaction, credential: Secret) -> TokenEntry:
    """The entry that a batch token is; says nothing about its ancestors or its end. Raises InvalidToken."""
    blob = credential.reveal()[len(BATCH_PREFIX) :]
    try:
        sealed = base64.b64decode(blob + "=" * (-len(blob) % 4), b"-_", validate=True)
        opened = transaction.keys.batch.open(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _AAD)
        entry = msgspec.msgpack.decode(opened, type=TokenEntry)
    except (binascii.Error, InvalidRecord, ValueError):
        raise InvalidToken from None
    if not compare_digest(_text(sealed).encode(), credential.reveal().encode()):
        raise InvalidToken  # another spelling of the same bytes would be another token
    return entry


def _text(sealed: bytes) -> str:
    return BATCH_PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("=")
