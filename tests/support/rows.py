"""What a database administrator without keys sees and can do: any bytes at any row of a store's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import apsw

from strongroom.storage.api import INDEX_KEY
from strongroom.storage.directory import DATABASE

Rows = dict[bytes, bytes]


def read_rows(store: Path) -> Rows:
    """All rows, also beside a running server."""
    connection = apsw.Connection(str(store / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return dict(cast("list[tuple[bytes, bytes]]", connection.execute("SELECT key, value FROM entries").fetchall()))
    finally:
        connection.close()


def edit_rows(store: Path, puts: Mapping[bytes, bytes], deletes: tuple[bytes, ...] = ()) -> None:
    """Change rows of a stopped server's store and nothing else."""
    connection = apsw.Connection(str(store / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        with connection:
            connection.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", puts.items())
            connection.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in deletes])
    finally:
        connection.close()


def written_by(store: Path, change: Callable[[], object], area: bytes = b"") -> Rows:
    """The rows that a change writes, as they stand after it; the index left out."""
    before = read_rows(store)
    change()
    after = read_rows(store)
    return {key: record for key, record in after.items() if before.get(key) != record and key != INDEX_KEY and key.startswith(area)}
