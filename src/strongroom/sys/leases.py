"""sys/leases: secrets that end are looked up, renewed and ended.

Rules of this file:
- A lease counts as gone from the commit that ended it; what it gave is undone by a job that does not give up, whatever `sync` says.
- `revoke-force` forgets leases without asking their engines: what they gave may live on.
- A token is shown as a lease of the path that made it, `<path>/h<keyed hash>`; it is renewed below auth/token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from strongroom.clock import SECOND, rfc3339
from strongroom.core import areas
from strongroom.core.engine import ListBody, keys_response, list_, paged, read, write
from strongroom.core.fields import Seconds
from strongroom.core.leases import Lease
from strongroom.core.response import Response
from strongroom.core.token.entry import TokenEntry
from strongroom.core.token.removal import tidy
from strongroom.errors import InvalidRequest
from strongroom.sys.routes import Routes

SHOWN = 10_000
"""Leases that one answer shows or counts."""

_TOKEN_LEASE = re.compile(r"(auth/.+)/h([0-9a-f]{40,128})", re.ASCII)


class LeaseBody(msgspec.Struct, frozen=True):
    """Which lease."""

    lease_id: Annotated[str, "the lease"] = ""


class RenewBody(LeaseBody, frozen=True):
    """Which lease, and for how long."""

    increment: Annotated[Seconds, "seconds from now; 0 = what the engine gives"] = Seconds(0)


class RevokeBody(LeaseBody, frozen=True):
    """Which lease."""

    sync: Annotated[bool, "false: 202 says that what it gave is still being undone"] = True


class PrefixBody(msgspec.Struct, frozen=True):
    """How to answer."""

    sync: Annotated[bool, "false: 202 says that what they gave is still being undone"] = True


class SelectBody(msgspec.Struct, frozen=True):
    """Which leases to show."""

    type: Annotated[str, "irrevocable: those that could not be revoked so far"] = ""
    include_child_namespaces: Annotated[bool, "accepted; there are none"] = False
    limit: Annotated[str, "at most so many; none = all"] = ""


class LeaseRoutes(Routes):
    """Leases."""

    @write("leases/lookup", body=LeaseBody, writes=False)
    def lookup(self, body: LeaseBody) -> Response:
        """Say when a lease was made and when it ends."""
        lease_id = _given(body.lease_id)
        found = self._token(lease_id)
        if found is not None:
            return Response(data=_described_token(lease_id, found[1], self.call.transaction.now))
        return Response(data=_described(self._lease(lease_id), self.call.transaction.now))

    @list_("leases/lookup/", body=ListBody, sudo=True)
    def list_first(self, body: ListBody) -> Response:
        """List the first segments of lease ids."""
        return self._list("", body)

    @list_("leases/lookup/{prefix...}/", body=ListBody, sudo=True)
    def list_below(self, prefix: str, body: ListBody) -> Response:
        """List the lease ids below a path."""
        return self._list(prefix, body)

    def _list(self, prefix: str, body: ListBody) -> Response:
        transaction = self.call.transaction
        names = set(transaction.view(areas.LEASES).list(prefix))
        if (prefix + "/").startswith("auth/") or not prefix:
            names |= self._token_names(prefix)
        return keys_response(paged(sorted(names), body))

    def _token_names(self, prefix: str) -> set[str]:
        """The next segments of the lease ids of tokens below a path."""
        head = f"{prefix}/" if prefix else ""
        found = set()
        for digest, path in self._lasting():
            lease_id = f"{path}/h{digest.hex()}"
            if lease_id.startswith(head):
                first, slash, _ = lease_id[len(head) :].partition("/")
                found.add(first + slash)
        return found

    def _lasting(self) -> Iterator[tuple[bytes, str]]:
        """Keyed hash and path of every token that lives and will end: one that never does has no lease."""
        living = self.core.tokens.living(self.call, lambda digest, entry: (digest, entry.path) if entry.expires else None)
        return (found for found in living if found is not None)

    # -- renewing -------------------------------------------------------------------------------------------------

    @write("leases/renew", body=RenewBody)
    def renew_lease(self, body: RenewBody) -> Response:
        """Renew a lease."""
        lease_id = _given(body.lease_id)
        if self._token(lease_id) is not None:
            raise InvalidRequest("tokens cannot be renewed through this endpoint; use auth/token/renew")
        return self.core.renew_lease(self.call, lease_id, body.increment)

    @write("leases/renew/{url_lease_id...}", body=RenewBody)
    def renew_at(self, lease_id: str, body: RenewBody) -> Response:
        """Renew a lease."""
        return self.renew_lease(RenewBody(lease_id, body.increment))

    @write("renew", body=RenewBody)
    def renew_old(self, body: RenewBody) -> Response:
        """Renew a lease, by the older path."""
        return self.renew_lease(body)

    @write("renew/{url_lease_id...}", body=RenewBody)
    def renew_old_at(self, lease_id: str, body: RenewBody) -> Response:
        """Renew a lease, by the older path."""
        return self.renew_lease(RenewBody(lease_id, body.increment))

    # -- revoking -------------------------------------------------------------------------------------------------

    @write("leases/revoke", body=RevokeBody)
    def revoke_lease(self, body: RevokeBody) -> Response:
        """Revoke a lease."""
        lease_id = _given(body.lease_id)
        transaction = self.call.transaction
        found = self._token(lease_id)
        if found is not None:
            self.core.tokens.revoke(transaction, *found)
        else:
            lease = self.core.leases.stored(transaction, lease_id)
            if lease is not None:
                self.core.leases.end(transaction, lease)
        return _ordered(body.sync)

    @write("leases/revoke/{url_lease_id...}", body=RevokeBody)
    def revoke_at(self, lease_id: str, body: RevokeBody) -> Response:
        """Revoke a lease."""
        return self.revoke_lease(RevokeBody(lease_id, body.sync))

    @write("revoke", body=RevokeBody)
    def revoke_old(self, body: RevokeBody) -> Response:
        """Revoke a lease, by the older path."""
        return self.revoke_lease(body)

    @write("revoke/{url_lease_id...}", body=RevokeBody)
    def revoke_old_at(self, lease_id: str, body: RevokeBody) -> Response:
        """Revoke a lease, by the older path."""
        return self.revoke_lease(RevokeBody(lease_id, body.sync))

    @write("leases/revoke-prefix/{prefix...}", body=PrefixBody, sudo=True)
    def revoke_prefix(self, prefix: str, body: PrefixBody) -> Response:
        """Revoke all leases and tokens that were issued below a path."""
        self.core.tombstones.add(self.call.transaction, prefix.strip("/"))
        return _ordered(body.sync)

    @write("revoke-prefix/{prefix...}", body=PrefixBody, sudo=True)
    def revoke_prefix_old(self, prefix: str, body: PrefixBody) -> Response:
        """Revoke all leases and tokens that were issued below a path, by the older path."""
        return self.revoke_prefix(prefix, body)

    @write("leases/revoke-force/{prefix...}", sudo=True)
    def revoke_force(self, prefix: str) -> None:
        """Forget all leases below a path without asking their engines: what they gave may live on."""
        self.core.tombstones.add(self.call.transaction, prefix.strip("/"), forced=True)

    @write("revoke-force/{prefix...}", sudo=True)
    def revoke_force_old(self, prefix: str) -> None:
        """Forget all leases below a path, by the older path."""
        self.revoke_force(prefix)

    # -- looking after --------------------------------------------------------------------------------------------

    @read("leases", body=SelectBody, sudo=True)
    def select(self, body: SelectBody) -> Response:
        """Show the leases that could not be revoked so far."""
        if body.type != "irrevocable":
            raise InvalidRequest("type must be irrevocable")
        stubborn = self.core.leases.stubborn(self.call.transaction)
        shown = stubborn[: _limit(body.limit)]
        return Response(
            data={
                "lease_count": len(stubborn),
                "leases": [{"lease_id": lease.id, "error": "revocation failed so far; it is tried again"} for lease in shown],
            }
        )

    @read("leases/count", body=SelectBody)
    def count(self, body: SelectBody) -> Response:
        """Count the leases that could not be revoked so far, by mount."""
        if body.type != "irrevocable":
            raise InvalidRequest("type must be irrevocable")
        stubborn = self.core.leases.stubborn(self.call.transaction)
        return Response(data={"lease_count": len(stubborn), "counts": self._counts(stubborn)})

    def _counts(self, leases: list[Lease]) -> dict[str, int]:
        """How many there are of each mount, by its accessor."""
        mounts = self.core.mounts.table(self.call.transaction).by_uuid
        counts: dict[str, int] = {}
        for lease in leases:
            name = mounts[lease.mount].accessor if lease.mount in mounts else "unmounted"
            counts[name] = counts.get(name, 0) + 1
        return counts

    @write("leases/tidy")
    def tidy(self) -> Response:
        """Look for rows that crashed removals left."""
        tidy(self.call.transaction)
        return Response(warnings=("Tidy operation successfully started; it goes on behind this answer.",), status=202)

    # -- finding --------------------------------------------------------------------------------------------------

    def _lease(self, lease_id: str) -> Lease:
        lease = self.core.leases.find(self.call.transaction, lease_id)
        if lease is None:
            raise InvalidRequest("invalid lease")
        return lease

    def _token(self, lease_id: str) -> tuple[bytes, TokenEntry] | None:
        """The token that a lease id stands for."""
        match = _TOKEN_LEASE.fullmatch(lease_id)
        if match is None or len(match[2]) % 2:
            return None
        digest = bytes.fromhex(match[2])
        entry = self.core.tokens.alive(self.call.transaction, digest)
        return (digest, entry) if entry is not None and entry.path == match[1] else None


def _given(lease_id: str) -> str:
    if not lease_id:
        raise InvalidRequest("lease_id must be specified")
    return lease_id.strip("/")


def _limit(text: str) -> int:
    if text in ("", "none"):
        return SHOWN
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) < 1:
        raise InvalidRequest("limit must be a positive number or none")
    return min(int(text), SHOWN)


def _ordered(sync: bool) -> Response:
    return Response() if sync else Response(status=202)


def _described(lease: Lease, now: int) -> dict[str, Any]:
    return {
        "id": lease.id,
        "path": lease.path,
        "issue_time": rfc3339(lease.issued),
        "expire_time": rfc3339(lease.expires),
        "last_renewal": rfc3339(lease.last_renewal) or None,
        "ttl": max(0, (lease.expires - now) // SECOND),
        "renewable": lease.terms.renewable,
    }


def _described_token(lease_id: str, entry: TokenEntry, now: int) -> dict[str, Any]:
    return {
        "id": lease_id,
        "path": entry.path,
        "issue_time": rfc3339(entry.created),
        "expire_time": rfc3339(entry.expires) or None,
        "last_renewal": rfc3339(entry.last_renewal) or None,
        "ttl": max(0, (entry.expires - now) // SECOND) if entry.expires else 0,
        "renewable": entry.renewable,
    }
