"""Tokens of issuers, as a call checks them: at once by keys that are kept, else by keys that are fetched outside.

Rules of this file:
- Checking a signature takes a tenth of a millisecond and is done at once; only what must be fetched waits in the line for other hosts. So a
  burst of logins by kept keys is not bounded by threads, and strangers' tokens, which no kept key verifies, wait among themselves.
"""

from __future__ import annotations

from strongroom.core.call import Call
from strongroom.crypto.errors import InvalidToken
from strongroom.crypto.jws import Claims, Token
from strongroom.errors import InvalidRequest
from strongroom.outbound.client import Outbound
from strongroom.outbound.issuers import Discovery, Source, issuers, well_known


def description(call: Call, outbound: Outbound, source: Source, now: float) -> Discovery:
    """How an issuer describes itself. Raises OutboundError and InvalidRequest."""
    found, where = issuers(outbound), well_known(source)
    kept = found.described(where, now)
    return kept if kept is not None else call.outside("describe", where, fn=lambda: found.discovery(where, now))


def signed_claims(call: Call, outbound: Outbound, token: Token, sources: tuple[Source, ...], now: float) -> Claims:
    """A token's claims, signed by a key that is published at one of the sources. Raises InvalidToken and OutboundError."""
    found = issuers(outbound)
    claims = found.at_hand(token, sources, now)
    if claims is not None:
        return claims
    return call.outside("token", token, sources, fn=lambda: found.verified(token, sources, now))


def refusal(error: InvalidToken, doing: str = "") -> InvalidRequest:
    """What is answered to a token that fails a check."""
    return InvalidRequest(f"error validating token: {doing}{error}")
