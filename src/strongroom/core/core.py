"""The spine: one request, one direction. `resolve` decides what a request is and whether it may; `run` does it.

Rules of this file:
- Order in `resolve`: sealed → namespace → mount and route, without complaint → token → ACL → only now complain (404, 405, 400).
  A caller without rights learns nothing but "permission denied".
- Nothing here waits: what is slow raises Rerun, what must commit raises NeedsCommit; the committer deals with both.
- Both may run any number of times for one request, each time on the freshest state.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from strongroom.barrier.barrier import Barrier
from strongroom.barrier.cache import AREA, Cache
from strongroom.barrier.keyring import BOOT
from strongroom.clock import Clock
from strongroom.core import areas
from strongroom.core.audit import Broker
from strongroom.core.audit_devices import AuditDevices
from strongroom.core.engine import Engine, Outbound, Route
from strongroom.core.envelope import envelope
from strongroom.core.fields import read_fields
from strongroom.core.identity import Identities
from strongroom.core.leases import Leases
from strongroom.core.mounts import Mounts
from strongroom.core.openapi import path_item
from strongroom.core.policies import Policies
from strongroom.core.ports import Process
from strongroom.core.registry import engine_class
from strongroom.core.request import NOTHING, Call, LeaseInfo, Mount, Operation, Request, Response
from strongroom.core.tokens import Tokens
from strongroom.core.tombstones import Tombstones
from strongroom.core.transaction import Committed, NeedsCommit, Staged, Transaction
from strongroom.core.unsealing import Sealing
from strongroom.core.wrapping import Wrapping
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied, UnsupportedMediaType, UnsupportedOperation
from strongroom.storage.api import Storage

MAX_ROUTES_KEPT = 20_000
"""Paths whose mount, route and names are kept; beyond it they are found again."""

LISTINGS = (Operation.LIST, Operation.SCAN)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the core needs of the server's configuration."""

    reported_version: str = "1.18.0"
    cluster_name: str = "strongroom"
    unsafe_allow_api_audit_creation: bool = False
    audit_directory: str = ""
    dev: bool = False
    raw_storage: bool = False
    open_rekey: bool = False
    open_generate_root: bool = False
    open_metrics: bool = False
    default_lease_ttl: int = 0
    max_lease_ttl: int = 0


class Found(msgspec.Struct, frozen=True, gc=False):
    """Where a path leads."""

    mount: Mount | None
    engine: type[Engine] | None
    route: Route | None
    args: tuple[str, ...]
    relative: str


class SystemEngine(Engine):
    """Base of the engines that also work on the server's own tables: sys, identity, auth/token."""

    core: Core


class Core:
    """Everything between a decoded request and a response, for one process."""

    def __init__(self, storage: Storage, clock: Clock, audit: Broker, settings: Settings, process: Process, outbound: Outbound) -> None:
        self.storage = storage
        self.clock = clock
        self.audit = audit
        self.settings = settings
        self.process = process
        self.outbound = outbound
        self.barrier = Barrier(storage)
        self.committed = Committed(storage, self.barrier, Cache())
        self.committed.cache.watch(BOOT[:AREA], self.barrier.heard)
        self.mounts = Mounts(self.committed)
        self.policies = Policies(self.committed)
        self.identities = Identities(self.committed)
        self.tombstones = Tombstones(self.committed)
        self.tokens = Tokens(self.committed, self.mounts, self.policies, self.identities, self.tombstones)
        self.leases = Leases(self.tombstones, self.mounts, self.tokens)
        self.wrapping = Wrapping(self.tokens)
        self.devices = AuditDevices(self)
        self.sealing = Sealing()
        self.public: dict[str, Callable[[Core, Request], Response]] = {}
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
            raise NotFound("no handler for the namespace; only the root namespace exists here")
        found = self.find(transaction, request.operation, request.path)
        route = call.route = found.route
        call.mount = found.mount
        call.args = found.args
        if route is not None and route.writes and not transaction.writing:
            raise NeedsCommit
        if route is None or not route.public:
            self._authorise(call, found)
        elif request.credential and route.public:
            self._greet(call)
        self._complain(found, request)
        return found

    def _greet(self, call: Call) -> None:
        """Public routes take a token too, for audit and filtering; a bad one is no token."""
        try:
            call.token = self.tokens.find(call.transaction, call.request.credential)
        except PermissionDenied:
            call.token = None

    def _authorise(self, call: Call, found: Found) -> None:
        request = call.request
        token = call.token = self.tokens.authenticate(call.transaction, request.credential, request.peer)
        if request.operation is Operation.UPDATE and found.route is not None and found.route.exists:
            engine = self.engine(call, found)
            if not getattr(engine, found.route.exists)(*found.args):
                call.operation = Operation.CREATE
        sudo = found.route is not None and found.route.sudo
        call.decision = token.acl.check(call.operation, request.path, request.data, request.wrap_ttl, sudo)

    def _complain(self, found: Found, request: Request) -> None:
        if found.route is not None:
            if request.operation is Operation.PATCH and not request.merge_patch:
                raise UnsupportedMediaType("PATCH takes the content type application/merge-patch+json")
            return
        if request.operation is Operation.HELP:
            return
        if found.mount is None:
            raise NotFound(f"no handler for route {request.path!r}. route entry not found.")
        assert found.engine is not None
        others = found.engine.router.operations(found.relative) if request.operation not in LISTINGS else set()
        if others:
            raise UnsupportedOperation
        raise NotFound(
            f"no handler for route {request.path!r}. route entry not found."
            if found.mount.family == "system"
            else f"unsupported path {found.relative!r}",
            warnings=found.engine.unmatched(found.relative),
        )

    def find(self, transaction: Transaction, operation: Operation, path: str) -> Found:
        """The mount, route and names of a path."""
        fresh = transaction.touched(areas.MOUNTS)
        found = None if fresh else self._found.get((operation, path))
        if found is None:
            found = self._find(transaction, operation, path)
            if not fresh:
                if len(self._found) >= MAX_ROUTES_KEPT:
                    self._found.clear()
                self._found[operation, path] = found
        return found

    def _find(self, transaction: Transaction, operation: Operation, path: str) -> Found:
        mount = self.mounts.table(transaction).match(path)
        if mount is None:
            return Found(None, None, None, (), path)
        engine = engine_class(mount.family, mount.kind, mount.options.get("version", ""))
        relative = path[len(mount.path) :]
        match = engine.router.find(operation, relative)
        if match is None:
            return Found(mount, engine, None, (), relative)
        return Found(mount, engine, match[0], match[1], relative)

    def engine(self, call: Call, found: Found) -> Engine:
        """The engine object of this call."""
        mount = found.mount
        assert found.engine is not None and mount is not None
        engine = found.engine(call, mount, call.transaction.view(mount.uuid), self.clock, self.outbound)
        if isinstance(engine, SystemEngine):
            engine.core = self
        return engine

    def engine_of(self, call: Call, mount: Mount) -> Engine:
        """The engine of a mount that is not the one the request came in by."""
        return self.engine(call, Found(mount, engine_class(mount.family, mount.kind, mount.options.get("version", "")), None, (), ""))

    # -- run ----------------------------------------------------------------------------------------------------

    def attempt(self, call: Call) -> Response:
        """Resolve and run a call on its transaction."""
        found = self.resolve(call)
        if call.request.operation is Operation.HELP:
            return self._help(found)
        response = self._route(call, found)
        if response is NOTHING:
            return response
        return self._finish(call, response)

    def _route(self, call: Call, found: Found) -> Response:
        route = found.route
        assert route is not None
        engine = self.engine(call, found)
        if route.fields is None:
            return route.method(engine, *found.args) or NOTHING
        data = call.request.data
        body = read_fields(route.fields, data)
        unknown = () if route.unchecked else data.keys() - route.fields.names
        response: Response = route.method(engine, *found.args, body) or NOTHING
        if unknown:
            warning = f"Endpoint ignored these unrecognized parameters: {sorted(unknown)}"
            response = msgspec.structs.replace(response, warnings=(*response.warnings, warning))
        return response

    def _finish(self, call: Call, response: Response) -> Response:
        """Turn grants, lease terms and wrapping wishes into tokens, leases and wrapping tokens."""
        mount, transaction = call.mount, call.transaction
        assert mount is not None
        if response.grant is not None:
            warn: list[str] = []
            path = call.request.path
            auth = self.tokens.issue(transaction, response.grant, path, mount, warn=warn)
            response = msgspec.structs.replace(response, grant=None, auth=auth, warnings=(*response.warnings, *warn))
        if response.terms is not None:
            if call.token is None:
                raise PermissionDenied
            lease = self.leases.create(transaction, response.terms, call.request.path, mount, call.token)
            response = msgspec.structs.replace(response, terms=None, lease=lease)
        wishes = [ttl for ttl in (call.request.wrap_ttl, response.wrap_ttl) if ttl]
        if wishes and response.bare is None and response.wrap is None and (response.data is not None or response.auth is not None):
            response = self._wrap(call, response, min(wishes))
        return response

    def _wrap(self, call: Call, response: Response, ttl: int) -> Response:
        if not call.transaction.writing:
            raise NeedsCommit
        body = envelope(response, call.request.id)
        accessor = response.auth.accessor if response.auth is not None else ""
        info = self.wrapping.wrap(call.transaction, body, call.request.path, ttl, accessor)
        return Response(wrap=info)

    def _help(self, found: Found) -> Response:
        if found.engine is None or found.mount is None:
            raise NotFound(f"no handler for route {found.relative!r}. route entry not found.")
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


def help_response(engine: type[Engine], mount: Mount, relative: str) -> Response:
    """`?help=1`: what is declared about a path, or about the whole engine at its root."""
    routes = [route for route in engine.router.routes if route.match(relative) is not None]
    if not relative.strip("/"):
        text = f"## DESCRIPTION\n\n{engine.help}\n\n## PATHS\n\n" + "\n".join(
            f"    {route.pattern}\n        {route.summary}\n" for route in engine.router.routes
        )
        routes = list(engine.router.routes)
    elif not routes:
        raise NotFound(f"no handler for route {mount.path + relative!r}. route entry not found.")
    else:
        route = routes[0]
        names = "".join(
            f"    {field.name} ({field.kind.__name__})\n        {field.description}\n"
            for field in (route.fields.table if route.fields else ())
        )
        text = f"Request:        {relative}\nMatching Route: ^{route.pattern}$\n\n{route.summary}\n\n## PARAMETERS\n\n{names}"
    document = {"openapi": "3.0.2", "paths": {f"/{mount.path}{route.pattern}": path_item(route, mount) for route in routes}}
    return Response(data={"help": text, "see_also": [], "openapi": document}, status=200)


__all__ = ["Core", "Found", "Settings"]
