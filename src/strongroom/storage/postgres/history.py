"""Which commits the database has had lately, by number and id, and what a question about them is answered with.

Rules of this file:
- The same number with the same id is the same commit, and everything before it is the same as well: each commit follows the one before.
- Only what the primary says is remembered.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from strongroom.errors import StorageUnusable
from strongroom.storage import walk
from strongroom.storage.api import Feed
from strongroom.storage.postgres import schema

REMEMBERED = 4_096
"""Commits: what a standby may lie behind and still be known, at 300 a second for a dozen seconds."""


class Commit(NamedTuple):
    """A commit by number and id."""

    gsn: int
    id: bytes


class Change(NamedTuple):
    """A commit and the rows that it changed."""

    commit: Commit
    keys: list[bytes]


class Answer(NamedTuple):
    """One answer to `schema.FETCH`, as of the commit `newest`. `changes` are those since then, empty where they are not spelled out."""

    feed: Feed
    min_epoch: int
    newest: Commit
    changes: tuple[Change, ...]
    rows: dict[bytes, bytes]


def answer(since: int, rows: list[tuple[int, int, int, bytes, bytes]]) -> Answer:
    """Take an answer apart. Only an unbroken run of groups is a feed."""
    newest = next((row for row in rows if row[0] == schema.NEWEST), None)
    if newest is None:
        raise StorageUnusable("the row that counts the commits is missing; restore the database from a backup")
    _, gsn, min_epoch, group_id, _ = newest
    groups = [row for row in rows if row[0] == schema.CHANGE]
    found = {row[3]: row[4] for row in rows if row[0] == schema.ROW}
    if len(groups) > schema.FEED_LIMIT or len(groups) != gsn - since:
        return Answer(Feed(gsn, None), min_epoch, Commit(gsn, group_id), (), found)
    try:
        changes = tuple(Change(Commit(row[1], row[3]), walk.unpack(row[4])) for row in groups)
    except ValueError:
        raise StorageUnusable("the list of changes is damaged; restore the database from a backup") from None
    keys = frozenset(key for change in changes for key in change.keys)
    return Answer(Feed(gsn, keys), min_epoch, Commit(gsn, group_id), changes, found)


class History:
    """Ids of the last commits; for several threads."""

    def __init__(self) -> None:
        self._ids: dict[int, bytes] = {}
        self._taking = threading.Lock()

    def take(self, told: Answer) -> None:
        """The primary said this."""
        self.note(*(change.commit for change in told.changes), told.newest)

    def note(self, *commits: Commit) -> None:
        """The primary has these."""
        with self._taking:
            self._ids.update(commits)
            while len(self._ids) > REMEMBERED:
                del self._ids[next(iter(self._ids))]

    def knows(self, commit: Commit) -> bool:
        """Whether this is one of the primary's, for certain."""
        return commit.id != b"" and self._ids.get(commit.gsn) == commit.id
