"""The Vault dialect: HTTP as Vault's clients speak it, to a Request, and a Response or an error back.

Rules of this file:
- It decides nothing but form: verbs, headers, query or body, envelope, status. Access, routes and effects are the core's.
- POST and PUT are the same; LIST is also `GET ?list=true`, SCAN `GET ?scan=true`; both get a trailing slash, reads and deletes lose it.
- `Content-Type` of answers is exactly `application/json`; that of requests counts for PATCH and forms only.
- Every refusal by policy or token is one constant body.
"""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Any, BinaryIO, NamedTuple

from strongroom.api.wire import canonical_path, parse_form, parse_query, strict_json
from strongroom.core.envelope import encode, envelope, errors_body
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import NOTHING, Response
from strongroom.core.secret import Secret
from strongroom.core.snapshots.paths import UPLOADS
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import (
    InternalError,
    InvalidRequest,
    InvalidToken,
    NotFound,
    PermissionDenied,
    StrongroomError,
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
    UnsupportedOperation,
    several,
)
from strongroom.types import parse_duration

VERBS = {
    b"GET": Operation.READ,
    b"HEAD": Operation.READ,
    b"POST": Operation.UPDATE,
    b"PUT": Operation.UPDATE,
    b"PATCH": Operation.PATCH,
    b"DELETE": Operation.DELETE,
    b"LIST": Operation.LIST,
    b"SCAN": Operation.SCAN,
}
"""What a caller can ask for by verb; there is no way to name another operation."""

_BODIES = frozenset((Operation.UPDATE, Operation.PATCH))
_CANCELLATIONS = frozenset(
    f"sys/{ceremony}"
    for ceremony in (
        *("rekey/init", "rekey-recovery-key/init", "rotate/root/init", "rotate/recovery/init"),
        *("generate-root/attempt", "generate-root-token/attempt"),
    )
)
"""Deletions whose nonce may come in a body, as Vault's Go client sends it; every other body of a DELETE is ignored, as Vault does."""
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False", ""))
_ROOT_NAMESPACES = frozenset((b"", b"/", b"root", b"root/"))
_MERGE_PATCH = b"application/merge-patch+json"
_FORM = b"application/x-www-form-urlencoded"
_NO_DATA: Mapping[str, Any] = {}

DENIED = "permission denied"
WITHOUT_TOKEN = errors_body(DENIED)
PERMISSION_DENIED = errors_body(several(DENIED))
INVALID_TOKEN = errors_body(several(DENIED, "invalid token"))
"""Clients look for these words, and Vault's agent logs in again when it reads the last two."""

JSON = "application/json"


class Answer(NamedTuple):
    """What goes back: status, body, content type and further headers."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"


# ---- in


class Asked(NamedTuple):
    """What the head of a message asks for: the same for every message that has it. Nobody changes `parameters` or `headers`."""

    operation: Operation
    path: str
    parameters: Mapping[str, Any]
    credential: Secret
    namespace: str
    wrap_ttl: int
    headers: Mapping[bytes, bytes]
    slashed: bool

    def __repr__(self) -> str:
        return f"Asked({self.operation}, {self.path!r})"


def decode(verb: bytes, target: bytes, headers: Mapping[bytes, bytes], body: bytes, peer: Peer) -> Request:
    """The request in a message whose path begins with `v1/`. Raises StrongroomError: what cannot be read is not audited."""
    return with_body(asked(verb, target, headers), body, peer)


def with_body(head: Asked, body: bytes | BinaryIO, peer: Peer) -> Request:
    """The request of a head and a body, a file only where it is no JSON. Raises InvalidRequest."""
    operation, path, data, credential, namespace, wrap_ttl, headers, slashed = head
    raw = b""
    if operation in _BODIES:
        if path not in UPLOADS:
            raw, data = _body(headers, _in_memory(body))
    elif body and operation is Operation.DELETE and path in _CANCELLATIONS:
        data = {**data, **_body(headers, _in_memory(body))[1]}
    return Request(
        uuid4_text(), operation, path, data, raw, credential, peer, namespace, wrap_ttl, headers, slashed, body if path in UPLOADS else b""
    )


def _in_memory(body: bytes | BinaryIO) -> bytes:
    assert isinstance(body, bytes)
    return body


def asked(verb: bytes, target: bytes, headers: Mapping[bytes, bytes], prefix: int = 3) -> Asked:
    """What a head asks for. Raises StrongroomError."""
    path, query = canonical_path(target)
    operation = VERBS.get(verb)
    if operation is None:
        raise UnsupportedOperation
    parameters = parse_query(query) if query else None
    if parameters:
        operation = _asked(operation, parameters)
    if operation is Operation.PATCH:
        _check_patch(headers)
    path = path[prefix:]
    slashed = False
    if path.endswith("/") != (operation is Operation.LIST or operation is Operation.SCAN):
        path, slashed = _slash(operation, path)
    wrap = headers.get(b"x-vault-wrap-ttl")
    return Asked(
        operation,
        path,
        parameters or _NO_DATA,
        Secret(_credential(headers)),
        _namespace(headers),
        _wrap_ttl(wrap) if wrap else 0,
        headers,
        slashed,
    )


def _asked(operation: Operation, parameters: dict[str, str]) -> Operation:
    """What a GET asks for by its query; a LIST or SCAN may say so twice."""
    if operation is not Operation.READ:
        if operation not in _BODIES:
            parameters.pop(operation.value, None)
        return operation
    chosen = [operation for name, operation in _BY_QUERY if name in parameters and _flag(name, parameters)]
    if len(chosen) > 1:
        raise InvalidRequest("a request can ask for one of list, scan and help only")
    return chosen[0] if chosen else Operation.READ


_BY_QUERY = (("list", Operation.LIST), ("scan", Operation.SCAN), ("help", Operation.HELP))


def _flag(name: str, parameters: dict[str, str]) -> bool:
    value = parameters.pop(name)
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise InvalidRequest(f"the query parameter {name} takes true or false")


def _slash(operation: Operation, path: str) -> tuple[str, bool]:
    """The path as its operation has it, and whether it lost a slash for that."""
    if operation in (Operation.LIST, Operation.SCAN):
        return path + "/", False
    if operation in _BODIES:
        raise InvalidRequest("cannot write to a path ending in '/'")
    return path.removesuffix("/"), True


def _check_patch(headers: Mapping[bytes, bytes]) -> None:
    """Raises StrongroomError for a PATCH that does not say it is a merge."""
    kind = _content_type(headers)
    if not kind:
        raise InvalidRequest("mime: no media type")
    if kind != _MERGE_PATCH:
        raise UnsupportedMediaType(f"PATCH requires Content-Type of {_MERGE_PATCH.decode()}, provided {kind.decode('latin-1')}")


def _content_type(headers: Mapping[bytes, bytes]) -> bytes:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


def _body(headers: Mapping[bytes, bytes], body: bytes) -> tuple[bytes, Mapping[str, Any]]:
    if not body or body.isspace():
        return b"", _NO_DATA
    if headers.get(b"content-type", b"").startswith(_FORM) and body[:1] not in b"{ \t\r\n":
        form = parse_form(body)
        return encode(form), form
    if body == b"null":
        return b"", _NO_DATA
    return body, strict_json(body)


def _credential(headers: Mapping[bytes, bytes]) -> str:
    token = headers.get(b"x-vault-token", b"")
    authorization = headers.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        bearer = authorization[7:].strip()
        if token and bearer and not compare_digest(bearer, token):
            raise InvalidRequest("X-Vault-Token and Authorization carry two different tokens; send one")
        token = bearer or token
    return token.decode("latin-1")


def _namespace(headers: Mapping[bytes, bytes]) -> str:
    namespace = headers.get(b"x-vault-namespace")
    return "" if namespace is None or namespace in _ROOT_NAMESPACES else namespace.decode("latin-1").strip("/")


def _wrap_ttl(value: bytes) -> int:
    try:
        ttl = parse_duration(value.decode("ascii"))
    except ValueError:
        raise InvalidRequest("error parsing X-Vault-Wrap-TTL header: it takes a duration such as 60s or 5m") from None
    if ttl < 0:
        raise InvalidRequest("error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative")
    return ttl


# ---- out


def answer(request: Request | None, response: Response | None, error: StrongroomError | None, mount_type: str = "") -> Answer:
    """The message for what became of a request, and at which kind of mount."""
    if error is not None:
        return failure(error, request)
    assert response is not None
    bare = response.bare
    if bare is not None:
        return Answer(bare.status, bare.body, bare.content_type, bare.headers)
    if response is NOTHING or _says_nothing(response):
        return _nothing(request, response)
    request_id = request.id if request is not None else ""
    return Answer(response.status or 200, envelope(response, request_id, mount_type) + b"\n")


def _says_nothing(response: Response) -> bool:
    return response.data is None and response.auth is None and response.wrap is None and response.lease is None and not response.warnings


_READS = frozenset((Operation.READ, Operation.LIST, Operation.SCAN))


def _nothing(request: Request | None, response: Response) -> Answer:
    """A read that found nothing is 404, everything else that has nothing to say 204."""
    if response.status:
        return Answer(response.status, b"")
    if request is not None and request.operation in _READS:
        return Answer(404, b'{"errors":[]}\n')
    return Answer(204, b"")


def _denial(error: PermissionDenied, request: Request | None) -> bytes:
    if isinstance(error, InvalidToken):
        return INVALID_TOKEN
    return PERMISSION_DENIED if request is not None and request.credential else WITHOUT_TOKEN


def failure(error: StrongroomError, request: Request | None = None) -> Answer:
    """The message for an error."""
    if isinstance(error, PermissionDenied):
        return Answer(403, _denial(error, request))
    if isinstance(error, NotFound) and (error.data is not None or error.warnings):
        body = Response(data=error.data, warnings=error.warnings)
        return Answer(404, envelope(body, request.id if request is not None else "") + b"\n")
    members: dict[str, Any] = {"errors": list(error.messages)}
    if isinstance(error, InternalError) and request is not None:
        members["errors"].append(f"request id {request.id}: the server's log says more")
    if isinstance(error, InvalidRequest) and error.data is not None:
        members["data"] = error.data
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, TooManyRequests | Unavailable):
        headers = (("Retry-After", str(getattr(error, "retry_after", 1))),)
    return Answer(error.status, encode(members) + b"\n", JSON, headers)
