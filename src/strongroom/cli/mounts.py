"""What `secrets`, `auth` and `audit` share: tables of mounts, and the tuning flags of an enable or tune.

Rules of this file:
- A flag that was not given is not sent, so a tune changes what it names and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from strongroom.cli import output
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.values import Json, Object


def _cell(value: Json) -> str:
    return "" if value is None else output.cell(value)


def _map(value: Json) -> str:
    return output.cell(values.mapping(value))


def _ttl(seconds: Json) -> str:
    return output.cell(seconds or "system")


def _replication(local: Json) -> str:
    return "local" if local else "replicated"


class Column(NamedTuple):
    """A heading, how it shows a value, and where that is: a member of the mount, or of one of its objects as `config.default_lease_ttl`."""

    heading: str
    member: str
    show: Callable[[Json], str] = _cell


REPLICATION = Column("Replication", "local", _replication)
_FIRST = (
    Column("Plugin", "type"),
    Column("Accessor", "accessor"),
    Column("Default TTL", "config.default_lease_ttl", _ttl),
    Column("Max TTL", "config.max_lease_ttl", _ttl),
)
_LAST = (
    REPLICATION,
    Column("Seal Wrap", "seal_wrap"),
    Column("External Entropy Access", "external_entropy_access"),
    Column("Options", "options", _map),
    Column("Description", "description"),
    Column("UUID", "uuid"),
    Column("Version", "plugin_version"),
    Column("Running Version", "running_plugin_version"),
    Column("Running SHA256", "running_sha256"),
    Column("Deprecation Status", "deprecation_status"),
)
SECRETS_DETAILS = (*_FIRST, Column("Force No Cache", "config.force_no_cache"), *_LAST)
AUTH_DETAILS = (*_FIRST, Column("Token Type", "config.token_type"), *_LAST)
_UNLEASED = ("system", "cubbyhole")
"""Kinds that lease nothing: a lifetime means nothing there."""

_TEXTS = {"default-lease-ttl": "default_lease_ttl", "max-lease-ttl": "max_lease_ttl", "listing-visibility": "listing_visibility"}
_LISTS = ("audit-non-hmac-request-keys", "audit-non-hmac-response-keys", "passthrough-request-headers", "allowed-response-headers")

TUNE_FLAGS = (
    Flag("description", "Text for people."),
    Flag("default-lease-ttl", "Lifetime of leases and tokens that ask for none."),
    Flag("max-lease-ttl", "Longest lifetime."),
    Flag("listing-visibility", "unauth: show the mount to callers without a token.", choices=("unauth", "hidden", "")),
    Flag("audit-non-hmac-request-keys", "Request fields that audit logs show in clear.", "many"),
    Flag("audit-non-hmac-response-keys", "Response fields that audit logs show in clear.", "many"),
    Flag("passthrough-request-headers", "Request headers that reach the engine.", "many"),
    Flag("allowed-response-headers", "Headers that the engine may send.", "many"),
    Flag("options", "key=value for the engine.", "many"),
    Flag("token-type", "Kind of tokens that logins make.", choices=("service", "batch", "default-service", "default-batch")),
    Flag("plugin-version", "Version of the plugin."),
)

ENABLE_FLAGS = (
    *TUNE_FLAGS,
    Flag("path", "Where to mount it; default: its type."),
    Flag("local", "Only on this cluster.", "switch"),
    Flag("seal-wrap", "Accepted for Vault's scripts.", "switch"),
    Flag("force-no-cache", "Do not cache its entries.", "switch"),
    Flag("external-entropy-access", "Accepted for Vault's scripts.", "switch"),
    Flag("plugin-name", "Name of the plugin."),
)


def tuning(session: Session) -> Object:
    """The settings of a tune that were given."""
    flags = session.flags
    body: Object = {field: flags.text(name) for name, field in _TEXTS.items() if flags.given(name)}
    for name in _LISTS:
        if flags.given(name):
            body[name.replace("-", "_")] = [*flags.listed(name)]
    for name in ("token-type", "plugin-version"):
        if flags.given(name):
            body[name.replace("-", "_")] = flags.text(name)
    return body


def enabling(session: Session, kind: str) -> Object:
    """The body that mounts an engine or method of this kind."""
    flags = session.flags
    config = tuning(session)
    version = config.pop("plugin_version", None)
    body: Object = {"type": kind, "description": flags.text("description"), "config": config, "local": flags.switch("local")}
    body |= values.without_empty({"plugin_version": version, "plugin_name": flags.text("plugin-name")})
    if flags.switch("force-no-cache"):
        config["force_no_cache"] = True
    options = flags.pairs("options")
    if flags.given("version"):
        options["version"] = flags.text("version")
    if options:
        body["options"] = {**options}
    return body


def tuned(session: Session) -> Object:
    """The body of a tune."""
    body = tuning(session)
    if session.flags.given("description"):
        body["description"] = session.flags.text("description")
    options = session.flags.pairs("options")
    if session.flags.given("version"):
        options["version"] = session.flags.text("version")
    return {**body, "options": {**options}} if options else body


def show_mounts(session: Session, answer: Answer, columns: Sequence[Column]) -> int:
    """A table with a row for each mount, sorted by path."""
    mounts: Object = {path: mount for path, mount in answer.data.items() if isinstance(mount, dict)}
    rows = [(path, *(_shown(values.mapping(mount), column) for column in columns)) for path, mount in sorted(mounts.items())]
    session.warn(answer)
    return session.show_rows(rows, ("Path", *(column.heading for column in columns)), mounts)


def _shown(mount: Object, column: Column) -> str:
    outer, _, inner = column.member.rpartition(".")
    if column.show is _ttl and mount.get("type") in _UNLEASED:
        return ""
    return column.show((values.mapping(mount.get(outer)) if outer else mount).get(inner))
