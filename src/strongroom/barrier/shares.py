"""Sets of Shamir shares: what the store remembers of them, so that a wrong share is named when it is given.

Rules of this file:
- A share is 33 bytes in Vault's layout (32 where nothing was split), written as hex or base64. Vault's clients print and take both.
- The store keeps a tag of each share, an HMAC under the set's random id. A share has 256 random bits, so its tag tells nothing.
- What is not a share of a set never enters a ceremony: nobody spoils one with rubbish, and no round fails at its last share.
- The combined key is returned as a bytearray that its user clears with `wipe`. The bytes it was made of, and the texts that came
  in, are beyond our reach: Python cannot erase them.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from strongroom.crypto import shamir
from strongroom.crypto.mac import Mac
from strongroom.errors import InvalidRequest

KEY_BYTES = 32
TAG_BYTES = 16


class ShareSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One split of one key: `size` bytes a share, a tag for each."""

    id: bytes
    shares: int
    threshold: int
    size: int
    tags: tuple[bytes, ...]

    def same(self, other: ShareSet | None) -> bool:
        """Whether this is that set; ids are public."""
        return other is not None and self.id == other.id


class Split(NamedTuple):
    """A fresh key, its shares to hand out once, and what the store may know about them."""

    key: bytearray
    shares: list[bytes]
    share_set: ShareSet

    def __repr__(self) -> str:
        return f"Split({len(self.shares)} shares)"


def check_numbers(shares: int, threshold: int) -> None:
    """Raises InvalidRequest, in Vault's words, for numbers that cannot be a split."""
    problems = (
        (shares < 1, "shares must be at least one"),
        (threshold < 1, "threshold must be at least one"),
        (shares > shamir.MAX_SHARES, "shares must be less than 256"),
        (threshold > shares, "threshold cannot be larger than shares"),
        (shares > 1 and threshold == 1, "threshold must be greater than one for multiple shares"),
    )
    for wrong, text in problems:
        if wrong:
            raise InvalidRequest(text)


def split_new_key(shares: int, threshold: int) -> Split:
    """Make a random key and split it. Raises InvalidRequest."""
    check_numbers(shares, threshold)
    key = bytearray(secrets.token_bytes(KEY_BYTES))
    pieces = shamir.split(bytes(key), shares, threshold)
    name = secrets.token_bytes(16)
    tags = tuple(_tag(name, piece) for piece in pieces)
    return Split(key, pieces, ShareSet(name, shares, threshold, len(pieces[0]), tags))


def _tag(name: bytes, share: bytes) -> bytes:
    return Mac(name).digest(share)[:TAG_BYTES]


def parse_share(text: str, sizes: Iterable[int]) -> bytes:
    """Read a share as a client wrote it. Raises InvalidRequest, saying what is wrong with its form."""
    share = _decoded(text.strip())
    allowed = sorted(set(sizes))
    if share is None:
        raise InvalidRequest("'key' must be a valid hex or base64 string")
    if allowed and len(share) < allowed[0]:
        raise InvalidRequest(f"key is shorter than minimum {allowed[0]} bytes: it was cut off, or is not a share of this installation")
    if allowed and len(share) > allowed[-1]:
        raise InvalidRequest(f"key is longer than maximum {allowed[-1]} bytes: it is not a share of this installation")
    return share


def _decoded(text: str) -> bytes | None:
    if len(text) in (2 * KEY_BYTES, 2 * KEY_BYTES + 2):
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), validate=True) or None
    except (UnicodeEncodeError, binascii.Error):
        return None


def set_of(share: bytes, sets: Sequence[ShareSet]) -> ShareSet:
    """The set that a share belongs to. Raises InvalidRequest for a stranger."""
    for candidate in sets:
        tag = _tag(candidate.id, share)
        if any(hmac.compare_digest(tag, known) for known in candidate.tags):
            return candidate
    raise InvalidRequest(
        "the key is not one of this installation's current key shares: it is mistyped, from another installation, "
        "or was replaced by a rekey; it was not counted"
    )


def combined(shares: Sequence[bytes]) -> bytearray:
    """The key that the shares of one set give. Raises InvalidRequest."""
    try:
        return bytearray(shamir.combine(shares))
    except shamir.ShareError as error:
        raise InvalidRequest(f"the key shares do not fit together: {error}") from None


def wipe(*buffers: bytearray) -> None:
    """Overwrite keys that are no longer needed; best effort, copies made elsewhere stay."""
    for buffer in buffers:
        if buffer:
            ctypes.memset((ctypes.c_char * len(buffer)).from_buffer(buffer), 0, len(buffer))
