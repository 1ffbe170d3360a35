"""Leases: secrets that end.

Rules of this file:
- A lease is made in the transaction that hands out the secret, indexed by the token that asked for it, and timed in the due queue.
- A lease lives no longer than the token that made it, that token's ancestors and the mount that issued it; those of batch tokens hang on
  the batch token's parent, end with the batch token and cannot be renewed.
- Ending one calls the engine until it succeeds; nothing here gives up. A lease whose end was ordered counts as gone at once.
- A lease id is the request path and 24 random characters; its row key hides it.
- Rows: the lease id → Lease; `t`+token hash+lease hash and `m`+mount uuid+lease hash → LeaseRef; `i`+lease hash → LeaseRef of one
  that could not be revoked so far.
"""

from __future__ import annotations

import msgspec

from strongroom.barrier.view import decoder
from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.mount import Mount
from strongroom.core.mounts import Mounts
from strongroom.core.response import LeaseInfo, LeaseTerms
from strongroom.core.token.entry import Token
from strongroom.core.token.tokens import Tokens
from strongroom.core.tombstones import Tombstone, Tombstones
from strongroom.core.transaction import Transaction
from strongroom.crypto.ids import base62
from strongroom.errors import InvalidRequest

STUBBORN_ATTEMPTS = 6
"""Failed revocations after which operators see the lease as irrevocable; trying goes on."""

MAX_ID = 1_200
"""Characters of a lease id: the longest path and 25 more."""


class Lease(msgspec.Struct, frozen=True, omit_defaults=True):
    """A secret that was handed out. Instants in ns since the epoch, durations in seconds.

    `token` is the keyed hash of the token it hangs on, b"" for that of an orphaned batch token.
    """

    id: str
    mount: bytes
    path: str
    token: bytes
    issued: int
    expires: int
    terms: LeaseTerms
    last_renewal: int = 0
    ending: bool = False
    forced: bool = False
    attempts: int = 0
    era: int = 0


class LeaseRef(msgspec.Struct, frozen=True):
    """Points to a lease."""

    id: str


class LeaseJob(msgspec.Struct, frozen=True):
    """A job about one lease."""

    id: str


class Leases:
    """Makes, finds, renews and ends leases."""

    def __init__(self, tombstones: Tombstones, mounts: Mounts, tokens: Tokens) -> None:
        self._tombstones = tombstones
        self._mounts = mounts
        self._tokens = tokens

    def create(self, transaction: Transaction, terms: LeaseTerms, path: str, mount: Mount, token: Token) -> LeaseInfo:
        """Stage a lease for what `path` just answered."""
        if token.entry.num_uses == 1:
            raise InvalidRequest("secret cannot be returned; the token had one use left, so its lease would end at once")
        ttls = self._mounts.ttls(mount)
        ttl = min(terms.ttl or ttls.default, terms.max_ttl or ttls.max, ttls.max)
        now = transaction.now
        expires, owner = now + ttl * SECOND, token.digest
        if token.entry.kind == "batch":
            owner = token.entry.parent
            terms = msgspec.structs.replace(terms, renewable=False)
            expires = min(expires, token.entry.expires)
            ttl = (expires - now) // SECOND
        era = self._tombstones.era(transaction)
        lease = Lease(f"{path}/{base62(24)}", mount.uuid, path, owner, now, expires, terms, era=era)
        view = transaction.view(areas.LEASES)
        view.put(lease.id, lease)
        if owner:
            view.create(_token_ref(transaction, owner, lease.id), LeaseRef(lease.id))
        view.create(_mount_ref(transaction, mount.uuid, lease.id), LeaseRef(lease.id))
        view.at(lease.expires, "expire", LeaseJob(lease.id))
        return LeaseInfo(lease.id, ttl, terms.renewable)

    def find(self, transaction: Transaction, lease_id: str) -> Lease | None:
        """A lease that has not ended."""
        lease_id = lease_id.strip("/")
        if not lease_id or "//" in lease_id or len(lease_id) > MAX_ID:
            return None
        lease = transaction.view(areas.LEASES).get(lease_id, Lease)
        if lease is None or lease.ending or lease.expires <= transaction.now:
            return None
        if not self._mounts.live(transaction, lease.mount) or self._tombstones.covers(transaction, lease.id, lease.era):
            return None
        return lease if not lease.token or self._tokens.alive(transaction, lease.token) is not None else None

    def stored(self, transaction: Transaction, lease_id: str) -> Lease | None:
        """A lease's row, ended or not."""
        return transaction.view(areas.LEASES).get(lease_id, Lease)

    def extend(self, transaction: Transaction, lease: Lease, terms: LeaseTerms, increment: int, mount: Mount) -> LeaseInfo:
        """Stage a longer life, never past the ceiling. Raises InvalidRequest."""
        if not lease.terms.renewable:
            raise InvalidRequest("lease is not renewable")
        if increment < 0:
            raise InvalidRequest("increment must not be negative")
        ttls = self._mounts.ttls(mount)
        ceiling = min(terms.max_ttl or ttls.max, ttls.max)
        left = (lease.issued + ceiling * SECOND - transaction.now) // SECOND
        if left <= 0:
            raise InvalidRequest("past the max TTL, cannot renew")
        seconds = min(increment or terms.ttl or ttls.default, left)
        renewed = msgspec.structs.replace(lease, expires=transaction.now + seconds * SECOND, last_renewal=transaction.now, terms=terms)
        view = transaction.view(areas.LEASES)
        view.put(lease.id, renewed)
        if renewed.expires < lease.expires:
            view.at(renewed.expires, "expire", LeaseJob(lease.id))
        return LeaseInfo(lease.id, seconds, terms.renewable)

    def end(self, transaction: Transaction, lease: Lease, *, forced: bool = False) -> None:
        """Order the end of a lease, once: it counts as gone from this commit on. `forced`: without asking the engine."""
        if lease.ending and (lease.forced or not forced):
            return
        view = transaction.view(areas.LEASES)
        view.put(lease.id, msgspec.structs.replace(lease, ending=True, forced=forced))
        view.at(transaction.now, "expire", LeaseJob(lease.id))

    def remove(self, transaction: Transaction, lease: Lease) -> None:
        """Stage the removal of a lease's rows."""
        view = transaction.view(areas.LEASES)
        view.delete(lease.id)
        view.delete(_token_ref(transaction, lease.token, lease.id))
        view.delete(_mount_ref(transaction, lease.mount, lease.id))
        view.delete(_stubborn(transaction, lease.id))

    def failed(self, transaction: Transaction, lease: Lease) -> None:
        """Count a failed revocation; from some number on the lease is listed as irrevocable."""
        view = transaction.view(areas.LEASES).charge()
        view.put(lease.id, msgspec.structs.replace(lease, ending=True, attempts=lease.attempts + 1))
        if lease.attempts + 1 == STUBBORN_ATTEMPTS:
            view.put(_stubborn(transaction, lease.id), LeaseRef(lease.id))

    def stubborn(self, transaction: Transaction) -> list[Lease]:
        """Leases that could not be revoked so far."""
        view = transaction.view(areas.LEASES)
        refs = (view.settings(row, LeaseRef) for row in view.digests(b"i"))
        leases = (view.get(ref.id, Lease) for ref in refs if ref is not None)
        return [lease for lease in leases if lease is not None]

    def of_token(self, transaction: Transaction, digest: bytes, limit: int) -> list[Lease]:
        """Leases that a token made."""
        return self._referred(transaction, b"t" + digest, limit)

    def of_mount(self, transaction: Transaction, uuid: bytes, limit: int) -> list[Lease]:
        """Leases that a mount issued."""
        return self._referred(transaction, b"m" + uuid, limit)

    def release(self, transaction: Transaction, digest: bytes, leases: list[Lease]) -> None:
        """Stage that a token has nothing to do with these leases any more."""
        view = transaction.view(areas.LEASES)
        for lease in leases:
            view.delete(_token_ref(transaction, digest, lease.id))

    def _referred(self, transaction: Transaction, prefix: bytes, limit: int) -> list[Lease]:
        view = transaction.view(areas.LEASES)
        refs = (view.settings(row, LeaseRef) for row in view.digests(prefix, limit))
        leases = (view.get(ref.id, Lease) for ref in refs if ref is not None)
        return [lease for lease in leases if lease is not None]

    def below(self, transaction: Transaction, stone: Tombstone, after: bytes, limit: int) -> tuple[list[Lease], bytes]:
        """Leases that a tombstone ended and nobody has ordered to end yet, among the next `limit` rows; and where to go on, b"" = done."""
        first = transaction.view(areas.LEASES).row(stone.prefix)
        rows = transaction.scan(after or first, first + b"\xff" * 8, limit)
        leases = (decoder(Lease).decode(value) for _, value in rows)
        found = [lease for lease in leases if lease.era < stone.era and not (lease.forced if stone.forced else lease.ending)]
        return found, rows[-1][0] + b"\0" if len(rows) == limit else b""


def _lease_hash(transaction: Transaction, lease_id: str) -> bytes:
    return transaction.keys.tokens.digest(b"lease:" + lease_id.encode())


def _token_ref(transaction: Transaction, digest: bytes, lease_id: str) -> bytes:
    return b"t" + digest + _lease_hash(transaction, lease_id)


def _mount_ref(transaction: Transaction, uuid: bytes, lease_id: str) -> bytes:
    return b"m" + uuid + _lease_hash(transaction, lease_id)


def _stubborn(transaction: Transaction, lease_id: str) -> bytes:
    return b"i" + _lease_hash(transaction, lease_id)
