"""Guessing is slow: after a few wrong passwords a name is locked for a while, whoever asks and however it is spelt.

Rules of this file:
- A name is made canonical once, before any counter or hash work; the canonical form is lockout key, alias name and storage key.
- Attempts are charges: a failure counts even though its request fails, and is answered after the count is durable.
- Names that exist and names that do not are counted alike, so that a lock says nothing. Rows of the latter are bounded: they share a
  fixed number of places, and a newer name takes an older one's.
- Every route that can confirm a password goes through here, with the hash work done in any case: a locked name costs as much as others.
- Rows: `k`+name hash and `u`+place → Attempts.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from strongroom.barrier.view import View
from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.request import Mount
from strongroom.core.transaction import Transaction
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.types import parse_duration

MAX_UNKNOWN = 1 << 20
"""Places for names that do not exist, over all mounts. A name whose place another took is open again, which a name that exists never is:
so there are many more places than names that can be tried while a lock stands (about 60,000 at 70 hashes a second)."""

_NAME = re.compile(r"[a-z0-9._@-]{1,128}", re.ASCII)


class Attempts(msgspec.Struct, frozen=True):
    """Failures in a row. `name_hash` says whose they are, `last` (ns) is the latest."""

    name_hash: bytes
    accessor: str
    name: str
    failures: int
    last: int


class Limits(NamedTuple):
    """How many failures lock, for how long, and after how long without one they are forgotten (seconds)."""

    threshold: int = 5
    duration: int = 900
    reset: int = 900
    disabled: bool = False


def canonical_name(text: str) -> str:
    """A user name in its one form: ASCII lower case. Raises InvalidRequest for anything else than [a-z0-9._@-]{1,128}."""
    name = text.lower() if text.isascii() else ""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("a user name is made of up to 128 ASCII letters, digits and . _ @ -")
    return name


def limits(config: Mapping[str, Any] | None) -> Limits:
    """The limits of a mount's `user_lockout_config`. Raises InvalidRequest."""
    if not config:
        return Limits()
    try:
        return Limits(
            threshold=int(config.get("lockout_threshold") or Limits().threshold),
            duration=parse_duration(config.get("lockout_duration") or Limits().duration),
            reset=parse_duration(config.get("lockout_counter_reset_duration") or config.get("lockout_counter_reset") or Limits().reset),
            disabled=str(config.get("lockout_disable", False)).lower() in ("true", "1", "t"),
        )
    except (TypeError, ValueError):
        raise InvalidRequest("user_lockout_config takes a number as lockout_threshold and durations such as 15m") from None


class Lockout:
    """The counter of one name at one auth mount, for one call. `known`: the name exists there."""

    def __init__(self, transaction: Transaction, mount: Mount, name: str, *, known: bool) -> None:
        self._limits = limits(mount.config.user_lockout_config)
        self._now = transaction.now
        self._view: View = transaction.view(areas.LOCKOUT).charge()
        self._hash = transaction.keys.lockout.digest(mount.uuid + name.encode())
        self._row = _row(self._hash, known=known)
        self._mount, self._name = mount, name

    def check(self) -> None:
        """Raises PermissionDenied while the name is locked; the right password does not help."""
        if not self._limits.disabled and _locked(self._attempts(), self._limits, self._now):
            raise PermissionDenied

    def failed(self) -> None:
        """Count a wrong password."""
        if self._limits.disabled:
            return
        attempts = self._attempts()
        recent = attempts is not None and self._now < attempts.last + self._limits.reset * SECOND
        was_locked = attempts is not None and attempts.failures >= self._limits.threshold
        failures = attempts.failures if attempts is not None and recent and not was_locked else 0
        self._view.put(self._row, Attempts(self._hash, self._mount.accessor, self._name, failures + 1, self._now))

    def succeeded(self) -> None:
        """Forget the failures."""
        if self._attempts() is not None:
            self._view.delete(self._row)

    def _attempts(self) -> Attempts | None:
        found = self._view.settings(self._row, Attempts)
        return found if found is not None and hmac.compare_digest(found.name_hash, self._hash) else None


def _row(name_hash: bytes, *, known: bool) -> bytes:
    if known:
        return b"k" + name_hash
    return b"u" + (int.from_bytes(name_hash[:8], "big") % MAX_UNKNOWN).to_bytes(3, "big")


def _locked(attempts: Attempts | None, limits: Limits, now: int) -> bool:
    return attempts is not None and attempts.failures >= limits.threshold and now < attempts.last + limits.duration * SECOND


def locked_names(transaction: Transaction, mount: Mount) -> list[str]:
    """Names that are locked at a mount, sorted; those that do not exist are left out."""
    view = transaction.view(areas.LOCKOUT)
    found = (view.settings(row, Attempts) for row in view.digests(b"k"))
    bounds = limits(mount.config.user_lockout_config)
    return sorted(
        item.name for item in found if item is not None and item.accessor == mount.accessor and _locked(item, bounds, transaction.now)
    )


def unlock(transaction: Transaction, mount: Mount, name: str) -> None:
    """Forget the failures of a name, known or not."""
    name_hash = transaction.keys.lockout.digest(mount.uuid + name.encode())
    view = transaction.view(areas.LOCKOUT)
    view.delete(_row(name_hash, known=True))
    kept = view.settings(_row(name_hash, known=False), Attempts)
    if kept is not None and hmac.compare_digest(kept.name_hash, name_hash):
        view.delete(_row(name_hash, known=False))
