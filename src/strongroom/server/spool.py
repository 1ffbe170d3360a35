"""Where a body goes that is beyond memory: into a file, as it comes.

Rules of this file:
- Pieces come through the parser's callbacks, through which nothing should be raised: what went wrong is kept, and raised by `check`.
- After a write that failed nothing more is written. The file ends with whoever has it last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from strongroom.errors import StrongroomError


class NoRoom(StrongroomError):
    """The disk does not take the body."""

    status = 507


class Room(NamedTuple):
    """How large a body may be, and what makes the file that it goes to beyond the usual limit; without one it stays in memory."""

    most: int
    file: Callable[[], BinaryIO] | None = None


class Spool:
    """A body on its way into a file. Raises NoRoom where there can be no file."""

    def __init__(self, make: Callable[[], BinaryIO], begun: bytes | bytearray) -> None:
        self._problem = ""
        try:
            self._file = make()
        except OSError as error:
            raise _no_room(error.strerror) from None
        self.write(begun)

    def write(self, data: bytes | bytearray) -> None:
        """Take a piece."""
        try:
            if not self._problem:
                self._file.write(data)
        except OSError as error:
            self._problem = error.strerror or "it cannot be written"

    def check(self) -> None:
        """Raises NoRoom where a piece was not taken."""
        if self._problem:
            raise _no_room(self._problem)

    def whole(self) -> BinaryIO:
        """The file, at its beginning. Raises NoRoom."""
        self.check()
        try:
            self._file.seek(0)  # which writes what is not written yet
        except OSError as error:
            raise _no_room(error.strerror) from None
        return self._file


def _no_room(reason: str | None) -> NoRoom:
    return NoRoom(f"the body does not fit on the server's disk: {reason}; make room, or restore on the host")
