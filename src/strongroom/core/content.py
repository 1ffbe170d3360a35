"""Bodies of answers that are not made beforehand: a file, or what goes on as long as the caller listens.

Rules of this file: reading never waits.
"""

from __future__ import annotations

from typing import Final, Protocol

ENDLESS: Final = -1
"""The size of what is read as long as the caller listens, such as the log."""


class Content(Protocol):
    """What an answer's body is read from. An endless one gives b"" while there is nothing new, and is closed once there will be no more."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes."""
        ...

    @property
    def closed(self) -> bool:
        """Whether there will be no more."""
        ...
