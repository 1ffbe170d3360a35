"""Random identifiers: nonces, UUIDs, tokens, accessors.

Rules of this file:
- All randomness is the kernel's, drawn 4 KiB at a time: 3 ns a byte instead of 49, which counts at a nonce per record.
- A drawn piece leaves its pool in one atomic step, so two threads never get the same one; a forked child starts with empty
  pools, so two processes never do either.

A token is `srs_` (service) or `srr_` (recovery), a secret id of approle `sri_`, an enrolment token of an agent `sre_`, + 43 base62
characters (256 bits) + 6 base62 digits of the CRC-32 of all before them. The checksum lets scanners and the server tell a mistyped or
invented token from a real one; it protects nothing. The first 4 characters of a service token and of an accessor are not random: they say
when it was made, so that what is made together is stored together (docs/decisions/038-tokens-begin-with-their-time.md).
"""

from __future__ import annotations

import os
import string
import weakref
from binascii import hexlify
from struct import Struct
from zlib import crc32

POOL_BYTES = 4_096
"""One draw from the kernel: beyond this size its price per byte no longer falls."""

SERVICE_PREFIX = "srs_"
RECOVERY_PREFIX = "srr_"
SECRET_ID_PREFIX = "sri_"
ENROLMENT_PREFIX = "sre_"
BATCH_PREFIX = "srb_"
"""Followed by a base64url sealed blob, which carries its own authentication and no checksum."""

SECRET_LENGTH = 43
"""62^43 > 2^256."""
CHECKSUM_LENGTH = 6
"""62^6 > 2^32."""
TOKEN_LENGTH = len(SERVICE_PREFIX) + SECRET_LENGTH + CHECKSUM_LENGTH
"""Of every service, root and recovery token."""
ACCESSOR_LENGTH = 24
"""119 random bits: not guessable, yet independent of the token."""
INSTANT_LENGTH = 4
"""Base62 digits of a millisecond, which is about what one commit takes: they begin again every four hours. A service token keeps 232
random bits."""

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_PAIR = len(_PAIRS)
_FAIR = 256 - 256 % 62
_DIGIT_OF_BYTE = (_ALPHABET.encode() * 5)[:256]
_UNFAIR_BYTES = bytes(range(_FAIR, 256))
"""Skipped, because 256 is no multiple of 62 and the first digits would come up more often."""
UUID_BYTES = 16
_UUID_PARTS = Struct("8s4s4s4s12s")
_VERSION = bytes(0x40 | byte & 0x0F for byte in range(256))
_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))
"""What becomes of the seventh and the ninth byte (RFC 9562 5.4)."""
_CHECKED_PREFIXES = (SERVICE_PREFIX, RECOVERY_PREFIX)


class RandomPool:
    """Random pieces of one size, each handed out once."""

    def __init__(self, size: int) -> None:
        if not 1 <= size <= POOL_BYTES:
            raise ValueError(f"a piece has 1 to {POOL_BYTES} bytes, not {size}")
        self._size = size
        self._pieces: list[bytes] = []
        _pools.add(self)

    def take(self) -> bytes:
        """`size` random bytes."""
        try:
            return self._pieces.pop()
        except IndexError:
            return self._refill()

    def drop(self) -> None:
        """Forget what was drawn and not handed out."""
        self._pieces.clear()

    def _refill(self) -> bytes:
        """Draw a block; pieces of a second thread that refills at the same moment only add to it."""
        pieces = self._cut(os.urandom(POOL_BYTES))
        taken = pieces.pop()
        self._pieces.extend(pieces)
        return taken

    def _cut(self, block: bytes) -> list[bytes]:
        return [block[start : start + self._size] for start in range(0, POOL_BYTES - self._size + 1, self._size)]


class _UuidPool(RandomPool):
    """Random UUIDs as text, made a block at a time: every request takes one."""

    def __init__(self) -> None:
        super().__init__(UUID_BYTES)

    def _cut(self, block: bytes) -> list[bytes]:
        whole = bytearray(block[: POOL_BYTES - POOL_BYTES % UUID_BYTES])
        whole[6::UUID_BYTES] = whole[6::UUID_BYTES].translate(_VERSION)
        whole[8::UUID_BYTES] = whole[8::UUID_BYTES].translate(_VARIANT)
        return [b"%b-%b-%b-%b-%b" % parts for parts in _UUID_PARTS.iter_unpack(hexlify(whole))]


_pools: weakref.WeakSet[RandomPool] = weakref.WeakSet()


def _drop_all() -> None:
    for pool in list(_pools):
        pool.drop()


os.register_at_fork(after_in_child=_drop_all)

uuid4_bytes = _UuidPool().take
"""A random UUID as RFC 9562 writes it, version 4, in ASCII."""
_take_letters = RandomPool(64).take


def uuid4_text() -> str:
    """A random UUID as RFC 9562 writes it, version 4."""
    return uuid4_bytes().decode("ascii")


def base62(length: int) -> str:
    """Random digits and letters, each of the 62 equally likely."""
    letters = b""
    while len(letters) < length:
        letters += _take_letters().translate(_DIGIT_OF_BYTE, _UNFAIR_BYTES)
    return letters[:length].decode("ascii")


def instant(now: int) -> str:
    """What says when something was made, in the order of time; `now` in ns since the epoch."""
    first, last = divmod(now // 1_000_000 % _PAIR**2, _PAIR)
    return _PAIRS[first] + _PAIRS[last]


def service_token(now: int) -> str:
    """A new service token (root tokens are service tokens)."""
    return _with_checksum(SERVICE_PREFIX + instant(now) + base62(SECRET_LENGTH - INSTANT_LENGTH))


def recovery_token() -> str:
    """A new recovery token."""
    return _with_checksum(RECOVERY_PREFIX + base62(SECRET_LENGTH))


def secret_id() -> str:
    """A new secret id of an approle."""
    return _with_checksum(SECRET_ID_PREFIX + base62(SECRET_LENGTH))


def enrolment_token() -> str:
    """A new token with which one agent enrols."""
    return _with_checksum(ENROLMENT_PREFIX + base62(SECRET_LENGTH))


def accessor(now: int) -> str:
    """A new accessor; of its token it says only when it was made."""
    return instant(now) + base62(ACCESSOR_LENGTH - INSTANT_LENGTH)


def checksum(text: str) -> str:
    """CRC-32 of the text in six base62 digits."""
    rest, last = divmod(crc32(text.encode("utf-8", "surrogatepass")), _PAIR)
    first, middle = divmod(rest, _PAIR)
    return _PAIRS[first] + _PAIRS[middle] + _PAIRS[last]


def has_bad_checksum(token: str) -> bool:
    """True only for a string of our own prefix and length that we never made; ids chosen by a caller stay legal.

    Not a check of a credential: False says nothing about whether the token exists.
    """
    if len(token) != TOKEN_LENGTH or not token.startswith(_CHECKED_PREFIXES):
        return False
    return token[-CHECKSUM_LENGTH:] != checksum(token[:-CHECKSUM_LENGTH])


def _with_checksum(text: str) -> str:
    return text + checksum(text)
