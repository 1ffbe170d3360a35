"""What the core's own timers do: expiry of tokens and leases, removal of what they and unmounted mounts left.

Rules of this file:
- A job runs like a call: on a transaction of its own, restartable, committed whole; its timer's row goes in the same commit.
- A job that has more to do sets itself again. A job that fails is set again later by the scheduler, and never given up.
"""

from __future__ import annotations

from collections.abc import Callable

from strongroom.barrier.view import Due, decoder
from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.leases import LeaseJob
from strongroom.core.lockout import PruneJob, prune
from strongroom.core.logins import ForgetJob, WalkJob, forget, logins_stand, walked
from strongroom.core.mounts import DrainJob, drain
from strongroom.core.policy.policies import PolicyEntry, PolicyJob
from strongroom.core.sealing.rekey import handover_due, settle_due
from strongroom.core.sealing.rotation import rewrap_due, rotation_due
from strongroom.core.token.entry import TokenEntry
from strongroom.core.token.removal import BATCH, remove, tidy_page
from strongroom.core.token.rows import DigestJob, TidyJob
from strongroom.core.tombstones import SweepJob, Tombstone, covered
from strongroom.core.transaction import Transaction

Job = Callable[[Core, Call, bytes], None]


def run_due(core: Core, call: Call, due: Due) -> None:
    """Do what a timer was set for."""
    job = JOBS.get((due.area, due.job))
    if job is not None:
        job(core, call, due.payload)
        return
    mount = core.mounts.table(call.transaction).by_uuid.get(due.area)
    if mount is not None and not mount.tainted:
        core.engine_of(call, mount).due(due.job, due.payload)


def _drain_mount(core: Core, call: Call, payload: bytes) -> None:
    """End a mount's leases, then its tokens, then its rows, then itself."""
    job = decoder(DrainJob).decode(payload)
    transaction = call.transaction
    view = transaction.view(areas.MOUNTS)
    leases = core.leases.of_mount(transaction, job.mount, BATCH)
    if leases:
        for lease in leases:
            core.leases.end(transaction, lease)
        view.at(transaction.now + SECOND, "drain", job)
        return
    cursor = _revoke_page(core, transaction, job.cursor, lambda entry: entry.mount == job.mount)
    if cursor:
        view.at(transaction.now, "drain", DrainJob(job.mount, cursor))
    elif drain(transaction, job.mount):
        view.at(transaction.now, "drain", job)
    else:
        core.mounts.forget(transaction, job.mount)


def _revoke_page(core: Core, transaction: Transaction, cursor: bytes, ended: Callable[[TokenEntry], bool]) -> bytes:
    """Order the end of those among the next tokens of which `ended` says so; where to go on, b"" at the end."""
    tokens, cursor = core.tokens.page(transaction, cursor)
    for digest, entry in tokens:
        if ended(entry):
            core.tokens.revoke(transaction, digest, entry)
    return cursor


def _sweep(core: Core, call: Call, payload: bytes) -> None:
    """Order the end of every lease and then every token that a tombstone ended, a page at a time, then remove the tombstone."""
    job = decoder(SweepJob).decode(payload)
    transaction = call.transaction
    stone = core.tombstones.find(transaction, job.era)
    if stone is None:
        return
    if job.step == "leases":
        leases, cursor = core.leases.below(transaction, stone, job.cursor, BATCH)
        for lease in leases:
            core.leases.end(transaction, lease, forced=stone.forced)
    elif job.step == "tokens":
        cursor = _revoke_page(core, transaction, job.cursor, lambda entry: covered(stone, entry.path, entry.era))
    else:
        core.tombstones.remove(transaction, stone)
        return
    _sweep_on(core, transaction, job, stone, cursor)


def _sweep_on(core: Core, transaction: Transaction, job: SweepJob, stone: Tombstone, cursor: bytes) -> None:
    """Set the next step; a tombstone over logins waits until the last batch token from before it has expired."""
    logins = (stone.prefix + "/").startswith("auth/")
    when = transaction.now
    if cursor:
        job = SweepJob(job.era, job.step, cursor)
    elif job.step == "leases" and logins:
        job = SweepJob(job.era, "tokens")
    else:
        job = SweepJob(job.era, "remove")
        when += _longest(core, transaction) if logins else 0
    transaction.view(areas.TOMBSTONES).at(when, "sweep", job)


def _longest(core: Core, transaction: Transaction) -> int:
    """How long a batch token may live, in ns."""
    return max(core.mounts.ttls(mount).max for mount in core.mounts.table(transaction).by_uuid.values()) * SECOND


def _logins_walked(core: Core, call: Call, payload: bytes) -> None:
    """One step of the walk that removes tokens whose logins were ended."""
    job = decoder(WalkJob).decode(payload)
    transaction = call.transaction
    cursor = _revoke_page(core, transaction, job.cursor, lambda entry: not logins_stand(transaction, entry))
    walked(transaction, cursor)


def _login_forgotten(core: Core, call: Call, payload: bytes) -> None:
    """No token from before the end of a login can live any more."""
    forget(call.transaction, decoder(ForgetJob).decode(payload).row, _longest(core, call.transaction))


def _lockouts_pruned(core: Core, call: Call, payload: bytes) -> None:
    """One step of a walk over counters of wrong passwords."""
    bounds = {mount.accessor: core.limits(mount) for mount in core.mounts.table(call.transaction).by_uuid.values()}
    prune(call.transaction, bounds, decoder(PruneJob).decode(payload))


def _policy_expired(_core: Core, call: Call, payload: bytes) -> None:
    """A policy's time is over: it is removed, unless it was written anew meanwhile."""
    name = decoder(PolicyJob).decode(payload).name
    view = call.transaction.view(areas.POLICIES)
    entry = view.settings(f"acl/{name}", PolicyEntry)
    if entry is not None and 0 < entry.expires <= call.transaction.now:
        view.delete(f"acl/{name}")


def _token_expired(core: Core, call: Call, payload: bytes) -> None:
    """The end of a token came, or its last use is over; a renewal meanwhile sets the timer anew."""
    job = decoder(DigestJob).decode(payload)
    transaction = call.transaction
    entry = core.tokens.entry(transaction, job.digest)
    if entry is None:
        return
    if entry.num_uses >= 0 and entry.expires > transaction.now:
        transaction.view(areas.TOKENS).at(entry.expires, "expire", job)
    elif entry.num_uses < 0 or entry.expires:
        core.tokens.revoke(transaction, job.digest, entry)


def _token_removed(core: Core, call: Call, payload: bytes) -> None:
    """Remove what a revoked token left."""
    job = decoder(DigestJob).decode(payload)
    if not remove(core.tokens, core.leases, call.transaction, job.digest):
        call.transaction.view(areas.TOKENS).at(call.transaction.now, "remove", job)


def _tokens_tidied(core: Core, call: Call, payload: bytes) -> None:
    """One step of a walk over all tokens."""
    tidy_page(core.tokens, call.transaction, decoder(TidyJob).decode(payload).after)


def _lease_expired(core: Core, call: Call, payload: bytes) -> None:
    """The end of a lease came, or was ordered: the engine undoes what it gave, then the lease is gone."""
    job = decoder(LeaseJob).decode(payload)
    transaction = call.transaction
    lease = core.leases.stored(transaction, job.id)
    if lease is None:
        return
    if not lease.ending and lease.expires > transaction.now:
        transaction.view(areas.LEASES).at(lease.expires, "expire", job)
        return
    mount = core.mounts.table(transaction).by_uuid.get(lease.mount)
    if mount is not None and not lease.forced:
        core.engine_of(call, mount).revoke(lease.terms)
    core.leases.remove(transaction, lease)


def lease_failed(core: Core, call: Call, due: Due) -> None:
    """Count a failed revocation, so that operators see leases that resist."""
    if (due.area, due.job) == (areas.LEASES, "expire"):
        lease = core.leases.stored(call.transaction, decoder(LeaseJob).decode(due.payload).id)
        if lease is not None:
            core.leases.failed(call.transaction, lease)


JOBS: dict[tuple[bytes, str], Job] = {
    (areas.MOUNTS, "drain"): _drain_mount,
    (areas.TOMBSTONES, "sweep"): _sweep,
    (areas.TOMBSTONES, "walk"): _logins_walked,
    (areas.TOMBSTONES, "forget"): _login_forgotten,
    (areas.LOCKOUT, "prune"): _lockouts_pruned,
    (areas.POLICIES, "expire"): _policy_expired,
    (areas.TOKENS, "expire"): _token_expired,
    (areas.TOKENS, "revoke"): _token_expired,
    (areas.TOKENS, "remove"): _token_removed,
    (areas.TOKENS, "tidy"): _tokens_tidied,
    (areas.LEASES, "expire"): _lease_expired,
    (areas.CEREMONIES, "rotate"): rotation_due,
    (areas.CEREMONIES, "rewrap"): rewrap_due,
    (areas.CEREMONIES, "settle"): settle_due,
    (areas.CEREMONIES, "handover"): handover_due,
}
"""By area and job name. Modules of the core that have timers of their own add theirs."""
