"""The store for several nodes, in one PostgreSQL database.

Rules of this file:
- One connection reads and one writes. Whoever reads waits for his turn on it: many rows are asked for at once, so one is enough.
- Groups of all nodes queue on an advisory lock that ends with its transaction. Feed, index row and wanted rows are read by a statement
  behind it; everything a group writes goes out in one flight with its COMMIT.
- A holder of the lock that stalls is put out: by the server where it is silent, else by whoever waited for the lock in vain.
- A failed statement drops its connection, which undoes what was under way in it.
- The history only goes on. A server that is behind what this process has seen, or on an older timeline, or that has another group where
  this process saw one, is refused: it was restored, or promoted without the last commits. Where the address names several servers the
  others are tried then: a former primary may take connections beside the present one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple

import psycopg

from strongroom.errors import StorageUnusable
from strongroom.storage.api import INDEX_KEY, Below, Child, Feed, Fetched, Node, Scan, Wanted
from strongroom.storage.postgres import schema
from strongroom.storage.postgres.entry import advice, connect
from strongroom.storage.postgres.group import PostgresGroup
from strongroom.storage.postgres.history import Answer, Commit, History, answer
from strongroom.storage.postgres.link import STALLED_SECONDS, TOO_LONG, WAIT_SECONDS, Line, Link, Server, each_alone, unusable
from strongroom.storage.postgres.reading import read_children, read_ranges, snapshot
from strongroom.storage.postgres.standby import Standby
from strongroom.storage.postgres.whole import PostgresInstant, read_scan, replace
from strongroom.storage.whole import Rows

OUTCOME_SECONDS = 7.0
"""How long after it was sent a lost commit is looked for: about what a standby takes to be promoted by a quick manager."""
LAST_TRY_SECONDS = 3.0
"""For a try that began in time, so that its request is answered within ten seconds."""
OUTCOME_PAUSE = 0.2
HALFWAY = "the connection broke off while the database was replaced: it has all of the old rows or all of the new ones; do it again"
LIVE_SECONDS = 12.0
"""A node that was not heard of for so long is not listed."""


class AnotherHistory(StorageUnusable):
    """The server does not go on with what was seen here."""


class Seen(NamedTuple):
    """The newest commit that this process knows of, and the timeline it was on."""

    gsn: int = 0
    timeline: int = 0


class PostgresStorage:
    """`storage "postgresql"`; see `storage.api.RemoteStorage`."""

    local = False
    kind = "postgresql"

    def __init__(self, url: str, *, read_url: str = "", now: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self.history = History()
        self.replica = Standby(read_url, self.history, now) if read_url else None
        self._reader = Line(self._connect, now)
        self._writer = Line(self._connect, now)
        self._reading = threading.Lock()
        self._turn = threading.Lock()
        self._seen = Seen()
        self.sent = 0.0
        """When the last COMMIT went out."""
        self._noting = threading.Lock()
        self._closed = False
        self._process = os.getpid()
        self.refused: Callable[[StorageUnusable], None] = lambda _error: None

    # -- reading ------------------------------------------------------------------------------------------------

    def fetch(self, since: int, wanted: Wanted) -> Fetched:
        with self._read() as link:
            if wanted.ranges:
                return self._fetch_ranges(link, since, wanted)
            found = self._ask(link, since, list(wanted.keys))
        return Fetched(wanted, found.feed, found.rows, {}, {})

    def _fetch_ranges(self, link: Link, since: int, wanted: Wanted) -> Fetched:
        with snapshot(link):
            found = self._ask(link, since, list(wanted.keys))
            scans, below = read_ranges(link, wanted)
        return Fetched(wanted, found.feed, found.rows, scans, below)

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        if not keys:
            return {}
        with self._read() as link:
            return self._ask(link, self._seen.gsn, keys).rows

    def children(self, prefix: bytes, after: bytes, limit: int) -> list[Child]:
        with self._read() as link, snapshot(link):
            return read_children(link, Below(prefix, after, limit))

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        with self._read() as link:
            return read_scan(link, Scan(start, stop, limit))

    def changed(self, since: int) -> Feed:
        with self._read() as link:
            return self._ask(link, since, ()).feed

    @contextmanager
    def _read(self) -> Iterator[Link]:
        """The reading connection, when it is this thread's turn."""
        with self._reading:
            self._need_open()
            try:
                yield self._reader.get()
            except psycopg.Error as error:
                self._reader.drop()
                raise unusable("read", error) from None
            except BaseException:
                self._reader.drop()
                raise

    def _ask(self, link: Link, since: int, keys: Sequence[bytes]) -> Answer:
        """Feed and rows of one instant, which must not lie behind what was seen."""
        seen = self._seen
        found = answer(since, link.ask(schema.FETCH, {"since": since, "keys": list(keys)}).fetchall())
        self._need_same(seen, found)
        self._told(found)
        return found

    def beat(self, node: Node, *, first: bool) -> list[Node]:
        with self._read() as link:
            link.ask(schema.BEAT, {**node._asdict(), "first": first})
            if first:
                link.ask(schema.FORGET_NODES)
            return [Node(*row) for row in link.ask(schema.NODES, [LIVE_SECONDS]).fetchall()]

    def leave(self, node_id: str) -> None:
        with self._read() as link:
            link.ask(schema.LEAVE, [node_id])

    # -- writing ------------------------------------------------------------------------------------------------

    def begin(self, since: int, keys: Sequence[bytes]) -> PostgresGroup:
        return self.begin_with(since, Wanted(frozenset(keys)))

    def begin_with(self, since: int, wanted: Wanted) -> PostgresGroup:
        self._turn.acquire()
        try:
            self._need_open()
            return self._locked(self._writer.get(), since, wanted)
        except psycopg.Error as error:
            self.release(failed=True)
            raise self.refuse("locked for writing", error, *(self._put_out() if error.sqlstate == TOO_LONG else ())) from None
        except BaseException as error:
            self.release(failed=True)
            if isinstance(error, StorageUnusable):
                self.refused(error)
            raise

    def refuse(self, doing: str, error: psycopg.Error, *more: str) -> StorageUnusable:
        """Why a group failed, in our words; whoever keeps the log has heard it."""
        made = unusable(doing, error)
        for text in more:
            made.add_note(text)
        self.refused(made)
        return made

    def _locked(self, link: Link, since: int, wanted: Wanted) -> PostgresGroup:
        keys = [*wanted.keys, INDEX_KEY]
        cursor = link.execute(schema.opening(since, keys))
        while cursor.nextset():
            pass
        found = answer(since, cursor.fetchall())
        self._need_same(self._seen, found)
        self._told(found)
        scans, below = read_ranges(link, wanted)
        return PostgresGroup(self, link, found.min_epoch, Fetched(wanted, found.feed, found.rows, scans, below))

    def _put_out(self) -> list[str]:
        """The lock was waited for in vain. A holder that stalled is put out, and whoever tries next gets it; who was left is said."""
        with suppress(StorageUnusable, psycopg.Error), closing(self._connect()) as link:
            holders = link.execute(schema.PUT_OUT, [STALLED_SECONDS]).fetchall()
            return [f"session {pid} of the role {role} has the lock" for pid, role, ended in holders if not ended]
        return []

    def try_begin(self, since: int) -> PostgresGroup | None:
        """Never: the lock is on another machine."""
        return None

    def outcome(self, group_id: bytes) -> int | None:
        """See `storage.api.Storage`. Asked behind the lock, so that a commit still under way is over, one way or the other.

        None is as certain as a number: a server that goes on with what was seen here has every commit that anybody was told of.
        """
        until = max(self.sent + OUTCOME_SECONDS, time.monotonic())
        while True:
            self._need_open()
            try:
                return self._look_up(group_id, until + LAST_TRY_SECONDS)
            except StorageUnusable:
                if time.monotonic() > until:
                    raise
            time.sleep(OUTCOME_PAUSE)

    def _look_up(self, group_id: bytes, end: float) -> int | None:
        """On the writing connection: whoever commits next finds it there, or is told at once that there is none."""
        with self._turn:
            try:
                link = self._writer.get()
                link.patience = min(WAIT_SECONDS, max(0.1, end - time.monotonic()))
                found = _outcome(link, group_id)
                link.patience = WAIT_SECONDS
            except psycopg.Error as error:
                self._writer.drop()
                raise unusable("asked", error) from None
            except BaseException:
                self._writer.drop()
                raise
            return found

    # -- as a whole ---------------------------------------------------------------------------------------------

    @contextmanager
    def instant(self) -> Iterator[PostgresInstant]:
        """See `storage.whole.Whole`."""
        self._need_open()
        link = self._connect()
        try:
            yield PostgresInstant(link)
        except psycopg.Error as error:
            raise unusable("read", error) from None
        finally:
            link.close()

    def replace(self, pages: Iterable[Rows], gsn: int, min_epoch: int) -> None:
        """See `storage.whole.Whole`. Other nodes have seen a newer commit, and refuse this store until they are started anew."""
        self._need_open()
        link = self._connect()
        try:
            group_id = replace(link, pages, gsn, min_epoch)
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise StorageUnusable(HALFWAY) from None
            raise unusable("replaced", error) from None
        finally:
            link.close()
        self.history.restart(Commit(gsn, group_id))
        with self._noting:
            self._seen = self._seen._replace(gsn=gsn)

    def release(self, *, failed: bool) -> None:
        """A group ended: let the next one begin."""
        if failed:
            self._writer.drop()
        self._turn.release()

    # -- connections --------------------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Connect once, at start; returns what is worth changing. Raises StorageUnsafe, and StorageUnusable where nobody answers."""
        with self._read() as link:
            return advice(link)

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True
        if self._process == os.getpid():
            with self._reading:
                self._reader.drop()
            if self._turn.acquire(timeout=1.0):
                self.release(failed=True)

    def _need_open(self) -> None:
        if self._closed:
            raise StorageUnusable("the store is closed")
        if self._process != os.getpid():
            raise StorageUnusable("the store was made before this process was forked; construct another after the fork")

    def _connect(self) -> Link:
        try:
            return self._connect_to(self._url)
        except AnotherHistory:
            for url in each_alone(self._url):
                with suppress(StorageUnusable):
                    return self._connect_to(url)
            raise

    def _connect_to(self, url: str) -> Link:
        link, server = connect(url)
        try:
            self._recognise(link, server)
        except psycopg.Error as error:
            link.close()
            raise unusable("read", error) from None
        except BaseException:
            link.close()
            raise
        return link

    def _recognise(self, link: Link, server: Server) -> None:
        """Raises AnotherHistory unless this server goes on with the history that was seen."""
        seen = self._seen
        if server.timeline < seen.timeline:
            raise AnotherHistory(
                f"the database is on timeline {server.timeline}, and {seen.timeline} was seen: it is a former primary; "
                "stop it, and let it follow the present one"
            )
        found = answer(seen.gsn, link.execute(schema.FETCH, {"since": seen.gsn, "keys": []}, binary=True).fetchall())
        self._need_same(seen, found)
        with self._noting:
            self._seen = self._seen._replace(timeline=server.timeline)

    def _need_same(self, seen: Seen, found: Answer) -> None:
        """Raises AnotherHistory unless what was found goes on with what was seen: a database may be filled anew beneath a connection."""
        if found.newest.gsn < seen.gsn:
            raise _behind(seen, found.newest.gsn)
        for commit in filter(None, (found.before, found.newest)):
            if self.history.denies(commit):
                raise AnotherHistory(
                    f"the database has another commit {commit.gsn} than the one that was seen here: it was restored, or a failover lost "
                    "commits that had been answered; find out which from the audit files, then restart strongroom"
                )

    def _told(self, found: Answer) -> None:
        """The database said this."""
        self.history.take(found)
        self.note(found.newest.gsn)

    def note(self, gsn: int) -> None:
        """A commit was seen, or made."""
        with self._noting:
            if gsn > self._seen.gsn:
                self._seen = self._seen._replace(gsn=gsn)


def _behind(seen: Seen, gsn: int) -> AnotherHistory:
    return AnotherHistory(
        f"the database is at commit {gsn}, and {seen.gsn} was seen here: it was restored, or a failover lost commits that had been "
        "answered; find out which from the audit files, then restart strongroom"
    )


def _outcome(link: Link, group_id: bytes) -> int | None:
    link.execute(schema.BEGIN)
    link.execute(schema.TAKE_LOCK)
    found = link.execute(schema.OUTCOME, [group_id], binary=True).fetchone()
    if found is not None:
        link.execute(schema.TOUCH)
    link.warned = False
    link.execute("COMMIT")
    if link.warned:
        raise StorageUnusable("the database committed without its standbys")
    return None if found is None else int(found[0])
