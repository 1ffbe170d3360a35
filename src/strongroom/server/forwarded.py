"""Who a request comes from when trusted proxies stand in between: the address, and the client's certificate.

Rules of this file:
- `X-Forwarded-For` counts only when the connection itself comes from a network the operator listed; the options and their defaults are
  Vault's (`x_forwarded_for_*`): a missing header, or one from a stranger, is refused unless switched to "use the connection's address".
- The address is taken from the right end, `hop_skips` entries further left, because a client can write anything at the left end.
- A trusted proxy's own certificate is never its clients': behind it they have the one in the header that the operator named, or none. That
  header of anybody else is ignored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from strongroom.core.request import Peer
from strongroom.errors import InvalidRequest
from strongroom.server.client_certificate import CertificateHeader

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Forwarding(NamedTuple):
    """A listener's trust in proxies. No networks: the header is ignored."""

    networks: tuple[Network, ...] = ()
    hop_skips: int = 0
    reject_not_present: bool = True
    reject_not_authorized: bool = True
    certificate: CertificateHeader | None = None

    def peer(self, connection: Peer, headers: Mapping[bytes, bytes]) -> Peer:
        """Who asks. Raises InvalidRequest where the operator wants such requests refused."""
        address = self.address(connection.address, headers.get(b"x-forwarded-for"))
        if self.trusts(connection.address):
            leaf = self.certificate.leaf(headers) if self.certificate is not None else None
            return Peer(address, connection.port, leaf, (), connection.opened)
        return connection

    def trusts(self, address: str) -> bool:
        """True when the connection's address lies in a listed network."""
        return lies_in(address, self.networks)

    def address(self, connection: str, header: bytes | None) -> str:
        """The client's address. Raises InvalidRequest where the operator wants such requests refused."""
        if not self.networks:
            return connection
        if header is None:
            return self._without(connection, self.reject_not_present, "missing x-forwarded-for header")
        if not self.trusts(connection):
            return self._without(connection, self.reject_not_authorized, "client address not authorized for x-forwarded-for")
        hops = header.split(b",")
        index = len(hops) - 1 - self.hop_skips
        if index < 0:
            raise InvalidRequest(f"x-forwarded-for has {len(hops)} addresses, too few to skip {self.hop_skips} hops")
        return _clean(hops[index])

    @staticmethod
    def _without(connection: str, reject: bool, reason: str) -> str:
        if reject:
            raise InvalidRequest(f"{reason} and configured to reject; send requests through the proxy")
        return connection


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and CIDR blocks as the configuration gives them. Raises ValueError."""
    return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts)


def lies_in(address: str, networks: Sequence[Network]) -> bool:
    """True when the text is an address in one of these networks."""
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _clean(hop: bytes) -> str:
    text = hop.strip(b" \t").decode("latin-1")
    parsed = _parse(text)
    if parsed is None:
        raise InvalidRequest("malformed x-forwarded-for header; it must list IP addresses")
    return str(parsed)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, with or without a port as some proxies append it; IPv4 inside IPv6 counts as IPv4."""
    if "%" in text:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
