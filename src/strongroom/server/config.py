"""The server's configuration: HCL or JSON with Vault's stanza names, to one frozen struct.

Rules of this file:
- Vault's and OpenBao's own config files start strongroom. A key that means something there and nothing here warns once; a key that
  nobody knows is an error that names it.
- Stanzas are typed structs read by core/fields.py, so a value is checked like a request's.
- `STRONGROOM_<STANZA>_<KEY>` overrides a key of a stanza that occurs once; `STRONGROOM_<KEY>` a top-level one.
- Nothing is opened or looked up here: a config is text until the server starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from strongroom.core import hcl
from strongroom.core.fields import Lines, Names, Seconds, Texts, compile_fields, read_fields
from strongroom.errors import ConfigError, InvalidRequest, StrongroomError


class Listener(msgspec.Struct, frozen=True):
    """One address to serve on; the names are Vault's."""

    kind: str = "tcp"
    address: Annotated[str, "host:port, or the path of a unix socket"] = "127.0.0.1:8200"
    tls_disable: bool = False
    tls_cert_file: str = ""
    tls_key_file: str = ""
    tls_min_version: str = "tls12"
    tls_max_version: str = ""
    tls_client_ca_file: str = ""
    tls_require_and_verify_client_cert: bool = False
    tls_disable_client_certs: bool = False
    max_request_size: int = 0
    max_request_duration: Seconds = Seconds(0)
    http_idle_timeout: Seconds = Seconds(0)
    http_read_header_timeout: Seconds = Seconds(0)
    http_read_timeout: Seconds = Seconds(0)
    http_write_timeout: Seconds = Seconds(0)
    x_forwarded_for_authorized_addrs: Names = Names()
    x_forwarded_for_hop_skips: int = 0
    x_forwarded_for_reject_not_present: bool = True
    x_forwarded_for_reject_not_authorized: bool = True
    disable_unauthed_rekey_endpoints: bool = True
    disable_unauthed_generate_root_endpoints: bool = True
    unauthenticated_metrics_access: bool = False
    socket_mode: str = "0600"


class Store(msgspec.Struct, frozen=True):
    """Where sealed rows rest."""

    kind: str = "sqlite"
    path: str = ""
    connection_url: str = ""


class SealStanza(msgspec.Struct, frozen=True):
    """How the root key is protected; `options` are the kind's own."""

    kind: str
    options: dict[str, str] = {}


class AuditStanza(msgspec.Struct, frozen=True):
    """An audit device that the API cannot remove."""

    kind: str
    path: str
    description: str = ""
    options: dict[str, str] = {}


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an operator says."""

    listeners: tuple[Listener, ...] = ()
    storage: Store = Store()
    seals: tuple[SealStanza, ...] = ()
    audit: tuple[AuditStanza, ...] = ()
    outbound_allow: tuple[str, ...] = ()
    unauthenticated_metrics_access: bool = False
    api_addr: str = ""
    cluster_name: str = "strongroom"
    default_lease_ttl: int = 0
    max_lease_ttl: int = 0
    log_level: str = "info"
    log_format: str = "standard"
    log_file: str = ""
    pid_file: str = ""
    reported_version: str = ""
    audit_directory: str = ""
    unsafe_allow_api_audit_creation: bool = False
    raw_storage_endpoint: bool = False
    warnings: tuple[str, ...] = ()


class _Top(msgspec.Struct, frozen=True):
    """Top-level keys that mean something."""

    api_addr: str = ""
    cluster_name: str = "strongroom"
    default_lease_ttl: Seconds = Seconds(0)
    max_lease_ttl: Seconds = Seconds(0)
    log_level: str = "info"
    log_format: str = "standard"
    log_file: str = ""
    pid_file: str = ""
    reported_version: str = ""
    audit_directory: str = ""
    unsafe_allow_api_audit_creation: bool = False
    raw_storage_endpoint: bool = False


class _Audit(msgspec.Struct, frozen=True):
    """Body of an audit stanza: `options`, or the options themselves."""

    description: str = ""
    options: Texts = Texts()


class _Outbound(msgspec.Struct, frozen=True):
    """Body of the outbound stanza."""

    allow: Lines = Lines()


_TOP = compile_fields(_Top)
_LISTENER = compile_fields(Listener)
_STORE = compile_fields(Store)
_AUDIT = compile_fields(_Audit)
_OUTBOUND = compile_fields(_Outbound)

STANZAS = frozenset(("listener", "storage", "backend", "seal", "audit", "outbound", "telemetry"))

MEANINGLESS = frozenset(
    (
        "cluster_addr", "disable_mlock", "ui", "disable_cache", "cache_size", "ha_storage", "ha_backend", "service_registration",
        "plugin_directory", "plugin_file_uid", "plugin_file_permissions", "plugin_tmpdir", "disable_clustering", "enable_ui",
        "disable_performance_standby", "disable_sealwrap", "disable_printable_check", "disable_sentinel_trace", "license_path",
        "raw_storage", "introspection_endpoint", "log_requests_level", "log_rotate_bytes", "log_rotate_duration",
        "log_rotate_max_files", "entropy", "replication", "sentinel", "user_lockout", "reporting", "experiments", "enable_response_header_hostname",
        "enable_response_header_raft_node_id", "detect_deadlocks", "imprecise_lease_role_tracking", "kms_library", "initialize",
        "disable_standby_reads", "plugin", "plugin_download_behavior", "plugin_auto_download", "plugin_auto_register",
        "allow_unimplemented_seal", "administrative_namespace_path", "default_max_request_duration",
    )
)  # fmt: skip
"""Keys of Vault and OpenBao that need no counterpart here."""

_LISTENER_MEANINGLESS = frozenset(
    (
        "cluster_address", "proxy_protocol_behavior", "proxy_protocol_authorized_addrs", "tls_cipher_suites",
        "tls_prefer_server_cipher_suites", "telemetry", "profiling", "inflight_requests_logging", "custom_response_headers",
        "agent_api", "proxy_api", "role", "redact_addresses", "redact_cluster_name", "redact_version", "socket_user", "socket_group",
        "chroot_namespace", "max_request_json_memory", "max_request_json_strings", "disable_replication_status_endpoints",
        "tls_acme_ca_directory", "tls_acme_ca_root", "tls_acme_cache_path", "tls_acme_eab_key_id", "tls_acme_eab_mac_key", "tls_acme_email",
        "tls_acme_domains", "tls_acme_disable_http_challenge", "tls_acme_disable_alpn_challenge", "cors_allowed_origins",
        "max_json_depth", "max_json_string_value_length", "max_json_object_entry_count", "max_json_array_element_count",
    )
)  # fmt: skip

STORES = {"file": "sqlite", "raft": "sqlite", "sqlite": "sqlite", "inmem": "inmem", "postgresql": "postgresql"}
_STORE_MEANINGLESS = frozenset(
    (
        "node_id", "retry_join", "performance_multiplier", "trailing_logs", "snapshot_threshold", "max_entry_size", "autopilot_reconcile_interval",
        "autopilot_update_interval", "retry_join_as_non_voter", "snapshot_interval", "table", "ha_enabled", "ha_table", "max_parallel",
        "max_idle_connections", "max_connect_retries", "skip_create_table", "max_batch_entries", "max_batch_size", "raft_wal", "raft_log_verifier_enabled",
        "max_mount_and_namespace_table_entry_size", "max_transaction_size", "non_voter",
    )
)  # fmt: skip


class _Reader:
    """Collects warnings while a config is read."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def members(self, where: str, body: hcl.Body, known: Iterable[str], ignored: frozenset[str]) -> dict[str, Any]:
        """The attributes of a stanza that mean something."""
        found: dict[str, Any] = {}
        names = frozenset(known)
        for entry in body.entries:
            if entry.key in names:
                found[entry.key] = hcl.plain(entry.value)
            elif entry.key in ignored:
                self.warn(f"{where}: the key {entry.key!r} has no meaning here and is ignored")
            else:
                raise ConfigError(f"line {entry.line}: {where} has no key {hcl.shown(entry.key)}; check its spelling")
        return found

    def warn(self, text: str) -> None:
        """Say it once."""
        if text not in self.warnings:
            self.warnings.append(text)


def parse_config(text: str, environment: Mapping[str, str] | None = None) -> Config:
    """Read one configuration. Raises ConfigError naming line and key."""
    try:
        body = hcl.parse(text)
    except InvalidRequest as error:
        raise ConfigError(*error.messages) from None
    return _config(body, dict(environment or {}))


def load_config(paths: Iterable[Path], environment: Mapping[str, str]) -> Config:
    """Read one file, or all `.hcl` and `.json` files of a directory, as one configuration. Raises ConfigError."""
    entries: list[hcl.Entry] = []
    for path in paths:
        files = sorted(file for file in path.iterdir() if file.suffix in (".hcl", ".json")) if path.is_dir() else [path]
        for file in files:
            try:
                entries += hcl.parse(file.read_text(encoding="utf-8")).entries
            except InvalidRequest as error:
                raise ConfigError(f"{file}: {error.messages[0]}") from None
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{file} cannot be read: {error}") from None
    return _config(hcl.Body(tuple(entries)), dict(environment))


def _config(body: hcl.Body, environment: dict[str, str]) -> Config:
    reader = _Reader()
    top_entries = tuple(entry for entry in body.entries if entry.key not in STANZAS)
    members = reader.members("the configuration", hcl.Body(top_entries), _TOP.names, MEANINGLESS)
    for name in _TOP.names:
        override = environment.get(f"STRONGROOM_{name.upper()}")
        if override is not None:
            members[name] = override
    top = _read("the configuration", _TOP, members)
    telemetry = [block.body for block in body.blocks("telemetry")]
    return Config(
        listeners=tuple(_listener(reader, block) for block in body.blocks("listener", 1)),
        storage=_storage(reader, body, environment),
        seals=tuple(_seal(block, environment) for block in body.blocks("seal", 1)),
        audit=tuple(_audit(reader, block) for block in _labelled(body, "audit")),
        outbound_allow=_outbound(reader, body),
        unauthenticated_metrics_access=any(hcl.plain(part.get("unauthenticated_metrics_access")) is True for part in telemetry),
        warnings=tuple(reader.warnings),
        **{field.name: getattr(top, field.name) for field in msgspec.structs.fields(_Top)},
    )


def _read(where: str, fields: Any, members: dict[str, Any]) -> Any:
    try:
        return read_fields(fields, members)
    except StrongroomError as error:
        raise ConfigError(f"{where}: {'; '.join(error.messages)}") from None


def _listener(reader: _Reader, block: hcl.Block) -> Listener:
    kind = block.labels[0]
    if kind not in ("tcp", "unix"):
        raise ConfigError(f"line {block.line}: a listener is tcp or unix, not {hcl.shown(kind)}")
    nested = [inner.body for inner in block.body.blocks("telemetry")]
    members = reader.members(f'listener "{kind}"', block.body, _LISTENER.names - {"kind"}, _LISTENER_MEANINGLESS | {"telemetry"})
    listener: Listener = _read(f'listener "{kind}"', _LISTENER, members)
    opened = any(hcl.plain(body.get("unauthenticated_metrics_access")) is True for body in nested)
    return msgspec.structs.replace(listener, kind=kind, unauthenticated_metrics_access=listener.unauthenticated_metrics_access or opened)


def _storage(reader: _Reader, body: hcl.Body, environment: dict[str, str]) -> Store:
    blocks = [*body.blocks("storage", 1), *body.blocks("backend", 1)]
    if len(blocks) > 1:
        raise ConfigError(f"line {blocks[1].line}: there is a second storage stanza; keep one")
    if not blocks:
        return Store(path=environment.get("STRONGROOM_STORAGE_PATH", ""))
    label = blocks[0].labels[0]
    if label not in STORES:
        raise ConfigError(f"line {blocks[0].line}: storage {hcl.shown(label)} is not one of {', '.join(sorted(STORES))}")
    members = reader.members(f'storage "{label}"', blocks[0].body, _STORE.names - {"kind"}, _STORE_MEANINGLESS)
    for name in ("path", "connection_url"):
        override = environment.get(f"STRONGROOM_STORAGE_{name.upper()}")
        if override is not None:
            members[name] = override
    store: Store = _read(f'storage "{label}"', _STORE, members)
    if label in ("file", "raft"):
        reader.warn(f'storage "{label}": the embedded store is used, in that directory')
    return msgspec.structs.replace(store, kind=STORES[label])


def _seal(block: hcl.Block, environment: dict[str, str]) -> SealStanza:
    kind = block.labels[0]
    options = {key: _text(hcl.plain(entry.value)) for key, entry in block.body.unique().items()}
    prefix = "STRONGROOM_SEAL_"
    for name, value in environment.items():
        if name.startswith(prefix):
            options[name[len(prefix) :].lower()] = value
    return SealStanza(kind, options)


def _labelled(body: hcl.Body, name: str) -> list[hcl.Block]:
    """`audit "file" "main" { }` and `audit "file" { }`."""
    found: list[hcl.Block] = []
    for entry in body.entries:
        if entry.key == name:
            found += hcl.Body((entry,)).blocks(name, len(entry.labels) or 1)
    return found


def _audit(reader: _Reader, block: hcl.Block) -> AuditStanza:
    kind = block.labels[0]
    path = block.labels[1] if len(block.labels) > 1 else kind
    own = {entry.key for entry in block.body.entries} - _AUDIT.names
    members = reader.members(f'audit "{kind}"', block.body, {*_AUDIT.names, *own}, frozenset())
    extra = {key: _text(members.pop(key)) for key in own}
    read: _Audit = _read(f'audit "{kind}"', _AUDIT, members)
    return AuditStanza(kind, path.strip("/") + "/", read.description, {**read.options, **extra})


def _outbound(reader: _Reader, body: hcl.Body) -> tuple[str, ...]:
    allowed: list[str] = []
    for block in body.blocks("outbound"):
        read: _Outbound = _read("outbound", _OUTBOUND, reader.members("outbound", block.body, _OUTBOUND.names, frozenset()))
        allowed += read.allow
    return tuple(allowed)


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
