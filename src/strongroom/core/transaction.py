"""One call's reads and staged writes, on committed state plus what the group has so far.

Rules of this file:
- A transaction is frozen to its moment: outside a group it only reads, and staging raises NeedsCommit, which moves the call to the
  writing queue; inside a group it sees the freshest state, and nobody else writes.
- Effects commit only if the call succeeds; charges commit in any case. Both are plaintext here; the barrier seals them at the end.
- Nothing is written to the store from here.
"""

from __future__ import annotations

from typing import Any, TypeVar

from strongroom.barrier.barrier import Barrier, Keys
from strongroom.barrier.cache import Cache, Entry
from strongroom.barrier.keyring import BOOT, boot_payload
from strongroom.barrier.view import View, decoder
from strongroom.errors import TooLarge
from strongroom.storage.api import AREA, HEADER, Child, Storage

T = TypeVar("T")

MAX_KEYS = 1_000
MAX_BYTES = 4 << 20
"""What one call may stage: a group holds the store's lock, so it must stay short. Bulk verbs use a tombstone and a job."""


class NeedsCommit(Exception):
    """The call wants to write and must run in a group."""


class Committed:
    """Plaintext of committed rows, through the cache. `gsn` is the commit up to which the cache is known to be right."""

    def __init__(self, storage: Storage, barrier: Barrier, cache: Cache) -> None:
        self.storage = storage
        self.barrier = barrier
        self.cache = cache
        self._directories: dict[bytes, list[str]] = {}
        self._listed = 0
        self.gsn = 0

    def entry(self, key: bytes) -> Entry:
        """What the store holds at a row key."""
        entry = self.cache.rows.get(key)
        if entry is None:
            entry = self.cache.keep(key, self.storage.get_many((key,)).get(key))
        return entry

    def plain(self, key: bytes) -> bytes | None:
        """Decrypt a row."""
        record = self.entry(key).record
        if record is None:
            return None
        return boot_payload(record) if key[:HEADER] == BOOT else self.barrier.open(key, record)

    def value(self, key: bytes, kind: type[T]) -> T | None:
        """A decoded row, kept."""
        entry = self.entry(key)
        if entry.record is None:
            return None
        if entry.value is None:
            entry.value = decoder(kind).decode(self.barrier.open(key, entry.record))
        kept: T = entry.value
        return kept

    def old_records(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """The records now standing at these rows, for the index.

        All of them are cached from here on: until the commit is known, whoever reads several rows sees all of them as they were before.
        """
        found: dict[bytes, bytes] = {}
        missing = []
        for key in keys:
            entry = self.cache.rows.get(key)
            if entry is None:
                missing.append(key)
            elif entry.record is not None:
                found[key] = entry.record
        if missing:
            records = self.storage.get_many(missing)
            for key in missing:
                self.cache.keep(key, records.get(key))
            found.update(records)
        return found

    def terms(self, keys: list[bytes]) -> dict[bytes, int]:
        """What rows count in the index, as far as it is known here."""
        rows = self.cache.rows
        return {key: entry.term for key in keys if (entry := rows.get(key)) is not None and entry.term}

    def names(self, prefix: bytes) -> list[str]:
        """The sorted directory of a prefix, kept until a name in it comes or goes."""
        kept = self._directories.get(prefix)
        if kept is None:
            kept = decrypted_names(self.barrier.keys, prefix, self.storage.children(prefix, b"", -1))
            self._listed += len(kept) + 1
            if self._listed > MAX_LISTED:
                self._directories.clear()
                self._listed = len(kept) + 1
            self._directories[prefix] = kept
        return kept

    def forget(self, keys: list[bytes] | None, came_or_went: list[bytes] | None) -> None:
        """A commit changed these rows; `came_or_went` are those that did not exist before or do not any more."""
        self.cache.forget(keys)
        if came_or_went is None:
            self._directories.clear()
            self._listed = 0
            return
        if self._directories:
            for key in came_or_went:
                for prefix in parents(key):
                    dropped = self._directories.pop(prefix, None)
                    if dropped is not None:
                        self._listed -= len(dropped) + 1


MAX_LISTED = 200_000
"""Names kept in decrypted directories, over all prefixes."""


def parents(key: bytes) -> list[bytes]:
    """The prefixes above a name row, from the mount down."""
    above = []
    at = HEADER
    if len(key) > HEADER and key[AREA] == 1:
        while at < len(key):
            above.append(key[:at])
            at += 2 + int.from_bytes(key[at : at + 2], "big")
    return above


def decrypted_names(keys: Keys, prefix: bytes, children: list[Child]) -> list[str]:
    """Sorted names; a child that is both a value and a folder gives two."""
    names = []
    for child in children:
        name = keys.names.name(prefix, child.key[len(prefix) :])
        if child.leaf:
            names.append(name)
        if child.folder:
            names.append(name + "/")
    names.sort()
    return names


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
        self._bytes += len(key) + (len(plaintext) if plaintext else 0)
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
        storage = self.committed.storage
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
            rows = self.committed.storage.scan(key + b"\0", key + b"\xff\xff\xff", len(deeper) + 1)
            folder = any(row not in deeper for row, _ in rows)
        return Child(key, leaf, folder) if leaf or folder else None

    def names(self, prefix: bytes) -> list[str]:
        """The sorted directory of a prefix."""
        if self._below(prefix):
            return decrypted_names(self.keys, prefix, self.children(prefix, b"", -1))
        return self.committed.names(prefix)

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Rows with start ≤ key < stop, decrypted, staged ones included."""
        staged: dict[bytes, bytes | None] = {}
        if self.group is not None:
            for layer in (self.group, self.charges, self.effects):
                staged.update((key, plaintext) for key, plaintext in layer.items() if start <= key < stop)
        enough = limit if limit < 0 else limit + sum(plaintext is None for plaintext in staged.values())
        open_row = self.committed.barrier.open
        rows: dict[bytes, bytes | None] = {
            key: None if key in staged else open_row(key, record) for key, record in self.committed.storage.scan(start, stop, enough)
        }
        rows.update(staged)
        ordered = [(key, plaintext) for key, plaintext in sorted(rows.items()) if plaintext is not None]
        return ordered if limit < 0 else ordered[:limit]


def entry_masks(transaction: Transaction, key: bytes) -> dict[Any, bytes] | None:
    """Audit's place beside a committed row; None while the row is staged."""
    if transaction.group is not None and transaction.staged(key)[0]:
        return None
    return transaction.committed.entry(key).masks
