"""What is stored of the configuration and of a role, and the rules they obey. Pure functions of what was sent and what is stored.

Rules of this file:
- A field that was not sent keeps its value; every accepted field is read back, normalised. Of credentials only what names them is kept: a
  private key that this server has no use for is no business of its.
- Fields of one type of role are refused for the other. Old names of fields mean the new ones, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import Names, given
from strongroom.core.forms import Duration, NameList, Reads, TextMap, body_of, merged, one_of, some_of
from strongroom.core.token.parameters import TokenParameters, shown
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
    """The configuration. The first four are what credentials say of themselves."""

    client_email: str = ""
    client_id: str = ""
    private_key_id: str = ""
    project_id: str = ""
    iam_alias: Annotated[str, "What names an iam login: unique_id or role_id."] = "unique_id"
    iam_metadata: Annotated[NameList, "What goes on the alias of an iam login; `default` for all."] = IAM_METADATA
    gce_alias: Annotated[str, "What names a gce login: instance_id or role_id."] = "instance_id"
    gce_metadata: Annotated[NameList, "What goes on the alias of a gce login; `default` for all."] = GCE_METADATA
    google_certs_endpoint: Annotated[str, "Where Google's keys are."] = GOOGLE_KEYS
    google_certs_ca_pem: Annotated[str, "Authorities to trust there and at the API, in place of the system's."] = ""
    custom_endpoint: Annotated[TextMap, "Addresses in place of Google's: `api` is where keys of service accounts are."] = {}

    @property
    def google(self) -> Source:
        """Where Google's keys are."""
        return Source(self.google_certs_endpoint, self.google_certs_ca_pem)

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
    parse_url(after.google_certs_endpoint)
    for name, url in after.custom_endpoint.items():
        base_url(_address(url), f"custom_endpoint.{name}")
    check_authorities(after.google_certs_ca_pem, "google_certs_ca_pem")
    return after


def _alias(kind: str, default: str) -> Callable[[str], str]:
    read = one_of((default, "role_id"), f"invalid {kind} alias type: must be one of: {', '.join(sorted((default, 'role_id')))}")
    return lambda name: read(name or default)


def _metadata(field: str, known: tuple[str, ...]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    return some_of(known, known, f"{field} has names that are none; it may have {', '.join(known)}")


_CONFIG_READS: Final[Reads] = {
    "iam_alias": _alias("IAM", "unique_id"),
    "gce_alias": _alias("GCE", "instance_id"),
    "iam_metadata": _metadata("iam_metadata", IAM_METADATA),
    "gce_metadata": _metadata("gce_metadata", GCE_METADATA),
    "google_certs_endpoint": lambda url: url or GOOGLE_KEYS,
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
    """The members of a read."""
    return {name: value for name in Config.__struct_fields__ if (value := getattr(config, name)) not in ("", {})}


# -- roles ----------------------------------------------------------------------------------------------------------------------


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role."""

    role_id: str
    type: str
    bound_service_accounts: Annotated[NameList, "Emails or unique ids of service accounts; * for any."] = ()
    bound_projects: Annotated[NameList, "Projects."] = ()
    add_group_aliases: Annotated[bool, "Kept for clients; only Google's API knows such groups."] = False
    max_jwt_exp: Annotated[Duration, "iam: how soon an account's own token must end."] = 900
    allow_gce_inference: Annotated[bool, "iam: a machine's token is taken for its service account's."] = True
    bound_zones: Annotated[NameList, "gce: zones."] = ()
    bound_regions: Annotated[NameList, "gce: regions; not read where there are zones."] = ()
    bound_instance_groups: Annotated[NameList, "gce: groups, which no token says: the role takes nobody."] = ()
    bound_labels: Annotated[dict[str, str], Names, "gce: key:value labels, which no token says: the role takes nobody."] = {}
    token: TokenParameters = TokenParameters()


class RoleWritten(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is written with beside its form: its type, and old names."""

    type: Annotated[str | UnsetType, "iam or gce; it cannot be changed."] = UNSET
    service_accounts: Annotated[Names | UnsetType, "Old name of bound_service_accounts."] = UNSET
    project_id: Annotated[str | UnsetType, "Old name of bound_projects, for one."] = UNSET
    bound_zone: Annotated[str | UnsetType, "Old name of bound_zones, for one."] = UNSET
    bound_region: Annotated[str | UnsetType, "Old name of bound_regions, for one."] = UNSET
    bound_instance_group: Annotated[str | UnsetType, "Old name of bound_instance_groups, for one."] = UNSET


RoleBody: Final = body_of(Role, RoleWritten)

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


def changed_role(before: Role | None, body: msgspec.Struct, role_id: str) -> tuple[Role, tuple[str, ...]]:
    """A role after a write, and warnings. Raises InvalidRequest."""
    sent = given(body)
    kind = sent.get("type", before.type if before is not None else "")
    if before is None and not kind:
        raise InvalidRequest("role type cannot be empty")
    if kind not in ("iam", "gce"):
        raise InvalidRequest("role type is invalid: it is iam or gce")
    if before is not None and kind != before.type:
        raise InvalidRequest("role type cannot be changed for an existing role")
    renamed, warned = _renamed(sent)
    foreign = [name for name in (_GCE if kind == "iam" else _IAM) if name in sent or name in renamed]
    if foreign:
        raise InvalidRequest(f"invalid args found for role of type {kind}: {', '.join(foreign)}")
    after = merged(before or Role(role_id=role_id, type=kind), body, _ROLE_READS, **renamed)
    _check(after)
    return after, (*warned, *_warnings(after))


def _renamed(sent: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What was sent under old names, by the new ones, and what to say of that. Raises InvalidRequest."""
    fields, warned = {}, []
    for old, new in _OLD.items():
        value = sent.get(old)
        if not value:
            continue
        if new in sent:
            raise InvalidRequest(f'cannot specify both "{old}" and "{new}"')
        fields[new] = _trimmed((value,) if isinstance(value, str) else value)
        warned.append(f'The "{old}" field is deprecated. Please use "{new}" instead.')
    return fields, tuple(warned)


def _trimmed(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Labels of `key:value` texts. Raises InvalidRequest."""
    pairs = [text.split(":", 1) for text in texts]
    if not all(len(pair) == 2 and pair[0] for pair in pairs):
        raise InvalidRequest("invalid labels given: a label is key:value")
    return {key.strip(): value.strip() for key, value in pairs}


_ROLE_READS: Final[Reads] = {**dict.fromkeys(_LISTS, _trimmed), "bound_labels": labels}


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
