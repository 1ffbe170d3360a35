"""Committed rows as plaintext: what every request sees before its own group's changes (core/transaction.py).

Rules of this file:
- What is kept here is dropped by `forget` alone, from what the store's feed says; nothing has a time to live.
- Other processes may commit at any time. Whoever reads outside a group calls `follow` first and asks `steady` afterwards: a state that
  was read half before and half after a commit is read again. Where this process commits alone both cost one comparison.
- A directory is the decrypted, sorted names below one prefix. When a row below it comes or goes it is read anew, or, where it is long and
  somebody asked for it since, amended by that name: else whoever may make names decides how often all others are decrypted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from strongroom.barrier.barrier import Barrier, Keys
from strongroom.barrier.cache import Cache, Entry
from strongroom.barrier.directory import Directory
from strongroom.barrier.keyring import BOOT, boot_payload
from strongroom.barrier.view import NAMES, decoder
from strongroom.errors import StrongroomError
from strongroom.storage.api import AREA, HEADER, Child, Feed, Group, Storage
from strongroom.storage.newest import ALONE, Newest, stamp

T = TypeVar("T")

MAX_LISTED = 200_000
"""Names kept in decrypted directories, over all prefixes."""
LONG = 16
MOST_AMENDED = 64
"""Names of a directory that is worth amending, and how many changes of one commit: each takes a look at the store, as long as decrypting
three names and masking them for audit."""


class Committed:
    """Plaintext of committed rows, through the cache. `gsn` is the commit up to which the cache is known to be right.

    `newest[0]` equals `standing` while no process has committed since. `followers` are called after others' commits were heard of.
    """

    def __init__(self, storage: Storage, barrier: Barrier, cache: Cache) -> None:
        self.storage = storage
        self.barrier = barrier
        self.cache = cache
        self._directories: dict[bytes, Directory] = {}
        self._asked: set[bytes] = set()
        self._listed = 0
        self.gsn = 0
        self.newest: Sequence[int] = ALONE
        self.standing = ALONE[0]
        self.followers: list[Callable[[], None]] = []
        self._shared = self._looked = False
        self._group: Group | None = None

    # -- what others commit ---------------------------------------------------------------------------------------

    def share(self, newest: Newest) -> None:
        """Other processes commit too, and say so in this word."""
        self.newest, self._shared = newest.word, True
        self.stand(self.gsn)

    def stand(self, gsn: int) -> None:
        """The cache is right up to this commit."""
        self.gsn = gsn
        if self._shared:
            self.standing = stamp(gsn)

    def follow(self) -> None:
        """Drop what others changed; what is read from here on is of now. Raises StorageUnusable."""
        self._looked = False
        if self.newest[0] != self.standing:
            self.heard(self.storage.changed(self.gsn))

    def catch_up(self) -> None:
        """Be level with the store, outside of calls. Raises StorageUnusable."""
        self.follow()

    def heard(self, feed: Feed) -> None:
        """Drop what these commits of others changed."""
        if feed.keys is None:
            self.forget(None, None)
        elif feed.keys:
            self.forget(feed.keys, feed.keys)
        self.stand(feed.gsn)
        if feed.keys is None or feed.keys:
            for follower in self.followers:
                follower()

    def begun(self, group: Group) -> None:
        """A group opened: nobody else commits now, and it brought what others did."""
        self.heard(group.feed)

    def run(self, group: Group, _remembered: Mapping[Any, Any], call: Callable[[], T]) -> T:
        """Run a call under the lock. It reads in the group's own transaction, which then finds the pages that it changes."""
        self._group = group
        try:
            return call()
        finally:
            self._group = None

    def steady(self) -> bool:
        """Whether all that was read since `follow` was of one moment. What came from memory alone was."""
        return not self._looked or self.newest[0] == self.standing or self.storage.changed(self.gsn).gsn == self.gsn

    @property
    def store(self) -> Storage:
        """The store, to read from: what stands there may be newer than what is kept."""
        self._looked = True
        return self.storage

    # -- rows -----------------------------------------------------------------------------------------------------

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return self.store.get_many(keys) if self._group is None else self._group.more(keys)

    def entry(self, key: bytes) -> Entry:
        """What the store holds at a row key."""
        entry = self.cache.rows.get(key)
        if entry is None:
            entry = self.cache.keep(key, self._read((key,)).get(key))
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
            records = self._read(missing)
            for key in missing:
                self.cache.keep(key, records.get(key))
            found.update(records)
        return found

    def terms(self, keys: list[bytes]) -> dict[bytes, int]:
        """What rows count in the index, as far as it is known here."""
        rows = self.cache.rows
        return {key: entry.term for key in keys if (entry := rows.get(key)) is not None and entry.term}

    def directory(self, prefix: bytes) -> Directory:
        """The directory of a prefix, kept until a name in it comes or goes."""
        kept = self._directories.get(prefix)
        if kept is None:
            kept = Directory(decrypted_names(self.barrier.keys, prefix, self.store.children(prefix, b"", -1)))
            self._keep_directory(prefix, kept)
        if len(kept) >= LONG:
            self._asked.add(prefix)
        return kept

    def _keep_directory(self, prefix: bytes, directory: Directory) -> None:
        self._listed += len(directory) + 1
        if self._listed > MAX_LISTED:
            self._let_go()
            self._listed = len(directory) + 1
        self._directories[prefix] = directory
        directory.stands = True

    def _let_go(self) -> None:
        for directory in self._directories.values():
            directory.stands = False
        self._directories.clear()
        self._asked.clear()
        self._listed = 0

    def forget(self, keys: Collection[bytes] | None, came_or_went: Collection[bytes] | None) -> None:
        """A commit changed these rows; `came_or_went` are those that did not exist before or do not any more."""
        self.cache.forget(keys)
        if came_or_went is None:
            self._let_go()
        elif self._directories:
            self._amend([key for key in came_or_went if key[AREA] == NAMES[0]])

    def _amend(self, keys: list[bytes]) -> None:
        """Rows of these names came or went."""
        changed: dict[bytes, set[bytes]] = {}
        for key in keys:
            above = parents(key)
            for prefix, child in zip(above, [*above[1:], key], strict=True):
                if prefix in self._directories:
                    changed.setdefault(prefix, set()).add(child)
        for prefix, children in changed.items():
            directory = self._directories.pop(prefix, None)
            if directory is None:
                continue
            directory.stands = False
            self._listed -= len(directory) + 1
            if prefix in self._asked:
                self._asked.discard(prefix)
                if len(children) <= MOST_AMENDED and self.storage.local:
                    with suppress(StrongroomError):  # then it is read anew by who asks, and hears of it
                        self._keep_directory(prefix, self._amended(prefix, directory, children))

    def _amended(self, prefix: bytes, directory: Directory, children: set[bytes]) -> Directory:
        """A directory in which these children are as the store has them now."""
        store = self.store
        rows = store.get_many(tuple(children))
        changes = []
        for child in children:
            name = self.barrier.keys.names.name(prefix, child[len(prefix) :])
            below = store.scan(child + b"\0", child + b"\xff\xff\xff", 1)
            changes += [(name, child in rows), (name + "/", bool(below))]
        return directory.amended(changes)


def parents(key: bytes) -> list[bytes]:
    """The prefixes above a name row, from the mount down."""
    above = []
    at = HEADER
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
