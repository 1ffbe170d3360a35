"""How the method is configured: the organization's address at Okta, the API token, and what its tokens are like.

Rules of this file: the address is `https://<org_name>.<base_url>`, checked when it is written; the API token is never shown.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.destinations import check_destination
from strongroom.core.fields import given
from strongroom.core.forms import HiddenText, body_of, members, merged
from strongroom.core.token.parameters import TokenParameters
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
    """The configuration. `api_token` "" = none."""

    org_name: Annotated[str, "The organization's name at Okta, the first part of its address."] = ""
    api_token: Annotated[HiddenText, "An API token that may read users and groups."] = ""
    base_url: Annotated[str, "The rest of the address: okta.com, oktapreview.com, okta-emea.com."] = ""
    bypass_okta_mfa: Annotated[bool, "Let people in without the second factor that Okta asks for."] = False
    token: TokenParameters = TokenParameters()

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"https://{self.org_name}.{self.base_url or BASE_URL}"

    def __repr__(self) -> str:
        return f"Config({self.url})"


class OldNames(msgspec.Struct, frozen=True, kw_only=True):
    """What clients send for a configuration's fields, too."""

    organization: Annotated[str | UnsetType, "Old name of org_name."] = UNSET
    token: Annotated[str | UnsetType, "Old name of api_token."] = UNSET
    production: Annotated[bool | UnsetType, "Old form of base_url: false means oktapreview.com."] = UNSET


ConfigBody: Final = body_of(Config, OldNames)


def changed_config(before: Config | None, body: msgspec.Struct) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    start, sent = before or Config(), given(body)
    after = merged(start, body, old={"organization": "org_name", "token": "api_token"})
    if not after.base_url and not sent.get("production", True):
        after = msgspec.structs.replace(after, base_url=PREVIEW)
    if not after.org_name:
        raise InvalidRequest("org_name is missing")
    if parse_url(after.url).target != "/":
        raise InvalidRequest("org_name and base_url together are the name of a host, such as example and okta.com")
    if not after.api_token.isascii() or not after.api_token.isprintable():
        raise InvalidRequest("api_token is not an Okta API token")
    check_destination("api_token", start, body, moved=after.url != start.url, by="org_name or base_url", old="token")
    return after


def shown_config(config: Config) -> dict[str, Any]:
    """What a read answers."""
    told = members(config, ("ttl", "max_ttl")) | {"organization": config.org_name}
    if not config.base_url:
        del told["base_url"]
    return told


def warnings(config: Config) -> tuple[str, ...]:
    """What whoever configures should know."""
    return (BYPASS,) if config.bypass_okta_mfa else ()


def read_warnings(config: Config) -> tuple[str, ...]:
    """What whoever reads should know, which says more: whoever wrote without an API token may have meant it."""
    return (*warnings(config), *(() if config.api_token else (NO_TOKEN,)))
