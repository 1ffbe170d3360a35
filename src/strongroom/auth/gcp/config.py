"""What is configured: where Google's keys are, what names a login. Pure functions of what was sent and what is stored.

Rules of this file: of credentials only what names them is kept: a private key that this server has no use for is no business of its.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import given
from strongroom.core.forms import Duration, NameList, Reads, TextMap, body_of, merged, one_of, some_of
from strongroom.errors import InvalidRequest
from strongroom.outbound.issuers import Source
from strongroom.outbound.tls import check_authorities
from strongroom.outbound.url import base_url, parse_url

GOOGLE_KEYS: Final = "https://www.googleapis.com/oauth2/v3/certs"
GOOGLE_API: Final = "https://www.googleapis.com"
IAM_METADATA: Final = ("project_id", "role", "service_account_id", "service_account_email")
GCE_METADATA: Final = (
    "instance_creation_timestamp",
    "instance_id",
    "instance_name",
    "project_id",
    "project_number",
    "role",
    "service_account_id",
    "service_account_email",
    "zone",
)


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The configuration. The first four are what credentials say of themselves."""

    client_email: str = ""
    client_id: str = ""
    private_key_id: str = ""
    project_id: str = ""
    iam_alias: Annotated[str, "What names an iam login: unique_id or role_id; unique_id where none is given."] = ""
    iam_metadata: Annotated[NameList, "What goes on the alias of an iam login; `default` for all."] = IAM_METADATA
    gce_alias: Annotated[str, "What names a gce login: instance_id or role_id; instance_id where none is given."] = ""
    gce_metadata: Annotated[NameList, "What goes on the alias of a gce login; `default` for all."] = GCE_METADATA
    google_certs_endpoint: Annotated[str, f"Where Google's keys are; {GOOGLE_KEYS} where none is given."] = ""
    google_certs_ca_pem: Annotated[str, "Authorities to trust there and at the API, in place of the system's."] = ""
    custom_endpoint: Annotated[TextMap, "Addresses in place of Google's: `api` is where keys of service accounts are."] = {}
    identity_token_audience: Annotated[str, "Kept for clients that read it back."] = ""
    identity_token_ttl: Annotated[Duration, "Kept for clients that read it back."] = 0

    @property
    def google(self) -> Source:
        """Where Google's keys are."""
        return Source(self.google_certs_endpoint or GOOGLE_KEYS, self.google_certs_ca_pem)

    def account(self, name: str) -> Source:
        """Where the keys of a service account are."""
        api = _address(self.custom_endpoint.get("api", GOOGLE_API))
        return Source(f"{api.removesuffix('/')}/service_accounts/v1/jwk/{name}", self.google_certs_ca_pem)


class NotKept(msgspec.Struct, frozen=True, kw_only=True):
    """What clients send with a configuration, and what names it alone is kept of."""

    credentials: Annotated[str | UnsetType, "A service account's JSON; only what names it is kept."] = UNSET


ConfigBody: Final = body_of(Config, NotKept)


class _Credentials(msgspec.Struct, frozen=True):
    client_email: str
    client_id: str = ""
    private_key_id: str = ""
    project_id: str = ""


def changed_config(before: Config | None, body: msgspec.Struct) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    credentials = given(body).get("credentials", UNSET)
    after = merged(before or Config(), body, _CONFIG_READS, **({} if credentials is UNSET else _named(credentials)))
    if not {"api", "iam", "crm", "compute"}.issuperset(after.custom_endpoint):
        raise InvalidRequest("custom_endpoint may have api, iam, crm and compute")
    parse_url(after.google.url)
    for name, url in after.custom_endpoint.items():
        base_url(_address(url), f"custom_endpoint.{name}")
    check_authorities(after.google_certs_ca_pem, "google_certs_ca_pem")
    return after


def _alias(kind: str, default: str) -> Callable[[str], str]:
    read = one_of((default, "role_id"), f"invalid {kind} alias type: must be one of: {', '.join(sorted((default, 'role_id')))}")
    return lambda name: name and read(name)


def _metadata(field: str, known: tuple[str, ...]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    return some_of(known, known, f"{field} has names that are none; it may have {', '.join(known)}")


_CONFIG_READS: Final[Reads] = {
    "iam_alias": _alias("IAM", "unique_id"),
    "gce_alias": _alias("GCE", "instance_id"),
    "iam_metadata": _metadata("iam_metadata", IAM_METADATA),
    "gce_metadata": _metadata("gce_metadata", GCE_METADATA),
}


def _address(text: str) -> str:
    """A custom endpoint's URL; Google's libraries take bare hosts, too."""
    return text if "://" in text else f"https://{text}"


def _named(text: str) -> dict[str, Any]:
    """What credentials say of themselves. Raises InvalidRequest, which does not quote them."""
    if not text:
        return dict.fromkeys(_Credentials.__struct_fields__, "")
    try:
        return msgspec.structs.asdict(msgspec.json.decode(text, type=_Credentials))
    except (msgspec.MsgspecError, UnicodeError):
        raise InvalidRequest("credentials are a service account's JSON, with client_email") from None


def shown_config(config: Config) -> dict[str, Any]:
    """The members of a read: what is set, and what Vault always tells."""
    told = {name: value for name in Config.__struct_fields__ if (value := getattr(config, name)) not in ("", {})}
    return told | {"identity_token_audience": config.identity_token_audience}
