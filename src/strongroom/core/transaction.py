"""One call's reads and staged writes, on committed state plus what the group has so far.

Rules of this file:
- A transaction is frozen to its moment: outside a group it only reads, and staging raises NeedsCommit, which moves the call to the
  writing queue; inside a group it sees the freshest state, and nobody else writes.
- Effects commit only if the call succeeds; charges commit in any case. Both are plaintext here; the barrier seals them at the end.
- Nothing is written to the store from here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeVar

from strongroom.barrier.directory import Directory
from strongroom.barrier.view import View, decoder
from strongroom.core.committed import Committed, decrypted_names
from strongroom.errors import TooLarge
from strongroom.memo import Memo
from strongroom.storage.api import AREA, Child

T = TypeVar("T")

MAX_KEYS = 1_000
MAX_BYTES = 4 << 20
"""What one call may stage: a group holds the store's lock, so it must stay short. Bulk verbs use a tombstone and a job."""


class NeedsCommit(Exception):
    """The call wants to write and must run in a group."""


class Staged(dict[bytes, "bytes | None"]):
    """Plaintext of rows that the group will write, by row key; None = deleted. `areas` are the mounts and tables touched.

    `min_epoch`: no record of an older epoch may be committed from here on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.min_epoch = 0
        self.areas: set[bytes] = set()
        self.fresh: set[bytes] = set()

    def take(self, other: Staged) -> None:
        """Add another's rows over these."""
        if other:
            self.update(other)
            self.areas |= other.areas
            self.fresh |= other.fresh
            self.min_epoch = max(self.min_epoch, other.min_epoch)


_NONE = Staged()
"""What a call that staged nothing has staged; never written to."""


class Transaction:
    """The rows one call sees (`barrier.view.Rows`)."""

    __slots__ = ("_bytes", "charges", "committed", "effects", "group", "keys", "now")

    def __init__(self, committed: Committed, group: Staged | None, now: int) -> None:
        self.committed = committed
        self.keys = committed.barrier.keys
        self.group = group
        self.now = now
        self.effects = _NONE
        self.charges = _NONE
        self._bytes = 0

    @property
    def writing(self) -> bool:
        """Whether this call runs in a group."""
        return self.group is not None

    def staged(self, key: bytes) -> tuple[bool, bytes | None]:
        """Whether the call or the group staged this row, and what."""
        if self.group is None:
            return False, None
        for layer in (self.effects, self.charges, self.group):
            if key in layer:
                return True, layer[key]
        return False, None

    def touched(self, area: bytes) -> bool:
        """Whether this call or the group staged anything in an area: what was derived from committed rows of it may not be used."""
        group = self.group
        return group is not None and (area in group.areas or area in self.effects.areas or area in self.charges.areas)

    def get(self, key: bytes) -> bytes | None:
        """Plaintext of a row."""
        if self.group is not None:
            found, plaintext = self.staged(key)
            if found:
                return plaintext
        return self.committed.plain(key)

    def holds(self, key: bytes) -> bool:
        """Whether there is a row."""
        found, plaintext = self.staged(key)
        return plaintext is not None if found else self.committed.entry(key).record is not None

    def value(self, key: bytes, kind: type[T]) -> T | None:
        """Decoded row, kept where it is committed."""
        if self.group is not None:
            found, plaintext = self.staged(key)
            if found:
                return None if plaintext is None else decoder(kind).decode(plaintext)
        return self.committed.value(key, kind)

    def put(self, key: bytes, plaintext: bytes | None, *, charge: bool, fresh: bool = False) -> None:
        """Stage a row. Raises NeedsCommit outside a group, TooLarge over the bounds of one call."""
        if self.group is None:
            raise NeedsCommit
        if charge:
            if self.charges is _NONE:
                self.charges = Staged()
            layer = self.charges
            self.effects.pop(key, None)  # the later of two puts counts, whichever layer it is in
        else:
            if self.effects is _NONE:
                self.effects = Staged()
            layer = self.effects
        layer[key] = plaintext
        layer.areas.add(key[:AREA])
        if fresh:
            layer.fresh.add(key)
        if plaintext:
            self._bytes += len(plaintext)
        if self._bytes > MAX_BYTES or len(self.effects) > MAX_KEYS:
            raise TooLarge(f"the request changes more than {MAX_KEYS} rows or {MAX_BYTES} bytes at once; split it")

    def drop_effects(self) -> None:
        """The call failed: only its charges stay."""
        self.effects = _NONE
        self._bytes = 0

    def require_epoch(self, epoch: int) -> None:
        """No record of an older epoch may be committed from this commit on."""
        if self.effects is _NONE:
            self.effects = Staged()
        self.effects.min_epoch = epoch

    def outcome(self) -> Staged:
        """What commits where the call succeeded: charges and effects."""
        if not self.charges:
            return self.effects
        self.charges.take(self.effects)
        return self.charges

    def view(self, area: bytes) -> View:
        """The rows of one mount or table."""
        return View(self, area)

    def _below(self, prefix: bytes) -> dict[bytes, bytes | None]:
        """Staged rows below a prefix."""
        below: dict[bytes, bytes | None] = {}
        if self.group is not None and self.touched(prefix[:AREA]):
            for layer in (self.group, self.charges, self.effects):
                below.update((key, value) for key, value in layer.items() if key.startswith(prefix) and len(key) > len(prefix))
        return below

    def children(self, prefix: bytes, after: bytes, limit: int) -> list[Child]:
        """Names below a prefix, staged ones included."""
        staged = self._below(prefix)
        storage = self.committed.store
        if not staged:
            return storage.children(prefix, after, limit)
        found = {child.key: child for child in storage.children(prefix, b"", -1)}
        for key in {row[: len(prefix) + 2 + int.from_bytes(row[len(prefix) : len(prefix) + 2], "big")] for row in staged}:
            child = self._recount(key, staged, found.get(key))
            if child is None:
                found.pop(key, None)
            else:
                found[key] = child
        ordered = [found[key] for key in sorted(found) if key > after]
        return ordered if limit < 0 else ordered[:limit]

    def _recount(self, key: bytes, staged: dict[bytes, bytes | None], before: Child | None) -> Child | None:
        """What a child is once the staged rows are written."""
        leaf = staged[key] is not None if key in staged else before is not None and before.leaf
        deeper = {row: value for row, value in staged.items() if row.startswith(key) and len(row) > len(key)}
        folder = any(value is not None for value in deeper.values())
        if not folder and before is not None and before.folder:
            rows = self.committed.store.scan(key + b"\0", key + b"\xff\xff\xff", len(deeper) + 1)
            folder = any(row not in deeper for row, _ in rows)
        return Child(key, leaf, folder) if leaf or folder else None

    def directory(self, prefix: bytes) -> Directory:
        """The directory of a prefix."""
        if self._below(prefix):
            return Directory(decrypted_names(self.keys, prefix, self.children(prefix, b"", -1)))
        return self.committed.directory(prefix)

    def listing(self, prefix: bytes) -> Directory:
        """The directory of a prefix, for a call that does nothing but list it. Raises Pause."""
        return self.directory(prefix) if self._below(prefix) else self.committed.listing(prefix)

    def want(self, keys: Collection[bytes]) -> None:
        """These rows will be read."""
        self.committed.want([key for key in keys if not self.staged(key)[0]])

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, decrypted, staged ones included."""
        staged: dict[bytes, bytes | None] = {}
        if self.group is not None:
            for layer in (self.group, self.charges, self.effects):
                staged.update((key, plaintext) for key, plaintext in layer.items() if start <= key < stop)
        enough = limit if limit < 0 else limit + sum(plaintext is None for plaintext in staged.values())
        open_row = self.committed.barrier.open
        rows: dict[bytes, bytes | None] = {
            key: None if key in staged else open_row(key, record) for key, record in self.committed.store.scan(start, stop, enough)
        }
        rows.update(staged)
        ordered = [(key, plaintext) for key, plaintext in sorted(rows.items()) if plaintext is not None]
        return ordered if limit < 0 else ordered[:limit]


def entry_masks(transaction: Transaction, key: bytes) -> Memo[Any, bytes] | None:
    """Audit's place beside a committed row; None while the row is staged."""
    if transaction.group is not None and transaction.staged(key)[0]:
        return None
    return transaction.committed.entry(key).masks
