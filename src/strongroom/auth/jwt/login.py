"""The login with a token, and what any login of this method grants.

Rules of this file:
- Whoever holds the token is who it says: nothing is guessed here, so nothing is counted or locked.
- The role decides last and from the claims alone: bound subject, audiences and claims, networks.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from strongroom.auth.jwt import claims as judged
from strongroom.auth.jwt.claims import Claims, Identity
from strongroom.auth.jwt.config import Config
from strongroom.auth.jwt.roles import Role
from strongroom.auth.jwt.store import Store
from strongroom.core.engine import login
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, prolonged
from strongroom.errors import InvalidRequest


class LoginBody(msgspec.Struct, frozen=True):
    """What somebody proves himself with."""

    role: Annotated[str, "The role; the mount's default_role where none is given."] = ""
    jwt: Annotated[str, "The token."] = ""


class Login(Store):
    """Logins."""

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in with a token that an issuer signed."""
        config = self.config.known()
        name = self.asked_role(config, body.role)
        role = self.roles.known(name)
        if role.role_type == "oidc":
            raise InvalidRequest("role with oidc role_type is not allowed")
        check_peer(role.token, self.call.request.peer)
        claims = self.verified(body.jwt, config)
        self.check_claims(claims, role.bound_audiences, role.leeway)
        if role.bound_subject and claims.get("sub") != role.bound_subject:
            raise InvalidRequest("error validating token: invalid subject (sub) claim")
        return Response(grant=self.granted_to(name, role, self.identified(name, role, config, claims)))

    def identified(self, name: str, role: Role, config: Config, claims: Claims) -> Identity:
        """Who the claims are about, and that the role is for him. Raises InvalidRequest."""
        claims = _usual(role, config, claims)
        who = judged.user(claims, role.user_claim, pointer=role.user_claim_json_pointer)
        metadata = judged.metadata(claims, role.claim_mappings) | {"role": name}
        groups = judged.groups(claims, role.groups_claim) if role.groups_claim else ()
        judged.check_bound(claims, role.bound_claims, globs=role.bound_claims_type == "glob")
        return Identity(who, metadata, groups)

    def granted_to(self, name: str, role: Role, who: Identity) -> Grant:
        """What a login under a role hands out."""
        alias = Alias(who.name, who.metadata)
        return granted(role.token, self.call, alias, who.name, {"role": name}, rests_on=(f"role/{name}",))

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still exist; its policies at login stay."""
        return prolonged(self.roles.renewed(grant.internal.get("role", "")).token, grant)


def _usual(role: Role, config: Config, claims: Claims) -> Claims:
    """The claims as other providers would write them: SecureAuth sends groups as one text with commas."""
    value = claims.get(role.groups_claim) if role.groups_claim else None
    if config.provider_config.get("provider") != "secureauth" or not isinstance(value, str):
        return claims
    return {**claims, role.groups_claim: [part.strip() for part in value.split(",")]}
