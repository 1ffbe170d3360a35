"""Asking a cluster's API server: is this token good, which labels has a namespace, which annotations a service account.

    POST /apis/authentication.k8s.io/v1/tokenreviews     GET /api/v1/namespaces/{ns}     GET /api/v1/namespaces/{ns}/serviceaccounts/{name}

Rules of this file:
- Blocking code, for a pool thread; it reads there and changes nothing.
- "No" is PermissionDenied, whatever the reason: the caller learns nothing else. "Nobody answered" is Unavailable, so that callers try
  again; it says why, and not where, since a stranger reads it.
- An answer is bounded and typed; a status outside 2xx is no answer, whatever its body says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar
from urllib.parse import quote

import msgspec

from strongroom.auth.kubernetes.account import Account, reviewed
from strongroom.auth.kubernetes.config import Access
from strongroom.crypto.errors import InvalidToken
from strongroom.errors import PermissionDenied, Unavailable
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import OutboundError

T = TypeVar("T")

MAX_ANSWER = 256 * 1024
"""Bytes. A review repeats the token, namespaces and accounts carry at most 256 KiB of annotations, mostly a few lines."""

TIMEOUT = 10.0


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    uid: str = ""


class _Status(msgspec.Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()
    audiences: tuple[str, ...] = ()
    error: str = ""


class _Review(msgspec.Struct, frozen=True):
    status: _Status = _Status()


class _Metadata(msgspec.Struct, frozen=True):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


def review(outbound: Outbound, access: Access, token: str, audiences: tuple[str, ...]) -> tuple[Account, tuple[str, ...]]:
    """Whose token the cluster says it is, and for which of the audiences. Raises PermissionDenied and Unavailable."""
    spec: dict[str, object] = {"token": token}
    if audiences:
        spec["audiences"] = audiences
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = _ask(outbound, access, access.token or token, path, _Review, msgspec.json.encode(body)).status
    if not status.authenticated or status.error:
        raise PermissionDenied(reason="the cluster does not know the token")
    try:
        return reviewed(status.user.username, status.user.uid), status.audiences
    except InvalidToken as error:
        raise PermissionDenied(reason=str(error)) from None


def namespace_labels(outbound: Outbound, access: Access, token: str, namespace: str) -> Mapping[str, str]:
    """The labels of a namespace. Raises PermissionDenied and Unavailable."""
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}"
    return _ask(outbound, access, access.token or token, path, _Object).metadata.labels


def account_annotations(outbound: Outbound, access: Access, token: str, account: Account) -> Mapping[str, str]:
    """The annotations of a service account. Raises PermissionDenied and Unavailable."""
    path = f"/api/v1/namespaces/{quote(account.namespace, safe='')}/serviceaccounts/{quote(account.name, safe='')}"
    return _ask(outbound, access, access.token or token, path, _Object).metadata.annotations


def _ask(outbound: Outbound, access: Access, bearer: str, path: str, kind: type[T], body: bytes = b"") -> T:
    headers = {"authorization": f"Bearer {bearer}", "accept": "application/json"}
    if body:
        headers["content-type"] = "application/json"
    try:
        answer = outbound.request(
            "POST" if body else "GET",
            access.url + path,
            headers=headers,
            body=body,
            reach=Reach.CONFIGURED,
            ca_pem=access.ca_pem,
            timeout=TIMEOUT,
            limit=MAX_ANSWER,
        )
        if 200 <= answer.status < 300:
            return answer.json(kind)
    except OutboundError as error:
        raise Unavailable(f"the Kubernetes API could not be asked: {error.reason}") from None
    if answer.status == 429 or answer.status >= 500:
        raise Unavailable(f"the Kubernetes API answered {answer.status}; try again")
    raise PermissionDenied(reason=f"the Kubernetes API answered {answer.status}: may the reviewer ask for this?")
