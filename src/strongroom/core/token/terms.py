"""The rules of what a token gets: policies, time, networks, ids. Pure functions of what was asked and what is configured.

Rules of this file: durations in seconds, instants in ns; nothing here reads a row or a clock.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface, ip_network

from strongroom.clock import SECOND
from strongroom.core.mount import Mount
from strongroom.core.mounts import Ttls
from strongroom.core.response import Grant
from strongroom.core.token.entry import TokenEntry
from strongroom.crypto.ids import BATCH_PREFIX, RECOVERY_PREFIX, SERVICE_PREFIX
from strongroom.errors import InvalidRequest
from strongroom.types import brief_duration

MAX_ID = 256
MAX_NETWORKS = 64
"""Each is looked at per request until the answer is remembered."""


@lru_cache(maxsize=4_096)
def inside(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an address lies in one of the networks; an IPv4 address in IPv6 clothes counts as IPv4."""
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer in ip_network(network, strict=False) for network in networks)


def lets_in(networks: tuple[str, ...], address: str) -> bool:
    """Whether something bound to networks is open to an address; bound to none it is open to all."""
    return not networks or inside(address, networks)


def covers(outer: tuple[str, ...], inner: tuple[str, ...]) -> bool:
    """Whether each of the inner networks lies in one of the outer ones; with no outer ones it does."""
    around = [ip_network(text, strict=False) for text in outer]
    within = [ip_network(text, strict=False) for text in inner]
    return not around or all(any(_lies_in(network, each) for each in around) for network in within)


def shared(some: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """The networks that lie in both; of two networks one lies in the other, or they share nothing. None at all stand for everywhere."""
    if not some or not others:
        return some or others
    within = [text for text in some if covers(others, (text,))] + [text for text in others if covers(some, (text,))]
    return tuple(dict.fromkeys(within))


def _lies_in(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


def bound_cidrs(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The networks that a caller gave, each as he wrote it (10.1.2.3/8 names 10.0.0.0/8), since tools read back what they wrote.

    A bare address is a network of one. Raises InvalidRequest.
    """
    if len(texts) > MAX_NETWORKS:
        raise InvalidRequest(f"at most {MAX_NETWORKS} bound CIDRs; join neighbouring ones")
    try:
        return tuple(str(ip_interface(text) if "/" in text else ip_address(text)) for text in texts)
    except ValueError:
        raise InvalidRequest("bound CIDRs are addresses or networks such as 10.0.0.0/8") from None


def check_token_id(text: str) -> None:
    """Refuse an id a caller may not choose. Raises InvalidRequest."""
    if text.startswith((SERVICE_PREFIX, BATCH_PREFIX, RECOVERY_PREFIX)):
        raise InvalidRequest(f"custom token ID cannot have the {text[:4]!r} prefix")
    for prefix in ("hvs.", "s."):
        if text.startswith(prefix):
            raise InvalidRequest(f"custom token ID cannot have the '{prefix}' prefix")
    if "." in text:
        raise InvalidRequest("custom token ID cannot have a '.' in the value")
    if len(text) > MAX_ID or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidRequest(f"custom token ID is made of up to {MAX_ID} printable ASCII characters without spaces")


def granted_policies(grant: Grant) -> tuple[str, ...]:
    """What stands on the token: sorted, `default` added unless refused, `root` alone where it is there."""
    if "root" in grant.policies:
        return ("root",)
    extra = () if grant.no_default_policy else ("default",)
    return tuple(sorted({*grant.policies, *extra}))


def resolved_kind(grant: Grant, mount: Mount | None) -> str:
    """ "service" or "batch": what the mount insists on, else what was asked for, else the mount's default. Raises InvalidRequest."""
    tuned = mount.config.token_type if mount is not None else ""
    asked = grant.token_type
    if tuned in ("service", "batch"):
        kind = tuned
    elif asked in ("service", "batch"):
        kind = asked
    else:
        kind = "batch" if "default-batch" in (asked, tuned if asked in ("", "default") else "") else "service"
    if kind == "batch" and (grant.num_uses or grant.period):
        raise InvalidRequest("batch tokens cannot have a number of uses or a period")
    return kind


def ttl_of(grant: Grant, ttls: Ttls, warn: list[str] | None = None) -> int:
    """Seconds a new token lives: its own wish or the mount's default, under every ceiling."""
    ceiling = _ceiling(grant, ttls)
    if grant.period:
        return _capped("period", grant.period, ceiling, warn)
    return _capped("TTL", grant.ttl or ttls.default, ceiling, warn)


def _ceiling(terms: Grant | TokenEntry, ttls: Ttls) -> int:
    """The longest that one stretch may be, also that of a period."""
    return min(filter(None, (ttls.max, terms.max_ttl, terms.explicit_max_ttl)), default=0)


def renewal_ttl(entry: TokenEntry, increment: int, ttls: Ttls, now: int, warn: list[str] | None = None) -> int:
    """Seconds from now that a renewal gives. Raises InvalidRequest past the ceiling."""
    if increment < 0:
        raise InvalidRequest("increment must not be negative")
    ceiling = _ceiling(entry, ttls)
    if entry.period:
        wanted = _capped("period", entry.period, ceiling, warn)
        ceiling = entry.explicit_max_ttl
    else:
        wanted = increment or entry.ttl or ttls.default
    if not ceiling:
        return wanted
    left = entry.created + ceiling * SECOND - now
    if left < SECOND:
        raise InvalidRequest("past the max TTL, cannot renew")
    _capped("TTL", wanted, -(-left // SECOND), warn)  # of what is lost of a second nobody is told
    return min(wanted, left // SECOND)


def _capped(what: str, asked: int, most: int, warn: list[str] | None) -> int:
    """The shorter of two times, 0 = no limit; a warning where that is not what was asked for."""
    if not most or asked <= most:
        return asked
    if warn is not None:
        excess = f'{what} of "{brief_duration(asked)}" exceeded the effective max_ttl of "{brief_duration(most)}"'
        warn.append(f"{excess}; {what} value is capped accordingly")
    return most
