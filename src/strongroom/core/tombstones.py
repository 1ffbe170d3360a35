"""Ending everything below a path at once: one row that every check honours, and a job that removes what it ended.

Rules of this file:
- A tombstone ends the tokens and leases that were issued below its prefix in earlier eras; adding one begins a new era. Eras are counted
  under the store's lock, so nobody's clock decides what was earlier.
- It stands until the job found nothing more below it; one over logins stands as long as the longest batch token could live, because
  batch tokens are not stored and cannot be removed. A wider or later one takes its place. So there are few, and they are kept in memory.
- Rows: `era` → Era, `stone/<era>` → Tombstone.
"""

from __future__ import annotations

import msgspec

from strongroom.core import areas
from strongroom.core.committed import Committed
from strongroom.core.transaction import Transaction


class Era(msgspec.Struct, frozen=True):
    """How many tombstones there have been."""

    number: int = 0


class Tombstone(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was issued below `prefix` (no slash at its end) before `era` counts as gone. `forced`: engines are not asked."""

    era: int
    prefix: str
    forced: bool = False


class SweepJob(msgspec.Struct, frozen=True):
    """Remove what a tombstone ended: leases, then tokens, then itself. `cursor` is where the walk over them goes on."""

    era: int
    step: str = "leases"
    cursor: bytes = b""


class Tombstones:
    """Reads and adds them."""

    def __init__(self, committed: Committed) -> None:
        self._kept: tuple[Tombstone, ...] | None = None
        self._era: int | None = None
        self.listeners = [self._drop]
        committed.cache.watch(areas.TOMBSTONES, self._changed)

    def _changed(self, _key: bytes | None) -> None:
        for heard in self.listeners:
            heard()

    def _drop(self) -> None:
        self._kept = self._era = None

    def era(self, transaction: Transaction) -> int:
        """The present era, which what is issued now remembers."""
        if self._era is None or transaction.touched(areas.TOMBSTONES):
            found = transaction.view(areas.TOMBSTONES).settings("era", Era)
            number = found.number if found is not None else 0
            if transaction.touched(areas.TOMBSTONES):
                return number
            self._era = number
        return self._era

    def standing(self, transaction: Transaction) -> tuple[Tombstone, ...]:
        """Those whose work is not done."""
        if transaction.touched(areas.TOMBSTONES):
            return self._load(transaction)
        if self._kept is None:
            self._kept = self._load(transaction)
        return self._kept

    def _load(self, transaction: Transaction) -> tuple[Tombstone, ...]:
        view = transaction.view(areas.TOMBSTONES)
        found = (view.settings(f"stone/{name}", Tombstone) for name in view.list("stone"))
        return tuple(stone for stone in found if stone is not None)

    def find(self, transaction: Transaction, era: int) -> Tombstone | None:
        """One of them, by its era."""
        return transaction.view(areas.TOMBSTONES).settings(f"stone/{era}", Tombstone)

    def covers(self, transaction: Transaction, path: str, era: int) -> bool:
        """Whether what was issued at `path` in `era` has been ended."""
        return any(covered(stone, path, era) for stone in self.standing(transaction))

    def add(self, transaction: Transaction, prefix: str, *, forced: bool = False) -> None:
        """Stage the end of everything issued below a path so far."""
        standing = self.standing(transaction)
        era = new_era(transaction)
        view = transaction.view(areas.TOMBSTONES)
        for older in standing:
            if covered(Tombstone(era, prefix), older.prefix, older.era) and forced >= older.forced:
                self.remove(transaction, older)
        view.put(f"stone/{era}", Tombstone(era, prefix, forced))
        view.at(transaction.now, "sweep", SweepJob(era))

    def remove(self, transaction: Transaction, stone: Tombstone) -> None:
        """Stage that nothing is left below it."""
        transaction.view(areas.TOMBSTONES).delete(f"stone/{stone.era}")


def new_era(transaction: Transaction) -> int:
    """Begin an era: what was issued before it can be told from what comes after."""
    view = transaction.view(areas.TOMBSTONES)
    found = view.settings("era", Era)
    number = found.number + 1 if found is not None else 1
    view.put("era", Era(number))
    return number


def covered(stone: Tombstone, path: str, era: int) -> bool:
    """Whether a tombstone ended what was issued at `path` in `era`: whole segments count, so `a/b` says nothing of `a/bc`."""
    return era < stone.era and (path == stone.prefix or path.startswith(stone.prefix + "/"))
