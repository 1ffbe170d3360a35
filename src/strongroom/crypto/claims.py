"""What a token's registered claims must say (RFC 7519, section 4.1), for every method that logs in with one.

Rules of this file:
- Pure: the clock's reading is handed in. Checks raise InvalidToken with the sentence that Vault's clients know.
- A claim of the wrong type is refused, never converted: `exp` is a number of seconds, `iss` a text, `aud` a text or a list of texts.
- `aud` as one text and as a list of one compare alike (CVE-2024-5798). Issuers and audiences are compared whole, never by prefix.
- A token that names no time at all is refused; one without `exp` gets one from its other times, as Vault does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from strongroom.clock import SECOND
from strongroom.crypto.errors import InvalidToken

LATEST = 1 << 53
"""Seconds: the last whole number that every JSON parser reads alike."""


@dataclass(frozen=True, slots=True)
class Leeway:
    """Seconds. `skew`: clocks may differ by it. The others: how long a token without `exp` is good, and one without `nbf` was before."""

    skew: int = 60
    expiration: int = 150
    not_before: int = 150


DEFAULT_LEEWAY = Leeway()


def check_times(claims: Mapping[str, Any], now: int, leeway: Leeway = DEFAULT_LEEWAY) -> None:
    """`now` in nanoseconds. Raises InvalidToken."""
    issued, starts, ends = _instants(claims)
    if issued is None and starts is None and ends is None:
        raise InvalidToken("no issued at (iat), not before (nbf), or expiration time (exp) claims in token")
    if ends is None:
        ends = max(each for each in (issued, starts) if each is not None) + leeway.expiration
    if starts is None:
        starts = issued if issued is not None else ends - leeway.not_before
    _check_instants(issued, starts, ends, now, leeway.skew)


def check_times_said(claims: Mapping[str, Any], now: int, skew: int = DEFAULT_LEEWAY.skew) -> None:
    """As `check_times`, for tokens whose issuer is asked, too: times that it does not name are no matter. Raises InvalidToken."""
    _check_instants(*_instants(claims), now, skew)


def _check_instants(issued: Decimal | None, starts: Decimal | None, ends: Decimal | None, now: int, skew: int) -> None:
    seconds = Decimal(now) / SECOND
    if ends is not None and ends < seconds - skew:
        raise InvalidToken("invalid expiration time (exp) claim: token is expired")
    if starts is not None and starts > seconds + skew:
        raise InvalidToken("invalid not before (nbf) claim: token not yet valid")
    if issued is not None and issued > seconds + skew:
        raise InvalidToken("invalid issued at (iat) claim: token issued in the future")


def _instants(claims: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    return _instant(claims, "iat"), _instant(claims, "nbf"), _instant(claims, "exp")


def _instant(claims: Mapping[str, Any], name: str) -> Decimal | None:
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= LATEST:
        raise InvalidToken(f"the token's '{name}' is not a number of seconds")
    return Decimal(value)


def check_issuer(claims: Mapping[str, Any], allowed: Collection[str]) -> None:
    """`iss` is one of these. Raises InvalidToken."""
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in allowed:
        raise InvalidToken("invalid issuer (iss) claim")


def audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The token's audiences. Raises InvalidToken where `aud` is neither a text nor a list of texts."""
    value = claims.get("aud", [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise InvalidToken("invalid audience (aud) claim: it is neither a text nor a list of texts")
    return tuple(values)


def check_audience(claims: Mapping[str, Any], allowed: Collection[str]) -> None:
    """One of the token's audiences is allowed. Raises InvalidToken."""
    if not set(audiences(claims)).intersection(allowed):
        raise InvalidToken("invalid audience (aud) claim: audience claim does not match any expected audience")
