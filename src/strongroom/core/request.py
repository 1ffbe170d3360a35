"""The nouns: what comes in, what it becomes, what goes out.

Rules of this file:
- Values are frozen: a codec makes the Request once, `resolve` makes the Call once, the route makes the Response once.
- `Request.path` is the one canonical path (api/wire.py made it); router, policy, audit, lockout and storage all use it as it is.
- Numbers in `data` are exact: int or Decimal, never float.
- Reprs show shapes, not contents: bodies and credentials are secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeVar

import msgspec

from strongroom.barrier.directory import Directory
from strongroom.core.content import Content
from strongroom.memo import Memo

if TYPE_CHECKING:
    from strongroom.core.engine import Engine, Route
    from strongroom.core.policy.acl import Acl
    from strongroom.core.transaction import Transaction


T = TypeVar("T")


class Operation(StrEnum):
    """What a caller may ask of a path. There are no internal operations: nothing else can be dispatched.

    A codec says UPDATE for every write; `resolve` turns it into CREATE where the engine says that the thing does not exist.
    """

    READ = "read"
    LIST = "list"
    SCAN = "scan"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    HELP = "help"


class Secret:
    """A text that must not be printed: repr, str and format show its length only. `reveal` returns it.

    `digest` is its keyed hash once `core.tokens` has worked it out.
    """

    __slots__ = ("_text", "digest")

    def __init__(self, text: str) -> None:
        self._text = text
        self.digest = b""

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return f"Secret({len(self._text)} characters)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        raise TypeError("secrets are compared with hmac.compare_digest")

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        raise TypeError("a Secret does not leave the process")


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of the connection: address after trusted forwarding, and the client certificate if one was sent (DER).

    `place` is audit's: what its lines say of the address, worked out once for each connection.
    """

    address: str = ""
    port: int = 0
    leaf: bytes | None = None
    chain: tuple[bytes, ...] = ()
    opened: frozenset[str] = frozenset()
    """What the listener opens to whoever has no token: "metrics", "rekey", "generate-root"."""
    place: bytes = b""

    def __post_init__(self) -> None:
        place = b',"remote_address":%b,"remote_port":%d' % (msgspec.json.encode(self.address), self.port)
        msgspec.structs.force_setattr(self, "place", place)


class Request(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One request in any dialect.

    `path` has no leading slash; only LIST and SCAN paths end in "/". `raw` is the checked JSON text of the body (b"" when there was
    none), `data` its parsed members, or the query parameters (strings) where there is no body. `wrap_ttl` is in seconds, 0 = unwrapped.
    `upload` is a body that is no JSON (core/snapshots/paths.py), a large one as a file. `headers` has lower-case names, as received;
    `slashed` says that a READ's or DELETE's path came with a "/" at its end, which it has lost.
    """

    id: str
    operation: Operation
    path: str
    data: Mapping[str, Any]
    raw: bytes
    credential: Secret
    peer: Peer
    namespace: str = ""
    wrap_ttl: int = 0
    headers: Mapping[bytes, bytes] = {}
    slashed: bool = False
    upload: bytes | BinaryIO = b""

    def __repr__(self) -> str:
        return f"Request({self.id}, {self.operation}, {self.path!r}, {len(self.raw)} bytes)"


class MountConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `tune` sets. Durations in seconds, 0 = the system's default."""

    default_lease_ttl: int = 0
    max_lease_ttl: int = 0
    force_no_cache: bool = False
    listing_visibility: str = ""
    token_type: str = ""
    audit_non_hmac_request_keys: tuple[str, ...] = ()
    audit_non_hmac_response_keys: tuple[str, ...] = ()
    passthrough_request_headers: tuple[str, ...] = ()
    allowed_response_headers: tuple[str, ...] = ()
    user_lockout_config: dict[str, Any] | None = None


class Mount(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An engine at a path. `path` ends in "/", and begins with "auth/" for auth methods. `uuid` names its rows and never changes.

    `tainted`: it is being removed; nothing resolves to it any more.
    """

    uuid: bytes
    path: str
    kind: str
    family: str
    accessor: str
    description: str = ""
    options: dict[str, str] = {}
    config: MountConfig = MountConfig()
    local: bool = False
    seal_wrap: bool = False
    external_entropy_access: bool = False
    namespace: str = ""
    tainted: bool = False


class Alias(msgspec.Struct, frozen=True):
    """The name by which an auth mount knows somebody; the entity it belongs to is found or made at login."""

    name: str
    metadata: dict[str, str] = {}
    custom_metadata: dict[str, str] = {}


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a login or a token creation hands out, before the core makes a token of it. Durations in seconds."""

    policies: tuple[str, ...] = ()
    no_default_policy: bool = False
    display_name: str = ""
    metadata: dict[str, str] = {}
    alias: Alias | None = None
    ttl: int = 0
    max_ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0
    renewable: bool = True
    num_uses: int = 0
    bound_cidrs: tuple[str, ...] = ()
    token_type: str = ""
    internal: dict[str, str] = {}
    """What the method wants back when the token is renewed; never shown."""
    rests_on: tuple[str, ...] = ()
    """Names of the auth method's own, such as "user/alice": ending one of them ends the token (core/logins.py)."""
    path: str = ""
    """Where the token comes from, where the request's own path is one of several spellings of it."""

    def __repr__(self) -> str:
        return f"Grant({self.display_name!r}, {len(self.policies)} policies)"


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """The `auth` block of an answer. `client_token` is blank where the caller may not see it."""

    client_token: Secret
    accessor: str
    policies: tuple[str, ...]
    token_policies: tuple[str, ...]
    identity_policies: tuple[str, ...] = ()
    metadata: dict[str, str] | None = None
    lease_duration: int = 0
    renewable: bool = False
    entity_id: str = ""
    token_type: str = "service"
    orphan: bool = True
    mfa_requirement: dict[str, Any] | None = None
    num_uses: int = 0


class LeaseTerms(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that ends: the engine says how long, the core makes the lease. `internal` comes back at renewal and revocation."""

    ttl: int = 0
    max_ttl: int = 0
    renewable: bool = True
    internal: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"LeaseTerms({self.ttl}, {self.max_ttl})"


class LeaseInfo(msgspec.Struct, frozen=True):
    """The lease fields of an answer's envelope. `duration` in seconds. KV v1 reports one without having a lease."""

    id: str = ""
    duration: int = 0
    renewable: bool = False


class WrapInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered in place of a wrapped response."""

    token: Secret
    accessor: str
    ttl: int
    creation_time: int
    creation_path: str
    wrapped_accessor: str = ""


class Json:
    """JSON text that is spliced into the answer as it is.

    `masks` is its stored entry's: audit keeps the masked text there, by device and policy, and masks it once. None: not kept.
    """

    __slots__ = ("masks", "text")

    def __init__(self, text: bytes, masks: Memo[Any, bytes] | None = None) -> None:
        self.text = text
        self.masks = masks

    def __repr__(self) -> str:
        return f"Json({len(self.text)} bytes)"


class Listed(dict[str, list[str]]):
    """`data` of a listing of all names of a directory, with what is kept of it."""

    __slots__ = ("directory",)

    def __init__(self, directory: Directory) -> None:
        super().__init__(keys=directory.names.copy())
        self.directory = directory

    @property
    def text(self) -> bytes:
        """JSON of it."""
        return self.directory.text


class RowText(msgspec.Struct, frozen=True):
    """Says that `Json` data is a pure function of one stored row and of nothing else: neither of time nor of who asks.

    `show` makes the text of the row's plaintext. With it the same read can be answered again without asking the engine.
    """

    row: bytes
    show: Callable[[bytes], bytes]


class Bare(msgspec.Struct, frozen=True):
    """An answer without an envelope: sys/health, PEM files, metrics, documents; or `size` bytes of a file, sent in pieces."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    file: Content | None = None
    size: int = 0
    reason: str = ""
    """For the audit log: why an answer refuses that somebody reads in a browser."""

    def __repr__(self) -> str:
        return f"Bare({self.status}, {self.content_type}, {self.size or len(self.body)} bytes)"


class Response(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What a route answers. All fields at their defaults mean "nothing to say": 204.

    `data` values are what msgspec encodes, with Secret already revealed by the route that owns it. `mirror`: the members of `data` stand
    at the top level too, as clients of old sys routes expect. `status` 0 lets the codec choose 200 or 204. `accessor` is that of a
    credential in `data`: it is shown beside a wrapping token.
    """

    data: Mapping[str, Any] | Json | None = None
    grant: Grant | None = None
    auth: Auth | None = None
    terms: LeaseTerms | None = None
    lease: LeaseInfo | None = None
    wrap: WrapInfo | None = None
    wrap_ttl: int = 0
    warnings: tuple[str, ...] = ()
    bare: Bare | None = None
    source: RowText | Directory | None = None
    mirror: bool = False
    status: int = 0
    accessor: str = ""

    def __repr__(self) -> str:
        shape = [name for name in self.__struct_fields__ if getattr(self, name)]
        return f"Response({', '.join(shape)})"


NOTHING: Final = Response()
NO_DATA: Final = Response(data=Json(b"null"))
"""A whole answer, 200, that has no data: what Vault says in some places where others are 204, or 404."""


class TokenEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored about a token, or sealed inside a batch token. Instants in ns since the epoch, durations in seconds.

    `expires` 0 = never. `parent` is the keyed hash of the parent token, b"" for orphans. `kind` is "service" or "batch".
    """

    accessor: str
    policies: tuple[str, ...]
    path: str
    display_name: str = "token"
    metadata: dict[str, str] | None = None
    kind: str = "service"
    created: int = 0
    expires: int = 0
    ttl: int = 0
    explicit_max_ttl: int = 0
    max_ttl: int = 0
    period: int = 0
    renewable: bool = True
    num_uses: int = 0
    last_renewal: int = 0
    parent: bytes = b""
    role: str = ""
    entity_id: str = ""
    bound_cidrs: tuple[str, ...] = ()
    mount: bytes = b""
    internal: dict[str, str] = {}
    namespace: str = ""
    revoked: bool = False
    spares_children: bool = False
    """With `revoked`: those below it are orphans, not revoked too."""
    era: int = 0
    """The era (core/tombstones.py) in which it was made."""
    rests_on: tuple[str, ...] = ()
    """What of its auth mount it ends with (core/logins.py)."""

    def __repr__(self) -> str:
        return f"TokenEntry({self.accessor})"


class Token:
    """A token that was presented and found good, with what follows from it. Shared by all calls that use it while it is unchanged.

    `digest` is its keyed hash (its name in the store), `policies` the union of its own and its identity's, `acl` is compiled
    of them. `chain` is the digest and those of its ancestors, `deadline` the first instant (ns) at which one of them ends, 0 = never.
    `fragments` is audit's place for the masked forms of it, by device.
    """

    __slots__ = ("acl", "chain", "deadline", "digest", "entry", "fragments", "identity_policies", "policies", "secret")

    def __init__(
        self,
        secret: Secret,
        digest: bytes,
        entry: TokenEntry,
        acl: Acl,
        identity_policies: tuple[str, ...] = (),
        chain: tuple[bytes, ...] = (),
        deadline: int = 0,
    ) -> None:
        self.secret = secret
        self.digest = digest
        self.entry = entry
        self.acl = acl
        self.identity_policies = identity_policies
        self.chain = chain or (digest,)
        self.deadline = deadline
        self.policies = tuple(sorted({*entry.policies, *identity_policies}))
        self.fragments: dict[Any, bytes] = {}

    def __repr__(self) -> str:
        return f"Token({self.entry.accessor})"


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Why a call was allowed: the policies that granted it; `root` when the token is a root token."""

    root: bool
    granting: tuple[str, ...] = ()


class Rerun(Exception):
    """A call needs the result of something slow: run `fn` outside the lock, remember it under `key`, run the call again.

    `outside`: it waits for another host, not for a processor.
    """

    def __init__(self, key: tuple[Any, ...], fn: Callable[[], Any], *, outside: bool = False) -> None:
        super().__init__()
        self.key = key
        self.fn = fn
        self.outside = outside


class Pause(Rerun):
    """A call has done its share of a long work: it runs again, from where `state` says, after others had their turn."""

    def __init__(self, key: tuple[Any, ...], state: object) -> None:
        super().__init__(key, lambda: state)
        self.state = state


class Raised:
    """What `once` remembers of a function that raised."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


class Call(msgspec.Struct, eq=False):
    """A request that was resolved: who asks, where it goes, what it will run. `once` results survive a re-run.

    Only the core writes to a Call; routes read it.
    """

    request: Request
    operation: Operation
    transaction: Transaction
    token: Token | None = None
    mount: Mount | None = None
    route: Route | None = None
    args: tuple[Any, ...] = ()
    decision: Decision | None = None
    remembered: dict[Any, Any] = {}
    engine: Engine | None = None

    @property
    def id(self) -> str:
        """The request id."""
        return self.request.id

    @property
    def mount_type(self) -> str:
        """The kind of the mount that answers; routes that ask for no token do not say."""
        return "" if self.mount is None or self.route is None or self.route.public else self.mount.kind

    def once(self, name: str, *inputs: Any, fn: Callable[[], T]) -> T:
        """The result of something slow, worked out outside the store's lock and remembered for exactly these inputs.

        Never stands in for a check of stored state: the call runs again from `resolve` once the result is there.
        """
        return self._once((name, *inputs), fn, outside=False)

    def outside(self, name: str, *inputs: Any, fn: Callable[[], T]) -> T:
        """As `once`, for what waits for another host: it has threads of its own, so that no password hash waits behind it.

        It reads there. What changes something there may be done and forgotten: the process can end before the call runs again.
        """
        return self._once((name, *inputs), fn, outside=True)

    def _once(self, key: tuple[Any, ...], fn: Callable[[], T], *, outside: bool) -> T:
        if key not in self.remembered:
            raise Rerun(key, fn, outside=outside)
        outcome = self.remembered[key]
        if isinstance(outcome, Raised):
            raise outcome.error
        kept: T = outcome
        return kept

    def __repr__(self) -> str:
        return f"Call({self.request!r})"
