"""What a role binds. Pure functions of what was sent and what is stored.

Rules of this file: fields of one type of role are refused for the other. Old names of fields mean the new ones, with a warning.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import Names, given
from strongroom.core.forms import Duration, NameList, Reads, body_of, merged
from strongroom.core.token.parameters import TokenParameters, shown
from strongroom.errors import InvalidRequest

MAX_BOUND: Final = 256
"""Values of one bound."""

MAX_JWT_MINUTES: Final = 60
"""How far ahead any token may end; Google's own end after an hour."""


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
            'Given both "bound_regions" and "bound_zones" fields for role type "gce", "bound_regions" will be ignored in favor of the more '
            'specific "bound_zones" field. '
            'To fix this warning, update the role to remove either the "bound_regions" or "bound_zones" field.'
        )
    if role.bound_labels or role.bound_instance_groups:
        found.append(
            "only Google's compute API could confirm labels and instance groups, and it is not asked: the role takes nobody; "
            "bind projects, zones, regions or service accounts instead"
        )
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
