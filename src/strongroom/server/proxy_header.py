"""The PROXY protocol's header, versions 1 and 2, as bytes: who a connection comes from that a proxy passes on.

Rules of this file:
- The grammar is that of the specification (haproxy.org, proxy-protocol.txt, of 2020/03/05), and what is not in it is refused: one space
  between the words, no leading zeros, addresses of the family that was said, a length that its parts add up to.
- What a header says beside the source, the destination and the extensions of version 2, is checked for its form and dropped.
- Pure: bytes in, a source or a refusal out. Whether the sender may say so is decided in proxy_protocol.py.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

TEXT: Final = b"PROXY "
BINARY: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""How the versions begin (2.1, 2.2). No HTTP request and no TLS handshake begins like either."""
LONGEST_TEXT: Final = 107
"""Bytes of a header of version 1 (2.1)."""
LONGEST_BINARY: Final = 16 + 2_048
"""Bytes of one of version 2: it may say 64 KiB; what proxies send with all their extensions stays below 600."""

_TEXT: Final = re.compile(
    rb"PROXY (?:TCP(?P<family>[46]) (?P<source>[0-9A-Fa-f.:]{2,45}) (?P<to>[0-9A-Fa-f.:]{2,45}) (?P<port>[0-9]{1,5}) (?P<at>[0-9]{1,5})"
    rb"|UNKNOWN(?: [\x20-\x7e]*)?)\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21
_SIZES: Final = {0x11: 4, 0x21: 16}
"""TCP over IPv4 and IPv6, and the bytes of an address."""
_UNADDRESSED: Final = {0x00: 0, 0x31: 216}
"""Families without an address that means anything here, unspecified and Unix sockets, and the bytes that they take."""


class Source(NamedTuple):
    """Where the connection to the proxy came from."""

    address: str
    port: int


class Header(NamedTuple):
    """`size` bytes of header. No source: the proxy speaks for itself, or does not know."""

    size: int
    source: Source | None = None


class Malformed(Exception):
    """It begins like a header and is none; the text says why."""


NONE: Final = Header(0)
"""There is no header."""


def read_header(data: bytes) -> Header | None:
    """The header that these bytes begin with, `NONE` if they begin otherwise, None while too few are here to say. Raises Malformed."""
    if data.startswith(TEXT):
        return _read_text(data)
    if data.startswith(BINARY):
        return _read_binary(data)
    return None if TEXT.startswith(data) or BINARY.startswith(data) else NONE


# ---- version 1


def _read_text(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, LONGEST_TEXT) + 2
    if end == 1:
        if len(data) >= LONGEST_TEXT:
            raise Malformed(f"its line is longer than {LONGEST_TEXT} bytes")
        return None
    match = _TEXT.fullmatch(data, 0, end)
    if match is None:
        raise Malformed("its line is not one of version 1")
    if match["family"] is None:
        return Header(end)
    source, _ = (_endpoint(match["family"], match[name], match[port]) for name, port in (("source", "port"), ("to", "at")))
    return Header(end, source)


def _endpoint(family: bytes, address: bytes, port: bytes) -> Source:
    number = int(port)
    if number > 65_535 or port != b"%d" % number:
        raise Malformed("a port is a number up to 65535 without leading zeros")
    kind = IPv4Address if family == b"4" else IPv6Address
    try:
        return Source(_plain(kind(address.decode("ascii"))), number)
    except AddressValueError:
        raise Malformed("an address is not of the family that it says") from None


def _plain(address: IPv4Address | IPv6Address) -> str:
    """IPv4 inside IPv6 counts as IPv4, as everywhere."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


# ---- version 2


def _read_binary(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    command, family, length = data[12], data[13], int.from_bytes(data[14:16])
    if command not in (_LOCAL, _PROXY):
        raise Malformed("its version is not 2, or its command is unknown")
    size = 16 + length
    if size > LONGEST_BINARY:
        raise Malformed(f"it is longer than {LONGEST_BINARY} bytes")
    if len(data) < size:
        return None
    if command == _LOCAL:  # the proxy's own, such as a look whether we live; whatever it says of addresses must be ignored (2.2)
        return Header(size)
    return Header(size, _addressed(family, data[16:size]))


def _addressed(family: int, block: bytes) -> Source | None:
    if family in _UNADDRESSED:
        _check_extensions(block, _UNADDRESSED[family])
        return None
    if family not in _SIZES:
        raise Malformed("its family is not TCP")
    size = _SIZES[family]
    _check_extensions(block, 2 * size + 4)
    address = block[:size]
    return Source(_plain(IPv4Address(address) if size == 4 else IPv6Address(address)), int.from_bytes(block[2 * size : 2 * size + 2]))


def _check_extensions(block: bytes, at: int) -> None:
    """Type, two bytes of length, value, and so to the end (2.2). Raises Malformed."""
    while at < len(block):
        at += 3 + int.from_bytes(block[at + 1 : at + 3]) if at + 3 <= len(block) else len(block)
    if at != len(block):
        raise Malformed("its length is not that of its parts")
