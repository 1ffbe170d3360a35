"""What is read of a database on every new connection, and what must hold before the connection is used.

Rules of this file:
- Settings that are part of the promise are read each time; a server that does not hold them is refused.
- A session has our settings, not those that a role, a database or the environment gives to sessions. A lower setting is raised where a
  session may do that (synchronous_commit), and read back.
- A pooler is told before anything is set: what is set in its session would be another client's.
- Names are looked up in the system's catalogue and then in the one schema that has our tables. Until that is so every function and operator
  is named with its schema; and no call leaves a choice that a function of somebody else's in our schema could win by fitting better.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg.rows import TupleRow

from strongroom.errors import StorageUnsafe, StorageUnusable
from strongroom.storage.postgres import schema
from strongroom.storage.postgres.link import IDLE_SECONDS, STATEMENT_SECONDS, Link, Server, conninfo, unusable

OLDEST = 140_000
"""PostgreSQL 14."""

SERVER = """SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num')::int,
  CASE WHEN pg_catalog.pg_is_in_recovery() THEN '0'
       ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END"""

SCHEMA = """SELECT pg_catalog.set_config('search_path', pg_catalog.format('%I, pg_temp', place), false) FROM
  (SELECT coalesce((SELECT nspname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace
                      ON pg_namespace.oid OPERATOR(pg_catalog.=) relnamespace
                    WHERE relname OPERATOR(pg_catalog.=) 'strongroom_store' AND pg_catalog.pg_table_is_visible(pg_class.oid)),
                   (SELECT name FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path(name, at)
                    WHERE name OPERATOR(pg_catalog.<>) 'pg_catalog' ORDER BY at LIMIT 1)) AS place) AS found
  WHERE place IS NOT NULL"""
"""Look no further than the schema that the role finds our tables in, or would make them in. The catalogue, not named, comes first."""

SESSION: Mapping[str, str] = {
    "synchronous_commit": "on",
    "client_encoding": "UTF8",
    "client_min_messages": "warning",
    "standard_conforming_strings": "on",
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
}
"""What holds in our sessions, where the server knows it (transaction_timeout: from 17). The warning that no standby confirmed a commit must
get through, and nothing less that would be taken for it."""
SET = """SELECT set_config(known.name, wanted.value, false) FROM unnest(%s::text[], %s::text[]) AS wanted(name, value)
  JOIN pg_settings AS known USING (name) WHERE known.setting <> 'remote_apply'"""
"""Of synchronous_commit the one value above ours is left as it is."""

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
    "client_min_messages": (("warning",), "a commit that no standby confirmed would be taken for one that was"),
}
"""Setting → what it must be, and what would happen otherwise."""

SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s::text[])"
RELATIONS = """SELECT relname, relkind = 'r' AND NOT EXISTS (SELECT FROM pg_inherits WHERE oid IN (inhparent, inhrelid)),
  relpersistence = 'p', relrowsecurity,
  relhasrules OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal),
  EXISTS (SELECT FROM aclexplode(relacl) AS granted WHERE granted.grantee = '0'),
  has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'),
  EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary AND indisvalid),
  ARRAY(SELECT pg_catalog.concat(attname, ' ', format_type(atttypid, NULL)) FROM pg_attribute
        WHERE attrelid = pg_class.oid AND attnum > 0 AND attnotnull AND NOT attisdropped)
  FROM pg_class WHERE relname = ANY (%s::text[]) AND pg_table_is_visible(oid)"""


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
        link.hear()
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
    settle(link)
    found: dict[str, str] = dict(link.execute(SETTINGS, [list(REQUIRED)]).fetchall())
    for name, (allowed, otherwise) in REQUIRED.items():
        if found.get(name) not in allowed:
            raise StorageUnsafe(f"the database has {name} = {found.get(name)}: {otherwise}; set it to {allowed[0]}")
    return Server(int(timeline, 16), version)


def settle(link: Link, **others: str) -> None:
    """Give the session our names and settings, with these in place of some. Raises StorageUnsafe."""
    if link.execute(SCHEMA).fetchone() is None:
        raise StorageUnsafe(
            "the role finds no schema for its tables: its search_path names none that is there and that it may use; "
            "CREATE SCHEMA AUTHORIZATION …, or ALTER ROLE … SET search_path"
        )
    wanted = {**SESSION, **others}
    link.execute(SET, [list(wanted), list(wanted.values())])


def _one(row: TupleRow | None) -> TupleRow:
    if row is None:
        raise StorageUnusable("the row that counts the commits is missing; restore the database from a backup")
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
    for table, columns in schema.TABLES.items():
        if table not in found:
            raise StorageUnsafe(f"the table {table} is missing; restore it from a backup")
        plain, logged, filtered, triggers, public, allowed, keyed, present = found[table]
        for wrong, what in (
            (not plain, "is not a plain table; restore it from a backup"),
            (not logged, "is not logged, so a crash would empty it; ALTER TABLE … SET LOGGED"),
            (filtered, "has row security, which would hide rows; disable it"),
            (triggers, "has triggers or rules, which could change rows; drop them"),
            (public, "is open to PUBLIC; REVOKE ALL … FROM PUBLIC"),
            (not allowed, "cannot be read and written by this role; GRANT SELECT, INSERT, UPDATE, DELETE, or connect as its owner"),
            (not keyed or not columns <= set(present), "lacks its primary key or a column, NOT NULL, as made; restore it from a backup"),
        ):
            if wrong:
                raise StorageUnsafe(f"the table {table} {what}")


ADVICE = """SELECT current_setting('data_checksums') = 'on', current_setting('synchronous_standby_names') <> '',
  EXISTS (SELECT FROM pg_stat_replication), inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8'
    OR inet_server_addr() = '::1', coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
  has_database_privilege('public', current_database(), 'CONNECT'),
  EXISTS (SELECT FROM pg_class WHERE relname = ANY (%s::text[]) AND pg_table_is_visible(oid) AND NOT pg_has_role(relowner, 'USAGE'))"""
VERIFYING = ("verify-ca", "verify-full")


def advice(link: Link) -> list[str]:
    """What is worth changing, though nothing is refused for it."""
    checksums, synchronous, replicas, local, encrypted, public, foreign = _one(link.execute(ADVICE, [list(schema.TABLES)]).fetchone())
    verified = link.info.get_parameters().get("sslmode") in VERIFYING
    said: list[tuple[bool, str]] = [
        (not checksums, "the database has no data checksums: damage on its disk shows later; enable them with pg_checksums"),
        (
            replicas and not synchronous,
            "the database's standbys follow asynchronously: a failover loses the last commits; set synchronous_standby_names = 'ANY 1 (*)'",
        ),
        (not local and not encrypted, "the connection to the database is not encrypted; add sslmode=verify-full to connection_url"),
        (
            not local and encrypted and not verified,
            "the database's certificate is not checked, so another server could answer for it; add sslmode=verify-full to connection_url",
        ),
        (
            public,
            "every role of the server may connect to this database and could hold up its writes; REVOKE ALL ON DATABASE … FROM PUBLIC",
        ),
        (foreign, "tables of the database belong to another role, which can change what they do; make the role that connects their owner"),
    ]
    return [text for wrong, text in said if wrong]
