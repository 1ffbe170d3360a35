"""Signature Version 4, the way AWS has requests signed: both to sign (what we ask of AWS) and to verify (what clients sign for us).

    canonical request   method | path | query | headers, one a line | names of the signed ones | SHA-256 of the body
    text to sign        AWS4-HMAC-SHA256 | instant | date/region/service/aws4_request | SHA-256 of the canonical request
    key                 HMAC chain over date, region, service and "aws4_request", begun with "AWS4" + the secret key

Rules of this file:
- Pure: bytes, the clock's reading and the secret are handed in. AWS publishes the scheme ("Signing AWS API requests") and test vectors.
- A request is what went over the wire: its path and query are still percent-encoded, header names count without case.
- Verifying is strict where signing is lenient: one Authorization header in one form, every header that is signed is there exactly once, and
  the caller names those that must be signed. A header that is there and not signed is a stranger's, whatever it says.
- A signature is compared in constant time, and only after everything that needs no key was checked.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes

from strongroom.clock import SECOND
from strongroom.crypto.errors import InvalidSignature

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"

MAX_SKEW = 5 * 60
"""Seconds between the instant of a signature and now; AWS's own services allow as much."""

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<key>[\w-]{1,128})/(?P<date>\d{8})/(?P<region>[a-z0-9-]{1,64})/(?P<service>[a-z0-9-]{1,64})"
    r"/aws4_request, *SignedHeaders=(?P<headers>[a-z0-9-]+(?:;[a-z0-9-]+)*), *Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)
_INSTANT = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SPACES = re.compile(r" +")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it is sent. `path` and `query` are encoded; `headers` has every value of a name, names in any case."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """All values of a header, by its name in lower case."""
        return [value for each, value in self.headers if each.lower() == name]

    def __repr__(self) -> str:
        return f"Request({self.method}, {self.path!r}, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for: a day (YYYYMMDD), a region and a service."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key. `session_token` belongs to temporary ones."""

    access_key: str
    secret_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.access_key})"


@dataclass(frozen=True, slots=True)
class Authorization:
    """What an Authorization header says."""

    access_key: str
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str

    def __repr__(self) -> str:
        return f"Authorization({self.access_key}, {self.scope}, {';'.join(self.signed_headers)})"


def parse_authorization(text: str) -> Authorization:
    """Take a header apart. Raises InvalidSignature."""
    match = _AUTHORIZATION.fullmatch(text)
    if match is None:
        raise InvalidSignature("the Authorization header is not that of a Signature Version 4")
    names = tuple(match["headers"].split(";"))
    if list(names) != sorted(set(names)):
        raise InvalidSignature("the signed headers are not named in order, once each")
    return Authorization(match["key"], Scope(match["date"], match["region"], match["service"]), names, match["signature"])


def canonical_path(path: str) -> str:
    """The path as it is signed: encoded once more, except its slashes. Services other than S3 take it so."""
    return quote(path or "/", safe="/~")


def canonical_query(query: str) -> str:
    """The parameters in the one encoding, in order."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return "&".join(f"{name}={value}" for name, value in sorted((_encoded(name), _encoded(value)) for name, _, value in pairs))


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="~")


def _canonical_value(values: Iterable[str]) -> str:
    return ",".join(_SPACES.sub(" ", value.strip(" ")) for value in values)


def canonical_request(request: Request, signed_headers: Collection[str], body_hash: str) -> str:
    """The text whose hash is signed."""
    lines = [f"{name}:{_canonical_value(request.values(name))}\n" for name in signed_headers]
    path, query = canonical_path(request.path), canonical_query(request.query)
    return "\n".join((request.method, path, query, "".join(lines), ";".join(signed_headers), body_hash))


def signing_key(secret_key: str, scope: Scope) -> bytes:
    """The key of a day, region and service."""
    key = b"AWS4" + secret_key.encode()
    for part in (scope.date, scope.region, scope.service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(request: Request, signed_headers: Collection[str], secret_key: str, scope: Scope, instant: str) -> str:
    """The signature, in hex."""
    hashed = sha256(canonical_request(request, signed_headers, sha256(request.body).hexdigest()).encode()).hexdigest()
    text = f"{ALGORITHM}\n{instant}\n{scope}\n{hashed}"
    return hmac.digest(signing_key(secret_key, scope), text.encode(), "sha256").hex()


def instant_text(now: int) -> str:
    """An instant (ns) as x-amz-date has it."""
    return datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")


def sign(request: Request, credentials: Credentials, region: str, service: str, now: int) -> Mapping[str, str]:
    """The headers that make the request a signed one, to be sent beside its own. Its `host` must be among its own."""
    instant = instant_text(now)
    added = {"x-amz-date": instant}
    if credentials.session_token:
        added["x-amz-security-token"] = credentials.session_token
    whole = Request(request.method, request.path, request.query, (*request.headers, *added.items()), request.body)
    names = tuple(sorted({name.lower() for name, _ in whole.headers}))
    scope = Scope(instant[:8], region, service)
    made = signature(whole, names, credentials.secret_key, scope, instant)
    credential = f"Credential={credentials.access_key}/{scope}"
    return added | {"authorization": f"{ALGORITHM} {credential}, SignedHeaders={';'.join(names)}, Signature={made}"}


def one_value(request: Request, name: str) -> str:
    """A header that is there exactly once. Raises InvalidSignature."""
    values = request.values(name)
    if len(values) != 1:
        raise InvalidSignature(f"the header {name} is there {len(values)} times, not once")
    return values[0]


def authorization_of(request: Request, now: int, required: Collection[str] = ("host",), skew: int = MAX_SKEW) -> Authorization:
    """What needs no key: the form, the instant, and that what must be signed is. Raises InvalidSignature."""
    authorization = parse_authorization(one_value(request, "authorization"))
    for name in required:
        if name not in authorization.signed_headers:
            raise InvalidSignature(f"the header {name} is not signed")
    for name in authorization.signed_headers:
        one_value(request, name)
    check_instant(one_value(request, "x-amz-date"), authorization.scope, now, skew)
    return authorization


def check_instant(text: str, scope: Scope, now: int, skew: int) -> None:
    """The instant is of the scope's day and near now. Raises InvalidSignature."""
    try:
        if not _INSTANT.fullmatch(text):
            raise ValueError
        instant = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidSignature("x-amz-date is not an instant such as 20260131T120000Z") from None
    if text[:8] != scope.date:
        raise InvalidSignature("x-amz-date is of another day than the credential")
    if abs(instant.timestamp() - now / SECOND) > skew:
        raise InvalidSignature("the signature is too old or of the future; check the clock")


def verify(request: Request, secret_key: str, now: int, required: Collection[str] = ("host",), skew: int = MAX_SKEW) -> Authorization:
    """The request is signed with the secret key. Raises InvalidSignature."""
    authorization = authorization_of(request, now, required, skew)
    stated = request.values("x-amz-content-sha256")
    if stated and stated != [sha256(request.body).hexdigest()]:
        raise InvalidSignature("x-amz-content-sha256 is not the hash of the body")
    instant = one_value(request, "x-amz-date")
    expected = signature(request, authorization.signed_headers, secret_key, authorization.scope, instant)
    if not hmac.compare_digest(expected, authorization.signature):
        raise InvalidSignature("the signature does not belong to this request and key")
    return authorization
