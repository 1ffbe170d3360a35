"""What tokens of Google's must say, and who logs in with one.

Rules of this file:
- Pure. Who signed is settled before: `machine` is read from tokens that Google signed and from no others.
- An audience is `vault/<role>`, or a URL that ends in `/vault/<role>`: a token is for one role.
- An account's unique id names it for ever; its email may be given to another account once it is deleted, so it is no alias.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from strongroom.auth.gcp.config import Config
from strongroom.auth.gcp.roles import MAX_JWT_MINUTES, Role
from strongroom.clock import SECOND
from strongroom.crypto import claims as registered
from strongroom.errors import InvalidRequest

GOOGLE_ISSUERS: Final = ("https://accounts.google.com", "accounts.google.com")
TOLERANCE: Final = 60
"""Seconds that clocks may differ."""

_ACCOUNT: Final = re.compile(r"[a-z0-9-]{1,63}@[a-z0-9.-]{1,128}\.gserviceaccount\.com|[0-9]{1,32}", re.ASCII)
_PROJECT: Final = re.compile(r"[a-z0-9-]+@([a-z0-9-]+)\.iam\.gserviceaccount\.com", re.ASCII)


class Machine(msgspec.Struct, frozen=True):
    """What Google says of a machine, in `google.compute_engine`."""

    instance_id: str
    instance_name: str = ""
    project_id: str = ""
    project_number: int = 0
    zone: str = ""
    instance_creation_timestamp: int = 0


class Account(NamedTuple):
    """A service account, as far as its token names it."""

    unique_id: str
    email: str

    @property
    def project(self) -> str:
        """The project it belongs to, where its email says so."""
        match = _PROJECT.fullmatch(self.email)
        return match[1] if match is not None else ""


def account_name(claims: Mapping[str, Any]) -> str:
    """The name under which a service account's keys are published. Raises InvalidRequest."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _ACCOUNT.fullmatch(subject):
        raise InvalidRequest("expected JWT to have 'sub' claim with service account id or email")
    return subject


def account_of(claims: Mapping[str, Any], *, by_google: bool) -> Account:
    """Whose token it is. Raises InvalidRequest."""
    subject = account_name(claims)
    email = claims.get("email") if by_google and claims.get("email_verified") is True else None
    if "@" in subject:
        return Account("", subject)
    return Account(subject, email if isinstance(email, str) and _ACCOUNT.fullmatch(email) else "")


def machine_of(claims: Mapping[str, Any]) -> Machine | None:
    """The machine whose token Google signed; None for a token that is not a machine's. Raises InvalidRequest."""
    google = claims.get("google")
    engine = google.get("compute_engine") if isinstance(google, Mapping) else None
    if engine is None:
        return None
    try:
        return msgspec.convert(engine, Machine)
    except msgspec.ValidationError:
        raise InvalidRequest("expected JWT to have claims with GCE metadata") from None


def check_registered(claims: Mapping[str, Any], name: str, now: int) -> int:
    """Times and audience. The seconds until it ends. Raises InvalidToken and InvalidRequest."""
    registered.check_times(claims, now, registered.Leeway(skew=TOLERANCE, expiration=0, not_before=86_400))
    if "exp" not in claims:
        raise InvalidRequest("JWT is expired or does not have proper 'exp' claim")
    left = int(claims["exp"]) - now // SECOND
    if left > MAX_JWT_MINUTES * 60 + TOLERANCE:
        raise InvalidRequest(f"JWT must expire in {MAX_JWT_MINUTES} minutes")
    audiences = registered.audiences(claims)
    if not audiences or not all(each == f"vault/{name}" or each.endswith(f"/vault/{name}") for each in audiences):
        raise InvalidRequest(f"at least one of the JWT claim 'aud' must end in \"vault/{name}\"")
    return left


def check_account(role: Role, account: Account, project: str = "") -> None:
    """The role is for this account. Raises InvalidRequest."""
    project = project or account.project
    if role.bound_projects and not project:
        raise InvalidRequest("the role has bound_projects, and neither the token nor the account's email says its project")
    if role.bound_projects and project not in role.bound_projects:
        raise InvalidRequest("service account not in bound projects")
    bound = role.bound_service_accounts
    if bound and bound != ("*",) and not {account.unique_id, account.email}.difference({""}).intersection(bound):
        raise InvalidRequest("service account is not authorized for role")


def check_machine(role: Role, machine: Machine) -> None:
    """The role is for this machine. Raises InvalidRequest."""
    if role.bound_labels or role.bound_instance_groups:
        raise InvalidRequest(
            "the role binds labels or instance groups, which only Google's compute API could confirm, and it is not asked; have the role "
            "bind projects, zones, regions or service accounts instead"
        )
    zone = machine.zone.rpartition("/")[2]
    if role.bound_zones:
        if zone not in {each.rpartition("/")[2] for each in role.bound_zones}:
            raise InvalidRequest("instance not in bound zones")
    elif role.bound_regions and zone.rpartition("-")[0] not in {each.rpartition("/")[2] for each in role.bound_regions}:
        raise InvalidRequest("instance not in bound regions")


def alias_name(config: Config, role: Role, account: Account, machine: Machine | None) -> str:
    """What names the login for ever. Raises InvalidRequest."""
    if (config.iam_alias if machine is None else config.gce_alias) == "role_id":
        return role.role_id
    if machine is not None:
        return f"gce-{machine.instance_id}"
    if not account.unique_id:
        raise InvalidRequest("the token names the account by its email, which may be another's tomorrow: use its unique id as sub")
    return account.unique_id


def metadata(config: Config, name: str, account: Account, machine: Machine | None) -> dict[str, str]:
    """What goes on the alias: what is known of what the configuration lists."""
    known = {"role": name, "service_account_id": account.unique_id, "service_account_email": account.email, "project_id": account.project}
    if machine is not None:
        known |= {field: str(value) for field, value in msgspec.structs.asdict(machine).items() if value}
    wanted = config.iam_metadata if machine is None else config.gce_metadata
    return {field: known[field] for field in wanted if known.get(field)}
