"""The routes that answer while sealed or not initialised: init, unseal, seal, seal-status, health, leader.

Rules of this file:
- They need no token and no mount table; `PUBLIC` maps their paths to plain functions of core and request, which answer before any
  route is looked for. `LifecycleRoutes` declares the same handlers, for help and OpenAPI.
- They tell strangers what a load balancer and an operator need: no address, no host name, no mounts, no more of the version than
  is reported everywhere.
- Answers are bare JSON objects without an envelope, as Vault's clients read them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Annotated, Any

import msgspec

from strongroom.barrier.seal import SealConfig, stored_config
from strongroom.clock import SECOND, rfc3339
from strongroom.core.core import Core
from strongroom.core.engine import read, write
from strongroom.core.envelope import encode
from strongroom.core.fields import Names, compile_fields, read_fields
from strongroom.core.request import Operation, Request
from strongroom.core.response import Bare, Response
from strongroom.core.sealing.state import Standing
from strongroom.core.sealing.unsealing import InitParameters, initialise, submit
from strongroom.crypto import pgp
from strongroom.errors import InvalidRequest, UnsupportedOperation
from strongroom.sys.diagnostics import shown_metrics
from strongroom.sys.routes import Routes

Handler = Callable[[Core, Request], Response | None]


class InitBody(msgspec.Struct, frozen=True):
    """Body of sys/init."""

    secret_shares: Annotated[int, "Number of unseal key shares"] = 0
    secret_threshold: Annotated[int, "Shares needed to unseal"] = 0
    recovery_shares: Annotated[int, "Number of recovery key shares, where a seal opens by itself"] = 0
    recovery_threshold: Annotated[int, "Recovery shares needed to authorise"] = 0
    stored_shares: Annotated[int, "Accepted for Vault's clients"] = 0
    pgp_keys: Annotated[Names, "PGP public keys, base64, one a share: each share is encrypted to its own"] = Names()
    recovery_pgp_keys: Annotated[Names, "The same for recovery shares"] = Names()
    root_token_pgp_key: Annotated[str, "PGP public key, base64, that the root token is encrypted to"] = ""


class UnsealBody(msgspec.Struct, frozen=True):
    """Body of sys/unseal."""

    key: Annotated[str, "One unseal key share, hex or base64"] = ""
    reset: Annotated[bool, "Forget the shares given so far"] = False
    migrate: Annotated[bool, "Refused: there is no migration between seals"] = False
    accept_rollback: Annotated[bool, "This key holder accepts a store that is older than its anchor"] = False


class HealthBody(msgspec.Struct, frozen=True):
    """The parameters of sys/health; the handler checks them itself, against `DEFAULT_CODES`."""

    activecode: Annotated[int, "Status to answer with when unsealed"] = 200
    uninitcode: Annotated[int, "Status to answer with when not initialised"] = 501
    sealedcode: Annotated[int, "Status to answer with when sealed"] = 503
    standbyok: Annotated[bool, "Answer as an active node where this one calls itself a standby"] = False
    perfstandbyok: Annotated[bool, "Accepted: every node is active"] = False
    standbycode: Annotated[int, "Status to answer with where this node calls itself a standby"] = 429
    drsecondarycode: Annotated[int, "Accepted: every node is active"] = 472
    performancestandbycode: Annotated[int, "Accepted: every node is active"] = 473
    haunhealthycode: Annotated[int, "Status to answer with while the database does not answer"] = 474
    removedcode: Annotated[int, "Accepted: every node is active"] = 530


_INIT = compile_fields(InitBody)
_UNSEAL = compile_fields(UnsealBody)
_WRITES = (Operation.CREATE, Operation.UPDATE)


def bare(members: Mapping[str, Any], status: int = 200) -> Response:
    """An answer without an envelope."""
    return Response(bare=Bare(encode(members), status=status))


def _init(core: Core, request: Request) -> Response:
    if request.operation is Operation.READ:
        return bare({"initialized": core.barrier.installation() is not None})
    if request.operation not in _WRITES:
        raise UnsupportedOperation
    body = read_fields(_INIT, request.data)
    asked = InitParameters(
        body.secret_shares,
        body.secret_threshold,
        body.recovery_shares,
        body.recovery_threshold,
        tuple(body.pgp_keys),
        tuple(body.recovery_pgp_keys),
    )
    owner = pgp.recipients([body.root_token_pgp_key] if body.root_token_pgp_key else [])
    done = initialise(core, asked)
    members: dict[str, Any] = key_members(done.keys)
    if done.recovery_keys is not None:
        members |= {f"recovery_{name}": keys for name, keys in key_members(done.recovery_keys).items()}
    token = done.root_token.reveal()
    shown = base64.b64encode(owner[0].encrypt(token.encode())).decode() if owner else token
    return bare({**members, "root_token": shown})


def key_members(shares: list[bytes]) -> dict[str, list[str]]:
    """Shares in both spellings."""
    return {"keys": [share.hex() for share in shares], "keys_base64": [base64.b64encode(share).decode() for share in shares]}


def _unseal(core: Core, request: Request) -> Response:
    if request.operation not in _WRITES:
        raise UnsupportedOperation
    body = read_fields(_UNSEAL, request.data)
    if not body.key and not body.reset:
        raise InvalidRequest("'key' must be specified in request body as JSON, or 'reset' set to true")
    if body.reset and not core.barrier.sealed:
        raise InvalidRequest("vault is unsealed")
    if body.reset:
        core.sealing.progress.reset()
        return bare(seal_status(core))
    if body.migrate:
        raise InvalidRequest("can't perform a seal migration, no migration seal found: change seals in the configuration")
    if not core.barrier.sealed:
        return bare(seal_status(core))
    warning = submit(core, body.key, accept_rollback=body.accept_rollback)
    return bare(seal_status(core, warning))


def _seal(core: Core, request: Request) -> Response | None:
    """To seal what is sealed is done already, whoever asks: as Vault answers. Where some worker has the keys, it takes a token there."""
    if not core.barrier.sealed or not core.process.alone:
        return None
    if request.operation not in _WRITES:
        raise UnsupportedOperation
    return Response()


def _seal_status(core: Core, request: Request) -> Response:
    if request.operation is not Operation.READ:
        raise UnsupportedOperation
    return bare(seal_status(core))


def seal_status(core: Core, warning: str = "") -> dict[str, Any]:
    """What is told of the seal: kind, numbers of the shares that authorise, progress."""
    config = stored_config(core.storage)
    sealed = core.barrier.sealed
    sets = config.authority if config is not None else []
    standing = core.sealing.progress.standing() if sealed else Standing()
    members: dict[str, Any] = {
        "type": _kind(core, config),
        "initialized": config is not None,
        "sealed": sealed,
        "t": sets[0].threshold if sets else 0,
        "n": sets[0].shares if sets else 0,
        "progress": max((standing.counts.get(share_set.id, 0) for share_set in sets), default=0),
        "nonce": standing.nonce,
        "version": core.settings.reported_version,
        "build_date": "",
        "migration": False,
        "recovery_seal": _kind(core, config) != "shamir",
        "storage_type": core.storage.kind,
    }
    if not sealed:
        members["cluster_name"] = core.settings.cluster_name
        members["cluster_id"] = core.barrier.keys.installation.cluster_id
    warnings = [text for text in (warning, _overlap(config)) if text]
    return {**members, "warnings": warnings} if warnings else members


def _kind(core: Core, config: SealConfig | None) -> str:
    if config is not None:
        return config.kind
    return core.sealing.seals[0].kind if core.sealing.seals else "shamir"


def _overlap(config: SealConfig | None) -> str:
    if config is None or not config.overlapping:
        return ""
    return "key shares from before the last rekey still work until the new ones were used: unseal with those, or rekey again"


# -- health -----------------------------------------------------------------------------------------------------------

DEFAULT_CODES = {
    "activecode": 200,
    "standbycode": 429,
    "drsecondarycode": 472,
    "performancestandbycode": 473,
    "haunhealthycode": 474,
    "removedcode": 530,
    "uninitcode": 501,
    "sealedcode": 503,
}
"""Parameter → the status it replaces. Every node here is active; the standby ones are used where the configuration asks for them."""

_FLAGS = ("standbyok", "perfstandbyok")
_TRUE = frozenset("1 t T TRUE true True".split())
_BOOLEANS = frozenset("1 t T TRUE true True 0 f F FALSE false False".split()) | {""}


def _health(core: Core, request: Request) -> Response:
    if request.operation is not Operation.READ:
        raise UnsupportedOperation
    codes = {name: _code(name, request.data.get(name), default) for name, default in DEFAULT_CODES.items()}
    for name in _FLAGS:
        if str(request.data.get(name, "")) not in _BOOLEANS:
            raise InvalidRequest(f"bad value for {name!r} parameter: it takes true or false")
    initialised = core.barrier.installation() is not None
    sealed = core.barrier.sealed
    standby = core.cluster.standby and not sealed
    replication = "unknown" if sealed else "disabled"  # Vault's word while it cannot look
    members: dict[str, Any] = {
        "initialized": initialised,
        "sealed": sealed,
        "standby": standby or sealed,
        "performance_standby": False,
        "replication_performance_mode": replication,
        "replication_dr_mode": replication,
        "server_time_utc": core.clock.now() // SECOND,
        "version": core.settings.reported_version,
        "enterprise": False,
        "echo_duration_ms": 0,
        "clock_skew_ms": 0,
    }
    members |= _freshness(core)
    if not sealed:
        members["cluster_name"] = core.settings.cluster_name
        members["cluster_id"] = core.barrier.keys.installation.cluster_id
    return bare(members, codes[_state(core, initialised, standby and str(request.data.get("standbyok", "")) not in _TRUE)])


def _freshness(core: Core) -> dict[str, Any]:
    """How old reads of this node may be just now, under Vault's name for that, and whether its standby answers."""
    age, nearby = core.cluster.age, core.cluster.nearby
    members: dict[str, Any] = {}
    if age is None or isfinite(age()):
        members["replication_primary_canary_age_ms"] = 0 if age is None else round(age() * 1_000)
    if nearby is not None:
        members["read_standby"] = "reachable" if nearby() else "unreachable"
    return members


def _state(core: Core, initialised: bool, standby: bool) -> str:
    """Which of the codes says how this node is."""
    if not initialised:
        return "uninitcode"
    if core.barrier.sealed:
        return "sealedcode"
    if not core.cluster.reachable():
        return "haunhealthycode"
    return "standbycode" if standby else "activecode"


def _code(name: str, value: object, default: int) -> int:
    """A status code a caller may choose: one that HTTP knows as a final answer. Raises InvalidRequest."""
    if value is None:
        return default
    text = str(value)
    if len(text) != 3 or not text.isascii() or not text.isdigit() or not 200 <= int(text) <= 599:
        raise InvalidRequest(f"{name!r} takes an HTTP status from 200 to 599")
    return int(text)


def _leader(core: Core, request: Request) -> Response:
    """There is no leader: every node answers, and of several each names itself unless it is to call itself a standby."""
    if request.operation is not Operation.READ:
        raise UnsupportedOperation
    cluster = core.cluster
    named = cluster.lead if cluster.standby else cluster.me
    return bare(
        {
            "ha_enabled": cluster.shared,
            "is_self": cluster.shared and not cluster.standby,
            "active_time": rfc3339(int(named.started) * SECOND) if named is not None and named.started else "0001-01-01T00:00:00Z",
            "leader_address": named.address if named is not None else "",
            "leader_cluster_address": "",
            "performance_standby": False,
            "performance_standby_last_remote_wal": 0,
        }
    )


def _metrics(core: Core, request: Request) -> Response | None:
    """That this node is sealed, or has no database, is worth knowing: where a listener opens metrics it is told without both."""
    if "metrics" not in request.peer.opened or request.operation is not Operation.READ:
        return None
    if not core.barrier.sealed and core.cluster.reachable():
        return None
    return shown_metrics(core, str(request.data.get("format", "")))


PUBLIC: dict[str, Handler] = {
    "sys/metrics": _metrics,
    "sys/init": _init,
    "sys/unseal": _unseal,
    "sys/seal": _seal,
    "sys/seal-status": _seal_status,
    "sys/health": _health,
    "sys/leader": _leader,
}
"""Path → handler; the server and `strongroom.testing` give it to the core."""


class LifecycleRoutes(Routes):
    """What answers before there is a token."""

    @read("init", public=True)
    def read_init(self) -> Response:
        """Say whether the store is initialised."""
        return _init(self.core, self.call.request)

    @write("init", body=InitBody, public=True)
    def init(self, _body: InitBody) -> Response:
        """Initialise the store: make its keys, key shares and first root token, shown this once."""
        return _init(self.core, self.call.request)

    @write("unseal", body=UnsealBody, public=True)
    def unseal(self, _body: UnsealBody) -> Response:
        """Give one key share, or forget those given so far."""
        return _unseal(self.core, self.call.request)

    @read("seal-status", public=True)
    def seal_status(self) -> Response:
        """Kind of the seal, numbers of shares, progress."""
        return _seal_status(self.core, self.call.request)

    @read("health", body=HealthBody, public=True)
    def health(self, _body: HealthBody) -> Response:
        """Whether this node serves, as a status code that the caller may choose."""
        return _health(self.core, self.call.request)

    @read("leader", public=True)
    def leader(self) -> Response:
        """Which node leads; every node answers, so there is none."""
        return _leader(self.core, self.call.request)
