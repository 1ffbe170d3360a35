"""Distinguished names as texts (RFC 4514): escaping what goes into one, and taking one apart.

Rules of this file:
- `escape` is for values of unknown origin: whatever it is given ends up as one value of one attribute.
- `parse` is strict but for spaces around separators, which administrators write and every server accepts.
"""

from __future__ import annotations

import re
from typing import Final

from strongroom.outbound.ldap.ber import Malformed, Reader

MAX_NAME: Final = 4_096
"""Characters of a name; longer ones are taken for mistakes."""

_SPECIAL: Final = frozenset('"+,;<>\\=#')
"""RFC 4514, 2.4, and `=` and `#` anywhere, which Active Directory wants escaped and all others accept so."""

_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*", re.ASCII)
_HEX: Final = re.compile(r"#(?:[0-9A-Fa-f]{2})+", re.ASCII)

Attribute = tuple[str, str]
Name = tuple[tuple[Attribute, ...], ...]
"""Relative names, the most specific first; each is one attribute or several joined by `+`."""


class InvalidName(ValueError):
    """This text is not a distinguished name."""


def escape(value: str) -> str:
    """A value as it stands in a name. Everything outside printable ASCII is written as its octets, so nothing is left to interpret."""
    parts = []
    for at, char in enumerate(value):
        if char in _SPECIAL or (char == " " and at in (0, len(value) - 1)):
            parts.append("\\" + char)
        elif " " <= char <= "~":
            parts.append(char)
        else:
            parts.extend(f"\\{octet:02X}" for octet in char.encode())
    return "".join(parts)


def parse(text: str) -> Name:
    """The parts of a name. Raises InvalidName."""
    if len(text) > MAX_NAME:
        raise InvalidName(f"a distinguished name has at most {MAX_NAME} characters")
    return tuple(tuple(_attribute(part) for part in _split(relative, "+")) for relative in _split(text, ",")) if text else ()


def common_name(text: str) -> str:
    """The first CN of a name; a text that is not a name, or has none, is returned as it is."""
    try:
        name = parse(text)
    except InvalidName:
        return text
    return next((value for relative in name for kind, value in relative if kind.lower() == "cn"), text)


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that no backslash precedes."""
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def _attribute(text: str) -> Attribute:
    kind, equals, value = text.partition("=")
    kind = kind.strip(" ")
    if not equals or not _TYPE.fullmatch(kind):
        raise InvalidName("a distinguished name is made of parts such as ou=people, joined by commas")
    value = value.lstrip(" ")
    return kind, _from_hexadecimal(value.rstrip(" ")) if value.startswith("#") else _unescape(value)


def _from_hexadecimal(value: str) -> str:
    """A value written as the digits of its encoding."""
    try:
        reader = Reader(bytes.fromhex(value[1:]) if _HEX.fullmatch(value) else b"")
        return reader.text(reader.kind)
    except Malformed:
        raise InvalidName("behind # stand the hexadecimal digits of an encoded text; a # itself is written \\#") from None


def _unescape(value: str) -> str:
    octets = bytearray()
    kept = 0  # what lies before this is meant, spaces too
    at = 0
    while at < len(value):
        char = value[at]
        if char == "\\":
            pair = value[at + 1 : at + 3]
            if re.fullmatch(r"[0-9A-Fa-f]{2}", pair):
                octets.append(int(pair, 16))
                at += 3
            elif pair and pair[0] in _SPECIAL | {" "}:
                octets += pair[0].encode()
                at += 2
            else:
                raise InvalidName("a backslash stands before one of the special characters or two hexadecimal digits")
            kept = len(octets)
            continue
        if char in '"<>;\0':
            raise InvalidName('the characters " < > ; are written with a backslash before them')
        octets += char.encode("utf-8", "surrogatepass")
        at += 1
    while len(octets) > kept and octets.endswith(b" "):
        octets.pop()
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise InvalidName("the octets of a value are UTF-8") from None
