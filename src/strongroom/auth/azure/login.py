"""What is kept, and the login.

Rules of this file:
- Tokens are RS256 by the tenant's keys, from the tenant's issuer, for the configured resource. Fields that a caller sends beside the token
  may repeat what the token says and nothing else.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from strongroom.auth.azure.config import Config, ConfigBody, changed_config
from strongroom.auth.azure.resource import Resource, resource_of
from strongroom.auth.azure.roles import Role, changed_role, check_role, shown_role
from strongroom.core.configuration import Configuration, answer
from strongroom.core.engine import Engine, login, write
from strongroom.core.entries import Entries
from strongroom.core.fields import given
from strongroom.core.issued import description, refusal, signed_claims
from strongroom.core.names import role_name, subject_name
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, prolonged
from strongroom.crypto import claims as registered
from strongroom.crypto.errors import InvalidToken
from strongroom.crypto.jws import Claims, parse
from strongroom.errors import InvalidRequest
from strongroom.outbound.issuers import named_by

ALGORITHMS: Final = frozenset(("RS256",))
SENT: Final = ("subscription_id", "resource_group_name", "vm_name", "vmss_name")

NO_SECRET: Final = "client_secret was not kept: tokens are judged by what they say, and Azure's API is not asked"
NOWHERE: Final = (
    "bound_locations can only be confirmed by Azure's compute API, which is not asked: nobody gets this role; "
    "bind subscriptions, resource groups or service principals instead"
)


class LoginBody(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody proves himself with; all but role and jwt may be left out."""

    role: Annotated[str, "The role."] = ""
    jwt: Annotated[str, "The token."] = ""
    subscription_id: Annotated[str, "The subscription of the resource that the token was issued to."] = ""
    resource_group_name: Annotated[str, "Its resource group."] = ""
    vm_name: Annotated[str, "Its name, where it is a machine."] = ""
    vmss_name: Annotated[str, "Its scale set."] = ""
    resource_id: Annotated[str, "Its whole id."] = ""


class Azure(Engine, kind="azure", family="auth"):
    """Log in with a token of Microsoft Entra ID."""

    config = Configuration(
        Config,
        told=Config.shown,
        missing="the mount has no configuration: write tenant_id and resource to config",
        deletes=True,
        says={"read": "Show the configuration; never the client secret.", "delete": "Take no tokens any more."},
    )
    roles = Entries(
        Role,
        changed=changed_role,
        told=shown_role,
        missing='invalid role name "{}"',
        warnings=lambda role, _ttls: (NOWHERE,) if role.bound_locations else (),
        ends="role",
    )

    @write("config", body=ConfigBody, exists="config_exists")
    def write_config(self, body: msgspec.Struct) -> Response | None:
        """Say whose tokens are taken; what is not sent stays."""
        self.config.put(changed_config(self.config.get(), body))
        return answer((NO_SECRET,) if given(body).get("client_secret") else ())

    # -- login --------------------------------------------------------------------------------------------------

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in with a token of Entra ID."""
        if not body.jwt:
            raise InvalidRequest("jwt is required")
        if not body.role:
            raise InvalidRequest("role is required")
        name = role_name(body.role)
        role, config = self.roles.known(name), self.config.known()
        check_peer(role.token, self.call.request.peer)
        claims = self._verified(body.jwt, config)
        resource = resource_of(claims)
        check_role(role, claims, resource)
        _check_sent(body, resource)
        return Response(grant=self._granted(name, role, claims, resource))

    def _verified(self, text: str, config: Config) -> Claims:
        """The claims of a token for this resource, now. Raises InvalidRequest and OutboundError."""
        now, source = self.clock.monotonic(), config.issuer
        try:
            token = parse(text, ALGORITHMS)
            discovery = description(self.call, self.outbound, source, now)
            claims = signed_claims(self.call, self.outbound, token, (named_by(source, discovery.jwks_uri),), now)
            registered.check_issuer(claims, {discovery.issuer})
            registered.check_audience(claims, {config.resource})
            registered.check_times(claims, self.call.transaction.now)
        except InvalidToken as error:
            raise refusal(error) from None
        if "exp" not in claims or not isinstance(claims.get("oid"), str):
            raise InvalidRequest("error validating token: a token of Entra ID has 'exp' and 'oid'")
        return claims

    def _granted(self, name: str, role: Role, claims: Claims, resource: Resource | None) -> Grant:
        who = subject_name(claims["oid"])
        metadata = {each: getattr(resource, each) for each in SENT if resource is not None and getattr(resource, each)}
        if isinstance(claims.get("appid"), str):
            metadata["app_id"] = claims["appid"]
        alias = Alias(who, {**metadata, "role": name})
        return granted(role.token, self.call, alias, who, {"role": name}, rests_on=(f"role/{name}",))

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still exist; its policies at login stay."""
        return prolonged(self.roles.renewed(grant.internal.get("role", "")).token, grant)


def _check_sent(body: LoginBody, resource: Resource | None) -> None:
    """What was sent beside the token is what the token says, where it says anything. Raises InvalidRequest."""
    if resource is None:
        return
    for name in SENT:
        sent = getattr(body, name).lower()
        if sent and getattr(resource, name) and sent != getattr(resource, name):
            raise InvalidRequest(f"{name} is not that of the resource which the token was issued to")
    if body.resource_id and body.resource_id.lower() != resource.id:
        raise InvalidRequest("resource_id is not that of the resource which the token was issued to")
