"""Who is asking: tokens, their tree, their time and their uses.

Rules of this file:
- A token is stored only as a keyed hash (rows.py). A batch token is not stored: it is its own sealed entry (batch.py).
- A token counts only while its row and those of all its ancestors stand, unrevoked and unexpired. So revoking one row ends the
  whole tree at once; a job removes what is left of it (removal.py).
- Every reason for not knowing a token sounds the same: InvalidToken.
- The use of a counted token is a charge: it commits whatever becomes of the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from strongroom.barrier.view import decoder
from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.call import Call
from strongroom.core.committed import Committed
from strongroom.core.gathering import gathered
from strongroom.core.identity import Identities
from strongroom.core.logins import logins_stand
from strongroom.core.mount import Mount
from strongroom.core.mounts import Mounts
from strongroom.core.policy.acl import Acl
from strongroom.core.policy.policies import Policies
from strongroom.core.request import Peer
from strongroom.core.response import Auth, Grant
from strongroom.core.secret import Secret
from strongroom.core.token.batch import MAX_TEXT, open_batch, seal_batch
from strongroom.core.token.entry import Token, TokenEntry
from strongroom.core.token.kept import KeptTokens
from strongroom.core.token.rows import ROWS, AccessorEntry, DigestJob, Mark, accessor_row, child_row, token_digest, token_key, token_row
from strongroom.core.token.terms import check_token_id, granted_policies, inside, renewal_ttl, resolved_kind, ttl_of
from strongroom.core.tombstones import Tombstones
from strongroom.core.transaction import Transaction
from strongroom.crypto.ids import BATCH_PREFIX, accessor, has_bad_checksum, service_token
from strongroom.errors import InvalidRequest, InvalidToken, PermissionDenied, several

WRAPPING_POLICY = "response-wrapping"
MAX_DEPTH = 256
"""Ancestors followed; a deeper tree cannot be made."""
T = TypeVar("T")

PAGE = 300
"""Token rows that one step of a walk over all tokens reads."""
SPENT = -1
"""`num_uses` of a token whose last use is under way; it is refused from then on."""

_TABLES = frozenset((areas.POLICIES, areas.IDENTITY, areas.MOUNTS, areas.TOMBSTONES))
_SOURCES = _TABLES | {areas.TOKENS}
"""What a kept token is made of."""

_encode = msgspec.msgpack.Encoder().encode
_MARK = _encode(Mark())


class Tokens:
    """Finds, makes, renews and revokes tokens."""

    def __init__(self, committed: Committed, mounts: Mounts, policies: Policies, identities: Identities, tombstones: Tombstones) -> None:
        self._policies = policies
        self._tombstones = tombstones
        self._identities = identities
        self._mounts = mounts
        self.kept = KeptTokens()
        for made_of in (tombstones, mounts, policies):
            made_of.listeners.append(self.kept.drop)
        committed.cache.watch(areas.TOKENS, self.kept.changed)
        committed.cache.watch(areas.IDENTITY, lambda _key: self.kept.drop())

    # -- finding ------------------------------------------------------------------------------------------------

    def digest(self, transaction: Transaction, text: str) -> bytes:
        """The keyed hash under which a token is stored."""
        return token_digest(transaction, text)

    def authenticate(self, transaction: Transaction, credential: Secret, peer: Peer) -> Token:
        """The token behind a credential, if it may be used now and from there. Raises PermissionDenied."""
        token = self.find(transaction, credential)
        if token.entry.bound_cidrs and not inside(peer.address, token.entry.bound_cidrs):
            raise PermissionDenied
        if token.entry.num_uses:
            self._charge(transaction, token)
        return token

    def find(self, transaction: Transaction, credential: Secret) -> Token:
        """The token behind a credential, unexpired and unrevoked. Raises PermissionDenied."""
        text = credential.reveal()
        if not text:
            raise PermissionDenied
        if len(text) > MAX_TEXT:
            raise InvalidToken
        if text.startswith(BATCH_PREFIX):
            return self._batch(transaction, credential)
        digest = credential.digest
        if not digest:
            digest = credential.digest = token_digest(transaction, text)
        token = self.kept.get(digest)
        if token is None and has_bad_checksum(text):
            raise InvalidToken
        if token is None or 0 < token.acl.until <= transaction.now or self._stale(transaction, token):
            token = self._load(transaction, credential, digest)
        if token.deadline and transaction.now >= token.deadline:
            raise InvalidToken
        return token

    def _batch(self, transaction: Transaction, credential: Secret) -> Token:
        entry = open_batch(transaction, credential)
        if not self._issuer_stands(transaction, entry):
            raise InvalidToken
        digest = self.digest(transaction, credential.reveal())
        chain, deadline = self._chain(transaction, digest, entry)
        if transaction.now >= deadline:
            raise InvalidToken
        return self._token(transaction, credential, digest, entry, chain, deadline)

    def _stale(self, transaction: Transaction, token: Token) -> bool:
        """Whether this group changed something that a kept token was made of."""
        group = transaction.group
        if group is None:
            return False
        for layer in (group, transaction.effects, transaction.charges):
            if not layer or _SOURCES.isdisjoint(layer.areas):
                continue
            if not _TABLES.isdisjoint(layer.areas) or any(token_key(digest) in layer for digest in token.chain):
                return True
        return False

    def _load(self, transaction: Transaction, credential: Secret, digest: bytes) -> Token:
        entry = self.entry(transaction, digest)
        if entry is None or entry.num_uses == SPENT:
            raise InvalidToken
        chain, deadline = self._chain(transaction, digest, entry)
        token = self._token(transaction, credential, digest, entry, chain, deadline)
        if not self._stale(transaction, token):
            self.kept.keep(token)
        return token

    def _token(
        self, transaction: Transaction, credential: Secret, digest: bytes, entry: TokenEntry, chain: tuple[bytes, ...], deadline: int
    ) -> Token:
        identity = self._identities.identity(transaction, entry.entity_id) if entry.entity_id else None
        extra: tuple[str, ...] = ()
        if identity is not None and not identity.disabled:
            extra = identity.policies
        elif entry.entity_id:
            raise InvalidToken
        names = tuple(sorted({*entry.policies, *extra}))
        acl = self._policies.acl(transaction, names, identity.view if identity is not None else None)
        return Token(credential, digest, entry, acl, extra, chain, deadline)

    def _chain(self, transaction: Transaction, digest: bytes, entry: TokenEntry) -> tuple[tuple[bytes, ...], int]:
        """The token and its ancestors, and the earliest instant at which one of them ends. Raises PermissionDenied."""
        chain = [digest]
        deadline = entry.expires
        while entry.parent:
            chain.append(entry.parent)
            if self.is_orphan(transaction, entry):
                break
            parent = self.entry(transaction, entry.parent)
            if parent is None or len(chain) > MAX_DEPTH:
                raise InvalidToken
            entry = parent
            if entry.expires and (not deadline or entry.expires < deadline):
                deadline = entry.expires
        return tuple(chain), deadline

    def is_orphan(self, transaction: Transaction, entry: TokenEntry) -> bool:
        """Whether it hangs below no other token, or below one that ended and let it live on (a job is about to write that down)."""
        parent = transaction.value(token_key(entry.parent), TokenEntry) if entry.parent else None
        return not entry.parent or (parent is not None and parent.revoked and parent.spares_children)

    def entry(self, transaction: Transaction, digest: bytes) -> TokenEntry | None:
        """A token's row, None where it is revoked or absent. Says nothing about its ancestors."""
        entry = transaction.value(token_key(digest), TokenEntry)
        return None if entry is None or entry.revoked or not self._issuer_stands(transaction, entry) else entry

    def _issuer_stands(self, transaction: Transaction, entry: TokenEntry) -> bool:
        """Whether the mount that issued a token still exists, and neither what it rests on ended nor all that was issued at its path."""
        if entry.mount and not self._mounts.live(transaction, entry.mount):
            return False
        if entry.rests_on and not logins_stand(transaction, entry):
            return False
        return not self._tombstones.covers(transaction, entry.path, entry.era)

    def alive(self, transaction: Transaction, digest: bytes) -> TokenEntry | None:
        """A token's row if it may be used now, its ancestors included."""
        entry = self.entry(transaction, digest)
        if entry is None or entry.num_uses == SPENT:
            return None
        try:
            _, deadline = self._chain(transaction, digest, entry)
        except PermissionDenied:
            return None
        return None if deadline and transaction.now >= deadline else entry

    def by_accessor(self, transaction: Transaction, name: str) -> tuple[bytes, TokenEntry]:
        """The token an accessor leads to. Raises InvalidRequest."""
        found = transaction.view(areas.TOKENS).settings(accessor_row(transaction, name), AccessorEntry)
        entry = self.alive(transaction, found.digest) if found is not None else None
        if found is None or entry is None:
            raise InvalidRequest(several("invalid accessor"))
        return found.digest, entry

    def acl(self, transaction: Transaction, entry: TokenEntry) -> Acl:
        """What a token may do. Raises PermissionDenied where its entity is disabled or gone."""
        return self._token(transaction, Secret(""), b"", entry, (), 0).acl

    def living(self, call: Call, what: Callable[[bytes, TokenEntry], T]) -> list[T]:
        """What `what` says of the keyed hash and row of every stored token that lives; where there are many the call pauses."""
        transaction = call.transaction

        def share(after: bytes) -> tuple[list[T], bytes | None]:
            page, after = self.page(transaction, after)
            return [what(digest, entry) for digest, entry in page if self.alive(transaction, digest) is not None], after or None

        return gathered(call, "tokens", b"", share)

    # -- uses ---------------------------------------------------------------------------------------------------

    def _charge(self, transaction: Transaction, token: Token) -> None:
        """Count one use; after the last one the token is spent, and revoked by a job."""
        left = token.entry.num_uses - 1 or SPENT
        view = transaction.view(areas.TOKENS).charge()
        view.put(token_row(token.digest), msgspec.structs.replace(token.entry, num_uses=left))
        if left == SPENT:
            view.at(transaction.now, "revoke", DigestJob(token.digest))

    # -- making -------------------------------------------------------------------------------------------------

    def issue(
        self,
        transaction: Transaction,
        grant: Grant,
        path: str,
        mount: Mount | None,
        *,
        parent: bytes = b"",
        token_id: str = "",
        role: str = "",
        warn: list[str] | None = None,
    ) -> Auth:
        """Make a token of a grant, service or batch, and stage its rows.

        A grant whose policies are ("root",) makes a root token, without end where its ttl is 0. What was cut off is told to `warn`.
        """
        entry = self._entry(transaction, grant, path, mount, parent, role, warn)
        if entry.kind == "batch":
            return self.auth(entry, transaction, seal_batch(transaction, entry))
        return self.auth(entry, transaction, self._store(transaction, entry, token_id))

    def _entry(
        self, transaction: Transaction, grant: Grant, path: str, mount: Mount | None, parent: bytes, role: str, warn: list[str] | None
    ) -> TokenEntry:
        policies = granted_policies(grant)
        root = policies == ("root",)
        kind = resolved_kind(grant, mount)
        ttl = grant.explicit_max_ttl if root and not (grant.ttl or grant.period) else ttl_of(grant, self._mounts.ttls(mount), warn)
        entity = self._identities.login(transaction, grant.alias, mount) if grant.alias is not None and mount is not None else ""
        return TokenEntry(
            accessor=accessor(transaction.now),
            policies=policies,
            path=path,
            display_name=grant.display_name or "token",
            metadata=grant.metadata or None,
            kind=kind,
            created=transaction.now,
            expires=transaction.now + ttl * SECOND if ttl else 0,
            ttl=ttl,
            explicit_max_ttl=grant.explicit_max_ttl,
            max_ttl=grant.max_ttl,
            period=grant.period,
            renewable=grant.renewable and ttl > 0 and kind != "batch",
            num_uses=grant.num_uses,
            parent=parent,
            role=role,
            entity_id=entity or grant.internal.get("entity_id", ""),
            bound_cidrs=grant.bound_cidrs if ttl else (),
            mount=mount.uuid if mount is not None else b"",
            internal={key: value for key, value in grant.internal.items() if key != "entity_id"} if grant.internal else {},
            era=self._tombstones.era(transaction),
            rests_on=grant.rests_on,
        )

    def _store(self, transaction: Transaction, entry: TokenEntry, token_id: str) -> Secret:
        """Stage a token's rows, past the View: this is the server's most frequent write."""
        text = token_id or service_token(transaction.now)
        digest = self.digest(transaction, text)
        if token_id:
            check_token_id(token_id)
            if transaction.holds(token_key(digest)):
                raise InvalidRequest("cannot create a token with a duplicate ID")
        put = transaction.put
        put(token_key(digest), _encode(entry), charge=False, fresh=not token_id)
        found = _encode(AccessorEntry(digest, entry.accessor))
        put(ROWS + accessor_row(transaction, entry.accessor), found, charge=False, fresh=True)
        if entry.parent:
            put(ROWS + child_row(entry.parent, digest), _MARK, charge=False, fresh=True)
        if entry.expires:
            transaction.view(areas.TOKENS).at(entry.expires, "expire", DigestJob(digest))
        return Secret(text)

    def identity_policies(self, transaction: Transaction, entry: TokenEntry) -> tuple[str, ...]:
        """What a token's entity adds to its own policies."""
        identity = self._identities.identity(transaction, entry.entity_id) if entry.entity_id else None
        return identity.policies if identity is not None else ()

    def auth(self, entry: TokenEntry, transaction: Transaction, secret: Secret | None = None) -> Auth:
        """The `auth` block for a token that exists; blank token where the caller did not show it."""
        extra = self.identity_policies(transaction, entry)
        return Auth(
            client_token=secret or Secret(""),
            accessor="" if entry.kind == "batch" else entry.accessor,
            policies=tuple(sorted({*entry.policies, *extra})),
            token_policies=entry.policies,
            identity_policies=extra,
            metadata=entry.metadata,
            lease_duration=max(0, (entry.expires - transaction.now) // SECOND) if entry.expires else 0,
            renewable=entry.renewable,
            entity_id=entry.entity_id,
            token_type=entry.kind,
            orphan=self.is_orphan(transaction, entry),
            num_uses=max(entry.num_uses, 0),
        )

    # -- renewing and revoking ----------------------------------------------------------------------------------

    def renew(
        self,
        transaction: Transaction,
        digest: bytes,
        entry: TokenEntry,
        increment: int,
        mount: Mount | None,
        terms: Grant | None = None,
        warn: list[str] | None = None,
    ) -> TokenEntry:
        """Stage a longer life for a token, never past its ceiling; `terms` is what its issuer says now. Raises InvalidRequest."""
        if not entry.renewable:
            raise InvalidRequest("lease is not renewable")
        if terms is not None:
            entry = msgspec.structs.replace(
                entry, ttl=terms.ttl or entry.ttl, max_ttl=terms.max_ttl, period=terms.period, explicit_max_ttl=terms.explicit_max_ttl
            )
        seconds = renewal_ttl(entry, increment, self._mounts.ttls(mount), transaction.now, warn)
        renewed = msgspec.structs.replace(entry, expires=transaction.now + seconds * SECOND, last_renewal=transaction.now)
        view = transaction.view(areas.TOKENS)
        view.put(token_row(digest), renewed)
        if renewed.expires < entry.expires:
            view.at(renewed.expires, "expire", DigestJob(digest))
        return renewed

    def revoke(self, transaction: Transaction, digest: bytes, entry: TokenEntry | None = None, *, spares_children: bool = False) -> None:
        """End a token and all below it: from this commit on they are refused, and a job removes what they left.

        `spares_children`: those below it live on as orphans.
        """
        view = transaction.view(areas.TOKENS)
        entry = entry or transaction.value(token_key(digest), TokenEntry)
        if entry is None or entry.revoked:
            return
        view.put(token_row(digest), msgspec.structs.replace(entry, revoked=True, spares_children=spares_children))
        view.delete(accessor_row(transaction, entry.accessor))
        view.at(transaction.now, "remove", DigestJob(digest))

    def page(self, transaction: Transaction, after: bytes) -> tuple[list[tuple[bytes, TokenEntry]], bytes]:
        """Unrevoked tokens among the next few hundred rows, and where to go on; b"" at the end."""
        rows = transaction.scan(ROWS + (after or b"t"), ROWS + b"u", PAGE)
        found = [(key[len(token_key(b"")) :], decoder(TokenEntry).decode(value)) for key, value in rows]
        cursor = rows[-1][0][len(ROWS) :] + b"\0" if len(rows) == PAGE else b""
        return [(digest, entry) for digest, entry in found if not entry.revoked], cursor
