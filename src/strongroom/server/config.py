"""The server's configuration: HCL or JSON with Vault's stanza names, to one frozen struct.

Rules of this file:
- Vault's and OpenBao's own config files start strongroom. A key that means something there and nothing here warns once; a key that
  nobody knows is an error that names it.
- Stanzas are typed structs read by core/fields.py, so a value is checked like a request's.
- `STRONGROOM_<STANZA>_<KEY>` overrides a key of a stanza that occurs once; `STRONGROOM_<KEY>` a top-level one.
- Nothing is opened or looked up here: a config is text until the server starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from strongroom.core import hcl
from strongroom.core.fields import Names, Seconds, Texts, compile_fields
from strongroom.core.lockout import KINDS, limits
from strongroom.errors import ConfigError, InvalidRequest
from strongroom.outbound.addresses import allow_list
from strongroom.server import config_ignored
from strongroom.server.config_reader import PREFIX, Reader, read, text_of


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
    x_forwarded_for_client_cert_header: str = ""
    x_forwarded_for_client_cert_header_decoders: Names = Names()
    proxy_protocol_behavior: str = ""
    proxy_protocol_authorized_addrs: Names = Names()
    disable_unauthed_rekey_endpoints: bool = True
    disable_unauthed_generate_root_endpoints: bool = True
    unauthenticated_metrics_access: bool = False
    socket_mode: str = "0600"


class Store(msgspec.Struct, frozen=True):
    """Where sealed rows rest."""

    kind: str = "sqlite"
    path: str = ""
    connection_url: Annotated[str, "address of the database; VAULT_PG_CONNECTION_URL in the environment stands in for it"] = ""
    read_url: Annotated[str, "address of a standby nearby, that secrets are read from where the database is far away"] = ""
    max_staleness: Annotated[Seconds, "how old the state may be that a read is answered from without asking the database"] = Seconds(0)
    standby_codes: Annotated[bool, "all nodes but one call themselves standbys in sys/health and sys/leader"] = False

    def __repr__(self) -> str:
        return f"Store({self.kind}, {self.path!r})"


class SealStanza(msgspec.Struct, frozen=True):
    """How the root key is protected; `options` are the kind's own."""

    kind: str
    options: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"SealStanza({self.kind}, {sorted(self.options)})"


class AuditStanza(msgspec.Struct, frozen=True):
    """An audit device that the API cannot remove."""

    kind: str
    path: str
    description: str = ""
    options: dict[str, str] = {}


class _Top(msgspec.Struct, frozen=True, kw_only=True):
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


class Snapshots(msgspec.Struct, frozen=True):
    """Who can open snapshots of the store, and where schedules may keep them."""

    directory: Annotated[str, "below it `sys/storage/raft/snapshot-auto` may keep files"] = ""
    recipients: Annotated[Names, "files of public keys to which every snapshot is sealed, too"] = Names()
    recipients_only: Annotated[bool, "the store's own keys do not open them"] = False


class Config(_Top, frozen=True, kw_only=True):
    """Everything an operator says: the top-level keys, and what the stanzas say."""

    listeners: tuple[Listener, ...] = ()
    storage: Store = Store()
    seals: tuple[SealStanza, ...] = ()
    audit: tuple[AuditStanza, ...] = ()
    outbound_allow: tuple[str, ...] = ()
    snapshots: Snapshots = Snapshots()
    user_lockout: dict[str, dict[str, Any]] = {}
    """By kind of auth method, or "all", under the names that tune has."""
    unauthenticated_metrics_access: bool = False
    warnings: tuple[str, ...] = ()


class _Audit(msgspec.Struct, frozen=True):
    """Body of an audit stanza: `options`, or the options themselves."""

    description: str = ""
    options: Texts = Texts()


class _Outbound(msgspec.Struct, frozen=True):
    """Body of the outbound stanza."""

    allow: Names = Names()


class UserLockout(msgspec.Struct, frozen=True):
    """Body of a user_lockout stanza; the names are Vault's."""

    lockout_threshold: int = 0
    lockout_duration: Seconds = Seconds(0)
    lockout_counter_reset: Seconds = Seconds(0)
    disable_lockout: bool | None = None
    lockout_profile: str = ""


_TOP = compile_fields(_Top)
_LISTENER = compile_fields(Listener)
_STORE = compile_fields(Store)
_AUDIT = compile_fields(_Audit)
_OUTBOUND = compile_fields(_Outbound)
_LOCKOUT = compile_fields(UserLockout)
_SNAPSHOTS = compile_fields(Snapshots)

STANZAS = frozenset(("listener", "storage", "backend", "seal", "audit", "outbound", "snapshots", "telemetry", "user_lockout"))

LONGEST_STALENESS = 60
"""Seconds. Nobody who revokes a token expects it to read for longer."""

OLD_TLS = frozenset({"tls10", "tls11"})
"""What Vault's files may say of the least version. What is offered here is above it, so they go on to hold (RFC 8996)."""

STORES = {"file": "sqlite", "raft": "sqlite", "sqlite": "sqlite", "inmem": "inmem", "postgresql": "postgresql"}
"""Vault's names for a store, and which of ours it is."""


def parse_config(text: str, environment: Mapping[str, str] | None = None) -> Config:
    """Read one configuration. Raises ConfigError naming line and key."""
    try:
        return _config(hcl.parse(text), Reader(environment or {}))
    except InvalidRequest as error:
        raise ConfigError(*error.messages) from None


def load_config(paths: Iterable[Path], environment: Mapping[str, str]) -> Config:
    """Read one file, or all `.hcl` and `.json` files of a directory, as one configuration. Raises ConfigError."""
    files = [file for path in paths for file in _files(path)]
    entries: list[hcl.Entry] = []
    for file in files:
        try:
            entries += hcl.parse(file.read_text(encoding="utf-8")).entries
        except InvalidRequest as error:
            raise ConfigError(f"{file}: {error.messages[0]}") from None
        except OSError as error:
            raise ConfigError(f"the configuration {file} cannot be read: {error.strerror}; check its path, owner and mode") from None
        except UnicodeDecodeError as error:
            raise ConfigError(f"the configuration {file} cannot be read: it is not UTF-8 at byte {error.start}") from None
    try:
        return _config(hcl.Body(tuple(entries)), Reader(environment))
    except (InvalidRequest, ConfigError) as error:
        raise ConfigError(f"{', '.join(map(str, files))}: {'; '.join(error.messages)}") from None


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in (".hcl", ".json"))
    if not files:
        raise ConfigError(f"{path} holds no .hcl or .json file")
    return files


def _config(body: hcl.Body, reader: Reader) -> Config:
    entries = tuple(entry for entry in body.entries if entry.key not in STANZAS)
    members = reader.members("the configuration", hcl.Body(entries), _TOP.names, config_ignored.TOP)
    top: _Top = read("the configuration", _TOP, reader.overridden("", _TOP.names, members))
    if min(top.default_lease_ttl, top.max_lease_ttl) < 0 or 0 < top.max_lease_ttl < top.default_lease_ttl:
        raise ConfigError("the configuration: default_lease_ttl and max_lease_ttl are positive, and the first is not the longer one")
    listeners = list(body.blocks("listener", 1))
    seals = list(body.blocks("seal", 1))
    return Config(
        listeners=tuple(_listener(reader, block, alone=len(listeners) == 1) for block in listeners),
        storage=_storage(reader, body),
        seals=tuple(_seal(reader, block, alone=len(seals) == 1) for block in seals),
        audit=tuple(_audit(block) for block in _labelled(body, "audit")),
        outbound_allow=_outbound(reader, body),
        snapshots=_snapshots(reader, body),
        user_lockout=_user_lockout(reader, body),
        unauthenticated_metrics_access=any(_opens_metrics(block.body) for block in body.blocks("telemetry")),
        warnings=tuple(reader.warnings),
        **msgspec.structs.asdict(top),
    )


def _snapshots(reader: Reader, body: hcl.Body) -> Snapshots:
    blocks = list(body.blocks("snapshots"))
    if len(blocks) > 1:
        raise blocks[1].error("there is a second snapshots stanza; keep one")
    members = reader.members("snapshots", blocks[0].body, _SNAPSHOTS.names) if blocks else {}
    found: Snapshots = read("snapshots", _SNAPSHOTS, reader.overridden("snapshots", _SNAPSHOTS.names, members))
    return found


def _user_lockout(reader: Reader, body: hcl.Body) -> dict[str, dict[str, Any]]:
    """A stanza's keys under the names that a mount's tune has for them."""
    stanzas: dict[str, dict[str, Any]] = {}
    for block in body.blocks("user_lockout", 1):
        kind, where = block.labels[0], f'user_lockout "{block.labels[0]}"'
        if kind not in ("all", *KINDS):
            raise block.error(f"user_lockout is for all, {', '.join(KINDS)}; not for {hcl.shown(kind)}")
        if kind in stanzas:
            raise block.error(f"there is a second {where}; keep one")
        found: UserLockout = read(where, _LOCKOUT, reader.members(where, block.body, _LOCKOUT.names))
        stanza = msgspec.structs.asdict(found)
        stanza["lockout_disable"] = stanza.pop("disable_lockout")
        limits(stanza)
        stanzas[kind] = stanza
    return stanzas


class _Telemetry(msgspec.Struct, frozen=True):
    """The one key of a telemetry stanza that means something."""

    unauthenticated_metrics_access: bool = False


_TELEMETRY = compile_fields(_Telemetry)


def _opens_metrics(telemetry: hcl.Body) -> bool:
    """Whether metrics may be read without a token; the other keys of telemetry say where to push them, which is not done."""
    members = {name: hcl.plain(entry.value) for name, entry in telemetry.unique().items() if name in _TELEMETRY.names}
    found: _Telemetry = read("telemetry", _TELEMETRY, members)
    return found.unauthenticated_metrics_access


def _listener(reader: Reader, block: hcl.Block, *, alone: bool) -> Listener:
    kind = block.labels[0]
    if kind not in ("tcp", "unix"):
        raise block.error(f"a listener is tcp or unix, not {hcl.shown(kind)}")
    where = f'listener "{kind}"'
    names = _LISTENER.names - {"kind"}
    members = reader.members(where, block.body, names | {"telemetry"}, config_ignored.LISTENER)
    members.pop("telemetry", None)
    if alone:
        members = reader.overridden("listener", names, members)
    listener: Listener = read(where, _LISTENER, members)
    if listener.tls_min_version in OLD_TLS:
        reader.warn(f"{where}: the tls_min_version {listener.tls_min_version!r} is ignored: nothing older than tls12 is spoken")
        listener = msgspec.structs.replace(listener, tls_min_version=Listener().tls_min_version)
    opened = [_opens_metrics(inner.body) for inner in block.body.blocks("telemetry")]
    opens = any((*opened, listener.unauthenticated_metrics_access))
    return msgspec.structs.replace(listener, kind=kind, unauthenticated_metrics_access=opens)


def _storage(reader: Reader, body: hcl.Body) -> Store:
    blocks = [*body.blocks("storage", 1), *body.blocks("backend", 1)]
    if len(blocks) > 1:
        raise blocks[1].error("there is a second storage stanza; keep one")
    names = _STORE.names - {"kind"}
    if not blocks:
        alone: Store = read("storage", _STORE, reader.overridden("storage", names, {}))
        return alone
    label = blocks[0].labels[0]
    where = f'storage "{label}"'
    if label not in STORES:
        raise blocks[0].error(f"storage {hcl.shown(label)} is not one of {', '.join(sorted(STORES))}")
    members = reader.members(where, blocks[0].body, names, config_ignored.STORE)
    store: Store = read(where, _STORE, reader.overridden("storage", names, members))
    if label in ("file", "raft"):
        reader.warn(f"{where}: the embedded store is used, in that directory")
    if STORES[label] != "postgresql" and (store.read_url or store.max_staleness):
        raise blocks[0].error(f"{where}: read_url and max_staleness are for postgresql; this store is read where it is")
    if not 0 <= store.max_staleness <= LONGEST_STALENESS:
        raise blocks[0].error(f"{where}: max_staleness is at most {LONGEST_STALENESS}s: for so long a revoked token may still read")
    url = store.connection_url
    if STORES[label] == "postgresql":
        url = url or reader.environment.get("VAULT_PG_CONNECTION_URL", "") or reader.environment.get("BAO_PG_CONNECTION_URL", "")
    return msgspec.structs.replace(store, kind=STORES[label], connection_url=url)


def _seal(reader: Reader, block: hcl.Block, *, alone: bool) -> SealStanza:
    options = {key: text_of(entry, hcl.plain(entry.value)) for key, entry in block.body.unique().items()}
    prefix = f"{PREFIX}_SEAL_"
    for name, value in reader.environment.items() if alone else ():
        if name.startswith(prefix):
            options[name[len(prefix) :].lower()] = value
    return SealStanza(block.labels[0], options)


def _labelled(body: hcl.Body, name: str) -> Iterator[hcl.Block]:
    """`audit "file" "main" { }` and `audit "file" { }`."""
    for entry in body.entries:
        if entry.key == name:
            yield from hcl.Body((entry,)).blocks(name, len(entry.labels) or 1)


def _audit(block: hcl.Block) -> AuditStanza:
    """Options stand in `options`, or beside `description` as older configurations have them."""
    kind = block.labels[0]
    path = block.labels[1] if len(block.labels) > 1 else kind
    entries = block.body.unique()
    members = {name: hcl.plain(entry.value) for name, entry in entries.items() if name in _AUDIT.names}
    extra = {name: text_of(entry, hcl.plain(entry.value)) for name, entry in entries.items() if name not in _AUDIT.names}
    found: _Audit = read(f'audit "{kind}"', _AUDIT, members)
    return AuditStanza(kind, path.strip("/") + "/", found.description, {**found.options, **extra})


def _outbound(reader: Reader, body: hcl.Body) -> tuple[str, ...]:
    blocks = list(body.blocks("outbound"))
    stanzas = [reader.members("outbound", block.body, _OUTBOUND.names) for block in blocks]
    if len(stanzas) < 2:
        stanzas = [reader.overridden("outbound", _OUTBOUND.names, stanzas[0] if stanzas else {})]
    allowed: list[str] = []
    for members in stanzas:
        found: _Outbound = read("outbound", _OUTBOUND, members)
        allowed += found.allow
    allow_list(allowed)  # raises for what is no network
    return tuple(allowed)
