"""The URLs that the server goes to, in one strict form.

Rules of this file:
- ASCII, `https://host[:port][/path][?query]`. No user name, no fragment: the first hides where a URL leads, the second is not sent.
- A host is a DNS name, a dotted quad or an IPv6 literal in brackets. What only looks like a number (`0x7f.1`, `2130706433`, `127.1`) is
  refused: C libraries read addresses into it.
- `http://` only where the caller says that it may be.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

from strongroom.errors import InvalidRequest

MAX_URL = 8_192
"""Characters; servers in the field refuse longer request lines."""
MAX_NAME = 253
"""Characters of a DNS name (RFC 1035)."""

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,254})(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>(?:/[A-Za-z0-9._~!$&'()*+,;=:@/%-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?)",
    re.ASCII,
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_PORTS = {"https": 443, "http": 80}


class Url(NamedTuple):
    """A checked URL. `authority` is the host header, `target` the request line's."""

    scheme: str
    host: str
    port: int
    authority: str
    target: str


def parse_url(text: str, *, plaintext: bool = False) -> Url:
    """Take a URL apart. `plaintext`: http:// may be, too. Raises InvalidRequest, which does not quote it."""
    match = _URL.fullmatch(text) if len(text) <= MAX_URL else None
    if match is None:
        raise InvalidRequest("a URL is https://host[:port]/path in ASCII, without user name and fragment")
    scheme, written = match["scheme"], match["host"]
    if scheme == "http" and not plaintext:
        raise InvalidRequest("a URL here begins with https://")
    port = int(match["port"] or _PORTS[scheme])
    if not 0 < port < 65_536:
        raise InvalidRequest("a URL's port is a number from 1 to 65535")
    target = match["target"]
    authority = written if port == _PORTS[scheme] else f"{written}:{port}"
    return Url(scheme, checked_host(written), port, authority, target if target.startswith("/") else "/" + target)


def base_url(text: str, field: str, *, plaintext: bool = False) -> str:
    """A URL that paths are put behind, as a configuration's field says it; without a slash at its end. Raises InvalidRequest."""
    if "?" in parse_url(text, plaintext=plaintext).target:
        raise InvalidRequest(f"'{field}' is a URL with a query, and takes https://host[:port]/path")
    return text.rstrip("/")


def checked_host(text: str) -> str:
    """A host without brackets, in lower case. Raises InvalidRequest."""
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1]))
        name = text.lower().removesuffix(".")
        labels = name.split(".")
        if _NUMBER.fullmatch(labels[-1]):
            return str(IPv4Address(name))
    except AddressValueError:
        raise InvalidRequest("a URL's host is neither a name nor an address") from None
    if len(name) > MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidRequest("a URL's host is neither a name nor an address; write international names in their xn-- form")
    return name
