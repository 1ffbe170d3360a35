"""What heads say of lines that a device did not get acknowledged, so that an auditor can tell an outage from a deed.

Rules of this file:
- A file knows what is in it, so what follows here is for other devices only: a collector may have got lines, and half of one, that the
  device counts as missed, because the connection failed before it said so.
- Heads are chained and vouched for like any line. Nobody can add one that excuses something without that being found.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from strongroom.core.audit.chain import UNREADABLE, Head, Link

HEAD: Final = b'{"type":"stream",'
FILE: Final = "file"
_DECODER: Final = msgspec.json.Decoder(Head)


def read_head(line: bytes) -> Head:
    """The head of a stream. Raises what UNREADABLE lists."""
    return _DECODER.decode(line)


class Gaps:
    """Collected on the first reading of the files, asked on the second."""

    def __init__(self) -> None:
        self._ends: dict[str, tuple[int, str]] = {}
        self._torn: set[str] = set()
        self._passed: set[str] = set()

    def note_head(self, line: bytes) -> None:
        """A line that begins like a head, on the first reading."""
        try:
            head = read_head(line)
        except UNREADABLE:
            return
        if head.owner.kind == FILE:
            return
        if head.torn:
            self._torn.add(head.torn)
        if head.previous is not None and head.missed:
            self._ends[head.previous.stream] = head.previous.seq, head.previous.chain

    def passes(self, link: Link) -> None:
        """A line whose chain is right, on the second reading."""
        if self._ends.get(link.stream) == (link.seq, link.chain):
            self._passed.add(link.stream)

    def went_on(self, stream: str) -> bool:
        """Whether a stream ran, as it was written, through the line that its device took for the last one."""
        return stream in self._passed

    def cut(self, line: bytes) -> bool:
        """Whether this is the beginning of a line that a head knows to be unfinished."""
        return bool(self._torn) and sha256(line.removesuffix(b"\n")).hexdigest() in self._torn
