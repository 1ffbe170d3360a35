"""How a path becomes a function: everything with paths is an Engine, and an engine is one class whose methods declare their routes.

    class Totp(Engine, kind="totp"):
        @write("keys/{name}", body=KeyBody)
        def create_key(self, name: str, body: KeyBody) -> Response: ...

Rules of this file:
- An engine object lives for one call: `store` is its View of its own rows in that call, so there is nothing shared to guard.
- A route's method takes the path's names in order and then the body, if it declares one. It may run more than once.
- Patterns are relative to the mount: literal segments, `{name}` for one segment, `{name...}` for one or more (one such in a pattern).
  LIST routes end in "/".
- Routes are compiled when the class is made; two routes for one (pattern, operation) are an error then.
- Validation, `?help=1`, OpenAPI and the console's forms come from these declarations and from nowhere else.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec

from strongroom.barrier.view import View, page_of
from strongroom.clock import Clock
from strongroom.core.call import Call
from strongroom.core.fields import Fields, compile_fields
from strongroom.core.gathering import gathered
from strongroom.core.lockout import Limits, Lockout
from strongroom.core.mount import Mount
from strongroom.core.request import Operation
from strongroom.core.response import Grant, LeaseTerms, Listed, Response
from strongroom.errors import NotFound, StrongroomError
from strongroom.outbound.client import Outbound

Family = Literal["secrets", "auth", "system"]
F = TypeVar("F", bound=Callable[..., Any])

_WRITES = frozenset((Operation.CREATE, Operation.UPDATE, Operation.PATCH, Operation.DELETE))
_HOLE = re.compile(r"\{(\w+)(\.\.\.)?\}", re.ASCII)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Route(msgspec.Struct, frozen=True, eq=False):
    """One declared route. `method` is the engine's function, `fields` its compiled body.

    `public`: no token asked for. `sudo`: the capability is needed too. `writes`: runs in the committing queue. `exists`:
    name of the method that tells CREATE from UPDATE. `large`: bodies up to 32 MiB. `unchecked`: members that are not declared are the
    engine's business, no warning is due. `owner`: the class on whose object it runs where that is not the engine's (see `Engine.apart`).
    """

    operations: tuple[Operation, ...]
    pattern: str
    method: Callable[..., Response | None]
    name: str
    fields: Fields | None
    public: bool
    sudo: bool
    writes: bool
    exists: str
    large: bool
    unchecked: bool
    holes: tuple[str, ...]
    declared: frozenset[str]
    match: Callable[[str], re.Match[str] | None]
    summary: str
    opened: str = ""
    """By this name a listener opens the route to whoever has no token."""
    owner: type[Engine] | None = None

    def __repr__(self) -> str:
        return f"Route({'|'.join(self.operations)} {self.pattern})"


class _Declared(NamedTuple):
    operations: tuple[Operation, ...]
    pattern: str
    options: dict[str, Any]


def _declare(operations: tuple[Operation, ...], pattern: str, **options: Any) -> Callable[[F], F]:
    def mark(method: F) -> F:
        declared: list[_Declared] = method.__dict__.setdefault("__routes__", [])
        declared.append(_Declared(operations, pattern, options))
        return method

    return mark


class _Verb:
    """A decorator for the routes of one verb."""

    def __init__(self, *operations: Operation) -> None:
        self._operations = operations

    def __call__(
        self,
        pattern: str,
        *,
        body: type[msgspec.Struct] | None = None,
        public: bool = False,
        sudo: bool = False,
        writes: bool | None = None,
        exists: str = "",
        large: bool = False,
        unchecked: bool = False,
        opened: str = "",
    ) -> Callable[[F], F]:
        return _declare(
            self._operations,
            pattern,
            body=body,
            public=public,
            sudo=sudo,
            writes=writes,
            exists=exists,
            large=large,
            unchecked=unchecked,
            opened=opened,
        )


read = _Verb(Operation.READ)
write = _Verb(Operation.CREATE, Operation.UPDATE)
patch = _Verb(Operation.PATCH)
delete = _Verb(Operation.DELETE)
list_ = _Verb(Operation.LIST)
scan = _Verb(Operation.SCAN)


def login(pattern: str, *, body: type[msgspec.Struct] | None = None) -> Callable[[F], F]:
    """A route that answers with a Grant to whoever proves who he is: public, and committed."""
    return write(pattern, body=body, public=True, writes=True)


class Router:
    """The routes of one engine class: by operation and first segment, then by pattern, literals before holes."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = tuple(routes)
        self._by_first: dict[tuple[Operation, str], list[Route]] = {}
        self._open: dict[Operation, list[Route]] = {}
        for route in sorted(routes, key=_specificity):
            first = route.pattern.split("/", 1)[0]
            for operation in route.operations:
                if "{" in first or first == "":
                    self._open.setdefault(operation, []).append(route)
                else:
                    self._by_first.setdefault((operation, first), []).append(route)

    def find(self, operation: Operation, path: str) -> tuple[Route, tuple[str, ...]] | None:
        """The route for a path relative to the mount, and the path's names."""
        for route in self._by_first.get((operation, path.split("/", 1)[0]), ()):
            match = route.match(path)
            if match is not None:
                return route, match.groups()
        for route in self._open.get(operation, ()):
            match = route.match(path)
            if match is not None:
                return route, match.groups()
        return None

    def is_public(self, path: str) -> bool:
        """Whether somebody without a token has business here, by whichever verb."""
        return any(found[0].public for operation in Operation if (found := self.find(operation, path)) is not None)

    def operations(self, path: str) -> set[Operation]:
        """Which operations the path has at all."""
        return {operation for operation in Operation if self.find(operation, path) is not None}


def _specificity(route: Route) -> tuple[bool, int, int]:
    """Patterns with fewer holes first, open-ended ones last; among equals those with more literal text first."""
    return ("..." in route.pattern, len(route.holes), -len(_HOLE.sub("", route.pattern)))


def _compile(engine: str, method: Callable[..., Any], declared: _Declared) -> Route:
    options = dict(declared.options)
    body = options.pop("body")
    writes = options.pop("writes")
    if writes is None:
        writes = bool(_WRITES.intersection(declared.operations))
    holes = tuple(name for name, _ in _HOLE.findall(declared.pattern))
    expression = "".join(
        f"({'.+' if tail else '[^/]+'})" if name else re.escape(literal) for literal, name, tail in _pieces(declared.pattern)
    )
    fields = None if body is None else compile_fields(body)
    doc = (method.__doc__ or "").strip().partition("\n")[0]
    if not doc:
        raise TypeError(f"{engine}.{method.__name__}: a route needs a docstring, its first line is its help text")
    return Route(
        operations=declared.operations,
        pattern=declared.pattern,
        method=method,
        name=method.__name__,
        fields=fields,
        writes=writes,
        holes=holes,
        declared=(frozenset() if fields is None else fields.names) - frozenset(holes),
        match=re.compile(expression, re.DOTALL).fullmatch,
        summary=doc,
        **options,
    )


def _pieces(pattern: str) -> list[tuple[str, str, str]]:
    """Split a pattern into (literal, "", "") and ("", hole name, "...")."""
    pieces = []
    at = 0
    for hole in _HOLE.finditer(pattern):
        pieces.append((pattern[at : hole.start()], "", ""))
        pieces.append(("", hole[1], hole[2] or ""))
        at = hole.end()
    pieces.append((pattern[at:], "", ""))
    return pieces


class Engine:
    """Base of every secrets engine, auth method and system engine.

    Subclasses say `kind`, and `variant` where one kind has several classes chosen by the mount's `version` option.
    """

    kind: ClassVar[str]
    family: ClassVar[Family]
    variant: ClassVar[str]
    router: ClassVar[Router]
    help: ClassVar[str]
    default_ttl: int
    max_ttl: int
    """Seconds that what this mount issues lasts where nobody says otherwise, and may last at all."""
    limits: Limits
    """How much guessing locks a name."""
    folds: ClassVar[frozenset[str]] = frozenset()
    """Names in paths that count without case, by their holes; in auth methods all do, which make them canonical (core/names.py)."""
    apart: ClassVar[bool] = False
    """Routes run on an object of the class that declares them: classes made into one engine do not meet in their helpers' names."""

    def __init_subclass__(cls, *, kind: str = "", family: Family = "secrets", variant: str = "", **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if not kind:
            return
        cls.kind, cls.family, cls.variant = kind, family, variant
        cls.help = (cls.__doc__ or "").strip()
        routes: list[Route] = []
        seen: set[tuple[str, Operation]] = set()
        for owner in reversed(cls.__mro__):
            for method in vars(owner).values():
                for declared in getattr(method, "__routes__", ()):
                    for operation in declared.operations:
                        if (declared.pattern, operation) in seen:
                            raise TypeError(f"{cls.__name__}: two routes for {operation} {declared.pattern}")
                        seen.add((declared.pattern, operation))
                    route = _compile(cls.__name__, method, declared)
                    routes.append(msgspec.structs.replace(route, owner=owner) if getattr(owner, "apart", False) else route)
        cls.router = Router(routes)
        CLASSES[family, kind, variant] = cls

    def __init__(self, call: Call, mount: Mount, store: View, clock: Clock, outbound: Outbound) -> None:
        self.call = call
        self.mount = mount
        self.store = store
        self.clock = clock
        self.outbound = outbound

    def lockout(self, name: str, *, known: bool) -> Lockout:
        """The counter of wrong passwords for a canonical name; `known`: there is somebody of that name."""
        return Lockout(self.call.transaction, self.mount, name, self.limits, known=known)

    @classmethod
    def folded(cls, route: Route, args: tuple[str, ...]) -> str:
        """A route's path with its names in their one form, as they are stored; "" where they are written so."""
        pairs = zip(route.holes, args, strict=True)
        names = {hole: arg.translate(_LOWER) if cls.family == "auth" or hole in cls.folds else arg for hole, arg in pairs}
        return "" if tuple(names.values()) == args else _HOLE.sub(lambda hole: names[hole[1]], route.pattern)

    # -- optional hooks -----------------------------------------------------------------------------------------

    def setup(self) -> None:
        """The mount was just made; stage its first rows."""

    def tuned(self, before: Mount) -> None:
        """The mount's settings or options were just changed; stage what follows from that, or set a timer for it."""

    def check_mount(self) -> None:
        """Raise InvalidRequest when the mount's options cannot be right."""

    def renew(self, terms: LeaseTerms, increment: int) -> LeaseTerms:
        """Extend a lease this engine issued; raise to refuse."""
        return terms

    def revoke(self, terms: LeaseTerms) -> None:
        """Undo what a lease of this engine gave. Called until it succeeds."""

    def renew_login(self, grant: Grant) -> Grant:
        """Say with what a token issued by this auth method may go on; raise to refuse."""
        return grant

    def due(self, job: str, payload: bytes) -> None:
        """A timer of this mount has come."""

    @classmethod
    def unmatched(cls, operation: Operation, path: str) -> StrongroomError | None:  # noqa: ARG003 — a hook's signature is its contract
        """What to say of a path that no route matches, where the engine knows better than the core."""
        return None


CLASSES: dict[tuple[str, str, str], type[Engine]] = {}
"""Every engine class that was imported, by family, kind and variant; core/registry.py imports on demand."""


class ListBody(msgspec.Struct, frozen=True):
    """Paging of LIST routes: names greater than `after`, at most `limit` of them (0 or less: all)."""

    after: str = ""
    limit: int = -1


def paged(names: Iterable[str], body: ListBody) -> list[str]:
    """What a LIST asked for of names that are in order."""
    later = (name for name in names if name > body.after)
    return list(islice(later, body.limit if body.limit > 0 else None))


def keys_response(names: list[str], info: Mapping[str, Any] | None = None) -> Response:
    """A LIST's answer. Raises NotFound when there is nothing."""
    if not names:
        raise NotFound
    data: dict[str, Any] = {"keys": names}
    if info is not None:
        data["key_info"] = {name: info[name] for name in names if name in info}
    return Response(data=data)


def listed(store: View, path: str, body: ListBody) -> Response:
    """The answer to a LIST of the names directly below a path. Raises NotFound when there is nothing."""
    directory = store.directory(path)
    if body.after or body.limit > 0:
        return keys_response(page_of(directory.names, body.after, body.limit))
    if not directory.names:
        raise NotFound
    return Response(data=Listed(directory), source=directory)


SCANNED_AT_ONCE: Final = 2_000
"""Names that a SCAN reads in one run of its call: about 5 ms of a worker."""


Place: TypeAlias = tuple[tuple[str, ...], int]
"""Where a SCAN goes on: what is still to be walked, and how many names are still wanted."""


def scanned(call: Call, store: View, below: str, body: ListBody) -> list[str]:
    """What a SCAN asked for of all keys below a path that ends in "/", relative to it: depth first, sorted per level. Raises Pause."""

    def share(place: Place) -> tuple[list[str], Place | None]:
        pending, wanted = place
        keys, pending = store.walked(pending, SCANNED_AT_ONCE)
        names = [name for key in keys if (name := key[len(below) :]) > body.after][:wanted]
        left = wanted - len(names)
        return names, (pending, left) if pending and left else None

    start: Place = (below,), body.limit if body.limit > 0 else sys.maxsize
    return gathered(call, "scanned", start, share)
