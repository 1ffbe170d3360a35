"""An exchange whose answer gets further header lines, whoever makes it.

Rules of this file: the lines are asked for when the answer leaves, and come first in its head; the inner exchange does all else.
"""

from __future__ import annotations

from strongroom.core.content import Content
from strongroom.server.http import Exchange


class AnnotatedExchange(Exchange, kw_only=True):
    """Make it with `connection`, `head`, `body` and `peer` of the inner exchange; a subclass says which lines."""

    inner: Exchange

    def added(self) -> bytes:
        """Whole header lines, each with its CRLF."""
        raise NotImplementedError

    def answer(self, data: bytes, close: bool = False) -> None:
        """Send a complete message, with the lines in its head."""
        self.inner.answer(self._with_lines(data), close)

    def done(self, _answer: object) -> None:
        """Send the message that waited, with the lines in its head."""
        self.answer(self.message)

    def stream(self, head: bytes, file: Content, size: int) -> None:
        """Send a head with the lines, and then `size` bytes of a file."""
        self.inner.stream(self._with_lines(head), file, size)

    def _with_lines(self, data: bytes) -> bytes:
        return data.replace(b"\r\n", b"\r\n" + self.added(), 1)

    @property
    def gone(self) -> bool:
        """True once nobody would read an answer."""
        return self.inner.gone
