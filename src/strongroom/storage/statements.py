"""Every SQL statement of the embedded store, and what its answers are made into.

Rules of this file:
- Values are cast to blobs, so that a damaged type byte cannot make a row into a number; what they hold is for the barrier to judge.
- What a damaged file can still bring up ends in one of `UNREADABLE`, which the store turns into `StorageUnusable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import apsw

from strongroom.storage import walk
from strongroom.storage.api import Feed

FEED_LIMIT = 256
FEED_BYTES = 1 << 20
"""Groups, and bytes of their keys, that `changed` spells out; dropping all caches is cheaper than going through more."""

FEW = 16
"""Groups of others that a worker has usually missed, at most; these are read by a statement that costs a tenth of `FEED`."""

GET = "SELECT CAST(value AS BLOB) FROM entries WHERE key = ?"
GET_MANY = "SELECT key, CAST(value AS BLOB) FROM entries WHERE key IN (SELECT value FROM carray(?))"
PAGE = "SELECT key FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
SCAN = "SELECT key, CAST(value AS BLOB) FROM entries WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
NEWEST = "SELECT gsn, min_epoch FROM store WHERE only = 1"
FEED = """SELECT s.gsn, s.min_epoch, c.gsn, CAST(c.keys AS BLOB) FROM store AS s LEFT JOIN changes AS c
          ON c.gsn > ?1 AND (SELECT total(size) FROM (SELECT length(keys) AS size FROM changes WHERE gsn > ?1 LIMIT ?2)) <= ?3
          WHERE s.only = 1 ORDER BY c.gsn LIMIT ?2"""
RECENT = "SELECT gsn, CAST(keys AS BLOB) FROM changes WHERE gsn > ? ORDER BY gsn LIMIT ?"
OUTCOME = "SELECT gsn FROM changes WHERE group_id = ? ORDER BY gsn DESC LIMIT 1"
PUT = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
DELETE = "DELETE FROM entries WHERE key = ?"
RAISE = "UPDATE store SET min_epoch = max(min_epoch, ?) WHERE only = 1"
RECORD = "INSERT INTO changes VALUES (?, ?, ?, ?)"
ADVANCE = "UPDATE store SET gsn = ? WHERE only = 1"
PRUNE = """DELETE FROM changes WHERE gsn IN (SELECT gsn FROM changes ORDER BY gsn LIMIT 256) AND (gsn <= ? OR at < ?)"""

EMPTY = ("DELETE FROM entries", "DELETE FROM changes")
BECOME = "UPDATE store SET gsn = ?, min_epoch = ? WHERE only = 1"

UNREADABLE = (apsw.Error, ValueError, TypeError)
"""What a damaged file can make of a read: the driver's errors, or text and numbers where bytes belong."""

UNCHANGED: frozenset[bytes] = frozenset()


def select(cursor: apsw.Cursor, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """The rows among `keys` that exist, as of one instant."""
    if len(keys) == 1:
        value = cursor.execute(GET, (keys[0],)).get
        return {keys[0]: value} if isinstance(value, bytes) else {}
    return dict(read_rows(cursor.execute(GET_MANY, (apsw.carray(tuple(keys)),)))) if keys else {}


def column(found: object) -> list[bytes]:
    """`Cursor.get` of one column: None, the value, or a list of values. Nothing above a blob sorts among blobs, so these are bytes."""
    if isinstance(found, bytes):
        return [found]
    return cast("list[bytes]", found) if isinstance(found, list) else []


def read_rows(cursor: apsw.Cursor) -> list[tuple[bytes, bytes]]:
    """Rows of key and value; ValueError when one of them has lost its value."""
    rows = cast("list[tuple[bytes, bytes]]", cursor.fetchall())
    if any(value is None for _, value in rows):
        raise ValueError("a row has lost its value")
    return rows


def scan(cursor: apsw.Cursor, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
    """Rows with start ≤ key < stop. A damaged file may bring them out of order, and whoever goes on from the last key would never end."""
    rows = read_rows(cursor.execute(SCAN, (start, stop, limit)))
    keys = [row[0] for row in rows]
    if keys != sorted(keys) or (keys and keys[0] < start):
        raise ValueError("rows are out of order")
    return rows


def read_newest(cursor: apsw.Cursor) -> tuple[int, int]:
    """The newest gsn and min_epoch."""
    found = cursor.execute(NEWEST).get
    if not isinstance(found, tuple) or not all(isinstance(number, int) for number in found):
        raise ValueError("the row that counts the commits is damaged")
    return cast("tuple[int, int]", found)


def read_feed(cursor: apsw.Cursor, since: int) -> tuple[Feed, int]:
    """The feed, and in a transaction min_epoch. Only an unbroken run of groups is spelled out, from one statement: one snapshot."""
    newest = cursor.execute(NEWEST).get
    if newest and isinstance(newest[1], int):
        if newest[0] == since:
            return Feed(since, UNCHANGED), newest[1]
        recent = _few(cursor, since)
        if recent is not None and recent.gsn >= newest[0]:
            return recent, newest[1]
    rows = cursor.execute(FEED, (since, FEED_LIMIT + 1, FEED_BYTES)).fetchall()
    if not rows:
        raise ValueError("the row that counts the commits is missing")
    gsn, min_epoch, first, _ = rows[0]
    if not isinstance(gsn, int) or not isinstance(min_epoch, int):
        raise ValueError("the row that counts the commits is damaged")
    groups = 0 if first is None else len(rows)
    if groups > FEED_LIMIT or groups != gsn - since:
        return Feed(gsn, None), min_epoch
    keys: set[bytes] = set()
    for row in rows[:groups]:
        if not isinstance(row[3], bytes):
            raise ValueError("the keys of a commit are missing")
        keys.update(walk.unpack(row[3]))
    return Feed(gsn, frozenset(keys)), min_epoch


def _few(cursor: apsw.Cursor, since: int) -> Feed | None:
    """A short feed; None where it is not short, or has a gap."""
    keys: set[bytes] = set()
    gsn, size = since, 0
    for at, packed in cursor.execute(RECENT, (since, FEW + 1)):
        gsn += 1
        if at != gsn or gsn > since + FEW or not isinstance(packed, bytes):
            return None
        size += len(packed)
        if size > FEED_BYTES:
            return None
        keys.update(walk.unpack(packed))
    return Feed(gsn, frozenset(keys)) if gsn > since else None
