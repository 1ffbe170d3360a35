"""A connection to PostgreSQL: how it is made, what must hold before it is used, and that every wait has an end.

Rules of this file:
- Settings that are part of the promise are read on every new connection; a server that does not hold them is refused, each time.
- A lower setting is raised where a session may do that (synchronous_commit), and read back.
- No error quotes the connection string: there may be a password in it.
- The client waits no longer than `WAIT_SECONDS` for any answer, whatever the network does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from strongroom.errors import ConfigError, StorageUnsafe, StorageUnusable
from strongroom.storage.postgres import schema

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
OLDEST = 140_000
"""PostgreSQL 14."""

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

SESSION = f"""SELECT set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', false),
  set_config('statement_timeout', '{STATEMENT_SECONDS}s', false), set_config('row_security', 'off', false),
  set_config('default_transaction_isolation', 'read committed', false), set_config('default_transaction_deferrable', 'off', false),
  set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply')
             THEN current_setting('synchronous_commit') ELSE 'on' END, false)"""

REQUIRED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "fsync": (("on",), "a power loss would lose or damage what was answered"),
    "full_page_writes": (("on",), "a power loss would leave torn pages"),
    "synchronous_commit": (("on", "remote_apply"), "a crash would lose what was answered"),
    "data_sync_retry": (("off",), "after a failed fsync nobody knows what the disk holds"),
    "zero_damaged_pages": (("off",), "damaged pages would read as empty ones"),
    "ignore_checksum_failure": (("off",), "damage would not be noticed"),
    "default_transaction_read_only": (("off",), "nothing could be written"),
    "server_encoding": (("UTF8",), "another encoding refuses names that this one takes"),
    "idle_in_transaction_session_timeout": ((str(IDLE_SECONDS * 1_000),), "a stalled node would hold the lock for ever"),
}
"""Setting → what it must be, and what would happen otherwise."""

SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)"
SERVER = """SELECT pg_is_in_recovery(), pg_backend_pid(), current_setting('server_version_num')::int,
  CASE WHEN pg_is_in_recovery() THEN '0' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END"""
RELATIONS = """SELECT relname, relpersistence = 'p', relrowsecurity,
  relhasrules OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal),
  EXISTS (SELECT FROM aclexplode(relacl) AS granted WHERE granted.grantee = 0),
  has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
  FROM pg_class WHERE oid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)"""


class Link(psycopg.Connection[TupleRow]):
    """A connection whose every wait ends, after `patience` seconds. `warned`: the server said something beside its answers."""

    warned = False
    patience = WAIT_SECONDS

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval=interval, timeout=self.patience if timeout is None else min(timeout, self.patience))

    def ask(self, statement: str, parameters: Any = None) -> psycopg.Cursor[TupleRow]:
        """Run a statement of ours, prepared once per connection."""
        return self.execute(statement, parameters, prepare=True, binary=True)

    def _note(self, _notice: psycopg.errors.Diagnostic) -> None:
        self.warned = True


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
    "28000": "it refuses the login; check user, password and pg_hba.conf",
    "28P01": "it refuses the login; check user, password and pg_hba.conf",
    "25006": "it is read-only; have it take writes, or name the primary",
    "53100": "its disk is full; free some space there",
    "53300": "it has no connection left; raise max_connections",
    TOO_LONG: "it took too long",
}
"""SQLSTATE → what to do."""


def unusable(doing: str, error: psycopg.Error) -> StorageUnusable:
    """The typed form of a driver's error. What the driver said names hosts and users: a note, for the log, not for callers."""
    code = error.sqlstate or ""
    made = StorageUnusable(f"the database cannot be {doing}: {HINTS.get(code, 'reads and writes resume by themselves once it can')}")
    said = error.diag.message_primary or str(error).strip() or type(error).__name__
    made.add_note(f"{said} ({code})" if code else said)
    return made


def connect(url: str) -> tuple[Link, Server]:
    """A connection to a server that may be used, with our tables in it. Raises StorageUnusable, and StorageUnsafe where it may not."""
    try:
        link = Link.connect(conninfo(url), autocommit=True)
    except psycopg.Error as error:
        raise unusable("reached", error) from None
    try:
        server = _examined(link)
        _prepared(link)
        _need_relations(link)
        link.execute(schema.PREPARE)
        link.add_notice_handler(link._note)
    except psycopg.Error as error:
        link.close()
        raise unusable("used", error) from None
    except BaseException:
        link.close()
        raise
    return link, server


def _examined(link: Link) -> Server:
    recovering, pid, version, timeline = _one(link.execute(SERVER).fetchone())
    if version < OLDEST:
        raise StorageUnsafe(f"the database is PostgreSQL {version // 10_000}; strongroom needs 14 or newer")
    if recovering:
        raise StorageUnusable("the database is a standby in recovery; name the primary too, or have the standby promoted")
    if pid != link.info.backend_pid:
        raise StorageUnsafe(
            "a connection pooler stands before the database: transactions of one session could reach several servers; "
            "connect to PostgreSQL itself, through a TCP proxy at most"
        )
    link.execute(SESSION)
    found: dict[str, str] = dict(link.execute(SETTINGS, [list(REQUIRED)]).fetchall())
    for name, (allowed, otherwise) in REQUIRED.items():
        if name in found and found[name] not in allowed:
            raise StorageUnsafe(f"the database has {name} = {found[name]}: {otherwise}; set it to {allowed[0]}")
    return Server(int(timeline, 16), version)


def _one(row: TupleRow | None) -> TupleRow:
    if row is None:
        raise StorageUnusable("the database answered with nothing")
    return row


PRESENT = "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'strongroom_store' AND pg_table_is_visible(oid))"
"""Looked up in the catalogue itself: what a session once looked up by name it may go on believing to be absent behind an advisory lock."""


def _prepared(link: Link) -> None:
    """Make the tables where there are none; of several nodes starting at once the first does it and the others find it done."""
    if not _recognised(link):
        with link.transaction():
            link.execute(schema.TAKE_MAKE_TABLES)
            if not _recognised(link):
                link.execute(schema.SCHEMA)


def _recognised(link: Link) -> bool:
    if not _one(link.execute(PRESENT).fetchone())[0]:
        return False
    found = _one(link.execute("SELECT format FROM strongroom_store").fetchone())[0]
    if found > schema.FORMAT:
        raise StorageUnsafe(
            f"the database is in format {found}, this program reads up to {schema.FORMAT}; nothing was changed",
            "use the newer strongroom that wrote it, or restore an older backup",
        )
    return True


def _need_relations(link: Link) -> None:
    """Raises StorageUnsafe where tables are not as they were made, or not ours to use."""
    found = {row[0]: row[1:] for row in link.execute(RELATIONS, [list(schema.TABLES)]).fetchall()}
    for table in schema.TABLES:
        if table not in found:
            raise StorageUnsafe(f"the table {table} is missing; restore it from a backup")
        logged, filtered, triggers, public, allowed = found[table]
        for wrong, what in (
            (not logged, "is not logged, so a crash would empty it; ALTER TABLE … SET LOGGED"),
            (filtered, "has row security, which would hide rows; disable it"),
            (triggers, "has triggers or rules, which could change rows; drop them"),
            (public, "is open to PUBLIC; REVOKE ALL … FROM PUBLIC"),
            (not allowed, "cannot be read and written by this role; GRANT SELECT, INSERT, UPDATE, DELETE, or connect as its owner"),
        ):
            if wrong:
                raise StorageUnsafe(f"the table {table} {what}")


ADVICE = """SELECT current_setting('data_checksums') = 'on', current_setting('synchronous_standby_names') <> '',
  EXISTS (SELECT FROM pg_stat_replication), inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8'
    OR inet_server_addr() = '::1' OR coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"""


def advice(link: Link) -> list[str]:
    """What is worth changing, though nothing is refused for it."""
    checksums, synchronous, replicas, private = _one(link.execute(ADVICE).fetchone())
    said: list[tuple[bool, str]] = [
        (not checksums, "the database has no data checksums: damage on its disk shows later; enable them with pg_checksums"),
        (
            replicas and not synchronous,
            "the database's standbys follow asynchronously: a failover loses the last commits; set synchronous_standby_names = 'ANY 1 (*)'",
        ),
        (not private, "the connection to the database is not encrypted; add sslmode=verify-full to connection_url"),
    ]
    return [text for wrong, text in said if wrong]


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
