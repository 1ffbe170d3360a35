"""The tables in PostgreSQL, and every statement about them.

Rules of this file:
- Row keys and records are `bytea`. The names lie in the schema that the role finds first, so one database can hold several installations
  under roles of their own.
- `strongroom_store` is one row: the format, the newest gsn with the id of its group, and `min_epoch`. It is what all commits pass through.
- A statement that must not act on another history fails by itself: it runs in the same flight as COMMIT, and nobody looks in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

FORMAT = 1

LOCKS = 0x7374726F
"""The upper half of the numbers of our advisory locks, which are per database; the lower half says which of them."""
MAKE_TABLES = LOCKS << 32 | 0x6E67726F
"""What nodes queue on that find no tables, whichever schema they are for."""
OURS = "'strongroom_store'::regclass::oid"
"""The lower half of the lock that groups of all nodes of an installation queue on: the number of its own table, which no other has.
Programs before this one queued on `MAKE_TABLES`; it is `ADVANCE` that keeps them and us from both committing."""

TABLES: Mapping[str, frozenset[str]] = {
    "strongroom_entries": frozenset({"key bytea", "value bytea"}),
    "strongroom_changes": frozenset({"gsn bigint", "at timestamp with time zone", "group_id bytea", "keys bytea"}),
    "strongroom_store": frozenset({"format integer", "gsn bigint", "group_id bytea", "min_epoch bigint"}),
    "strongroom_nodes": frozenset({"id text", "name text", "address text", "version text", "sealed boolean"}),
}
"""Each with columns that it must have; a later program may add others."""

SCHEMA = f"""
CREATE TABLE strongroom_entries (key bytea PRIMARY KEY, value bytea NOT NULL);
ALTER TABLE strongroom_entries ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE TABLE strongroom_changes (gsn bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), group_id bytea NOT NULL,
                                 keys bytea NOT NULL);
CREATE TABLE strongroom_store (only_row boolean PRIMARY KEY CHECK (only_row), format integer NOT NULL, gsn bigint NOT NULL,
                               group_id bytea NOT NULL, min_epoch bigint NOT NULL);
CREATE TABLE strongroom_nodes (id text PRIMARY KEY, name text NOT NULL, address text NOT NULL, version text NOT NULL,
                               sealed boolean NOT NULL, started timestamptz NOT NULL, seen timestamptz NOT NULL);
REVOKE ALL ON strongroom_entries, strongroom_changes, strongroom_store, strongroom_nodes FROM PUBLIC;
INSERT INTO strongroom_store VALUES (true, {FORMAT}, 0, '', 0);
"""
"""Records are ciphertext: EXTERNAL spares PostgreSQL the attempt to compress them."""

FEED_LIMIT = 256
FEED_BYTES = 1 << 20
"""Groups, and bytes of their keys, that a feed spells out; dropping all caches is cheaper than going through more."""

NEWEST, CHANGE, ROW, WITNESS = 0, 1, 2, 3

FETCH = f"""
SELECT {NEWEST}, gsn, min_epoch, group_id, ''::bytea FROM strongroom_store
UNION ALL SELECT {CHANGE}, gsn, 0, group_id, keys FROM (SELECT gsn, group_id, keys FROM strongroom_changes WHERE gsn > %(since)s AND
   (SELECT coalesce(sum(size), 0) FROM (SELECT octet_length(keys) AS size FROM strongroom_changes WHERE gsn > %(since)s
                                        LIMIT {FEED_LIMIT + 1}) AS sizes) <= {FEED_BYTES} ORDER BY gsn LIMIT {FEED_LIMIT + 1}) AS feed
UNION ALL SELECT {WITNESS}, gsn, 0, group_id, ''::bytea FROM strongroom_changes WHERE gsn = %(since)s
UNION ALL SELECT {ROW}, 0, 0, key, value FROM strongroom_entries WHERE key = ANY (%(keys)s::bytea[])"""
"""Feed and rows in one statement, which is one snapshot and one round trip; and the commit that the feed goes on from, with its id."""

ROWS = "SELECT key, value FROM strongroom_entries WHERE key = ANY (%s::bytea[])"
PAGE = "SELECT key FROM strongroom_entries WHERE key >= %s AND key < %s ORDER BY key LIMIT %s"
SCAN = "SELECT key, value FROM strongroom_entries WHERE key >= %s AND key < %s ORDER BY key LIMIT %s"
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

TAKE_MAKE_TABLES = f"SELECT pg_advisory_xact_lock({MAKE_TABLES})"
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
TAKE_LOCK = f"SELECT pg_advisory_xact_lock({LOCKS << 32} + {OURS}::bigint)"
"""A statement of its own: one that also read would see what was there before it waited."""

RESTORING = "strongroom restore"
"""What a session calls itself that holds the lock for as long as a copy takes."""
PUT_OUT = f"""SELECT pid, usename, CASE WHEN pg_has_role(usesysid, 'USAGE') AND application_name <> '{RESTORING}'
      AND query_start < clock_timestamp() - make_interval(secs => %s) THEN pg_terminate_backend(pid) ELSE false END
 FROM pg_locks JOIN pg_stat_activity USING (pid)
 WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND classid = '{LOCKS}' AND objid = {OURS} AND objsubid = 1"""
"""Who holds the lock; ended where it is one of ours that has begun nothing for so long. PostgreSQL by itself ends one that is silent
between two flights, but not one whose flight broke off halfway: its machine may be gone, and before 17 no time limit covers that."""

PREPARE = f"PREPARE strongroom_fetch(bigint, bytea[]) AS {FETCH.replace('%(since)s', '$1').replace('%(keys)s', '$2')}"


def opening(since: int, keys: Iterable[bytes]) -> str:
    """Begin, lock and read as one plain query: one flight, and a server that watches from then on how long the group is silent.

    Behind a pipeline it would not: the client's last message there is none that PostgreSQL answers, and stops its watch.
    """
    wanted = ",".join(f"'\\x{key.hex()}'" for key in keys)
    return f"{BEGIN}; {TAKE_LOCK}; EXECUTE strongroom_fetch({since:d}, ARRAY[{wanted}]::bytea[])"


PUT = """INSERT INTO strongroom_entries SELECT * FROM unnest(%s::bytea[], %s::bytea[])
         ON CONFLICT (key) DO UPDATE SET value = excluded.value"""
DELETE = "DELETE FROM strongroom_entries WHERE key = ANY (%s::bytea[])"
RECORD = "INSERT INTO strongroom_changes (gsn, group_id, keys) VALUES (%s, %s, %s)"
ADVANCE = """UPDATE strongroom_store SET gsn = CASE WHEN gsn = %(gsn)s - 1 THEN %(gsn)s END, group_id = %(id)s,
             min_epoch = greatest(min_epoch, %(epoch)s)"""
"""NULL where somebody else committed meanwhile, which the column refuses: the group fails."""
PRUNE = "DELETE FROM strongroom_changes WHERE gsn <= %s OR (gsn <= %s AND at < now() - interval '4 hours')"

OUTCOME = "SELECT gsn FROM strongroom_changes WHERE group_id = %s"
TOUCH = "UPDATE strongroom_store SET gsn = gsn"
"""A commit behind the group in question: once standbys have confirmed it they have the group, too."""

BEAT = """INSERT INTO strongroom_nodes VALUES (%(id)s, %(name)s, %(address)s, %(version)s, %(sealed)s, now(), now())
          ON CONFLICT (id) DO UPDATE SET name = excluded.name, address = excluded.address, version = excluded.version,
          sealed = excluded.sealed, seen = now(), started = CASE WHEN %(first)s THEN now() ELSE strongroom_nodes.started END"""
FORGET_NODES = "DELETE FROM strongroom_nodes WHERE seen < now() - interval '1 day'"
LEAVE = "DELETE FROM strongroom_nodes WHERE id = %s"
NODES = """SELECT id, name, address, version, sealed, extract(epoch FROM started)::float8, extract(epoch FROM seen)::float8
           FROM strongroom_nodes WHERE seen > now() - make_interval(secs => %s) ORDER BY started, id"""
