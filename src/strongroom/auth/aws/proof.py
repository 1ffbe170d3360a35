"""The signed request that a login hands over: read, checked, and made into the one that is sent.

Rules of this file:
- Pure. Nothing that the client wrote is sent, but: a body that is one of two texts, and headers that are signed and on the list.
- Where it goes is the endpoint that the configuration gives. The name it was signed for has to be that endpoint's; where an administrator
  put another endpoint in between, one of AWS's own names for STS.
- A header that is not signed is left out. One that is signed and not on the list is refused: leaving it out would break the signature.
- The answer's form is not the client's to choose: no `accept`, and no content type but a form's (CVE-2020-16250 had STS answer in JSON).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from strongroom.auth.aws.config import GLOBAL_REGION, REGION, STS, Client, asked, region_domain
from strongroom.crypto import sigv4
from strongroom.crypto.errors import InvalidSignature
from strongroom.errors import InvalidRequest
from strongroom.outbound.url import parse_url

SERVER_ID = "X-Vault-AWS-IAM-Server-ID"
FORM = "application/x-www-form-urlencoded"
_PARAMETERS = ("Action=GetCallerIdentity", "Version=2011-06-15")
BODIES = frozenset("&".join(order).encode() for order in (_PARAMETERS, reversed(_PARAMETERS)))

MAX_HEADERS = 32 * 1024
"""Characters of the headers, in base64 or not. A session token has some thousand; strangers send this."""

MAX_SKEW = 15 * 60
"""Seconds. STS itself takes signatures for so long; what is older is not worth asking about."""

ALLOWED = frozenset(
    (
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-user-agent",
        SERVER_ID.lower(),
    )
)
"""What may be signed. botocore, the SDKs for Go, Vault's CLI and hvac sign no more."""

NEVER = frozenset(("accept", "connection", "transfer-encoding", "x-amz-target", "authorization"))
"""What not even the configuration allows: the answer's form, the message's frame, the action."""

_AWS_STS = re.compile(r"sts(?:-fips)?(?:\.[a-z0-9-]{4,24})?\.amazonaws\.com(?:\.cn)?", re.ASCII)
_VALUE = re.compile(r"[\x20-\x7e]{0,4096}", re.ASCII)

Value = str | int
_Given = dict[str, Value | list[Value]]


class LoginBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a principal proves itself with."""

    role: Annotated[str, "The role to log in with; by default the one with the principal's name."] = ""
    iam_http_request_method: Annotated[str, "POST."] = ""
    iam_request_url: Annotated[str, "The URL that was signed, in base64."] = ""
    iam_request_body: Annotated[str, "The body that was signed, in base64: Action=GetCallerIdentity&Version=2011-06-15."] = ""
    iam_request_headers: Annotated[Any, "The headers that were signed: a JSON object, as such or in base64."] = ""
    pkcs7: Annotated[str, "For logins of the ec2 type, which are refused."] = ""
    identity: Annotated[str, "For logins of the ec2 type, which are refused."] = ""
    signature: Annotated[str, "For logins of the ec2 type, which are refused."] = ""
    nonce: Annotated[str, "For logins of the ec2 type, which are refused."] = ""


class Proof(NamedTuple):
    """The request to send: to `endpoint`, with `authority` as its Host header."""

    endpoint: str
    authority: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __repr__(self) -> str:
        return f"Proof({self.endpoint!r}, {self.authority!r})"


def read_proof(login: LoginBody, client: Client, now: int) -> Proof:
    """Check what was handed over. `now` in nanoseconds. Raises InvalidRequest."""
    if login.iam_http_request_method != "POST":
        raise InvalidRequest("invalid iam_http_request_method; currently only 'POST' is supported")
    authority = _authority(_decoded("iam_request_url", login.iam_request_url))
    body = _decoded("iam_request_body", login.iam_request_body)
    if body not in BODIES:
        raise InvalidRequest(f"iam_request_body is not {'&'.join(_PARAMETERS)}")
    headers = _headers(login.iam_request_headers)
    if headers.setdefault("host", authority) != authority:
        raise InvalidRequest("the Host header in iam_request_headers is not the host of iam_request_url")
    if headers.setdefault("content-length", str(len(body))) != str(len(body)):
        raise InvalidRequest("the Content-Length header in iam_request_headers is not the length of iam_request_body")
    authorization = _authorization(headers, body, now)
    _check_server_id(headers, authorization, client)
    sent = _sent(headers, authorization, client)
    endpoint = endpoint_for(client, authorization.scope.region)
    _check_name(authority, endpoint)
    return Proof(endpoint, authority, tuple(sorted(sent.items())), body)


def _decoded(name: str, text: str) -> bytes:
    if not text:
        raise InvalidRequest(f"missing {name}")
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"failed to base64 decode {name}") from None


def _authority(url: bytes) -> str:
    """The host that was signed, of a URL that says nothing else. Raises InvalidRequest."""
    where = parse_url(url.decode("ascii", "replace"))
    if where.target != "/":
        raise InvalidRequest("iam_request_url has more than a host: parameters belong into the body")
    return where.authority


def _headers(value: object) -> dict[str, str]:
    """Names in lower case, each once. Raises InvalidRequest."""
    try:
        given = msgspec.convert(value, _Given) if isinstance(value, Mapping) else msgspec.json.decode(_json(value), type=_Given)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise InvalidRequest("iam_request_headers is not a JSON object of texts") from None
    headers: dict[str, str] = {}
    for name, values in given.items():
        alone = values if isinstance(values, list) else [values]
        if len(alone) != 1 or name.lower() in headers:
            raise InvalidRequest("iam_request_headers has a header that is not there exactly once")
        headers[name.lower()] = str(alone[0]).strip()
    if not all(name.isascii() and _VALUE.fullmatch(text) for name, text in headers.items()):
        raise InvalidRequest("iam_request_headers has characters that cannot be in a header")
    return headers


def _json(value: object) -> bytes:
    text = value if isinstance(value, str) else ""
    if len(text) > MAX_HEADERS:
        raise InvalidRequest(f"iam_request_headers has more than {MAX_HEADERS} characters")
    if not text:
        raise InvalidRequest("missing iam_request_headers")
    return text.encode() if text.lstrip().startswith("{") else _decoded("iam_request_headers", text)


def _authorization(headers: Mapping[str, str], body: bytes, now: int) -> sigv4.Authorization:
    request = sigv4.Request("POST", "/", "", tuple(headers.items()), body)
    try:
        authorization = sigv4.authorization_of(request, now, ("host", "x-amz-date"), MAX_SKEW)
    except InvalidSignature as error:
        raise InvalidRequest(f"iam_request_headers: {error}") from None
    if authorization.scope.service != "sts":
        raise InvalidRequest("iam_request_headers: the request is signed for another service than sts")
    return authorization


def _check_server_id(headers: Mapping[str, str], authorization: sigv4.Authorization, client: Client) -> None:
    """Logins that were signed for another server, or for AWS alone, are not for this one."""
    expected, name = client.iam_server_id_header_value, SERVER_ID.lower()
    if not expected:
        return
    if name not in headers:
        raise InvalidRequest(f'error validating {SERVER_ID} header: missing header "{SERVER_ID}"')
    if headers[name] != expected:
        raise InvalidRequest(f'error validating {SERVER_ID} header: expected "{expected}"')
    if name not in authorization.signed_headers:
        raise InvalidRequest(f"error validating {SERVER_ID} header: vault header wasn't signed")


def _sent(headers: Mapping[str, str], authorization: sigv4.Authorization, client: Client) -> dict[str, str]:
    """The signed headers and the signature; host and length are the sender's to write."""
    allowed = (ALLOWED | {name.lower() for name in client.allowed_sts_header_values}) - NEVER
    for name in authorization.signed_headers:
        if name not in allowed:
            raise InvalidRequest(f"invalid request header: {name}")
    sent = {name: headers[name] for name in authorization.signed_headers if name not in ("host", "content-length")}
    if sent.setdefault("content-type", f"{FORM}; charset=utf-8").partition(";")[0].strip().lower() != FORM:
        raise InvalidRequest(f"invalid request header: content-type is {FORM}")
    return sent | {"authorization": headers["authorization"]}


def endpoint_for(client: Client, region: str) -> str:
    """Where STS is asked. Raises InvalidRequest."""
    if client.sts_endpoint:
        return asked(client.sts_endpoint)
    if client.use_sts_region_from_client and region != GLOBAL_REGION:
        if not REGION.fullmatch(region):
            raise InvalidRequest("iam_request_headers: the request is signed for a region that is none")
        return f"https://sts.{region_domain(region)}"
    return STS


def _check_name(authority: str, endpoint: str) -> None:
    own = parse_url(endpoint).authority
    between = not _AWS_STS.fullmatch(own)
    if authority != own and not (between and _AWS_STS.fullmatch(authority)):
        raise InvalidRequest(
            f"iam_request_url is of another endpoint than {own}, which is asked here; sign for that one, "
            "or have sts_endpoint or use_sts_region_from_client set in config/client"
        )
