"""What issuers of tokens publish: their description (OpenID Connect Discovery 1.0) and their keys (RFC 7517), fetched and kept a while.

Rules of this file:
- Blocking code on pool threads: inside `call.once`. What is kept belongs to the Outbound it came through, so to this process.
- Kept things are good for `FRESH`. A token that the kept keys do not verify has them fetched anew, since issuers rotate without notice;
  but never within `PAUSE` of the last fetch, so strangers with made-up key ids cause two requests a minute and not one each.
- A fetch that failed is not tried again for `RETRY`: while an issuer is down, its logins fail at once and take no threads.
- One fetch at a time for one address. Who needs what it will bring waits for it, a few at most; who is served by what is kept does not.
- An issuer's description may name addresses on its own host as far as the configuration reached, and public ones elsewhere: whoever runs
  the issuer does not thereby reach into this network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from strongroom.crypto.errors import InvalidToken, UnusableKey
from strongroom.crypto.jwk import Key, from_key_set
from strongroom.crypto.jws import Claims, Token
from strongroom.memo import remember
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import BadAnswer, OutboundError
from strongroom.outbound.url import parse_url
from strongroom.outbound.wire import Answer

FRESH: Final = 3_600.0
"""Seconds. A key that an issuer withdrew is trusted for that long at most; issuers ask for between minutes and a day."""
PAUSE: Final = 30.0
RETRY: Final = 5.0
MAX_WAITING: Final = 8
"""Tokens that wait for one address's new keys. More of them are refused at once: strangers' tokens wait, too, and threads are few."""
MAX_KEPT: Final = 1_000
"""Addresses whose answers are kept: one or two a mount."""
MAX_DOCUMENT: Final = 256 * 1024
"""Bytes of a description or a key set; large ones have thirty thousand."""

T = TypeVar("T")


class Source(NamedTuple):
    """Where something is published, and whom to trust there."""

    url: str
    ca_pem: str = ""
    reach: Reach = Reach.CONFIGURED
    plaintext: bool = False


class Discovery(msgspec.Struct, frozen=True):
    """An issuer's description of itself, as far as it is used here."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ()


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[Any]


class Issuers:
    """What was fetched through one Outbound."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._kept: dict[tuple[Source, object], _Kept[Any]] = {}

    def discovery(self, source: Source, now: float) -> Discovery:
        """An issuer's description. Raises OutboundError and InvalidRequest."""
        return self._at(source, _read_discovery).get(now)

    def verified(self, token: Token, sources: Sequence[Source], now: float) -> Claims:
        """A token's claims, signed by a key that is published at one of the sources. Raises InvalidToken and OutboundError."""
        kept = [self._at(source, _read_keys) for source in sources]
        before = [each.brought for each in kept]
        try:
            return _verified(token, kept, now)
        except InvalidToken:
            newer = [each.renew(now, since) for each, since in zip(kept, before, strict=True)]
            if not any(newer):
                raise
        return _verified(token, kept, now)

    def described(self, source: Source, now: float) -> Discovery | None:
        """An issuer's description where it is kept: quick, for the loop."""
        return self._at(source, _read_discovery).fresh(now)

    def at_hand(self, token: Token, sources: Sequence[Source], now: float) -> Claims | None:
        """A token's claims where kept keys verify it: quick, for the loop."""
        kept = [self._at(source, _read_keys).fresh(now) or () for source in sources]
        try:
            return token.verify([key for keys in kept for key in keys])
        except InvalidToken:
            return None

    def keys(self, source: Source, now: float) -> tuple[Key, ...]:
        """The keys published at an address. Raises OutboundError and InvalidRequest."""
        return self._at(source, _read_keys).get(now)

    def _at(self, source: Source, read: Callable[[Answer], T]) -> _Kept[T]:
        place = (source, read)
        found = self._kept.get(place)
        return found if found is not None else remember(self._kept, MAX_KEPT, place, _Kept(self._outbound, source, read))


def _verified(token: Token, kept: Sequence[_Kept[tuple[Key, ...]]], now: float) -> Claims:
    """By a key of any source that answers; where none of theirs fits, one that does not answer may have it."""
    keys: list[Key] = []
    missing: OutboundError | None = None
    for each in kept:
        try:
            keys += each.get(now)
        except OutboundError as error:
            missing = error
    try:
        return token.verify(keys)
    except InvalidToken:
        if missing is not None:
            raise missing from None
        raise


class _Kept(Generic[T]):
    """One address: what it last published, when that was, and when it was last asked (monotonic seconds)."""

    def __init__(self, outbound: Outbound, source: Source, read: Callable[[Answer], T]) -> None:
        self._outbound, self._source, self._read = outbound, source, read
        self._lock = Lock()
        self._waiting = 0
        self._value: T | None = None
        self._error: OutboundError | None = None
        self.brought = self._asked = float("-inf")

    def get(self, now: float) -> T:
        """What is published, at most FRESH old. Raises OutboundError."""
        kept = self.fresh(now)
        if kept is not None:  # without the lock: a fetch that hangs keeps nobody waiting who can do without it
            return kept
        with self._lock:
            kept = self.fresh(now)
            if kept is not None:
                return kept
            if self._error is not None and now - self._asked < RETRY:
                raise self._error.with_traceback(None)
            return self._fetch(now)

    def fresh(self, now: float) -> T | None:
        """What is kept, if it is good still."""
        return self._value if now - self.brought < FRESH else None

    def renew(self, now: float, since: float) -> bool:
        """Ask again, unless that was just done; whether there is something newer. What is kept stays where the issuer fails to answer."""
        if self.brought != since:
            return True
        if (now - self._asked < PAUSE and not self._lock.locked()) or self._waiting >= MAX_WAITING:
            return self.brought != since
        self._waiting += 1
        try:
            with self._lock:
                if self.brought != since:
                    return True
                if now - self._asked < PAUSE:
                    return False
                self._fetch(now)
                return True
        except OutboundError:
            return False
        finally:
            self._waiting -= 1

    def _fetch(self, now: float) -> T:
        source, self._asked = self._source, now
        try:
            answer = self._outbound.request(
                "GET",
                source.url,
                headers={"accept": "application/json"},
                reach=source.reach,
                ca_pem=source.ca_pem,
                limit=MAX_DOCUMENT,
                plaintext=source.plaintext,
            )
            if answer.status != 200:
                raise BadAnswer(answer.host, f"it answered {answer.status}")
            value = self._read(answer)
        except OutboundError as error:
            self._error = error
            raise
        self._value, self._error, self.brought = value, None, now
        return value


def _read_discovery(answer: Answer) -> Discovery:
    return answer.json(Discovery)


def _read_keys(answer: Answer) -> tuple[Key, ...]:
    try:
        return from_key_set(answer.json(_KeySet).keys)
    except UnusableKey as error:
        raise BadAnswer(answer.host, f"its key set cannot be used: {error}") from None


_issuers: WeakKeyDictionary[Outbound, Issuers] = WeakKeyDictionary()


def issuers(outbound: Outbound) -> Issuers:
    """What is kept of what came through this Outbound."""
    return _issuers.setdefault(outbound, Issuers(outbound))


def well_known(base: Source) -> Source:
    """Where an issuer's description lies (Discovery, section 4)."""
    return base._replace(url=base.url.removesuffix("/") + "/.well-known/openid-configuration")


def named_by(source: Source, url: str) -> Source:
    """An address that an issuer's description names: elsewhere than on the issuer's own host, public ones only. Raises InvalidRequest."""
    own = parse_url(source.url, plaintext=source.plaintext)
    named = parse_url(url, plaintext=source.plaintext)
    return source._replace(url=url, reach=source.reach if named.host == own.host else Reach.PUBLIC)
