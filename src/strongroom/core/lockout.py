"""Guessing is slow: after a few wrong passwords a name is locked for a while, whoever asks and however it is spelt.

Rules of this file:
- A name is made canonical once, before any counter or hash work; the canonical form is lockout key, alias name and storage key.
- Attempts are charges: a failure counts even though its request fails, and is answered after the count is durable.
- Names that exist and names that do not are counted alike, so that a lock says nothing. Rows of the latter are bounded: they share a
  fixed number of places, and a newer name takes an older one's.
- Every route that can confirm a password goes through here, with the hash work done in any case: a locked name costs as much as others.
- How many and how long is said by the mount's tune, else by the configuration's stanza for its kind, else by the one for all.
- Rows go when what they count is forgotten: one timer walks over all of them for as long as there are any.
- Rows: `k`+name hash and `u`+place → Attempts, `z` → Pruning.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from strongroom.barrier.view import View, decoder
from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.mount import Mount
from strongroom.core.transaction import Transaction
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.types import parse_duration

MAX_UNKNOWN = 1 << 20
"""Places for names that do not exist, over all mounts. A name whose place another took is open again, which a name that exists never is:
so there are many more places than names that can be tried while a lock stands (about 60,000 at 70 hashes a second)."""

_NAME = re.compile(r"[a-z0-9._@-]{1,128}", re.ASCII)


KINDS: Final = ("userpass", "approle", "ldap", "radius", "okta", "kerberos")
"""Auth methods whose secrets can be guessed: those that a stanza can be for."""

PRUNE_SECONDS: Final = 900
"""Between two walks over the rows."""
PAGE: Final = 300
"""Rows that one step of a walk looks at."""
_WALKED: Final = b"z"


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


PROFILES: Final = {"default": Limits(), "pci-dss": Limits(10, 1_800, 1_800)}
"""Numbers with a name: Vault's, and those that PCI DSS 4.0 asks for in 8.3.4 (at most ten tries, at least thirty minutes)."""


class Pruning(msgspec.Struct, frozen=True):
    """A timer is set."""


class PruneJob(msgspec.Struct, frozen=True):
    """Remove rows that count nothing any more, from `after` on. `left`: the walk has seen some that stay."""

    after: bytes = b""
    left: bool = False


def canonical_name(text: str) -> str:
    """A user name in its one form: ASCII lower case. Raises InvalidRequest for anything else than [a-z0-9._@-]{1,128}."""
    name = text.lower() if text.isascii() else ""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("a user name is made of up to 128 ASCII letters, digits and . _ @ -")
    return name


def limits(*layers: Mapping[str, Any] | None) -> Limits:
    """The limits that these settings come to: tune, stanza of the kind, stanza for all; the first that says something counts.

    A layer is a `user_lockout_config`: a number that is 0 or absent says nothing. Raises InvalidRequest.
    """
    found: dict[str, Any] = {}
    for layer in reversed(layers):
        found |= _said(layer or {})
    return Limits()._replace(**found)


def _said(layer: Mapping[str, Any]) -> dict[str, Any]:
    profile = layer.get("lockout_profile") or ""
    if profile and profile not in PROFILES:
        raise InvalidRequest(f"lockout_profile is one of {', '.join(PROFILES)}")
    said = PROFILES[profile]._asdict() if profile else {}
    said.pop("disabled", None)
    try:
        numbers = {
            "threshold": int(layer.get("lockout_threshold") or 0),
            "duration": parse_duration(layer.get("lockout_duration") or 0),
            "reset": parse_duration(layer.get("lockout_counter_reset_duration") or layer.get("lockout_counter_reset") or 0),
        }
    except (TypeError, ValueError):
        raise InvalidRequest("user_lockout_config takes a number as lockout_threshold and durations such as 15m") from None
    if min(numbers.values()) < 0:
        raise InvalidRequest("the numbers of user_lockout_config cannot be negative")
    said |= {name: number for name, number in numbers.items() if number}
    if layer.get("lockout_disable") is not None:
        said["disabled"] = str(layer["lockout_disable"]).lower() in ("true", "1", "t")
    return said


class Lockout:
    """The counter of one name at one auth mount, for one call. `known`: the name exists there. Made by `Engine.lockout`."""

    def __init__(self, transaction: Transaction, mount: Mount, name: str, bounds: Limits, *, known: bool) -> None:
        self._limits = bounds
        self._now = transaction.now
        self._view: View = transaction.view(areas.LOCKOUT).charge()
        self._hash = transaction.keys.lockout.digest(mount.uuid + name.encode())
        self._row = _row(self._hash, known=known)
        self._mount, self._name = mount, name

    def check(self) -> None:
        """Raises PermissionDenied while the name is locked; the right password does not help."""
        if not self._limits.disabled and _locked(self._attempts(), self._limits, self._now):
            raise PermissionDenied(reason="locked after too many wrong tries")

    def failed(self) -> None:
        """Count a wrong password."""
        if self._limits.disabled:
            return
        attempts = self._attempts()
        recent = attempts is not None and self._now < attempts.last + self._limits.reset * SECOND
        was_locked = attempts is not None and attempts.failures >= self._limits.threshold
        failures = attempts.failures if attempts is not None and recent and not was_locked else 0
        self._view.put(self._row, Attempts(self._hash, self._mount.accessor, self._name, failures + 1, self._now))
        if self._view.settings(_WALKED, Pruning) is None:
            self._view.put(_WALKED, Pruning())
            self._view.at(self._now + PRUNE_SECONDS * SECOND, "prune", PruneJob())

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


def locked_names(transaction: Transaction, bounds: Mapping[str, Limits]) -> dict[str, list[str]]:
    """Names that are locked, sorted, by the accessor of each mount in `bounds`; those that do not exist are left out."""
    view = transaction.view(areas.LOCKOUT)
    found: dict[str, list[str]] = {}
    for attempts in (view.settings(row, Attempts) for row in view.digests(b"k")):
        if attempts is not None and attempts.accessor in bounds and _locked(attempts, bounds[attempts.accessor], transaction.now):
            found.setdefault(attempts.accessor, []).append(attempts.name)
    return {accessor: sorted(names) for accessor, names in found.items()}


def prune(transaction: Transaction, bounds: Mapping[str, Limits], job: PruneJob) -> None:
    """A step of the walk: stage the removal of rows that count nothing any more, and the next step while rows are left."""
    view = transaction.view(areas.LOCKOUT)
    head = len(view.row(b""))
    rows = transaction.scan(view.row(job.after or b"k"), view.row(_WALKED), PAGE)
    over = [key[head:] for key, plaintext in rows if _forgotten(decoder(Attempts).decode(plaintext), bounds, transaction.now)]
    for row in over:
        view.delete(row)
    left = job.left or len(over) < len(rows)
    if len(rows) == PAGE:
        view.at(transaction.now, "prune", PruneJob(rows[-1][0][head:] + b"\0", left))
    elif left:
        view.at(transaction.now + PRUNE_SECONDS * SECOND, "prune", PruneJob())
    else:
        view.delete(_WALKED)


def _forgotten(attempts: Attempts, bounds: Mapping[str, Limits], now: int) -> bool:
    """Whether the next failure would count as the first, and nothing is locked; also where the mount is gone."""
    limit = bounds.get(attempts.accessor)
    return limit is None or limit.disabled or now >= attempts.last + max(limit.duration, limit.reset) * SECOND


def unlock(transaction: Transaction, mount: Mount, name: str) -> None:
    """Forget the failures of a name, known or not."""
    name_hash = transaction.keys.lockout.digest(mount.uuid + name.encode())
    view = transaction.view(areas.LOCKOUT)
    view.delete(_row(name_hash, known=True))
    kept = view.settings(_row(name_hash, known=False), Attempts)
    if kept is not None and hmac.compare_digest(kept.name_hash, name_hash):
        view.delete(_row(name_hash, known=False))
