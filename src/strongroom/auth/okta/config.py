"""How the method is configured: the organization's address at Okta, the API token, and what its tokens are like.

Rules of this file: the address is `https://<org_name>.<base_url>`, checked when it is written; the API token is never shown.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.destinations import check_destination
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed, shown
from strongroom.errors import InvalidRequest
from strongroom.outbound.url import parse_url

BASE_URL: Final = "okta.com"
PREVIEW: Final = "oktapreview.com"
BYPASS: Final = (
    "Okta MFA bypass is configured. In addition to ignoring Okta MFA requests, certain other account statuses will not be seen, such as "
    "PASSWORD_EXPIRED. Authentication will succeed in these cases."
)
NO_TOKEN: Final = (
    "No Okta API token is configured. Okta group membership will not be queried during login, so only policies from locally-defined users "
    "and groups will apply, and tokens cannot be renewed."
)


class Config(msgspec.Struct, frozen=True):
    """The stored form. `api_token` "" = none."""

    org_name: str = ""
    api_token: str = ""
    base_url: str = ""
    bypass_okta_mfa: bool = False
    token: TokenParameters = TokenParameters()

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"https://{self.org_name}.{self.base_url or BASE_URL}"

    def __repr__(self) -> str:
        return f"Config({self.url})"


class ConfigBody(TokenBody, frozen=True, kw_only=True):
    """What the method is configured with."""

    org_name: Annotated[str | UnsetType, "The organization's name at Okta, the first part of its address."] = UNSET
    organization: Annotated[str | UnsetType, "Old name of org_name."] = UNSET
    api_token: Annotated[str | UnsetType, "An API token that may read users and groups."] = UNSET
    token: Annotated[str | UnsetType, "Old name of api_token."] = UNSET
    base_url: Annotated[str | UnsetType, "The rest of the address: okta.com, oktapreview.com, okta-emea.com."] = UNSET
    production: Annotated[bool | UnsetType, "Old form of base_url: false means oktapreview.com."] = UNSET
    bypass_okta_mfa: Annotated[bool | UnsetType, "Let people in without the second factor that Okta asks for."] = UNSET


def changed_config(before: Config, body: ConfigBody) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    base_url = before.base_url if body.base_url is UNSET else body.base_url
    if not base_url and body.production is not UNSET:
        base_url = "" if body.production else PREVIEW
    after = Config(
        org_name=_given(body.org_name, body.organization, before.org_name),
        api_token=_given(body.api_token, body.token, before.api_token),
        base_url=base_url,
        bypass_okta_mfa=before.bypass_okta_mfa if body.bypass_okta_mfa is UNSET else body.bypass_okta_mfa,
        token=changed(before.token, body),
    )
    if not after.org_name:
        raise InvalidRequest("org_name is missing")
    if parse_url(after.url).target != "/":
        raise InvalidRequest("org_name and base_url together are the name of a host, such as example and okta.com")
    if not after.api_token.isascii() or not after.api_token.isprintable():
        raise InvalidRequest("api_token is not an Okta API token")
    sent = body.token if body.api_token is UNSET else body.api_token
    check_destination("api_token", before=before.api_token, sent=sent, moved=after.url != before.url, by="org_name or base_url")
    return after


def _given(new: str | UnsetType, old: str | UnsetType, before: str) -> str:
    found = old if new is UNSET else new
    return before if found is UNSET else found


def shown_config(config: Config) -> dict[str, Any]:
    """What a read answers."""
    names = {"org_name": config.org_name, "organization": config.org_name, "bypass_okta_mfa": config.bypass_okta_mfa}
    address = {"base_url": config.base_url} if config.base_url else {}
    return names | address | shown(config.token, ("ttl", "max_ttl"))


def warnings(config: Config) -> tuple[str, ...]:
    """What whoever configures should know."""
    return (*((BYPASS,) if config.bypass_okta_mfa else ()), *(() if config.api_token else (NO_TOKEN,)))
