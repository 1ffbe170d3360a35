"""What is left of tokens that ended: their children, leases, private rows and own rows go, a step at a time.

Rules of this file:
- A revoked token is refused from the commit of its revocation on; nothing here is needed for that, so it may take its time.
- Every step is small, because it holds the store's lock; the job (core/jobs.py) comes again until nothing is left.
"""

from __future__ import annotations

import msgspec

from strongroom.core import areas
from strongroom.core.leases import Leases
from strongroom.core.mounts import drain
from strongroom.core.token.entry import TokenEntry
from strongroom.core.token.rows import TidyJob, child_row, token_key, token_row
from strongroom.core.token.tokens import Tokens
from strongroom.core.transaction import Transaction

BATCH = 100
"""Children or leases that one step takes on."""


def remove(tokens: Tokens, leases: Leases, transaction: Transaction, digest: bytes) -> bool:
    """Remove what a revoked token left, one kind a step so that a step stays small: children, leases, private rows, its own row.

    True when nothing is left.
    """
    entry = transaction.value(token_key(digest), TokenEntry)
    spared = entry is not None and entry.spares_children
    if _end_children(tokens, transaction, digest, spared=spared) or _end_leases(leases, transaction, digest):
        return False
    if drain(transaction, areas.CUBBYHOLE_MOUNT, digest.hex()):
        return False
    view = transaction.view(areas.TOKENS)
    if entry is not None and entry.parent:
        view.delete(child_row(entry.parent, digest))
    view.delete(token_row(digest))
    transaction.view(areas.WRAPPING).delete(digest)
    return True


def _end_children(tokens: Tokens, transaction: Transaction, digest: bytes, *, spared: bool) -> bool:
    """Revoke or set free the next children; whether there were any."""
    view = transaction.view(areas.TOKENS)
    rows = view.digests(child_row(digest), BATCH)
    for row in rows:
        child_digest = row[len(child_row(digest)) :]
        child = transaction.value(token_key(child_digest), TokenEntry)
        if child is not None and not child.revoked and spared:
            view.put(token_row(child_digest), msgspec.structs.replace(child, parent=b""))
        elif child is not None and not child.revoked:
            tokens.revoke(transaction, child_digest, child)
        view.delete(row)
    return bool(rows)


def _end_leases(leases: Leases, transaction: Transaction, digest: bytes) -> bool:
    """Order the end of the token's next leases; whether there were any."""
    owned = leases.of_token(transaction, digest, BATCH)
    for lease in owned:
        leases.end(transaction, lease)
    leases.release(transaction, digest, owned)
    return bool(owned)


def tidy(transaction: Transaction, after: bytes = b"") -> None:
    """Stage a walk over all tokens that orders the removal of those that are over."""
    transaction.view(areas.TOKENS).at(transaction.now, "tidy", TidyJob(after))


def tidy_page(tokens: Tokens, transaction: Transaction, after: bytes) -> None:
    """One step of that walk."""
    found, cursor = tokens.page(transaction, after)
    for digest, entry in found:
        if tokens.alive(transaction, digest) is None:
            tokens.revoke(transaction, digest, entry)
    if cursor:
        tidy(transaction, cursor)
