"""The PROXY protocol's grammar: what it takes, what it refuses, and that no cut of the bytes changes either."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.server.proxy_header import BINARY, LONGEST_BINARY, NONE, Header, Malformed, Source, read_header


def binary(command: int = 0x21, family: int = 0x11, block: bytes = b"", length: int | None = None) -> bytes:
    return BINARY + struct.pack("!BBH", command, family, len(block) if length is None else length) + block


def addresses(source: str, port: int, to: str = "", extensions: bytes = b"") -> bytes:
    first, second = ip_address(source), ip_address(to or source)
    return first.packed + second.packed + struct.pack("!HH", port, 443) + extensions


V4, V6 = addresses("192.0.2.7", 4_711), addresses("2001:db8::7", 4_711)
TLVS = b"\x02\x00\x09localhost" + b"\x04\x00\x00"

GOOD = {
    "tcp4": (b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n", Source("192.0.2.7", 4711)),
    "tcp6": (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", Source("2001:db8::7", 4711)),
    "the longest of version 1": (b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n", None),
    "ports may be 0": (b"PROXY TCP4 192.0.2.7 198.51.100.1 0 0\r\n", Source("192.0.2.7", 0)),
    "mapped": (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 443\r\n", Source("192.0.2.7", 4711)),
    "unknown": (b"PROXY UNKNOWN\r\n", None),
    "unknown, and more": (b"PROXY UNKNOWN ffff::1 anything 1 2\r\n", None),
    "binary tcp4": (binary(block=V4), Source("192.0.2.7", 4711)),
    "binary tcp6": (binary(family=0x21, block=V6), Source("2001:db8::7", 4711)),
    "binary mapped": (binary(family=0x21, block=addresses("::ffff:192.0.2.7", 4711)), Source("192.0.2.7", 4711)),
    "binary with extensions": (binary(block=V4 + TLVS), Source("192.0.2.7", 4711)),
    "local": (binary(command=0x20, family=0x00), None),
    "local says nothing, whatever it says": (binary(command=0x20, block=V4), None),
    "unspecified": (binary(family=0x00), None),
    "unspecified with extensions": (binary(family=0x00, block=TLVS), None),
    "unix": (binary(family=0x31, block=bytes(216)), None),
}

BAD = {
    "two spaces": b"PROXY  TCP4 192.0.2.7 198.51.100.1 4711 443\r\n",
    "a space at the end": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 \r\n",
    "lower case": b"PROXY tcp4 192.0.2.7 198.51.100.1 4711 443\r\n",
    "line feed only": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\n" + b"x" * 80,
    "a port too many": b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443 80\r\n",
    "no port": b"PROXY TCP4 192.0.2.7 198.51.100.1\r\n",
    "zeros before a port": b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 443\r\n",
    "a port beyond": b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
    "a negative port": b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
    "zeros in an address": b"PROXY TCP4 192.0.02.7 198.51.100.1 4711 443\r\n",
    "a short address": b"PROXY TCP4 127.1 198.51.100.1 4711 443\r\n",
    "an address beyond": b"PROXY TCP4 256.0.2.7 198.51.100.1 4711 443\r\n",
    "a name": b"PROXY TCP4 localhost 198.51.100.1 4711 443\r\n",
    "the other family": b"PROXY TCP4 ::1 198.51.100.1 4711 443\r\n",
    "the other family's destination": b"PROXY TCP6 ::1 198.51.100.1 4711 443\r\n",
    "a scope": b"PROXY TCP6 fe80::1%lo ::1 4711 443\r\n",
    "another family": b"PROXY UDP4 192.0.2.7 198.51.100.1 4711 443\r\n",
    "a longer word": b"PROXY UNKNOWNS\r\n",
    "a control character": b"PROXY UNKNOWN \x00\r\n",
    "two lines": b"PROXY UNKNOWN a\rb\r\n",
    "a line without end": b"PROXY UNKNOWN " + b"x" * 100,
    "version 1 in version 2": binary(command=0x11, block=V4),
    "version 3": binary(command=0x31, block=V4),
    "an unknown command": binary(command=0x22, block=V4),
    "udp": binary(family=0x12, block=V4),
    "an unknown family": binary(family=0x41, block=V4),
    "shorter than its addresses": binary(block=V4[:-1]),
    "nothing in it": binary(),
    "ipv6 with the bytes of ipv4": binary(family=0x21, block=V4),
    "longer than its parts": binary(block=V4 + b"\x02\x00\x09local"),
    "half an extension": binary(block=V4 + b"\x02\x00"),
    "longer than is read": binary(block=V4, length=LONGEST_BINARY),
}

NO_HEADER = (b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"PUT /", b"\r\n\r\nGET / HTTP/1.1\r\n", b"PROXI ", b"PROXY\t", b"\x00")


@pytest.mark.parametrize("name", GOOD)
def test_what_the_specification_has_is_read(name: str) -> None:
    sent, source = GOOD[name]
    found = read_header(sent + b"GET /")
    assert found is not None
    assert found.size == len(sent)
    assert source is None or found.source == source
    assert found.source is None or "unknown" not in name


@pytest.mark.parametrize("name", BAD)
def test_what_it_has_not_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        read_header(BAD[name])


@pytest.mark.parametrize("sent", NO_HEADER)
def test_what_begins_otherwise_is_no_header(sent: bytes) -> None:
    assert read_header(sent) == NONE


@pytest.mark.parametrize("name", GOOD)
def test_a_header_is_waited_for_to_its_last_byte(name: str) -> None:
    sent, _ = GOOD[name]
    assert all(read_header(sent[:end]) is None for end in range(len(sent)))


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", BINARY, BINARY + b"\x21\x11", BINARY + b"\x20\x00"]))
def test_any_bytes_are_a_header_or_none_or_refused_and_never_more_than_was_sent(rest: bytes, start: bytes) -> None:
    try:
        found = read_header(start + rest)
    except Malformed:
        return
    assert found is None or found.size <= len(start + rest)
    if found is not None and found.source is not None:
        assert str(ip_address(found.source.address)) == found.source.address


@given(st.ip_addresses(), st.integers(0, 65_535), st.binary(max_size=20))
def test_what_a_proxy_writes_is_what_is_read(address: object, port: int, behind: bytes) -> None:
    parsed = ip_address(str(address))
    plain = str(getattr(parsed, "ipv4_mapped", None) or parsed)
    text = f"PROXY TCP{parsed.version} {parsed} {parsed} {port} 443\r\n".encode()
    written = binary(family=0x11 if parsed.version == 4 else 0x21, block=addresses(str(parsed), port))
    for sent in (text, written):
        assert read_header(sent + behind) == Header(len(sent), Source(plain, port))
