"""Whose tokens are taken. Pure functions of what was sent and what is stored.

Rules of this file: the client secret is not kept: nothing here asks Azure in this server's name. What clients read back is kept.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.clock import SECOND
from strongroom.core.forms import Duration, body_of, merged
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

_OWN: Final = frozenset(("authority_url", "authority_ca_pem"))
"""Settings that are strongroom's."""

_TENANT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?", re.ASCII)


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
        """The members of a read, those that Vault lacks where they are set.

        The delays are in nanoseconds, as Vault's are and Terraform divides them.
        """
        delays = {name: getattr(self, name) * SECOND for name in ("retry_delay", "max_retry_delay")}
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value or name not in _OWN} | delays

    @property
    def issuer(self) -> Source:
        """Where the tenant is described."""
        authority = self.authority_url or ENVIRONMENTS[self.environment or "AzurePublicCloud"]
        return Source(f"{authority.removesuffix('/')}/{self.tenant_id}", self.authority_ca_pem)


class NotKept(msgspec.Struct, frozen=True, kw_only=True):
    """What clients send with a configuration beside what is kept."""

    client_secret: Annotated[str | UnsetType, "Not kept: this server does not ask Azure's API."] = UNSET


ConfigBody: Final = body_of(Config, NotKept)


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
