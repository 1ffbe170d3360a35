"""Which addresses the server connects to: pure rules about addresses, applied to each one before it is dialled.

Rules of this file:
- Three classes. NEVER: whatever the configuration says, since there are credentials (cloud metadata) or nobody (0/8, multicast) there.
  LOCAL: private networks and this host, for targets that an administrator wrote down. SPECIAL: only when listed in `outbound.allow`.
  All else is public.
- An IPv6 address with an IPv4 address inside is judged by both: ::ffff:169.254.169.254 is no way around.
- An IPv6 address is public only inside 2000::/3; the tables name what is not in there (IANA special-purpose registries, RFC 6890).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from strongroom.errors import ConfigError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Reach(Enum):
    """How far a target may lie, by who named it."""

    PUBLIC = "public"
    """Named by a request: a URL in a token, a host to validate."""
    CONFIGURED = "configured"
    """Named in a mount's configuration: private networks and this host too."""


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


NEVER: Final = {
    "link-local": _networks("169.254.0.0/16", "fe80::/10"),
    "a metadata service of a cloud": _networks(
        "fd00:ec2::/32",  # Amazon: 254 instance metadata, 23 pod identity
        "fd20:ce::254/128",  # Google
        "168.63.129.16/32",  # Azure's host agent
        "100.100.100.200/32",  # Alibaba
        "192.0.0.192/32",  # Oracle
    ),
    "multicast or broadcast": _networks("224.0.0.0/4", "255.255.255.255/32", "ff00::/8"),
    "no host's": _networks("0.0.0.0/8", "::/128"),  # Linux takes 0.0.0.0 for this host
}

LOCAL: Final = {
    "this host": _networks("127.0.0.0/8", "::1/128"),
    "private": _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
}

SPECIAL: Final = _networks(
    "100.64.0.0/10",  # carrier-grade NAT, RFC 6598
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "2001::/23",  # Teredo, ORCHID, benchmarking …
    "2001:db8::/32",
    "2002::/16",  # 6to4
    "3fff::/20",
)
_GLOBAL: Final = IPv6Network("2000::/3")

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_LOW: Final = (_MAPPED, *(IPv6Network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")))
"""Forms whose last 32 bits are an IPv4 address: mapped, compatible, NAT64 (RFC 6052, RFC 8215)."""
_6TO4: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses inside an IPv6 one."""
    bits = int(address)
    if isinstance(address, IPv4Address) or bits <= 1:  # :: and ::1 are themselves
        return
    if any(address in network for network in _LOW):
        yield IPv4Address(bits & 0xFFFFFFFF)
    elif address in _6TO4:
        yield IPv4Address(bits >> 80 & 0xFFFFFFFF)
    elif address in _TEREDO:
        yield IPv4Address(bits >> 64 & 0xFFFFFFFF)
        yield IPv4Address(~bits & 0xFFFFFFFF)


def objection(address: Address, reach: Reach, allowed: Iterable[Network]) -> str | None:
    """What an address is that it must not be; None where the server may connect to it."""
    for part in (address, *embedded(address)):
        found = _objection(part, reach, allowed)
        if found is not None:
            return found
    return None


def _objection(address: Address, reach: Reach, allowed: Iterable[Network]) -> str | None:
    never = _named(address, NEVER)
    if never is not None or any(address in network for network in allowed):
        return never
    local = _named(address, LOCAL)
    if local is not None:
        return None if reach is Reach.CONFIGURED else local
    public = not any(address in network for network in SPECIAL) and (isinstance(address, IPv4Address) or address in _GLOBAL)
    return None if public else "set aside for a special purpose"


def _named(address: Address, table: dict[str, tuple[Network, ...]]) -> str | None:
    return next((name for name, networks in table.items() if any(address in network for network in networks)), None)


def _within(inner: Network, outer: Network) -> bool:
    return inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def allow_list(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of `outbound.allow`. Raises ConfigError for what is none, and for those that nothing opens."""
    networks = []
    for text in texts:
        try:
            network = ip_network(text)
        except ValueError:
            raise ConfigError(f"outbound: {text!r} in 'allow' is not a network; write 10.1.0.0/16 or fd12::/64") from None
        if any(_within(network, never) for networks in NEVER.values() for never in networks):
            raise ConfigError(f"outbound: {text!r} in 'allow' has no effect: the server never connects there")
        networks.append(network)
    return tuple(networks)
