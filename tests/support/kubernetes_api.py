"""An API server of Kubernetes as far as logins need one: TokenReview, namespaces, service accounts, over TLS with an authority of its own.

Rules of this file:
- It judges tokens as the real one does: signature, end, whether the account with that uid is still there, and the audiences asked for.
- Who asks needs a token of its own: a reviewer's, or any good token where `open_reviews`.
- `trouble` and `hold` make it misbehave.
"""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from tests.support.elsewhere import Answered, Asked, Elsewhere

_PRIVATE = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
SIGNING_KEY = RSAKey.import_key(
    _PRIVATE.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
)
PUBLIC_KEY = _PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
AUDIENCE = "https://kubernetes.default.svc"
"""What the API server calls itself."""

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class Holder(NamedTuple):
    """A service account."""

    namespace: str = "shop"
    name: str = "till"
    uid: str = "1111-aaaa"


def signed(claims: dict[str, Any], key: RSAKey = SIGNING_KEY, **header: Any) -> str:
    """A token with any claims."""
    return jws.serialize_compact({"alg": "RS256", "kid": "k1"} | header, json.dumps(claims).encode(), key, algorithms=["RS256"])


TILL = Holder()


def projected(holder: Holder = TILL, **claims: Any) -> dict[str, Any]:
    """The claims of a token as kubelets hand them to pods."""
    inner = {"namespace": holder.namespace, "serviceaccount": {"name": holder.name, "uid": holder.uid}, "pod": {"name": "p", "uid": "9"}}
    subject = f"system:serviceaccount:{holder.namespace}:{holder.name}"
    return {"iss": AUDIENCE, "aud": [AUDIENCE], "sub": subject, "kubernetes.io": inner} | claims


def legacy(holder: Holder = TILL, **claims: Any) -> dict[str, Any]:
    """The claims of a token that lies in a Secret, without an end."""
    prefix = "kubernetes.io/serviceaccount/"
    own = {
        "namespace": holder.namespace,
        "secret.name": "till-token-x",
        "service-account.name": holder.name,
        "service-account.uid": holder.uid,
    }
    return {"iss": "kubernetes/serviceaccount"} | {prefix + name: value for name, value in own.items()} | claims


REVIEWER = signed(projected(Holder("vault", "reviewer", "2222-bbbb")))


class Cluster(Elsewhere):
    """The API server. What it holds may be changed between requests."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, self._respond)
        self.accounts = {Holder(), Holder("vault", "reviewer", "2222-bbbb")}
        self.labels: dict[str, dict[str, str]] = {"shop": {"stage": "production", "team": "a"}}
        self.annotations: dict[str, str] = {}
        self.open_reviews = False
        self.knows_audiences = True
        self.trouble: Answered | None = None
        self.hold = 0.0
        """Seconds before an answer; closing releases it."""
        self.released = Event()

    def close(self) -> None:
        self.released.set()
        super().close()

    def _respond(self, asked: Asked) -> Answered:
        self.released.wait(self.hold)
        if self.trouble is not None:
            return self.trouble
        bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer != REVIEWER and not (self.open_reviews and self._holder(bearer)):
            return Answered(401, {"kind": "Status", "status": "Failure", "reason": "Unauthorized", "code": 401})
        if asked.method == "POST" and asked.path == REVIEWS:
            return Answered(201, self._review(asked.json))
        parts = asked.path.split("/")
        if asked.method == "GET" and parts[:4] == ["", "api", "v1", "namespaces"] and parts[4] in self.labels:
            metadata = {"name": parts[4], "labels": self.labels[parts[4]]} if len(parts) == 5 else {"annotations": self.annotations}
            return Answered(200, {"metadata": metadata})
        return Answered(404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})

    def _review(self, review: dict[str, Any]) -> dict[str, Any]:
        assert (review["kind"], review["apiVersion"]) == ("TokenReview", "authentication.k8s.io/v1")
        spec = review["spec"]
        holder, claims = self._holder(spec["token"]), _claims(spec["token"])
        asked = spec.get("audiences") or [AUDIENCE]
        heard = [each for each in asked if each in claims.get("aud", [AUDIENCE])] if self.knows_audiences else []
        if holder is None or (self.knows_audiences and not heard):
            return review | {"status": {"authenticated": False, "error": "invalid bearer token"}}
        user = {
            "username": f"system:serviceaccount:{holder.namespace}:{holder.name}",
            "uid": holder.uid,
            "groups": ["system:authenticated"],
        }
        return review | {"status": {"authenticated": True, "user": user, "audiences": heard}}

    def _holder(self, token: str) -> Holder | None:
        claims = _claims(token)
        inner = claims.get("kubernetes.io", {})
        account = inner.get("serviceaccount", {})
        prefix = "kubernetes.io/serviceaccount/"
        found = Holder(
            inner.get("namespace") or claims.get(prefix + "namespace", ""),
            account.get("name") or claims.get(prefix + "service-account.name", ""),
            account.get("uid") or claims.get(prefix + "service-account.uid", ""),
        )
        return found if found in self.accounts else None


def _claims(token: str) -> dict[str, Any]:
    """What a token says that this cluster signed; nothing where it did not."""
    try:
        return json.loads(jws.deserialize_compact(token, SIGNING_KEY, algorithms=["RS256"]).payload)
    except (JoseError, ValueError):
        return {}
