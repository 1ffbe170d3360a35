"""What is said to an OpenID Connect provider: where the browser goes, and the exchange of its code for an id token (Core 1.0, 3.1).

Rules of this file:
- Blocking functions run on the pool for waiting; the checks are pure and run by the clock of the commit.
- The code flow always has PKCE with S256 (RFC 7636), a nonce, and the client's secret. What the provider's error says is not passed on, but
  for its error code, which is one of a fixed grammar.
- Signed claims win over those of the userinfo endpoint, which must be about the same subject. What the id token proves by is never taken
  from there: users choose much of what a provider tells of them.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from hmac import compare_digest
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from strongroom.auth.jwt.claims import Claims
from strongroom.auth.jwt.config import ClientSecret, Config
from strongroom.auth.jwt.roles import Role
from strongroom.clock import SECOND
from strongroom.crypto import claims as registered
from strongroom.crypto.errors import InvalidToken
from strongroom.crypto.jws import parse
from strongroom.errors import InvalidRequest
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import OutboundError
from strongroom.outbound.issuers import Discovery, Source, issuers, named_by
from strongroom.outbound.wire import Answer

MAX_CODE: Final = 2_048
"""Characters of an authorization code."""

PROOF: Final = frozenset(("iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "auth_time"))
"""Claims that an id token is checked by."""

_ERROR: Final = re.compile(r"[a-z_]{1,64}", re.ASCII)
"""Error codes of RFC 6749, section 5.2."""


class _Tokens(msgspec.Struct, frozen=True):
    id_token: str
    access_token: str = ""

    def __repr__(self) -> str:
        return "_Tokens()"


class _Failure(msgspec.Struct, frozen=True):
    error: str = ""


class Provider(NamedTuple):
    """A provider and this server's standing there."""

    outbound: Outbound
    source: Source
    discovery: Discovery
    config: Config

    def authorization_url(self, role: Role, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where the browser begins."""
        asked = {
            "response_type": "id_token" if self.config.implicit else "code",
            "client_id": self.config.oidc_client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *role.oidc_scopes))),
            "state": state,
            "nonce": nonce,
        }
        if self.config.oidc_response_mode == "form_post":
            asked["response_mode"] = "form_post"
        if not self.config.implicit:
            asked |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
        if role.max_age:
            asked["max_age"] = str(role.max_age)
        start = self.discovery.authorization_endpoint
        return f"{start}{'&' if '?' in start else '?'}{urlencode(asked)}"

    def exchanged(self, secret: ClientSecret, redirect_uri: str, code: str, verifier: str, now: float) -> Claims:
        """The claims of whoever the code is of, their signature checked. Raises InvalidRequest, InvalidToken and OutboundError."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        client_id, methods = self.config.oidc_client_id, self.discovery.token_endpoint_auth_methods_supported
        if "client_secret_post" in methods and "client_secret_basic" not in methods:
            form |= {"client_id": client_id, "client_secret": secret.text}
        else:
            pair = f"{quote(client_id, safe='')}:{quote(secret.text, safe='')}"  # RFC 6749, section 2.3.1
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = self._asked("POST", self.discovery.token_endpoint, headers, urlencode(form).encode())
        if answer.status != 200:
            said = answer.json(_Failure).error
            raise InvalidRequest(f"Vault login failed. Error exchanging oidc code: {said if _ERROR.fullmatch(said) else answer.status}.")
        tokens = answer.json(_Tokens)
        claims = self.signed(tokens.id_token, now)
        return {**self._userinfo(tokens.access_token, claims.get("sub")), **claims}

    def signed(self, id_token: str, now: float) -> Claims:
        """The claims of an id token, their signature checked. Raises InvalidToken and OutboundError."""
        token = parse(id_token, self.config.algorithms)
        return issuers(self.outbound).verified(token, [named_by(self.source, self.discovery.jwks_uri)], now)

    def _userinfo(self, access_token: str, subject: object) -> dict[str, Any]:
        """What the provider adds about the subject; nothing where it does not say, which is no reason to fail."""
        if not self.discovery.userinfo_endpoint or not access_token:
            return {}
        try:
            headers = {"authorization": f"Bearer {access_token}", "accept": "application/json"}
            answer = self._asked("GET", self.discovery.userinfo_endpoint, headers)
            found = answer.json(dict[str, Any]) if answer.status == 200 else {}
        except (OutboundError, InvalidRequest):
            return {}
        if not isinstance(subject, str) or found.get("sub") != subject:
            return {}
        return {name: value for name, value in found.items() if name not in PROOF}

    def _asked(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        where = named_by(self.source, url)
        return self.outbound.request(
            method, url, headers=headers, body=body, reach=where.reach, ca_pem=where.ca_pem, plaintext=where.plaintext
        )


def challenge(verifier: str) -> str:
    """RFC 7636, section 4.2: S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def check_id_token(claims: Claims, discovery: Discovery, config: Config, role: Role, nonce: str, now: int) -> None:
    """The id token is this provider's, for this server, for this login, and now (Core, 3.1.3.7). Raises InvalidToken."""
    registered.check_issuer(claims, {config.bound_issuer or discovery.issuer})
    if "exp" not in claims or "iat" not in claims:
        raise InvalidToken("an id token has 'exp' and 'iat'")
    registered.check_times(claims, now, role.leeway)
    audiences = registered.audiences(claims)
    if config.oidc_client_id not in audiences:
        raise InvalidToken("invalid audience (aud) claim: it does not name this server's client id")
    if role.bound_audiences:
        registered.check_audience(claims, role.bound_audiences)
    if claims.get("azp", config.oidc_client_id if len(audiences) == 1 else None) != config.oidc_client_id:
        raise InvalidToken("invalid authorized party (azp) claim: the token was issued to another client")
    said = claims.get("nonce")
    if not isinstance(said, str) or not compare_digest(said.encode(), nonce.encode()):
        raise InvalidToken("invalid nonce: the token belongs to another login")
    if role.max_age:
        _check_age(claims, role, now)


def _check_age(claims: Claims, role: Role, now: int) -> None:
    since = claims.get("auth_time")
    if isinstance(since, bool) or not isinstance(since, int):
        raise InvalidToken("the role has a max_age and the provider did not say when the user proved himself (auth_time)")
    if now // SECOND - since > role.max_age + role.leeway.skew:
        raise InvalidToken("the user proved himself to the provider longer ago than the role's max_age allows")
