"""Answers as bytes: the head and, where it is at hand, the body.

Rules of this file: pure; nothing that a caller sent gets into a head but through `header`, which refuses what could begin another line.
"""

from __future__ import annotations

import functools
from http import HTTPStatus

from strongroom.core.content import ENDLESS


def render_head(status: int, size: int, content_type: bytes, extra: bytes = b"") -> bytes:
    """The head of an answer whose body of this size follows; an endless one ends with the connection (RFC 9112, 6.3)."""
    if size == ENDLESS:
        return b"%b%b\r\n" % (closing(_head(status, content_type).removesuffix(_LENGTH)), extra)
    return b"%b%d\r\n%b\r\n" % (_head(status, content_type), size, extra)


@functools.lru_cache(maxsize=256)
def _head(status: int, content_type: bytes) -> bytes:
    phrase = HTTPStatus(status).phrase.encode() if status in _STATUSES else b"Unknown"
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n%b%b" % (status, phrase, content_type, _ALWAYS, _LENGTH)


_STATUSES = frozenset(status.value for status in HTTPStatus)
_ALWAYS = b"Cache-Control: no-store\r\nStrict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
_LENGTH = b"Content-Length: "
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n" + _ALWAYS


def render(status: int, body: bytes, content_type: bytes = b"application/json", extra: bytes = b"") -> bytes:
    """A complete answer. `extra` is whole header lines, each with its CRLF; make them with `header`."""
    if status == 204:
        return b"%b%b\r\n" % (_NO_CONTENT, extra)
    return b"%b%d\r\n%b\r\n%b" % (_head(status, content_type), len(body), extra, body)


def header(name: str, value: str) -> bytes:
    """One header line. Raises ValueError for text that could begin another line."""
    line = f"{name}: {value}"
    if not line.isprintable() or not line.isascii() or ":" in name or " " in name:
        raise ValueError(f"the header {name!r} has characters that a header cannot carry")
    return f"{line}\r\n".encode("ascii")


def closing(data: bytes) -> bytes:
    """The same answer, telling the client that it is the last one."""
    return data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
