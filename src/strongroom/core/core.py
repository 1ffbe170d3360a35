"""The spine: one request, one direction. `resolve` decides what a request is and whether it may; `run` does it.

Rules of this file:
- Order in `resolve`: sealed → namespace → mount and route, without complaint → token → ACL → only now complain (404, 405, 400).
  A caller without rights learns nothing but "permission denied".
- Nothing here waits: what is slow raises Rerun, what must commit raises NeedsCommit; the committer deals with both.
- Both may run any number of times for one request, each time on the freshest state.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import msgspec

from strongroom import VAULT_VERSION
from strongroom.barrier.barrier import Barrier
from strongroom.barrier.directory import Directory
from strongroom.barrier.keyring import BOOT
from strongroom.clock import Clock
from strongroom.core import areas
from strongroom.core.audit.broker import Broker
from strongroom.core.audit.devices import AuditDevices
from strongroom.core.audit.format import MASKED_AT_ONCE
from strongroom.core.call import Call, Pause
from strongroom.core.cluster import Cluster
from strongroom.core.engine import Engine, Route
from strongroom.core.envelope import envelope
from strongroom.core.fields import read_fields
from strongroom.core.help import help_response, no_handler, warned
from strongroom.core.identity import Identities
from strongroom.core.leases import Leases
from strongroom.core.lockout import Limits, limits
from strongroom.core.mirror import Aside, committed_of
from strongroom.core.mount import Mount
from strongroom.core.mounts import Mounts, Ttls
from strongroom.core.policy import listing
from strongroom.core.policy.policies import Policies
from strongroom.core.ports import Process
from strongroom.core.registry import engine_class
from strongroom.core.request import Operation, Request
from strongroom.core.response import NOTHING, LeaseInfo, Listed, Response
from strongroom.core.sealing.state import Sealing
from strongroom.core.snapshots.taking import Snapshotting, Taker
from strongroom.core.token.terms import inside
from strongroom.core.token.tokens import Tokens
from strongroom.core.tombstones import Tombstones
from strongroom.core.transaction import NeedsCommit, Staged, Transaction
from strongroom.core.wrapping import Wrapping
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied, UnsupportedOperation, several
from strongroom.memo import remember
from strongroom.outbound.client import Outbound
from strongroom.storage.api import AREA, RemoteStorage, Storage

MAX_ROUTES_KEPT = 20_000
LONGEST_KEPT = 256
"""Paths whose mount, route and names are kept, and their length; others are found again. Strangers' paths are kept too: 20 MiB at most."""

MASKING = ("masking",)
MOST_TURNS = 1_000
"""Pauses of a call while its answer is masked: two million names."""
LISTINGS = (Operation.LIST, Operation.SCAN)
OPEN_TO_ALL = "what this path answers needs no token and is not wrapped; leave X-Vault-Wrap-TTL out"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the core needs of the server's configuration."""

    reported_version: str = VAULT_VERSION
    cluster_name: str = "strongroom"
    api_addr: str = ""
    unsafe_allow_api_audit_creation: bool = False
    audit_directory: str = ""
    dev: bool = False
    raw_storage: bool = False
    open_rekey: bool = False
    open_generate_root: bool = False
    default_lease_ttl: int = 0
    max_lease_ttl: int = 0
    user_lockout: dict[str, dict[str, Any]] = {}
    """By kind of auth method, or "all": what `user_lockout_config` takes."""
    snapshots: Snapshotting = Snapshotting()


class Found(msgspec.Struct, frozen=True, gc=False):
    """Where a path leads."""

    mount: Mount | None
    engine: type[Engine] | None
    route: Route | None
    args: tuple[str, ...]
    relative: str
    ttls: Ttls = Ttls()
    limits: Limits = Limits()
    folded: str = ""
    """The same path with names in lower case that count without case; "" where it is written so."""


class SystemEngine(Engine):
    """Base of the engines that also work on the server's own tables: sys, identity, auth/token."""

    core: Core


class Core:
    """Everything between a decoded request and a response, for one process."""

    def __init__(self, storage: Storage, clock: Clock, audit: Broker, settings: Settings, process: Process, outbound: Outbound) -> None:
        self.storage: Storage = storage if storage.local else Aside(cast("RemoteStorage", storage))
        self.clock = clock
        self.audit = audit
        self.settings = settings
        self.process = process
        self.outbound = outbound
        self.barrier = Barrier(self.storage)
        self.committed = committed_of(self.storage, self.barrier)
        self.committed.cache.watch(BOOT[:AREA], self.barrier.heard)
        self.mounts = Mounts(self.committed, settings.default_lease_ttl, settings.max_lease_ttl)
        self.policies = Policies(self.committed)
        self.identities = Identities(self.committed)
        self.tombstones = Tombstones(self.committed)
        self.tokens = Tokens(self.committed, self.mounts, self.policies, self.identities, self.tombstones)
        self.leases = Leases(self.tombstones, self.mounts, self.tokens)
        self.wrapping = Wrapping(self.tokens)
        self.devices = AuditDevices(self.committed, audit, process, clock, settings.audit_directory, outbound)
        self.committed.followers.append(self.devices.catch_up)
        self.sealing = Sealing()
        self.snapshots = Taker(settings.snapshots)
        self.cluster = Cluster()
        self.public: dict[str, Callable[[Core, Request], Response | None]] = {}
        """What answers while sealed, by path; None: it has nothing to say just now, and the request goes its usual way."""
        self._found: dict[tuple[Operation, str], Found] = {}
        self.mounts.listeners.append(self._found.clear)

    # -- resolve ------------------------------------------------------------------------------------------------

    def transaction(self, group: Staged | None) -> Transaction:
        """A view of now for one attempt. Raises Sealed."""
        return Transaction(self.committed, group, self.clock.now())

    def resolve(self, call: Call) -> Found:
        """Find out what a request is and whether it is allowed; fills in the call."""
        request, transaction = call.request, call.transaction
        if request.namespace:
            found = Found(None, None, None, (), f"{request.namespace}/{request.path}")
        else:
            found = self.find(transaction, request.operation, request.path)
        route = call.route = found.route
        call.mount = found.mount
        call.args = found.args
        if route is not None and route.writes and not transaction.writing:
            raise NeedsCommit
        if route is None and request.operation is not Operation.HELP and found.engine and found.engine.router.is_public(found.relative):
            raise UnsupportedOperation("unsupported operation")  # who logs in by a wrong verb is not to think that his proof was wrong
        if route is None or not route.public:
            try:
                self._authorise(call, found)
            except PermissionDenied:
                if route is None or route.opened not in request.peer.opened:
                    raise
        elif request.credential and route.public:
            self._greet(call)
        self._complain(found, request)
        return found

    def _greet(self, call: Call) -> None:
        """Public routes take a token too, for audit and filtering; a bad one is no token."""
        call.token = None
        with suppress(PermissionDenied):
            token = self.tokens.find(call.transaction, call.request.credential)
            if not token.entry.bound_cidrs or inside(call.request.peer.address, token.entry.bound_cidrs):
                call.token = token

    def _authorise(self, call: Call, found: Found) -> None:
        request = call.request
        token = call.token = self.tokens.authenticate(call.transaction, request.credential, request.peer)
        path = request.path if not request.namespace else found.relative
        if request.operation is Operation.UPDATE and found.route is not None and found.route.exists:
            if not token.acl.writes(path):
                raise PermissionDenied  # for who may do neither it is not looked up which of both it would be
            call.operation = self._create_or_update(call, found, found.route.exists)
        sudo = found.route is not None and found.route.sudo
        call.decision = token.acl.check(call.operation, path, request.data, request.wrap_ttl, sudo, found.folded)
        if request.operation is Operation.HELP:
            mount = found.mount.path if found.mount is not None else path.rstrip("/") + "/"
            if not token.acl.may_reach(mount):  # help needs no capability, but says whether there is a mount and of what kind
                raise PermissionDenied

    def _create_or_update(self, call: Call, found: Found, exists: str) -> Operation:
        try:
            there = getattr(self.engine(call, found), exists)(*found.args)
        except (InvalidRequest, NotFound):  # the route will say what is wrong, once the caller is known to have rights
            there = True
        return Operation.UPDATE if there else Operation.CREATE

    def _complain(self, found: Found, request: Request) -> None:
        if found.route is not None:
            return
        if request.namespace:
            raise NotFound("no handler for the namespace; only the root namespace exists here")
        if request.operation is Operation.HELP:
            return
        mount, engine = found.mount, found.engine
        if mount is None:
            raise no_handler(request.path)
        if engine is None:
            engine = engine_class(mount.family, mount.kind, mount.options.get("version", ""))  # says why there is none
        error = engine.unmatched(request.operation, found.relative)
        if error is not None:
            raise error
        bare = found.relative.rstrip("/")
        listing = request.operation in LISTINGS  # what is listed is a directory
        if any(engine.router.operations(path) for path in (bare, bare + "/")[listing:]):
            raise UnsupportedOperation
        raise NotFound(several("unsupported path"))

    def commits(self, request: Request) -> bool:
        """Whether it is already known that this request has to run in a group."""
        found = self._found.get((request.operation, request.path))
        return found is not None and found.route is not None and found.route.writes and not request.namespace

    def find(self, transaction: Transaction, operation: Operation, path: str) -> Found:
        """The mount, route and names of a path."""
        fresh = transaction.touched(areas.MOUNTS)
        found = None if fresh else self._found.get((operation, path))
        if found is None:
            found = self._find(transaction, operation, path)
            if not fresh and len(path) <= LONGEST_KEPT:
                remember(self._found, MAX_ROUTES_KEPT, (operation, path), found)
        return found

    def _find(self, transaction: Transaction, operation: Operation, path: str) -> Found:
        mount = self.mounts.table(transaction).match(path)
        if mount is None:
            return Found(None, None, None, (), path)
        relative = path[len(mount.path) :]
        try:
            engine = engine_class(mount.family, mount.kind, mount.options.get("version", ""))
        except InvalidRequest:
            return Found(mount, None, None, (), relative)
        match = engine.router.find(operation, relative)
        if match is None:
            return Found(mount, engine, None, (), relative, self.mounts.ttls(mount), self.limits(mount))
        folded = engine.folded(*match)
        return Found(mount, engine, *match, relative, self.mounts.ttls(mount), self.limits(mount), folded and mount.path + folded)

    def limits(self, mount: Mount) -> Limits:
        """How much guessing locks a name: as the mount is tuned, else as the server is configured."""
        configured = self.settings.user_lockout
        return limits(mount.config.user_lockout_config, configured.get(mount.kind), configured.get("all"))

    def engine(self, call: Call, found: Found) -> Engine:
        """The engine object of this call."""
        if call.engine is not None and found.mount is call.mount:
            return call.engine
        mount = found.mount
        kind = (found.route.owner if found.route is not None else None) or found.engine
        assert kind is not None
        assert mount is not None
        outbound = self.outbound.confined() if mount.namespace else self.outbound
        engine = kind(call, mount, call.transaction.view(mount.uuid), self.clock, outbound)
        engine.default_ttl, engine.max_ttl = found.ttls
        engine.limits = found.limits
        if isinstance(engine, SystemEngine):
            engine.core = self
        if mount is call.mount and found.route is not None:
            call.engine = engine
        return engine

    def engine_of(self, call: Call, mount: Mount) -> Engine:
        """The engine of a mount that is not the one the request came in by."""
        kind = engine_class(mount.family, mount.kind, mount.options.get("version", ""))
        return self.engine(call, Found(mount, kind, None, (), "", self.mounts.ttls(mount), self.limits(mount)))

    # -- run ----------------------------------------------------------------------------------------------------

    def attempt(self, call: Call) -> Response:
        """Resolve and run a call on its transaction."""
        try:
            found = self.resolve(call)
            if call.request.operation is Operation.HELP:
                return self._help(found)
            response = self._route(call, found)
        finally:
            call.engine = None  # it holds the call: a ring, which only the collector could free, with all that the call staged
        if response is NOTHING:
            return response
        if call.operation in LISTINGS and call.token is not None:
            response = listing.shown(call, call.token.acl, response)
            if isinstance(response.data, Listed) and len(response.data.directory) > MASKED_AT_ONCE:
                self._mask_ahead(call, response.data.directory)
        return self._finish(call, response)

    def _mask_ahead(self, call: Call, directory: Directory) -> None:
        """Have audit mask the names of a very long list bit by bit; after too many turns the rest at once: it must end some time."""
        turns = call.remembered.get(MASKING, 0)
        if turns < MOST_TURNS and not self.audit.ahead(call.mount, directory):
            raise Pause(MASKING, turns + 1)

    def _route(self, call: Call, found: Found) -> Response:
        route = found.route
        assert route is not None
        engine = self.engine(call, found)
        data = call.request.data
        strange = frozenset() if route.unchecked or not data else data.keys() - route.declared
        response: Response
        if route.fields is None:
            response = route.method(engine, *found.args) or NOTHING
        else:
            if strange:
                data = {**data, **dict(zip(route.holes, found.args, strict=True))}
            if call.operation in LISTINGS and call.token is not None:
                data = listing.asked(call.token.acl, call.operation, found.folded or call.request.path, data)
            response = route.method(engine, *found.args, read_fields(route.fields, data)) or NOTHING
        if strange and response is not NOTHING:
            response = warned(response, strange - frozenset(route.holes), strange & frozenset(route.holes))
        return response

    def _finish(self, call: Call, response: Response) -> Response:
        """Turn grants, lease terms and wrapping wishes into tokens, leases and wrapping tokens."""
        mount, transaction = call.mount, call.transaction
        assert mount is not None
        if response.grant is not None:
            warn: list[str] = []
            path = response.grant.path or call.request.path
            auth = self.tokens.issue(transaction, response.grant, path, mount, warn=warn)
            response = msgspec.structs.replace(response, grant=None, auth=auth, warnings=(*response.warnings, *warn))
        if response.terms is not None:
            if call.token is None:
                raise PermissionDenied
            lease = self.leases.create(transaction, response.terms, call.request.path, mount, call.token)
            response = msgspec.structs.replace(response, terms=None, lease=lease)
        wishes = [ttl for ttl in (call.request.wrap_ttl, response.wrap_ttl) if ttl]
        says = response.data is not None or response.auth is not None or response.lease is not None or response.warnings
        if wishes and says and response.bare is None and response.wrap is None:
            response = self._wrap(call, response, min(wishes))
        return response

    def _wrap(self, call: Call, response: Response, ttl: int) -> Response:
        if call.route is not None and call.route.public and response.auth is None:
            raise InvalidRequest(OPEN_TO_ALL)  # it would lie in the store for a month, and anybody could have as many put there as he likes
        if not call.transaction.writing:
            raise NeedsCommit
        body = envelope(msgspec.structs.replace(response, mirror=False), call.request.id, call.mount_type)
        accessor = response.auth.accessor if response.auth is not None else response.accessor
        info = self.wrapping.wrap(call.transaction, body, call.request.path, ttl, accessor)
        return Response(wrap=info)

    def _help(self, found: Found) -> Response:
        if found.engine is None or found.mount is None:
            raise no_handler(found.relative)
        return help_response(found.engine, found.mount, found.relative)

    # -- leases -------------------------------------------------------------------------------------------------

    def renew_lease(self, call: Call, lease_id: str, increment: int) -> Response:
        """Extend a lease by asking its engine. Raises InvalidRequest."""
        transaction = call.transaction
        lease = self.leases.find(transaction, lease_id)
        if lease is None:
            raise InvalidRequest("lease not found")
        mount = self.mounts.table(transaction).by_uuid.get(lease.mount)
        if mount is None or mount.tainted:
            raise InvalidRequest("lease not found")
        terms = self.engine_of(call, mount).renew(lease.terms, increment)
        info: LeaseInfo = self.leases.extend(transaction, lease, terms, increment, mount)
        return Response(lease=info)
