"""A standby nearby, that rows are read from where the primary is far away.

Rules of this file:
- It decides nothing. It is of use for rows only that are certain to be the primary's at a commit that the primary told of. So it may
  lag, stop, be promoted, or belong to another history altogether.
- It is certain in two cases. It stands at a commit that we know by its id, and the primary told us that a row did not change since. Or it
  is ahead of what we have heard, has our last commit with the id that we know, and says that a row did not change since.
- What takes longer than a moment is not waited for: the primary is there to be asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from strongroom.errors import ConfigError
from strongroom.storage.api import Feed, Fetched, Wanted
from strongroom.storage.postgres import schema
from strongroom.storage.postgres.entry import settle
from strongroom.storage.postgres.history import Answer, History, answer
from strongroom.storage.postgres.link import Line, Link, conninfo, unusable
from strongroom.storage.postgres.reading import read_ranges, snapshot

PATIENCE = 1.0
"""Seconds for one answer. It stands a millisecond away; asking the far primary instead costs a tenth of a second."""


def nearby(url: str) -> str:
    """The connection string; of several hosts a standby is taken first. Raises ConfigError."""
    try:
        filled = conninfo(url)
    except ConfigError:
        raise ConfigError(
            'storage "postgresql": the read_url cannot be read; it is written like connection_url and names a standby, '
            "such as postgres://strongroom@standby.example.com/strongroom"
        ) from None
    if "target_session_attrs" in conninfo_to_dict(url):
        return filled
    return make_conninfo(filled, target_session_attrs="prefer-standby")


class Standby:
    """See `storage.api.Replica`; for one thread."""

    def __init__(self, url: str, history: History, now: Callable[[], float] = time.monotonic) -> None:
        self._address = nearby(url)
        self._history = history
        self._line = Line(self._connect, now)

    def _connect(self) -> Link:
        try:
            link = Link.connect(self._address, autocommit=True)
        except psycopg.Error as error:
            raise unusable("reached", error) from None
        link.patience = PATIENCE
        try:
            settle(link, statement_timeout=f"{PATIENCE:.0f}s")
        except psycopg.Error as error:
            link.close()
            raise unusable("used", error) from None
        return link

    def fetch(self, gsn: int, wanted: Wanted) -> Fetched:
        """See `storage.api.Replica`."""
        try:
            link = self._line.get()
            with snapshot(link) if wanted.ranges else nullcontext():
                found = answer(gsn - 1, link.ask(schema.FETCH, {"since": gsn - 1, "keys": list(wanted.keys)}).fetchall())
                scans, below = read_ranges(link, wanted)
        except psycopg.Error as error:
            self._line.drop()
            raise unusable("read from the standby", error) from None
        except BaseException:
            self._line.drop()
            raise
        return self._certain(gsn, found, Fetched(wanted, found.feed, found.rows, scans, below))

    def _certain(self, gsn: int, found: Answer, fetched: Fetched) -> Fetched:
        """What is certain of what was found: what did not change between the commit that the standby is at, and ours."""
        between = self._between(gsn, found)
        certain = Wanted() if between is None else fetched.wanted.untouched(between)
        return fetched._replace(feed=Feed(gsn, frozenset()), wanted=certain)

    def _between(self, gsn: int, found: Answer) -> set[bytes] | None:
        at = found.newest
        if at.gsn <= gsn:
            return self._history.between(at.gsn, gsn) if self._history.knows(at) else None
        if found.changes and self._history.knows(found.changes[0].commit):
            return {key for change in found.changes[1:] for key in change.keys or ()}
        return None

    def close(self) -> None:
        """Let go of the connection."""
        self._line.drop()
