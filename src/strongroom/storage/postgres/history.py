"""Which commits the database has had lately, what they changed, and what a question about them is answered with.

Rules of this file:
- The same number with the same id is the same commit, and everything before it is the same as well: each commit follows the one before.
- Only what the primary says is remembered.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import NamedTuple

from strongroom.errors import StorageUnusable
from strongroom.storage import walk
from strongroom.storage.api import Feed
from strongroom.storage.postgres import schema

REMEMBERED = 2_048
"""Commits that a standby may lie behind and still be of use: some seconds' worth, a megabyte or two."""


class Commit(NamedTuple):
    """A commit by number and id."""

    gsn: int
    id: bytes


class Change(NamedTuple):
    """A commit and the rows that it changed; None where that was not spelled out."""

    commit: Commit
    keys: Collection[bytes] | None


class Answer(NamedTuple):
    """One answer to `schema.FETCH`, as of the commit `newest`. `changes` are those since then, empty where they are not spelled out;
    `before` is the commit that they go on from, where the database remembers it."""

    feed: Feed
    min_epoch: int
    newest: Commit
    before: Commit | None
    changes: tuple[Change, ...]
    rows: dict[bytes, bytes]


def answer(since: int, rows: list[tuple[int, int, int, bytes, bytes]]) -> Answer:
    """Take an answer apart. Only an unbroken run of groups is a feed, and one that begins where it was asked for."""
    newest = next((row for row in rows if row[0] == schema.NEWEST), None)
    if newest is None:
        raise StorageUnusable("the row that counts the commits is missing; restore the database from a backup")
    _, gsn, min_epoch, group_id, _ = newest
    before = next((Commit(row[1], row[3]) for row in rows if row[0] == schema.WITNESS), None)
    groups = [row for row in rows if row[0] == schema.CHANGE]
    found = {row[3]: row[4] for row in rows if row[0] == schema.ROW}
    if len(groups) > schema.FEED_LIMIT or len(groups) != gsn - since or (since and before is None):
        return Answer(Feed(gsn, None), min_epoch, Commit(gsn, group_id), before, (), found)
    try:
        changed = [walk.unpack(row[4]) for row in groups]
    except ValueError:
        raise StorageUnusable("the list of changes is damaged; restore the database from a backup") from None
    changes = tuple(Change(Commit(row[1], row[3]), keys) for row, keys in zip(groups, changed, strict=True))
    return Answer(Feed(gsn, frozenset().union(*changed)), min_epoch, Commit(gsn, group_id), before, changes, found)


class History:
    """The last commits; for several threads."""

    def __init__(self) -> None:
        self._changes: dict[int, Change] = {}
        self._taking = threading.Lock()

    def take(self, told: Answer) -> None:
        """The primary said this."""
        if told.changes or told.newest.gsn not in self._changes:
            self.note(*(told.changes or (Change(told.newest, None),)))

    def note(self, *changes: Change) -> None:
        """The primary has these commits."""
        with self._taking:
            self._changes.update((change.commit.gsn, change) for change in changes)
            while len(self._changes) > REMEMBERED:
                del self._changes[next(iter(self._changes))]

    def restart(self, commit: Commit) -> None:
        """The database was filled anew, as of this commit."""
        with self._taking:
            self._changes = {commit.gsn: Change(commit, None)}

    def denies(self, commit: Commit) -> bool:
        """Whether the commit of that number was another one."""
        known = self._changes.get(commit.gsn)
        return known is not None and known.commit.id != commit.id

    def knows(self, commit: Commit) -> bool:
        """Whether this is one of the primary's, for certain."""
        known = self._changes.get(commit.gsn)
        return known is not None and commit.id != b"" and known.commit.id == commit.id

    def between(self, gsn: int, later: int) -> set[bytes] | None:
        """Rows that changed after one commit, up to a later one; None where that is not known."""
        keys: set[bytes] = set()
        for number in range(gsn + 1, later + 1):
            change = self._changes.get(number)
            if change is None or change.keys is None:
                return None
            keys.update(change.keys)
        return keys
