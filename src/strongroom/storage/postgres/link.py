"""A connection to PostgreSQL: where to, that every wait has an end, and what a driver's error is called. What must hold before it is
used stands in `entry.py`.

Rules of this file:
- No error quotes the connection string: there may be a password in it.
- The client waits no longer than `WAIT_SECONDS` for any answer, whatever the network does.
- A connection that ended while nobody used it is found out before it is used, so that nobody's request fails for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from select import POLLIN, poll
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from strongroom.errors import ConfigError, StorageUnusable

T = TypeVar("T")

WAIT_SECONDS = 5.0
"""For an answer of a server that is there; with what it takes to connect a request fails within ten seconds."""
STATEMENT_SECONDS = 4
IDLE_SECONDS = 2
"""How long an open group may be silent: a node that stalls while it holds the lock is put out after that."""
STALLED_SECONDS = STATEMENT_SECONDS + IDLE_SECONDS
"""Whoever has held the lock for so long and begun nothing has stalled: no statement of a group takes longer, nor a pause behind one."""
TOO_LONG = "57014"
"""A statement was not done in time."""
CONNECT: Mapping[str, str | int] = {
    "target_session_attrs": "read-write",
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 6_000,
    "application_name": "strongroom",
}
"""What the connection string does not say otherwise."""


class Link(psycopg.Connection[TupleRow]):
    """A connection whose every wait ends, after `patience` seconds. `warned`: the server said something beside its answers."""

    warned = False
    patience = WAIT_SECONDS

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval=interval, timeout=self.patience if timeout is None else min(timeout, self.patience))

    def ask(self, statement: str, parameters: Any = None) -> psycopg.Cursor[TupleRow]:
        """Run a statement of ours, prepared once per connection."""
        return self.execute(statement, parameters, prepare=True, binary=True)

    def hear(self) -> None:
        """Note from now on what the server says beside its answers."""
        self.add_notice_handler(self._note)

    def _note(self, _notice: psycopg.errors.Diagnostic) -> None:
        self.warned = True

    @property
    def stale(self) -> bool:
        """Whether the server closed this idle connection, or said something that nobody asked for: its good-bye, or a changed setting."""
        if self.closed:
            return True
        pending = poll()
        pending.register(self.fileno(), POLLIN)
        return bool(pending.poll(0))


class Server(NamedTuple):
    """Which server a connection leads to."""

    timeline: int
    version: int


def conninfo(url: str) -> str:
    """The connection string with what it left open filled in. Raises ConfigError."""
    try:
        return make_conninfo("", **{**CONNECT, **{name: value for name, value in conninfo_to_dict(url).items() if value is not None}})
    except psycopg.Error:
        raise ConfigError(
            'storage "postgresql": the connection_url cannot be read; '
            "write postgres://user@host:5432/database?sslmode=verify-full, special characters of a password as %XX"
        ) from None


LISTS = ("host", "hostaddr", "port")
"""What a connection string gives a list of, an element for each server."""


def each_alone(url: str) -> list[str]:
    """A connection string for each server of one that names several; none where it names one."""
    said = conninfo_to_dict(url)
    lists = {name: str(said[name]).split(",") for name in LISTS if said.get(name)}
    count = max((len(values) for values in lists.values()), default=1)
    if count == 1:
        return []
    return [make_conninfo(url, **{name: values[min(place, len(values) - 1)] for name, values in lists.items()}) for place in range(count)]


HINTS: Mapping[str, str] = {
    "42501": "the role lacks rights; have it own its tables and the schema that they are in, or its database",
    "25006": "it is read-only; have it take writes, or name the primary",
    "53100": "its disk is full; free some space there",
    TOO_LONG: "it took too long",
}
"""SQLSTATE → what to do. A login that is refused has none in this driver: what the server said of it is in the note."""


def unusable(doing: str, error: psycopg.Error) -> StorageUnusable:
    """The typed form of a driver's error. What the driver said names hosts and users: a note, for the log, not for callers."""
    code = error.sqlstate or ""
    made = StorageUnusable(f"the database cannot be {doing}: {HINTS.get(code, 'reads and writes resume by themselves once it can')}")
    said = error.diag.message_primary or str(error).strip() or type(error).__name__
    made.add_note(f"{said} ({code})" if code else said)
    return made


class Line:
    """The place of one connection: opened when it is needed, dropped when it failed, and not tried again too often."""

    def __init__(self, connect: Callable[[], Link], now: Callable[[], float]) -> None:
        self._connect = connect
        self._now = now
        self._link: Link | None = None
        self._failure: tuple[float, StorageUnusable] | None = None
        self._pause = 0.0

    def get(self) -> Link:
        """The connection. Raises StorageUnusable, at once where the last try was just now."""
        if self._link is not None and self._link.stale:
            self.drop()
        if self._link is None:
            if self._failure is not None and self._now() < self._failure[0]:
                raise _again(self._failure[1])
            try:
                self._link = self._connect()
            except StorageUnusable as error:
                self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
                self._failure = (self._now() + self._pause, error)
                raise
            self._failure, self._pause = None, 0.0
        return self._link

    def drop(self) -> None:
        """Close it; what was under way in it is undone by the server."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


def _again(error: StorageUnusable) -> StorageUnusable:
    """The same error, to be raised in another thread."""
    made = type(error)(*error.messages)
    for note in getattr(error, "__notes__", ()):
        made.add_note(note)
    return made


FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between tries to connect."""
