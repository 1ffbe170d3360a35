"""Committed rows as plaintext: what every request sees before its own group's changes (core/transaction.py).

Rules of this file:
- What is kept here is dropped by `forget` alone, from what the store's feed says; nothing has a time to live.
- Other processes may commit at any time. Whoever reads outside a group calls `follow` first and asks `steady` afterwards: a state that
  was read half before and half after a commit is read again. Where this process commits alone both cost one comparison.
- A directory is the decrypted, sorted names below one prefix. When a row below it comes or goes it is read anew, or, where it is long,
  amended by that name once somebody asks: else whoever may make names decides how often all others are decrypted. One that is very long
  is read a page at a time (`Draft`): whoever asks for it waits, and nobody else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from strongroom.barrier.barrier import Barrier, Keys
from strongroom.barrier.cache import Cache, Entry
from strongroom.barrier.directory import Directory
from strongroom.barrier.keyring import BOOT, boot_payload
from strongroom.barrier.view import NAMES, decoder
from strongroom.core.call import Pause
from strongroom.storage.api import AREA, HEADER, Below, Child, Feed, Group, Scan, Storage
from strongroom.storage.newest import ALONE, Newest, stamp

T = TypeVar("T")

MAX_LISTED = 200_000
"""Names kept in decrypted directories, over all prefixes."""
LONG = 16
MOST_AMENDED = 32
"""Names of a directory that is worth amending, and how many changes of one commit: each takes a look at the store, as long as decrypting
three names and masking them for audit."""
PAGE = 500
"""Names that are decrypted in one go where the call can pause: two milliseconds."""


class Draft:
    """A directory that is being read, up to the child `after`, and the children that changed meanwhile. It lives while a call waits for it.

    `lost`: too much changed; the next who asks reads it at once, since it must end some time.
    """

    __slots__ = ("__weakref__", "after", "changed", "lost", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.after = b""
        self.changed: set[bytes] = set()
        self.lost = False


class Committed:
    """Plaintext of committed rows, through the cache. `gsn` is the commit up to which the cache is known to be right.

    `newest[0]` equals `standing` while no process has committed since. `followers` are called after others' commits were heard of.
    """

    def __init__(self, storage: Storage, barrier: Barrier, cache: Cache) -> None:
        self.storage = storage
        self.barrier = barrier
        self.cache = cache
        self._directories: dict[bytes, Directory] = {}
        self._outdated: dict[bytes, tuple[Directory, set[bytes]]] = {}
        self._drafts: WeakValueDictionary[bytes, Draft] = WeakValueDictionary()
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
        return self._directories.get(prefix) or self._amended(prefix) or self._kept(prefix, self._whole(prefix))

    def listing(self, prefix: bytes) -> Directory:
        """The same for a call that lists it; one that takes long is read a page in each run. Raises Pause."""
        draft = self._drafts.get(prefix) or Draft()
        if prefix in self._directories or prefix in self._outdated or draft.lost:
            return self.directory(prefix)
        page = self._page(prefix, draft.after)
        names = decrypted_names(self.barrier.keys, prefix, page)
        if len(page) == PAGE:
            draft.names += names
            draft.after = page[-1].key
            self._drafts[prefix] = draft
            raise Pause((DRAFT, prefix), draft)
        directory = Directory(sorted(draft.names + names))
        directory = self._kept(prefix, self._looked_at(prefix, directory, draft.changed) if draft.changed else directory)
        self._drafts.pop(prefix, None)
        return directory

    def _whole(self, prefix: bytes) -> Directory:
        return Directory(decrypted_names(self.barrier.keys, prefix, self.store.children(prefix, b"", -1)))

    def _page(self, prefix: bytes, after: bytes) -> list[Child]:
        """The next children, in the store's order. From another machine all come in one answer."""
        if self.storage.local:
            return self.store.children(prefix, after, PAGE)
        found = self.store.children(prefix, b"", -1)
        at = bisect_right(found, after, key=lambda child: child.key)
        return found[at : at + PAGE]

    def _kept(self, prefix: bytes, directory: Directory) -> Directory:
        self._listed += len(directory) + 1
        if self._listed > MAX_LISTED:
            self._let_go()
            self._listed = len(directory) + 1
        self._directories[prefix] = directory
        directory.stands = True
        return directory

    def _let_go(self) -> None:
        for directory in self._directories.values():
            directory.stands = False
        self._directories.clear()
        self._outdated.clear()
        self._listed = 0

    def forget(self, keys: Collection[bytes] | None, came_or_went: Collection[bytes] | None) -> None:
        """A commit changed these rows; `came_or_went` are those that did not exist before or do not any more."""
        self.cache.forget(keys)
        if came_or_went is None:
            self._let_go()
            for draft in self._drafts.values():
                draft.lost = True
        elif self._directories or self._outdated or self._drafts:
            self._note([key for key in came_or_went if key[AREA] == NAMES[0]])

    def _note(self, keys: list[bytes]) -> None:
        """Rows of these names came or went."""
        changed: dict[bytes, set[bytes]] = {}
        for key in keys:
            above = parents(key)
            for prefix, child in zip(above, [*above[1:], key], strict=True):
                if prefix in self._directories or prefix in self._outdated or prefix in self._drafts:
                    changed.setdefault(prefix, set()).add(child)
        for prefix, children in changed.items():
            self._outdate(prefix, children)
            draft = self._drafts.get(prefix)
            if draft is not None:
                draft.changed |= children
                draft.lost |= len(draft.changed) > MOST_AMENDED

    def _outdate(self, prefix: bytes, children: set[bytes]) -> None:
        directory = self._directories.pop(prefix, None)
        if directory is not None:
            directory.stands = False
            self._outdated[prefix] = directory, children
        elif prefix in self._outdated:
            self._outdated[prefix][1].update(children)
        else:
            return
        directory, noted = self._outdated[prefix]
        if len(directory) < LONG or len(noted) > MOST_AMENDED:
            del self._outdated[prefix]
            self._listed -= len(directory) + 1

    def _amended(self, prefix: bytes) -> Directory | None:
        """A directory of which a few names came or went since, as it is now; None where it is not known."""
        if prefix not in self._outdated:
            return None
        before, changed = self._outdated[prefix]
        after = self._looked_at(prefix, before, changed)
        del self._outdated[prefix]
        self._listed -= len(before) + 1
        return self._kept(prefix, after)

    def _looked_at(self, prefix: bytes, directory: Directory, children: Collection[bytes]) -> Directory:
        """A directory in which these children are as the store has them now."""
        scans = {child: (child + b"\0", child + b"\xff\xff\xff", 1) for child in children}
        self.want(children, [Scan(*scan) for scan in scans.values()])
        changes = []
        for child, scan in scans.items():
            name = self.barrier.keys.names.name(prefix, child[len(prefix) :])
            changes += [(name, self.entry(child).record is not None), (name + "/", bool(self.store.scan(*scan)))]
        return directory.amended(changes)

    def want(self, keys: Collection[bytes], ranges: Collection[Scan | Below] = ()) -> None:
        """These will be read: on another machine one question for all of them. Raises Missing there."""


DRAFT: Final = "draft"
"""Under this name a call holds a draft."""


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
