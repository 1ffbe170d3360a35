"""Ending what somebody's logins gave: who is deleted, revoked or given another password takes his tokens with him (T10.3).

Rules of this file:
- A login method says in its Grant what the token rests on, by names of its own ("user/alice", "role/ci"). Ending a name ends the tokens
  that rested on it in earlier eras (core/tombstones.py): service and batch, those below them too, from that commit on, on every node.
- Nothing is looked up for a request with a kept token: ending a name touches the area of tombstones, which lets go of kept tokens.
- One walk over all tokens removes what was ended, with its leases. However many names end meanwhile, it is one more walk.
- A row stays until its walk is over and no batch token from before can live; a name that ends again gets a later era, so nothing revives.
- Rows: `l`+mount uuid+name hash → Ended, `walk` → Walk.
"""

from __future__ import annotations

import msgspec

from strongroom.core import areas
from strongroom.core.mount import Mount
from strongroom.core.token.entry import TokenEntry
from strongroom.core.tombstones import new_era
from strongroom.core.transaction import Transaction

LABEL = b"what logins rest on"
"""Names the key of the hashes."""

_WALK = "walk"


class Ended(msgspec.Struct, frozen=True):
    """Tokens of eras before `era` that rest on a name are over; since `at` (ns)."""

    era: int
    at: int


class Walk(msgspec.Struct, frozen=True):
    """A walk is under way. `again`: something ended after it began."""

    again: bool = False


class WalkJob(msgspec.Struct, frozen=True):
    """Remove what was ended. `cursor` is where the walk over tokens goes on."""

    cursor: bytes = b""


class ForgetJob(msgspec.Struct, frozen=True):
    """Remove a row that no living token can be from before of."""

    row: bytes


def end_logins(transaction: Transaction, mount: Mount, name: str) -> None:
    """Stage the end of all tokens that rest on a name of this auth mount."""
    view = transaction.view(areas.TOMBSTONES)
    row = _row(transaction, mount.uuid, name)
    view.put(row, Ended(new_era(transaction), transaction.now))
    view.at(transaction.now, "forget", ForgetJob(row))
    if view.settings(_WALK, Walk) is None:
        view.at(transaction.now, "walk", WalkJob())
        view.put(_WALK, Walk())
    else:
        view.put(_WALK, Walk(again=True))


def logins_stand(transaction: Transaction, entry: TokenEntry) -> bool:
    """Whether nothing that a token rests on has ended since it was made."""
    view = transaction.view(areas.TOMBSTONES)
    for name in entry.rests_on:
        ended = view.settings(_row(transaction, entry.mount, name), Ended)
        if ended is not None and entry.era < ended.era:
            return False
    return True


def walked(transaction: Transaction, cursor: bytes) -> None:
    """A step of the walk is done: stage the next one, the first one of another walk, or the end."""
    view = transaction.view(areas.TOMBSTONES)
    walk = view.settings(_WALK, Walk)
    if cursor:
        view.at(transaction.now, "walk", WalkJob(cursor))
    elif walk is not None and walk.again:
        view.at(transaction.now, "walk", WalkJob())
        view.put(_WALK, Walk())
    else:
        view.delete(_WALK)


def forget(transaction: Transaction, row: bytes, longest: int) -> None:
    """Stage the removal of a row once no token from before it can live; `longest` is how many ns a batch token may."""
    view = transaction.view(areas.TOMBSTONES)
    ended = view.settings(row, Ended)
    if ended is None:
        return
    due = ended.at + longest
    if transaction.now < due or view.settings(_WALK, Walk) is not None:
        view.at(max(due, transaction.now + longest // 64), "forget", ForgetJob(row))
    else:
        view.delete(row)


def _row(transaction: Transaction, mount: bytes, name: str) -> bytes:
    return b"l" + mount + transaction.keys.mac(LABEL).digest(mount + name.encode())
