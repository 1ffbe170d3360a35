"""Where a browser login may lead back to: exactly what the role lists (RFC 6749, section 3.1.2; RFC 8252, section 7.3).

Rules of this file:
- A redirect URI is https, or http to this machine itself; it has no user, no fragment and no wildcard. It is compared as a text.
- To a loopback address any port will do, since programs listen where they find one free; everything else must be the same there too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from strongroom.errors import InvalidRequest

MAX_URI: Final = 512
"""Characters; the URI travels through the provider inside the state."""

_URI: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>(?:[/?][!$-)+-;=?-Z\[\]_a-z~%@]*)?)",
    re.ASCII,
)
LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "[::1]"))


def check(uri: str) -> None:
    """Raises InvalidRequest for what cannot be a redirect URI."""
    match = _URI.fullmatch(uri) if len(uri) <= MAX_URI else None
    if match is None or (match["scheme"] == "http" and match["host"] not in LOOPBACK):
        raise InvalidRequest(
            f"a redirect URI is https://… or http:// to localhost, 127.0.0.1 or [::1], without user, fragment or wildcard, "
            f"in up to {MAX_URI} characters"
        )


def allows(allowed: Iterable[str], uri: str) -> bool:
    """Whether one of the allowed URIs is this one."""
    match = _URI.fullmatch(uri)
    if match is None or len(uri) > MAX_URI:
        return False
    if match["host"] not in LOOPBACK:
        return uri in allowed
    return _without_port(match) in {_without_port(each) for each in map(_URI.fullmatch, allowed) if each is not None}


def _without_port(match: re.Match[str]) -> tuple[str, str, str]:
    return match["scheme"], match["host"], match["rest"]
