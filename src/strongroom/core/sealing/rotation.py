"""New epochs of the record key: begun on demand, by age or by use; old records are sealed anew and old epochs destroyed.

Rules of this file:
- A rotation is one row, the keyring; whoever commits or hears of it follows (barrier.heard). Other key changes wait for it.
- Sealing anew is a chain of timers, each one short commit, that goes on after a crash where it stopped. Its order: raise `min_epoch`,
  so that nobody writes under an older epoch; walk over all rows; an epoch is destroyed only after one whole walk found none of it.
- It is slow on purpose: the walk shares the store's one lock with everybody.
"""

from __future__ import annotations

import msgspec

from strongroom.barrier.keyring import BOOT, KEYRING_KEY, Keyring, RotateConfig, seal_keyring
from strongroom.barrier.view import decoder
from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.transaction import Transaction
from strongroom.errors import InvalidRequest, Unavailable
from strongroom.storage.api import AREA

CHECK_EVERY = 3_600 * SECOND
"""Between looks at age and use of the current epoch."""
ROWS_PER_STEP = 500
"""Rows that one step of the walk looks at."""
MOVED_PER_STEP = 50
BYTES_PER_STEP = 1 << 20
"""Rows and plaintext that one step seals anew: some milliseconds, well below what a call may stage."""
ROWS_PER_SECOND = 200
"""Rows sealed anew per second, so that requests hardly notice."""
PAGE = 50
"""Rows read at once: with the largest values still bounded memory."""

MIN_OPERATIONS = 1_000_000
MAX_OPERATIONS = RotateConfig().max_operations
MIN_INTERVAL = 86_400
"""Bounds that Vault sets too; records here would allow more, but there is no reason for it."""

FIRST_ROW = BOOT[:AREA] + b"\x01"
LAST_ROW = b"\xff" * 40


class RewrapJob(msgspec.Struct, frozen=True):
    """Seal rows of epochs below `below` anew. `cursor` is where this walk goes on, `moved` what it found so far."""

    below: int
    cursor: bytes = FIRST_ROW
    moved: int = 0


class RotateJob(msgspec.Struct, frozen=True):
    """Look whether a new epoch is due."""


def _put_keyring(core: Core, transaction: Transaction, keyring: Keyring) -> None:
    """Stage a changed keyring. Raises Unavailable when another change of keys is in the same group."""
    refuse_second_change(transaction)
    keys = core.barrier.keys
    transaction.put(KEYRING_KEY, seal_keyring(keys.root, keyring, keys.installation), charge=False)


def refuse_second_change(transaction: Transaction) -> None:
    """A change of keys starts from the committed ones, so a group holds one at most. Raises Unavailable."""
    if transaction.touched(BOOT[:AREA]):
        raise Unavailable("the keys are being changed by another request; try again in a second")


def rotate_keyring(core: Core, transaction: Transaction) -> int:
    """Stage a new epoch and the timer that seals old records anew; the new epoch's number."""
    keyring = core.barrier.keys.keyring.rotated(transaction.now, core.barrier.index().sealed)
    _put_keyring(core, transaction, keyring)
    transaction.view(areas.CEREMONIES).at(transaction.now, "rewrap", RewrapJob(keyring.current.number))
    return keyring.current.number


def set_rotate_config(core: Core, transaction: Transaction, config: RotateConfig) -> None:
    """Stage when new epochs begin by themselves. Raises InvalidRequest."""
    if not MIN_OPERATIONS <= config.max_operations <= MAX_OPERATIONS:
        raise InvalidRequest(f"max_operations must be in the range [{MIN_OPERATIONS},{MAX_OPERATIONS}]")
    if config.interval and config.interval < MIN_INTERVAL:
        raise InvalidRequest("interval must be greater or equal to 24h0m0s, or 0 for never by age")
    _put_keyring(core, transaction, msgspec.structs.replace(core.barrier.keys.keyring, rotate=config))


def encryptions(core: Core) -> int:
    """Records sealed under the current epoch."""
    return max(0, core.barrier.index().sealed - core.barrier.keys.keyring.current.sealed_before)


def start_checks(transaction: Transaction) -> None:
    """Stage the first look at the current epoch's age and use."""
    transaction.view(areas.CEREMONIES).at(transaction.now + CHECK_EVERY, "rotate", RotateJob())


def rotation_due(core: Core, call: Call, _payload: bytes) -> None:
    """Begin a new epoch if the present one is old or used enough; look again later."""
    transaction = call.transaction
    keyring = core.barrier.keys.keyring
    old = bool(keyring.rotate.interval) and transaction.now - keyring.current.created >= keyring.rotate.interval * SECOND
    if keyring.rotate.enabled and (old or encryptions(core) >= keyring.rotate.max_operations):
        rotate_keyring(core, transaction)
    start_checks(transaction)


def rewrap_due(core: Core, call: Call, payload: bytes) -> None:
    """One step of sealing old records anew; after a whole walk without any, the old epochs are destroyed."""
    job = decoder(RewrapJob).decode(payload)
    transaction = call.transaction
    keyring = core.barrier.keys.keyring
    if keyring.current.number != job.below:
        return  # a newer rotation walks over the same rows
    transaction.require_epoch(job.below)
    cursor, moved = _step(core, transaction, job)
    view = transaction.view(areas.CEREMONIES)
    if cursor:
        wait = moved * SECOND // ROWS_PER_SECOND
        view.at(transaction.now + wait, "rewrap", RewrapJob(job.below, cursor, job.moved + moved))
    elif job.moved + moved:
        view.at(transaction.now + SECOND, "rewrap", RewrapJob(job.below))
    else:
        _put_keyring(core, transaction, keyring.without(job.below))


def _step(core: Core, transaction: Transaction, job: RewrapJob) -> tuple[bytes, int]:
    """Seal anew what is old among the next rows; returns where to go on (b"" at the end) and how many there were."""
    cursor, looked, moved, size = job.cursor, 0, 0, 0
    while looked < ROWS_PER_STEP:
        rows = core.committed.store.scan(cursor, LAST_ROW, PAGE)
        for key, record in rows:
            cursor = key + b"\0"
            if int.from_bytes(record[2:6], "big") < job.below:
                moved += 1
                size += _renew(transaction, key)
            if size >= BYTES_PER_STEP or moved >= MOVED_PER_STEP:
                return cursor, moved
        if len(rows) < PAGE:
            return b"", moved
        looked += PAGE
    return cursor, moved


def _renew(transaction: Transaction, key: bytes) -> int:
    """Stage a row as it is, unless this group changes it anyway; how many bytes that is."""
    if transaction.staged(key)[0]:
        return 0
    plaintext = transaction.get(key)
    if plaintext is None:
        return 0
    transaction.put(key, plaintext, charge=False)
    return len(plaintext)
