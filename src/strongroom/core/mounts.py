"""The mount table: which engine answers at which path.

Rules of this file:
- One row per mount, named by its uuid. The table is derived from the rows, kept until one changes, and loaded at first use.
- A mount's path ends in "/"; no mount lies inside another. Auth methods lie below `auth/`.
- Paths are a closed ASCII grammar; reserved first segments cannot be taken.
- Unmounting taints the row (nothing resolves any more) and leaves a job that ends leases and tokens and drains the rows below the uuid.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

import msgspec

from strongroom.barrier.view import DIGESTS, NAMES
from strongroom.core import areas
from strongroom.core.committed import Committed
from strongroom.core.mount import Mount, MountConfig
from strongroom.core.policy.acl import Acl
from strongroom.core.transaction import Transaction
from strongroom.crypto.ids import base62
from strongroom.errors import InvalidRequest
from strongroom.memo import Memo

SYSTEM_MAX_TTL = 2_764_800
"""32 days: the default and the longest lease where nothing else is configured, as in Vault."""

PROTECTED = ("sys/", "cubbyhole/", "identity/", "auth/token/")
_RESERVED = frozenset(("sys", "cubbyhole", "identity", "auth", "audit"))
_SEGMENT = re.compile(r"[A-Za-z0-9_.@-][A-Za-z0-9_.@ -]{0,126}[A-Za-z0-9_.@-]|[A-Za-z0-9_.@-]", re.ASCII)
MAX_PATH = 512


class Ttls(NamedTuple):
    """Seconds that a token or lease lasts where nobody says otherwise, and may last at all."""

    default: int = SYSTEM_MAX_TTL
    max: int = SYSTEM_MAX_TTL


class DrainJob(msgspec.Struct, frozen=True):
    """Remove what an unmounted mount left. `cursor` is where the walk over tokens goes on."""

    mount: bytes
    cursor: bytes = b""


class MountTable:
    """All mounts, by path."""

    def __init__(self, mounts: list[Mount]) -> None:
        self.by_path = {mount.path: mount for mount in sorted(mounts, key=lambda mount: mount.path) if not mount.tainted}
        self.by_uuid = {mount.uuid: mount for mount in mounts}
        self.by_accessor = {mount.accessor: mount for mount in mounts}
        self.documents: Memo[tuple[Acl | None, bool], bytes] = Memo()
        """What sys/internal says of this very table, by for whom and in which form."""

    def match(self, path: str) -> Mount | None:
        """The mount that a request path lies in, the longest one where several could; a mount's own path needs no slash."""
        at = path.rfind("/")
        while at >= 0:
            mount = self.by_path.get(path[: at + 1])
            if mount is not None:
                return mount
            at = path.rfind("/", 0, at)
        return self.by_path.get(path + "/")

    def conflict(self, path: str) -> str:
        """The path of a mount that is at, above or below `path`; "" for none."""
        for taken in self.by_path:
            if taken.startswith(path) or path.startswith(taken):
                return taken
        return ""


class Mounts:
    """Reads and changes the table."""

    def __init__(self, committed: Committed, default_ttl: int = 0, max_ttl: int = 0) -> None:
        self._ttls = Ttls(default_ttl or SYSTEM_MAX_TTL, max_ttl or SYSTEM_MAX_TTL)
        self._table: MountTable | None = None
        committed.cache.watch(areas.MOUNTS, self._changed)
        self.listeners = [self._drop]

    def _changed(self, _key: bytes | None) -> None:
        for heard in self.listeners:
            heard()

    def _drop(self) -> None:
        self._table = None

    def table(self, transaction: Transaction) -> MountTable:
        """The table as this call sees it."""
        if transaction.touched(areas.MOUNTS):
            return self._load(transaction)
        if self._table is None:
            self._table = self._load(transaction)
        return self._table

    def _load(self, transaction: Transaction) -> MountTable:
        view = transaction.view(areas.MOUNTS)
        found = (view.settings(uuid, Mount) for uuid in view.digests(b""))
        return MountTable([mount for mount in found if mount is not None])

    def ttls(self, mount: Mount | None) -> Ttls:
        """How long what a mount issues lasts: as it is tuned, else as the server is configured."""
        if mount is None:
            return Ttls(min(self._ttls), self._ttls.max)
        longest = mount.config.max_lease_ttl or self._ttls.max
        return Ttls(min(mount.config.default_lease_ttl or self._ttls.default, longest), longest)

    def add(self, transaction: Transaction, mount: Mount) -> None:
        """Stage a new mount. Raises InvalidRequest where its path is taken."""
        taken = self.table(transaction).conflict(mount.path)
        if taken:
            raise InvalidRequest(f"path is already in use at {taken}")
        self.store(transaction, mount)

    def store(self, transaction: Transaction, mount: Mount) -> None:
        """Stage a mount's row, new or changed."""
        transaction.view(areas.MOUNTS).put(mount.uuid, mount)

    def remove(self, transaction: Transaction, mount: Mount) -> None:
        """Stage a mount's end: its path is free and its rows unreachable from this commit on; a job removes them.

        The row stays, tainted, until that is done: the engine is needed to revoke its leases.
        """
        self.store(transaction, msgspec.structs.replace(mount, tainted=True))
        transaction.view(areas.MOUNTS).at(transaction.now, "drain", DrainJob(mount.uuid))

    def forget(self, transaction: Transaction, uuid: bytes) -> None:
        """Stage the removal of a mount's row, the last thing of it."""
        transaction.view(areas.MOUNTS).delete(uuid)

    def live(self, transaction: Transaction, uuid: bytes) -> bool:
        """Whether a mount exists and is not being removed."""
        mount = self.table(transaction).by_uuid.get(uuid)
        return mount is not None and not mount.tainted


def new_mount(path: str, kind: str, family: str, **fields: object) -> Mount:
    """A mount with fresh uuid and accessor."""
    accessor = f"{'auth_' if family == 'auth' else ''}{kind}_{base62(8).lower()}"
    return msgspec.structs.replace(Mount(secrets.token_bytes(16), path, kind, family, accessor), **fields)


def system_mounts() -> list[Mount]:
    """The mounts that every installation has from the start."""
    fixed = (
        (areas.SYS_MOUNT, "sys/", "system", "system", "system endpoints used for control, policy and debugging"),
        (areas.IDENTITY_MOUNT, "identity/", "identity", "system", "identity store"),
        (areas.CUBBYHOLE_MOUNT, "cubbyhole/", "cubbyhole", "secrets", "per-token private secret storage"),
        (areas.TOKEN_MOUNT, "auth/token/", "token", "system", "token based credentials"),
    )
    return [
        Mount(
            uuid,
            path,
            kind,
            family,
            f"{'auth_' if path.startswith('auth/') else ''}{kind}_{base62(8).lower()}",
            text,
            config=MountConfig(passthrough_request_headers=_PASSED.get(kind, ())),
            local=kind == "cubbyhole",
            seal_wrap=kind == "system",
        )
        for uuid, path, kind, family, text in fixed
    ]


_PASSED = {"system": ("Accept",), "identity": ("Authorization",)}
"""Headers that Vault's own mounts say they read; so do these, since their settings are compared."""


def mount_path(text: str) -> str:
    """The canonical form of a path that a caller wants to mount at. Raises InvalidRequest."""
    path = text.strip("/")
    segments = path.split("/")
    if len(path) > MAX_PATH or any(_SEGMENT.fullmatch(segment) is None for segment in segments):
        raise InvalidRequest("a mount path is made of letters, digits, '_', '.', '@' and '-', in segments divided by '/'")
    if ".." in segments or "." in segments:
        raise InvalidRequest("a mount path has no relative segments")
    if path.removeprefix("auth/").endswith("/tune"):
        raise InvalidRequest("a mount path of several segments does not end in 'tune', as requests about it would be read as a tune")
    return path + "/"


def reserved(path: str) -> bool:
    """Some first segments are the server's own, in whatever case they are written."""
    return path.partition("/")[0].lower() in _RESERVED


def drain(transaction: Transaction, area: bytes, below: str = "") -> bool:
    """Delete up to a call's worth of rows of an area, or of a name in it; True when more are left."""
    names = area + NAMES
    starts = [names + transaction.keys.names.component(names, below)] if below else [names, area + DIGESTS]
    left = DRAIN_ROWS
    for start in starts:
        rows = transaction.scan(start, start[:-1] + bytes([start[-1] + 1]) if start[-1] < 255 else start + b"\xff" * 8, left)
        for key, _ in rows:
            transaction.put(key, None, charge=False)
        left -= len(rows)
        if left <= 0:
            return True
    return False


DRAIN_ROWS = 500
"""Rows that one step of a drain deletes: well below what a call may stage."""
