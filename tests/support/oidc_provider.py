"""An OpenID Connect provider for tests: discovery, keys, an authorization endpoint that always consents, tokens and userinfo, over TLS.

Rules of this file:
- It keeps to the standard and refuses what it forbids: unknown clients and redirect URIs, a code a second time, a PKCE verifier that does
  not fit, another redirect URI at the exchange. What a test wants wrong it changes in `claims`, `description` or
  `instead`; `before` is called before each answer.
- Tokens are signed by joserfc, which the server under test does not use.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwk, jwt

from tests.support.elsewhere import Answered, Asked, elsewhere

CLIENT_ID = "strongroom"
CLIENT_SECRET = "s3cret with spaces & signs"


class Provider:
    """See above. `claims` are added to every id token, `userinfo` to every answer about a user."""

    def __init__(self) -> None:
        self.issuer = self.ca_pem = ""
        self.claims: dict[str, Any] = {"sub": "user-1"}
        self.userinfo: dict[str, Any] = {}
        self.description: dict[str, Any] = {}
        self.redirect_uris: list[str] = []
        self.asked: list[Asked] = []
        self.instead: dict[str, Answered] = {}
        self.before: Callable[[], object] | None = None
        self.refuses = ""
        self._codes: dict[str, Mapping[str, str]] = {}
        self._access: set[str] = set()
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish only it."""
        self.key = jwk.RSAKey.generate_key(2_048, {"kid": secrets.token_hex(4), "use": "sig"}, private=True)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with exactly these claims."""
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, dict(claims), self.key)

    def token(self, **changes: Any) -> str:
        """A token as the provider gives to machines; what is None is left out."""
        now = int(time.time())
        found = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, **self.claims, **changes}
        return self.sign({name: value for name, value in found.items() if value is not None})

    # -- endpoints --------------------------------------------------------------------------------------------------

    def answer(self, asked: Asked) -> Answered:
        """What the provider says to a request."""
        self.asked.append(asked)
        if self.before is not None:
            self.before()
        if asked.path in self.instead:
            return self.instead[asked.path]
        endpoints = {
            "/.well-known/openid-configuration": self._describe,
            "/keys": lambda _: Answered(200, {"keys": [self.key.as_dict(private=False)]}),
            "/authorize": self._authorize,
            "/token": self._token,
            "/userinfo": self._userinfo,
        }
        endpoint = endpoints.get(asked.path)
        return Answered(404, {}) if endpoint is None else endpoint(asked)

    def _describe(self, _asked: Asked) -> Answered:
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo", "jwks_uri": "keys"}
        return Answered(200, {"issuer": self.issuer, **{name: f"{self.issuer}/{path}" for name, path in paths.items()}, **self.description})

    def _authorize(self, asked: Asked) -> Answered:
        query = asked.query
        if query.get("client_id") != CLIENT_ID or query.get("redirect_uri") not in self.redirect_uris:
            return Answered(400, {"error": "invalid_client"})  # never a redirect to where nobody registered
        if "openid" not in query.get("scope", "").split() or "nonce" not in query:
            return self._back(query, {"error": "invalid_request"})
        if self.refuses:
            return self._back(query, {"error": self.refuses, "error_description": "<script>alert(1)</script>"})
        if query.get("response_type") == "id_token":
            return self._back(query, {"id_token": self.token(nonce=query["nonce"])})
        if query.get("code_challenge_method") != "S256":
            return self._back(query, {"error": "invalid_request"})
        code = secrets.token_urlsafe(16)
        self._codes[code] = query
        return self._back(query, {"code": code})

    def _back(self, query: Mapping[str, str], parameters: Mapping[str, str]) -> Answered:
        parameters = {**parameters, "state": query["state"]}
        if query.get("response_mode") == "form_post":
            return Answered(200, {"action": query["redirect_uri"], "fields": parameters})  # a browser would get a form that sends itself
        return Answered(302, b"", {"location": f"{query['redirect_uri']}?{urlencode(parameters)}"})

    def _token(self, asked: Asked) -> Answered:
        form = dict(parse_qsl(asked.body.decode()))
        if self._client(asked, form) != (CLIENT_ID, CLIENT_SECRET):
            return Answered(401, {"error": "invalid_client"})
        begun = self._codes.pop(form.get("code", ""), None)
        if begun is None or form.get("grant_type") != "authorization_code" or form.get("redirect_uri") != begun["redirect_uri"]:
            return Answered(400, {"error": "invalid_grant"})
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != begun["code_challenge"]:
            return Answered(400, {"error": "invalid_grant"})
        access = secrets.token_urlsafe(16)
        self._access.add(access)
        usual = {"nonce": begun["nonce"], **({"auth_time": int(time.time())} if "max_age" in begun else {})}
        id_token = self.token(**{**usual, **self.claims})
        return Answered(200, {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": id_token})

    @staticmethod
    def _client(asked: Asked, form: Mapping[str, str]) -> tuple[str, str]:
        scheme, _, text = asked.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            client, _, secret = base64.b64decode(text).decode().partition(":")
            return unquote(client), unquote(secret)
        return form.get("client_id", ""), form.get("client_secret", "")

    def _userinfo(self, asked: Asked) -> Answered:
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self._access:
            return Answered(401, {})
        return Answered(200, {"sub": self.claims.get("sub"), **self.userinfo})

    # -- a browser --------------------------------------------------------------------------------------------------

    def browse(self, url: str) -> dict[str, str]:
        """Go where a login begins, as a browser does; what the provider then has it send to the redirect URI."""
        status, location, body = fetch(url, self.ca_pem)
        if status == 302:
            return dict(parse_qsl(urlsplit(location).query))
        fields: dict[str, str] = json.loads(body).get("fields", {})
        assert fields, f"the provider answered {status}: {body!r}"
        return fields


def fetch(url: str, ca_pem: str, form: Mapping[str, str] | None = None) -> tuple[int, str, bytes]:
    """Status, Location and body of a GET, or of a POST of a form; redirects are not followed."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cadata=ca_pem)
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=10, context=context)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    try:
        if form is None:
            connection.request("GET", target)
        else:
            connection.request("POST", target, urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("location", ""), answer.read()
    finally:
        connection.close()


@contextmanager
def oidc_provider(directory: Path) -> Iterator[Provider]:
    """A provider for the time of a `with`."""
    provider = Provider()
    with elsewhere(directory, provider.answer) as host:
        provider.issuer, provider.ca_pem = host.url, host.ca_pem
        yield provider
