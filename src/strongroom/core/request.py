"""What comes in: one request of any dialect, and who sent it.

Rules of this file:
- A codec makes the Request once; nobody changes it.
- `Request.path` is the one canonical path (api/wire.py made it); router, policy, audit, lockout and storage all use it as it is.
- Numbers in `data` are exact: int or Decimal, never float.
- Reprs show shapes, not contents: bodies and credentials are secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, BinaryIO

import msgspec

from strongroom.core.secret import Secret


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
