"""What goes out: what a route answers, and what the core makes of it.

Rules of this file:
- A route makes the Response once; the core replaces what it answers for (grant -> auth, terms -> lease, anything -> wrap) by a new one.
- A Secret in a Response was revealed by the route that owns it, or is revealed by the codec, nowhere between.
- Reprs show shapes, not contents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from strongroom.barrier.directory import Directory
from strongroom.core.content import Content
from strongroom.core.secret import Secret
from strongroom.memo import Memo


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
