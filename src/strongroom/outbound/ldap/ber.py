"""The part of BER that LDAP uses (RFC 4511, 5.1): definite lengths, primitive strings, and tags of one byte: an element's kind.

Rules of this file: reading never goes past what is there and never recurses; anything else than the expected kind is Malformed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTETS: Final = 0x04
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
SET: Final = 0x31

_LENGTH_BYTES: Final = 4
"""Longest form of a length; some servers write all lengths in it."""


class Malformed(ValueError):
    """These bytes are not what the protocol says."""


def element(kind: int, *content: bytes) -> bytes:
    """One element of the joined content."""
    body = b"".join(content)
    size = len(body)
    if size < 0x80:
        return bytes((kind, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((kind, 0x80 | len(length))) + length + body


def integer(value: int, kind: int = INTEGER) -> bytes:
    """A number in as few bytes as it takes."""
    return element(kind, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(value: bool, kind: int = BOOLEAN) -> bytes:
    """LDAP writes true as 0xFF."""
    return element(kind, b"\xff" if value else b"\x00")


def octets(value: bytes | str, kind: int = OCTETS) -> bytes:
    """A string; text is UTF-8 (RFC 4511, 4.1.2)."""
    return element(kind, value.encode() if isinstance(value, str) else value)


def needed(head: bytes | bytearray) -> int:
    """How many bytes the element has whose first bytes these are; 0 while they do not say it. Raises Malformed."""
    if len(head) < 2:
        return 0
    first = head[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 1 <= count <= _LENGTH_BYTES:
        raise Malformed("a length that LDAP does not use")
    if len(head) < 2 + count:
        return 0
    return 2 + count + int.from_bytes(head[2 : 2 + count], "big")


class Reader:
    """Elements one after another."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    @property
    def kind(self) -> int:
        """The next element's kind; -1 at the end."""
        return self._data[self._at] if self else -1

    def take(self, kind: int) -> bytes:
        """The content of the next element, which has this kind. Raises Malformed."""
        if self.kind != kind:
            raise Malformed(f"expected an element with kind {kind:#x}")
        head = self._data[self._at : self._at + 2 + _LENGTH_BYTES]
        size = needed(head)
        end = self._at + size
        if size == 0 or end > len(self._data):
            raise Malformed("an element ends before its length says so")
        start = self._at + (2 if head[1] < 0x80 else 2 + (head[1] & 0x7F))
        self._at = end
        return self._data[start:end]

    def inside(self, kind: int) -> Reader:
        """The elements of the next element."""
        return Reader(self.take(kind))

    def number(self, kind: int = INTEGER) -> int:
        """The next element as a number."""
        content = self.take(kind)
        if not 1 <= len(content) <= 8:
            raise Malformed("a number of no or of too many bytes")
        return int.from_bytes(content, "big", signed=True)

    def text(self, kind: int = OCTETS) -> str:
        """The next element as UTF-8."""
        try:
            return self.take(kind).decode()
        except UnicodeDecodeError:
            raise Malformed("a text that is not UTF-8") from None

    def all(self, kind: int) -> Iterator[bytes]:
        """The contents of all further elements, which have this kind."""
        while self:
            yield self.take(kind)
