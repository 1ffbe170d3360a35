"""Web pages of other origins that call the API (CORS), as `sys/config/cors` says.

Rules of this file:
- Only requests with an Origin header come here; while it is off, sealed or unreadable they go on as if they had none.
- An origin that is not allowed is refused before anything is decoded. A page of this very host is no other origin.
- A preflight is answered here; everything else goes on, and its answer says for which origin it is.
"""

from __future__ import annotations

from typing import Final

from strongroom.core.core import Core
from strongroom.core.cors import STANDARD_HEADERS, Cors, cors
from strongroom.core.envelope import errors_body
from strongroom.errors import StrongroomError
from strongroom.server.annotated import AnnotatedExchange
from strongroom.server.http import Exchange
from strongroom.server.messages import header, render

METHODS: Final = ("DELETE", "GET", "OPTIONS", "POST", "PUT", "PATCH", "LIST", "SCAN")
MAX_AGE: Final = "300"
"""Seconds for which a browser may keep the answer to a preflight: how long a page goes on asking after it was switched off."""


class AllowedExchange(AnnotatedExchange, kw_only=True):
    """An exchange whose answer may be read by a page of another origin."""

    lines: bytes

    def added(self) -> bytes:
        """For which origin the answer is."""
        return self.lines


class CrossOrigin:
    """What a worker does with an Origin header."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def __call__(self, exchange: Exchange) -> Exchange | None:
        """The exchange to go on with; None where it was answered."""
        settings = self._settings()
        origin = exchange.headers[b"origin"].decode("latin-1")
        if not settings.enabled or origin.partition("://")[2].encode("latin-1") == exchange.headers.get(b"host"):
            return exchange
        if not settings.allows(origin) or not (origin.isascii() and origin.isprintable()):
            exchange.answer(render(403, errors_body("origin not allowed")))
            return None
        lines = header("Access-Control-Allow-Origin", origin) + header("Vary", "Origin")
        if exchange.verb == b"OPTIONS":
            exchange.answer(_preflight(exchange, settings, lines))
            return None
        return AllowedExchange(exchange.connection, exchange.head, exchange.body, exchange.peer, inner=exchange, lines=lines)

    def _settings(self) -> Cors:
        try:
            self._core.committed.follow()
            return cors(self._core.transaction(None))
        except StrongroomError:
            return Cors()


def _preflight(exchange: Exchange, settings: Cors, lines: bytes) -> bytes:
    """The answer to a page that asks whether it may."""
    if exchange.headers.get(b"access-control-request-method", b"").decode("latin-1") not in METHODS:
        return render(405, b"", extra=lines)
    may = (
        ("Access-Control-Allow-Methods", ",".join(METHODS)),
        ("Access-Control-Allow-Headers", ",".join((*STANDARD_HEADERS, *settings.allowed_headers))),
        ("Access-Control-Max-Age", MAX_AGE),
    )
    return render(200, b"", extra=lines + b"".join(header(name, value) for name, value in may))
