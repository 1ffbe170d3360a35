"""What is stored of the configuration and of a role, and the rules they obey. Pure functions of what was sent and what is stored.

Rules of this file:
- A field that was not sent keeps its value; every accepted field is read back, normalised. The client secret is not kept: nothing here
  asks Azure in this server's name.
- A role binds something. What only Azure's API could tell, the location of a machine, is stored and read back, and the role takes nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.azure.resource import Resource
from strongroom.clock import SECOND
from strongroom.core.forms import Duration, NameList, body_of, merged, own
from strongroom.core.token.parameters import TokenParameters
from strongroom.errors import InvalidRequest
from strongroom.outbound.issuers import Source
from strongroom.outbound.tls import check_authorities
from strongroom.outbound.url import base_url

ENVIRONMENTS: Final = {
    "AzurePublicCloud": "https://login.microsoftonline.com",
    "AzureUSGovernmentCloud": "https://login.microsoftonline.us",
    "AzureChinaCloud": "https://login.chinacloudapi.cn",
    "AzureGermanCloud": "https://login.microsoftonline.de",
}
"""Where each cloud describes its tenants."""

_TENANT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?", re.ASCII)

MAX_BOUND: Final = 256
"""Values of one bound."""


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The configuration."""

    tenant_id: Annotated[str, "The directory (tenant) whose tokens are taken."] = ""
    resource: Annotated[str, "What tokens must be for: their aud."] = ""
    environment: Annotated[str, "The cloud; AzurePublicCloud where none is given."] = ""
    client_id: Annotated[str, "Kept for clients that read it back; this server does not ask Azure's API."] = ""
    authority_url: Annotated[str, "Where tenants are described, in place of the cloud's address."] = ""
    authority_ca_pem: Annotated[str, "Authorities to trust there, in place of the system's."] = ""
    root_password_ttl: Annotated[Duration, "Kept for clients that read it back."] = 15_768_000
    max_retries: Annotated[int, "Kept for clients that read it back."] = 3
    retry_delay: Annotated[Duration, "Kept for clients that read it back."] = 4
    max_retry_delay: Annotated[Duration, "Kept for clients that read it back."] = 60
    identity_token_audience: Annotated[str, "Kept for clients that read it back."] = ""
    identity_token_ttl: Annotated[Duration, "Kept for clients that read it back."] = 0

    def shown(self) -> dict[str, Any]:
        """The members of a read. The delays are in nanoseconds, as Vault's are and Terraform divides them."""
        delays = {name: getattr(self, name) * SECOND for name in ("retry_delay", "max_retry_delay")}
        return msgspec.structs.asdict(self) | delays

    @property
    def issuer(self) -> Source:
        """Where the tenant is described."""
        authority = self.authority_url or ENVIRONMENTS[self.environment or "AzurePublicCloud"]
        return Source(f"{authority.removesuffix('/')}/{self.tenant_id}", self.authority_ca_pem)


class NotKept(msgspec.Struct, frozen=True, kw_only=True):
    """What clients send with a configuration beside what is kept."""

    client_secret: Annotated[str | UnsetType, "Not kept: this server does not ask Azure's API."] = UNSET


ConfigBody: Final = body_of(Config, NotKept)


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role: what it binds."""

    bound_service_principal_ids: Annotated[NameList, "Object ids of service principals; * for any."] = ()
    bound_group_ids: Annotated[NameList, "Object ids of groups; * for any."] = ()
    bound_subscription_ids: Annotated[NameList, "Subscriptions of the resource that logs in."] = ()
    bound_resource_groups: Annotated[NameList, "Its resource groups."] = ()
    bound_locations: Annotated[NameList, "Its locations: no token says them, so a role that binds them takes nobody."] = ()
    bound_scale_sets: Annotated[NameList, "Its scale sets."] = ()
    token: TokenParameters = TokenParameters()


BOUNDS: Final = own(Role)
_BY_RESOURCE: Final = {
    "bound_subscription_ids": ("subscription_id", "subscription not authorized"),
    "bound_resource_groups": ("resource_group_name", "resource group not authorized"),
    "bound_scale_sets": ("vmss_name", "scale set not authorized"),
}


def changed_config(before: Config | None, body: msgspec.Struct) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    after = merged(before or Config(), body)
    for name in ("tenant_id", "resource"):
        if not getattr(after, name):
            raise InvalidRequest(f"{name} is required")
    if not _TENANT.fullmatch(after.tenant_id):
        raise InvalidRequest("tenant_id is an id or a domain")
    if after.environment and after.environment not in ENVIRONMENTS:
        raise InvalidRequest(f"there is no such environment; it may be {', '.join(ENVIRONMENTS)}")
    if after.authority_url:
        base_url(after.authority_url, "authority_url")
    check_authorities(after.authority_ca_pem, "authority_ca_pem")
    return after


def changed_role(before: Role | None, body: msgspec.Struct) -> Role:
    """A role after a write. Raises InvalidRequest."""
    after = merged(before or Role(), body)
    if not any(getattr(after, name) for name in BOUNDS):
        raise InvalidRequest("must have at least one bound constraint when creating/updating a role")
    if any(len(getattr(after, name)) > MAX_BOUND for name in BOUNDS):
        raise InvalidRequest(f"a bound has at most {MAX_BOUND} values")
    if after.bound_service_principal_ids == after.bound_group_ids == ("*",):
        raise InvalidRequest("expected specific bound_group_ids or bound_service_principal_ids; both cannot be '*'")
    return after


def check_role(role: Role, claims: Mapping[str, Any], resource: Resource | None) -> None:
    """The role is for whoever the claims are about. Raises InvalidRequest."""
    principals, groups = role.bound_service_principal_ids, role.bound_group_ids
    if principals and principals != ("*",) and claims["oid"] not in principals:
        raise InvalidRequest("service principal not authorized")
    if groups and groups != ("*",) and not set(token_groups(claims)).intersection(groups):
        raise InvalidRequest("groups not authorized")
    if role.bound_locations:
        raise InvalidRequest("the role has bound_locations, which only Azure's compute API could confirm; this server does not ask it")
    for name, (attribute, sentence) in _BY_RESOURCE.items():
        bound = getattr(role, name)
        if not bound:
            continue
        if resource is None:
            raise InvalidRequest(f"the role has {name}, and the token does not say which resource it was issued to (xms_az_rid, xms_mirid)")
        if getattr(resource, attribute) not in {value.lower() for value in bound}:
            raise InvalidRequest(sentence)


def token_groups(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups that the token lists. Raises InvalidRequest."""
    groups = claims.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
        raise InvalidRequest("the token's groups are not a list of texts")
    return tuple(groups)
