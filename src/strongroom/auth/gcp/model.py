"""What is stored of the configuration and of a role, and the rules they obey. Pure functions of what was sent and what is stored.

Rules of this file:
- A field that was not sent keeps its value; every accepted field is read back, normalised. Of credentials only what names them is kept: a
  private key that this server has no use for is no business of its.
- Fields of one type of role are refused for the other. Old names of fields mean the new ones, with a warning.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import Names, Seconds, Texts, given
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed, shown
from strongroom.errors import InvalidRequest
from strongroom.outbound.issuers import Source
from strongroom.outbound.tls import check_authorities
from strongroom.outbound.url import base_url, parse_url

GOOGLE_KEYS: Final = "https://www.googleapis.com/oauth2/v3/certs"
GOOGLE_API: Final = "https://www.googleapis.com"
MAX_BOUND: Final = 256
"""Values of one bound."""

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
MAX_JWT_MINUTES: Final = 60
"""How far ahead any token may end; Google's own end after an hour."""


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stored configuration. The first four are what credentials say of themselves."""

    client_email: str = ""
    client_id: str = ""
    private_key_id: str = ""
    project_id: str = ""
    iam_alias: str = "unique_id"
    iam_metadata: tuple[str, ...] = IAM_METADATA
    gce_alias: str = "instance_id"
    gce_metadata: tuple[str, ...] = GCE_METADATA
    google_certs_endpoint: str = GOOGLE_KEYS
    google_certs_ca_pem: str = ""
    custom_endpoint: dict[str, str] = {}

    @property
    def google(self) -> Source:
        """Where Google's keys are."""
        return Source(self.google_certs_endpoint, self.google_certs_ca_pem)

    def account(self, name: str) -> Source:
        """Where the keys of a service account are."""
        api = _address(self.custom_endpoint.get("api", GOOGLE_API))
        return Source(f"{api.removesuffix('/')}/service_accounts/v1/jwk/{name}", self.google_certs_ca_pem)


class ConfigBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration is written with."""

    credentials: Annotated[str | UnsetType, "A service account's JSON; only what names it is kept."] = UNSET
    iam_alias: Annotated[str | UnsetType, "What names an iam login: unique_id or role_id."] = UNSET
    iam_metadata: Annotated[Names | UnsetType, "What goes on the alias of an iam login; `default` for all."] = UNSET
    gce_alias: Annotated[str | UnsetType, "What names a gce login: instance_id or role_id."] = UNSET
    gce_metadata: Annotated[Names | UnsetType, "What goes on the alias of a gce login; `default` for all."] = UNSET
    google_certs_endpoint: Annotated[str | UnsetType, "Where Google's keys are."] = UNSET
    google_certs_ca_pem: Annotated[str | UnsetType, "Authorities to trust there and at the API, in place of the system's."] = UNSET
    custom_endpoint: Annotated[Texts | UnsetType, "Addresses in place of Google's: `api` is where keys of service accounts are."] = UNSET


_ALIASES: Final = {"iam_alias": ("unique_id", "role_id"), "gce_alias": ("instance_id", "role_id")}
_METADATA: Final = {"iam_metadata": IAM_METADATA, "gce_metadata": GCE_METADATA}


class _Credentials(msgspec.Struct, frozen=True):
    client_email: str
    client_id: str = ""
    private_key_id: str = ""
    project_id: str = ""


def changed_config(before: Config | None, body: ConfigBody) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    fields: dict[str, Any] = {name: value for name in Config.__struct_fields__ if (value := getattr(body, name, UNSET)) is not UNSET}
    if body.credentials is not UNSET:
        fields |= _named(body.credentials)
    for name, allowed in _ALIASES.items():
        if name in fields and (fields[name] or allowed[0]) not in allowed:
            raise InvalidRequest(f"invalid {name[:3].upper()} alias type: must be one of: {', '.join(sorted(allowed))}")
        fields |= {name: fields[name] or allowed[0]} if name in fields else {}
    for name, known in _METADATA.items():
        if name in fields:
            fields[name] = known if "default" in fields[name] else fields[name]
            if not set(known).issuperset(fields[name]):
                raise InvalidRequest(f"{name} has names that are none; it may have {', '.join(known)}")
    if not fields.get("google_certs_endpoint", "x"):
        fields["google_certs_endpoint"] = GOOGLE_KEYS
    if not {"api", "iam", "crm", "compute"}.issuperset(fields.get("custom_endpoint", ())):
        raise InvalidRequest("custom_endpoint may have api, iam, crm and compute")
    after = msgspec.structs.replace(before or Config(), **fields)
    parse_url(after.google_certs_endpoint)
    for name, url in after.custom_endpoint.items():
        base_url(_address(url), f"custom_endpoint.{name}")
    check_authorities(after.google_certs_ca_pem, "google_certs_ca_pem")
    return after


def _address(text: str) -> str:
    """A custom endpoint's URL; Google's libraries take bare hosts, too."""
    return text if "://" in text else f"https://{text}"


def _named(text: str) -> dict[str, str]:
    """What credentials say of themselves. Raises InvalidRequest, which does not quote them."""
    if not text:
        return dict.fromkeys(_Credentials.__struct_fields__, "")
    try:
        return msgspec.structs.asdict(msgspec.json.decode(text, type=_Credentials))
    except (msgspec.MsgspecError, UnicodeError):
        raise InvalidRequest("credentials are a service account's JSON, with client_email") from None


def shown_config(config: Config) -> dict[str, Any]:
    """The members of a read."""
    return {name: value for name in Config.__struct_fields__ if (value := getattr(config, name)) not in ("", {})}


# -- roles ----------------------------------------------------------------------------------------------------------------------


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored role. Durations in seconds."""

    role_id: str
    type: str
    bound_service_accounts: tuple[str, ...] = ()
    bound_projects: tuple[str, ...] = ()
    add_group_aliases: bool = False
    max_jwt_exp: int = 900
    allow_gce_inference: bool = True
    bound_zones: tuple[str, ...] = ()
    bound_regions: tuple[str, ...] = ()
    bound_instance_groups: tuple[str, ...] = ()
    bound_labels: dict[str, str] = {}
    token: TokenParameters = TokenParameters()


class RoleBody(TokenBody, frozen=True, kw_only=True):
    """What a role is written with; the last five are old names."""

    type: Annotated[str | UnsetType, "iam or gce; it cannot be changed."] = UNSET
    bound_service_accounts: Annotated[Names | UnsetType, "Emails or unique ids of service accounts; * for any."] = UNSET
    bound_projects: Annotated[Names | UnsetType, "Projects."] = UNSET
    add_group_aliases: Annotated[bool | UnsetType, "Kept for clients; only Google's API knows such groups."] = UNSET
    max_jwt_exp: Annotated[Seconds | UnsetType, "iam: how soon an account's own token must end."] = UNSET
    allow_gce_inference: Annotated[bool | UnsetType, "iam: a machine's token is taken for its service account's."] = UNSET
    bound_zones: Annotated[Names | UnsetType, "gce: zones."] = UNSET
    bound_regions: Annotated[Names | UnsetType, "gce: regions; not read where there are zones."] = UNSET
    bound_instance_groups: Annotated[Names | UnsetType, "gce: groups, which no token says: the role takes nobody."] = UNSET
    bound_labels: Annotated[Names | UnsetType, "gce: key:value labels, which no token says: the role takes nobody."] = UNSET
    service_accounts: Annotated[Names | UnsetType, "Old name of bound_service_accounts."] = UNSET
    project_id: Annotated[str | UnsetType, "Old name of bound_projects, for one."] = UNSET
    bound_zone: Annotated[str | UnsetType, "Old name of bound_zones, for one."] = UNSET
    bound_region: Annotated[str | UnsetType, "Old name of bound_regions, for one."] = UNSET
    bound_instance_group: Annotated[str | UnsetType, "Old name of bound_instance_groups, for one."] = UNSET


_OLD: Final = {
    "service_accounts": "bound_service_accounts",
    "project_id": "bound_projects",
    "bound_zone": "bound_zones",
    "bound_region": "bound_regions",
    "bound_instance_group": "bound_instance_groups",
}
_IAM: Final = ("max_jwt_exp", "allow_gce_inference")
_GCE: Final = ("bound_zones", "bound_regions", "bound_instance_groups", "bound_labels")
_LISTS: Final = ("bound_service_accounts", "bound_projects", "bound_zones", "bound_regions", "bound_instance_groups")


def changed_role(before: Role | None, body: RoleBody, role_id: str) -> tuple[Role, tuple[str, ...]]:
    """A role after a write, and warnings. Raises InvalidRequest."""
    if before is None and not body.type:
        raise InvalidRequest("role type cannot be empty")
    kind = before.type if body.type is UNSET and before is not None else body.type
    if kind not in ("iam", "gce"):
        raise InvalidRequest("role type is invalid: it is iam or gce")
    if before is not None and kind != before.type:
        raise InvalidRequest("role type cannot be changed for an existing role")
    fields, warned = _sent(body)
    foreign = [name for name in (_GCE if kind == "iam" else _IAM) if name in fields]
    if foreign:
        raise InvalidRequest(f"invalid args found for role of type {kind}: {', '.join(foreign)}")
    start = before or Role(role_id=role_id, type=str(kind))
    after = msgspec.structs.replace(start, **fields, token=changed(start.token, body))
    _check(after)
    return after, (*warned, *_warnings(after))


def _sent(body: RoleBody) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Fields as they were sent, by their new names, and what to say of old ones."""
    fields = given(body, (*_LISTS, *_IAM, "bound_labels", "add_group_aliases"))
    warned = []
    for old, new in _OLD.items():
        value = getattr(body, old)
        if value is UNSET or not value:
            continue
        if new in fields:
            raise InvalidRequest(f'cannot specify both "{old}" and "{new}"')
        fields[new] = (value,) if isinstance(value, str) else value
        warned.append(f'The "{old}" field is deprecated. Please use "{new}" instead.')
    for name in _LISTS:
        if name in fields:
            fields[name] = tuple(dict.fromkeys(value.strip() for value in fields[name] if value.strip()))
    if "bound_labels" in fields:
        fields["bound_labels"] = labels(fields["bound_labels"])
    return fields, tuple(warned)


def labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Labels of `key:value` texts. Raises InvalidRequest."""
    pairs = [text.split(":", 1) for text in texts]
    if not all(len(pair) == 2 and pair[0] for pair in pairs):
        raise InvalidRequest("invalid labels given: a label is key:value")
    return {key.strip(): value.strip() for key, value in pairs}


def _check(role: Role) -> None:
    """Raises InvalidRequest for a role that cannot be right."""
    if any(len(getattr(role, name)) > MAX_BOUND for name in (*_LISTS, "bound_labels")):
        raise InvalidRequest(f"a bound has at most {MAX_BOUND} values")
    if role.type == "iam":
        if not role.bound_service_accounts:
            raise InvalidRequest("IAM role type must have at least one service account")
        if not 0 < role.max_jwt_exp <= MAX_JWT_MINUTES * 60:
            raise InvalidRequest(f"max_jwt_exp cannot be more than {MAX_JWT_MINUTES} minutes")
    elif role.bound_instance_groups and not (role.bound_regions or role.bound_zones):
        raise InvalidRequest("region or zone information must be specified if an instance group is given")
    if "*" in role.bound_service_accounts and len(role.bound_service_accounts) > 1:
        raise InvalidRequest("cannot provide IAM service account wildcard '*' (for all service accounts) with other service accounts")


def _warnings(role: Role) -> tuple[str, ...]:
    found = []
    if role.bound_regions and role.bound_zones:
        found.append(
            'Given both "bound_regions" and "bound_zones", "bound_regions" will be ignored in favor of the more specific "bound_zones".'
        )
    if role.bound_labels or role.bound_instance_groups:
        found.append("only Google's compute API could confirm labels and instance groups, and it is not asked: the role takes nobody")
    if role.add_group_aliases:
        found.append("add_group_aliases adds none: only Google's resource manager API knows folders and organisations, and it is not asked")
    if role.type == "gce" and not (role.bound_projects or role.bound_service_accounts):
        found.append("the role binds neither projects nor service accounts: machines of any customer of Google can have it")
    return tuple(found)


def shown_role(role: Role) -> dict[str, Any]:
    """The members of a read."""
    own = _IAM if role.type == "iam" else _GCE
    members = {name: getattr(role, name) for name in ("role_id", "type", "add_group_aliases", *own)}
    bounds = {name: value for name in ("bound_service_accounts", "bound_projects") if (value := getattr(role, name))}
    members = {name: value for name, value in members.items() if value not in ((), {})}
    return members | bounds | shown(role.token, ("policies", "ttl", "max_ttl", "period"))
