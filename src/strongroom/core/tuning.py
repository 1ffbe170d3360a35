"""What can be set about a mount, how it is checked, and how it is shown: for `sys/mounts`, `sys/auth` and their `tune`.

Rules of this file:
- Only what was sent changes. Every field that is accepted is shown again, with its type normalised.
- `config` shows what is stored (0 = the server's), a tune shows the server's seconds in that case.
- No I/O: a Mount comes in, another one goes out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.fields import Names, Texts, compile_fields, read_fields
from strongroom.core.lockout import limits
from strongroom.core.mount import Mount, MountConfig
from strongroom.core.mounts import PROTECTED, Ttls
from strongroom.errors import InvalidRequest
from strongroom.types import parse_duration

VISIBILITIES: Final = ("", "hidden", "unauth")
TOKEN_TYPES: Final = ("service", "batch", "default-service", "default-batch")
DEFAULT_TOKEN_TYPE: Final = "default-service"
UNTUNABLE: Final = ("sys/", "cubbyhole/", "audit/")


class ConfigBody(msgspec.Struct, frozen=True, kw_only=True):
    """The `config` of an enable, and the members of a tune."""

    default_lease_ttl: Annotated[Any | UnsetType, 'lifetime of leases and tokens that ask for none; "system" or 0 = the system\'s'] = UNSET
    max_lease_ttl: Annotated[Any | UnsetType, 'longest lifetime; "system" or 0 = the system\'s'] = UNSET
    force_no_cache: Annotated[bool | UnsetType, "kept and shown; nothing is cached in plaintext here"] = UNSET
    listing_visibility: Annotated[str | UnsetType, "unauth shows the mount to callers without a token; hidden or blank does not"] = UNSET
    token_type: Annotated[str | UnsetType, "auth methods: kind of tokens that logins make"] = UNSET
    audit_non_hmac_request_keys: Annotated[Names | UnsetType, "request members that audit shows in the clear"] = UNSET
    audit_non_hmac_response_keys: Annotated[Names | UnsetType, "response members that audit shows in the clear"] = UNSET
    passthrough_request_headers: Annotated[Names | UnsetType, "request headers that reach the engine"] = UNSET
    allowed_response_headers: Annotated[Names | UnsetType, "headers that the engine may send"] = UNSET
    user_lockout_config: Annotated[dict[str, Any] | UnsetType, "auth methods: when guessing locks an account"] = UNSET
    plugin_version: Annotated[str, "accepted when blank: engines are built in"] = ""


class TuneBody(ConfigBody, frozen=True, kw_only=True):
    """What `tune` takes."""

    description: Annotated[str | UnsetType, "text for people"] = UNSET
    options: Annotated[Texts | UnsetType, "options of the engine; a blank value removes one"] = UNSET


class EnableBody(msgspec.Struct, frozen=True, kw_only=True):
    """What mounting takes."""

    type: Annotated[str, "kind of the engine"] = ""
    description: Annotated[str, "text for people"] = ""
    config: Annotated[dict[str, Any], "as in tune"] = {}
    options: Annotated[Texts, "options of the engine"] = Texts()
    local: Annotated[bool, "kept and shown"] = False
    seal_wrap: Annotated[bool, "kept and shown; every record is sealed"] = False
    external_entropy_access: Annotated[bool, "kept and shown"] = False
    plugin_name: Annotated[str, 'kind of the engine, as older clients send it with the type "plugin"'] = ""


class LockoutBody(msgspec.Struct, frozen=True, kw_only=True):
    """The members of `user_lockout_config`."""

    lockout_threshold: int | UnsetType = UNSET
    lockout_duration: Any | UnsetType = UNSET
    lockout_counter_reset_duration: Any | UnsetType = UNSET
    lockout_counter_reset: Any | UnsetType = UNSET
    lockout_disable: bool | UnsetType = UNSET
    lockout_profile: str | UnsetType = UNSET


_CONFIG = compile_fields(ConfigBody)
_LOCKOUT = compile_fields(LockoutBody)


def read_config(members: Mapping[str, Any]) -> tuple[ConfigBody, tuple[str, ...]]:
    """The `config` object of an enable, and a warning for members nobody knows. Raises InvalidRequest.

    The Go client sends every member it has, so one that says nothing is no reason for a warning.
    """
    unknown = sorted(name for name, value in members.items() if name not in _CONFIG.names and value)
    warnings = (f"Endpoint ignored these unrecognized parameters: [{' '.join(unknown)}]",) if unknown else ()
    body: ConfigBody = read_fields(_CONFIG, members)
    return body, warnings


def check_version(family: str, kind: str, plugin_version: str) -> None:
    """Engines are part of the program: there is no other version to ask for. Raises InvalidRequest."""
    if plugin_version:
        raise InvalidRequest(f"cannot select non-builtin version of {family} plugin {kind}; leave plugin_version out")


def first_config(mount: Mount, body: ConfigBody, system_max: int) -> MountConfig:
    """The settings of a new mount, on a server whose leases last at most so long. Raises InvalidRequest."""
    config = _changed(mount, body)
    if not config.max_lease_ttl and config.default_lease_ttl > system_max:
        raise InvalidRequest(f"given default lease TTL greater than system max lease TTL of {system_max}")
    if 0 < config.max_lease_ttl < config.default_lease_ttl:
        raise InvalidRequest("given default lease TTL greater than given max lease TTL")
    return config


def changed_config(mount: Mount, body: ConfigBody) -> MountConfig:
    """The settings of a mount after a tune. A default beyond the server's ceiling is kept, cut where it is used. Raises InvalidRequest."""
    config = _changed(mount, body)
    default, ceiling = config.default_lease_ttl, config.max_lease_ttl
    if 0 < ceiling < default:
        raise InvalidRequest(f"backend max lease TTL of {ceiling} would be less than backend default lease TTL of {default}")
    return config


def _changed(mount: Mount, body: ConfigBody) -> MountConfig:
    sent = {name: value for name in _CHANGES if not _says_nothing(name, value := getattr(body, name))}
    changes = {name: _CHANGES[name](mount, value) for name, value in sent.items()}
    return msgspec.structs.replace(mount.config, **changes)


def _says_nothing(name: str, value: object) -> bool:
    """Vault's command line sends both lifetimes with every tune, blank where no flag was given; `system` takes one back."""
    return value is UNSET or (value == "" and name in ("default_lease_ttl", "max_lease_ttl"))


def check_options(family: str, kind: str, options: Mapping[str, str]) -> None:
    """`version` is an option of kv alone. Raises InvalidRequest."""
    if options.get("version") and kind != "kv":
        what = "auth method" if family == "auth" else "secrets engine"
        raise InvalidRequest(f'{what} "{kind}" does not allow setting a version')


def changed_options(mount: Mount, sent: Mapping[str, str]) -> dict[str, str]:
    """The options of a mount after a tune. `version` only goes from 1 to 2, and only for kv. Raises InvalidRequest."""
    before, after = mount.options.get("version", ""), sent.get("version", "")
    if "version" in sent and after != (before or "1"):
        check_options(mount.family, mount.kind, sent)
        if before == "2":
            raise InvalidRequest("cannot downgrade mount from version 2")
        if after != "2":
            raise InvalidRequest("the option version of kv is 1 or 2")
    return {name: value for name, value in {**mount.options, **sent}.items() if value}


# What each member of a body becomes.


def _ttl(what: str, _mount: Mount, value: object) -> int:
    if value == "system":
        return 0
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise InvalidRequest(f"unable to parse {what}: {error}") from None
    if seconds < 0:
        raise InvalidRequest(f"unable to parse {what}: it must not be negative")
    return seconds


def _kept(_mount: Mount, value: object) -> object:
    return value


def _texts(_mount: Mount, value: Names) -> tuple[str, ...]:
    return tuple(text for text in value if text)


def _visibility(_mount: Mount, value: str) -> str:
    if value not in VISIBILITIES:
        raise InvalidRequest('invalid listing_visibility: it is "unauth", "hidden" or blank')
    return value


def _token_type(mount: Mount, value: str) -> str:
    if not mount.path.startswith("auth/"):
        raise InvalidRequest("'token_type' can only be modified on auth mounts")
    if mount.family == "system":
        raise InvalidRequest("'token_type' cannot be set for 'token' or 'ns_token' auth mounts")
    if value not in ("", *TOKEN_TYPES):
        raise InvalidRequest(f"invalid value for 'token_type': it is one of {', '.join(TOKEN_TYPES)}")
    return value


def _lockout(mount: Mount, value: Mapping[str, Any]) -> dict[str, Any] | None:
    if not mount.path.startswith("auth/"):
        raise InvalidRequest(f'tuning of user lockout configuration for auth type "{mount.kind}" not allowed')
    body = read_fields(_LOCKOUT, value)
    unknown = sorted(value.keys() - _LOCKOUT.names)
    if unknown:
        raise InvalidRequest(f"user_lockout_config knows {', '.join(sorted(_LOCKOUT.names))}; not {', '.join(unknown)}")
    sent: dict[str, Any] = {name: getattr(body, name) for name in sorted(_LOCKOUT.names) if getattr(body, name) is not UNSET}
    if "lockout_counter_reset" in sent:  # the name in Vault's documentation; its Go client sends the other
        sent["lockout_counter_reset_duration"] = sent.pop("lockout_counter_reset")
    for name in ("lockout_duration", "lockout_counter_reset_duration"):
        if name in sent:
            sent[name] = _ttl(name, mount, sent[name])
    if not 0 <= sent.get("lockout_threshold", 0) < 1 << 31:
        raise InvalidRequest("lockout_threshold must not be negative")
    after = {**(mount.config.user_lockout_config or {}), **sent} or None
    limits(after)
    return after


_CHANGES: Final[Mapping[str, Callable[[Mount, Any], object]]] = {
    "default_lease_ttl": partial(_ttl, "default TTL"),
    "max_lease_ttl": partial(_ttl, "max TTL"),
    "force_no_cache": _kept,
    "listing_visibility": _visibility,
    "token_type": _token_type,
    "audit_non_hmac_request_keys": _texts,
    "audit_non_hmac_response_keys": _texts,
    "passthrough_request_headers": _texts,
    "allowed_response_headers": _texts,
    "user_lockout_config": _lockout,
}

_WHERE_SET: Final = (
    "listing_visibility",
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
    "allowed_response_headers",
)


def _optional(mount: Mount) -> dict[str, Any]:
    """Settings that are shown where they are set, and the token type of every auth method."""
    config = mount.config
    shown: dict[str, Any] = {name: value for name in _WHERE_SET if (value := getattr(config, name))}
    if mount.path.startswith("auth/"):
        shown["token_type"] = config.token_type or DEFAULT_TOKEN_TYPE
    return shown


def _shown_lockout(config: MountConfig) -> dict[str, Any]:
    """When guessing locks an account, by the names that Vault answers with; nothing where that was never set."""
    if config.user_lockout_config is None:
        return {}
    return {f"user_{name}": value for name, value in {**_NO_LOCKOUT, **config.user_lockout_config}.items()}


_NO_LOCKOUT: Final = {
    "lockout_threshold": 0,
    "lockout_duration": 0,
    "lockout_counter_reset_duration": 0,
    "lockout_disable": False,
}


def shown_mount(mount: Mount, version: str) -> dict[str, Any]:
    """A mount as the tables show it."""
    config: dict[str, Any] = {
        "default_lease_ttl": mount.config.default_lease_ttl,
        "max_lease_ttl": mount.config.max_lease_ttl,
        "force_no_cache": mount.config.force_no_cache,
        **_optional(mount),
    }
    lockout = _shown_lockout(mount.config)
    if lockout:
        config["user_lockout_config"] = lockout
    built_in = mount.path in PROTECTED
    shown = {
        "type": mount.kind,
        "description": mount.description,
        "accessor": mount.accessor,
        "uuid": str(uuid.UUID(bytes=mount.uuid)),
        "local": mount.local,
        "seal_wrap": mount.seal_wrap,
        "external_entropy_access": mount.external_entropy_access,
        "options": None if built_in else mount.options,
        "config": config,
        "plugin_version": "",
        "running_plugin_version": f"v{version}+builtin.strongroom",
        "running_sha256": "",
    }
    return shown if built_in else {**shown, "deprecation_status": "supported"}


def shown_tuning(mount: Mount, ttls: Ttls) -> dict[str, Any]:
    """A mount as `tune` shows it: durations are the server's where the mount has none."""
    shown: dict[str, Any] = {
        "default_lease_ttl": mount.config.default_lease_ttl or ttls.default,
        "max_lease_ttl": ttls.max,
        "description": mount.description,
        "force_no_cache": mount.config.force_no_cache,
        **_optional(mount),
    }
    if mount.options:
        shown["options"] = mount.options
    return shown | _shown_lockout(mount.config)
