"""Rows as one stream of bytes, and back: `u16 length | row key | u32 length | record` each.

Rules of this file: lengths are bounded, keys only go up. What breaks that raises NotAsWritten; nothing of a row is ever quoted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from strongroom.barrier.snapshots.format import MAX_RECORD
from strongroom.storage.api import HEADER, MAX_KEY
from strongroom.storage.whole import Rows

_KEY = struct.Struct(">H")
_RECORD = struct.Struct(">I")


class NotAsWritten(ValueError):
    """The stream is not what was written into it; whoever knows its name says so."""


def pack(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Rows as bytes."""
    key_length, record_length = _KEY.pack, _RECORD.pack
    return b"".join([part for key, record in rows for part in (key_length(len(key)), key, record_length(len(record)), record)])


class Unpacker:
    """Takes the stream in pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""
        self._before = b""

    def feed(self, piece: bytes) -> Rows:
        """The rows that are whole by now. Raises NotAsWritten."""
        data = self._rest + piece if self._rest else piece
        rows: Rows = []
        at, end, before = 0, len(data), self._before
        while end - at >= 2:
            (length,) = _KEY.unpack_from(data, at)
            if not HEADER <= length <= MAX_KEY:
                raise NotAsWritten("a row key has a length that none has")
            middle = at + 2 + length
            if end - middle < 4:
                break
            (size,) = _RECORD.unpack_from(data, middle)
            if size > MAX_RECORD:
                raise NotAsWritten("a record is longer than any can be")
            if end - middle - 4 < size:
                break
            key = data[at + 2 : middle]
            if key <= before:
                raise NotAsWritten("row keys are out of order")
            before = key
            at = middle + 4 + size
            rows.append((key, data[middle + 4 : at]))
        self._rest, self._before = data[at:], before
        return rows

    def close(self) -> None:
        """The stream has ended. Raises NotAsWritten when that is in the middle of a row."""
        if self._rest:
            raise NotAsWritten("the last row is cut")
