"""Where one HTTP/1.1 request ends and the next begins: bytes in, requests out, no socket and no clock.

Rules of this file:
- Two readers must agree on every boundary: this file finds it by itself (the first empty line, Content-Length, strict chunk lines) and
  llhttp is fed exactly up to it. If llhttp does not think that the head or the message ended there, the request is refused. That is what
  keeps a request from being read differently here than by a proxy in front.
- Only one request is parsed at a time; whatever was pipelined behind it stays raw.
- llhttp answers 400 to LIST and SCAN. A head is complete before llhttp sees it, so those verbs are replaced by LINK, of the same length,
  with nothing to hold back; a genuine LINK is refused as any other verb that Vault does not have.
- Nothing is repaired: folded lines, bare LF, chunk extensions, trailers and repeated single headers are refused. After a refusal the
  connection is closed, because where the next request begins is no longer known.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from collections.abc import Callable

VERBS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"LIST", b"SCAN"))

SINGLE: Final = frozenset(
    b"host content-length content-type transfer-encoding authorization expect x-vault-token x-vault-namespace"
    b" x-vault-wrap-ttl x-vault-wrap-format x-vault-request x-vault-policy-override x-amz-target x-amz-date"
    b" x-amz-security-token x-amz-content-sha256".split()
)
"""Headers that mean one thing only: two of them are two opinions, and who would be right depends on who reads."""

MAX_CHUNKS: Final = 16_384
"""A body of 32 MiB in chunks of 2 KiB; a million one-byte chunks would be pure parsing work."""

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
_VERSION = b" HTTP/1.1"
_CRLF = b"\r\n"


class Refusal(StrongroomError):
    """The bytes cannot be taken as a request; the connection is answered once more and closed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Stage(IntEnum):
    """What the reader is waiting for."""

    HEAD = 0
    BODY = 1
    CHUNKS = 2


class RequestReader:
    """Reads requests out of one connection's bytes.

    `receive` takes what arrived, `next` says whether a whole request stands in `verb`, `target`, `headers`, `body`, `keep_alive`.
    `on_head`, called once the head of a request with a body is known, may raise a Refusal.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_chunks",
        "_ended",
        "_headed",
        "_left",
        "_max_body",
        "_max_head",
        "_max_headers",
        "_parser",
        "_repeated",
        "_searched",
        "body",
        "expects",
        "headers",
        "keep_alive",
        "length",
        "stage",
        "target",
        "verb",
    )

    def __init__(self, max_head: int, max_headers: int, max_body: Callable[[bytes], int]) -> None:
        self._max_head = max_head
        self._max_headers = max_headers
        self._max_body = max_body
        self._buffer = b""
        self._at = 0
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._reset()

    def _reset(self) -> None:
        self.stage = Stage.HEAD
        self.verb = self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.body: bytes | bytearray = b""
        self.length = 0
        self.keep_alive = False
        self.expects = False
        self._searched = self._left = self._chunks = 0
        self._headed = self._ended = False
        self._repeated = b""

    @property
    def waiting(self) -> int:
        """Bytes that arrived and are not yet part of a request."""
        return len(self._buffer) - self._at

    @property
    def idle(self) -> bool:
        """True between requests, with nothing of the next one here."""
        return self.stage is Stage.HEAD and not self.waiting

    def receive(self, data: bytes) -> None:
        """Take what the socket brought."""
        if self._buffer:
            data = self._buffer[self._at :] + data
        self._buffer = data
        self._at = 0

    def close(self) -> None:
        """Forget everything; the parser and this reader refer to each other."""
        self._parser = None
        self._buffer = b""
        self._at = 0

    def next(self) -> bool:
        """Read on; True when a whole request is here, False when more bytes are needed. Raises Refusal."""
        stage = self.stage
        if stage is Stage.HEAD:
            if self._ended:
                self._reset()
            if not self._read_head():
                return False
            if self._ended:
                return True
            stage = self.stage
        return self._read_body() if stage is Stage.BODY else self._read_chunks()

    # ---- the head

    def _read_head(self) -> bool:
        buffer, at = self._buffer, self._at
        if at < len(buffer) and buffer[at] < 32:
            at = self._skip_empty_lines()
        end = buffer.find(b"\r\n\r\n", max(at, self._searched)) + 4
        if end == 3 or end - at > self._max_head:
            return self._want_head(len(buffer) - at)
        head = buffer if end - at == len(buffer) else buffer[at:end]
        self._consume(end)
        self._parse_head(head)
        return True

    def _skip_empty_lines(self) -> int:
        """Old clients send CRLF after a body; RFC 9112 2.2 asks to ignore it."""
        while self._buffer.startswith(_CRLF, self._at):
            self._at += 2
        return self._at

    def _want_head(self, size: int) -> bool:
        if size > self._max_head:
            raise Refusal(431, f"the request's head is larger than {self._max_head} bytes; send fewer or shorter headers")
        self._searched = max(self._at, len(self._buffer) - 3)
        return False

    def _consume(self, end: int) -> None:
        if end == len(self._buffer):
            self._buffer = b""
            end = 0
        self._at = end
        self._searched = 0

    def _parse_head(self, head: bytes) -> None:
        space = head.find(b" ", 0, 32)
        verb = self.verb = head[:space]
        if verb not in VERBS:
            raise _bad_verb(verb)
        if len(head) > 4 * self._max_headers and head.count(_CRLF) > self._max_headers + 2:
            raise Refusal(431, f"the request has more than {self._max_headers} headers")
        if verb == b"LIST" or verb == b"SCAN":
            head = b"LINK" + head[4:]
        self._feed(head)
        line = head.find(_CRLF)
        if not self._headed or line != space + len(self.target) + 10 or not head.startswith(_VERSION, line - 9):
            self._check_old_version(head, line)
        if self._repeated:
            raise Refusal(400, f"the header {self._repeated.decode('latin-1')} was sent more than once; send it once")
        self._measure_body()

    def _check_old_version(self, head: bytes, line: int) -> None:
        """HTTP/1.0 is served and then closed; all else that is not HTTP/1.1 is refused."""
        agreed = self._headed and line == len(self.verb) + len(self.target) + 10
        if not agreed or not head.startswith(b" HTTP/1.0", line - 9):
            raise Refusal(400, "malformed request line; send '<verb> <path> HTTP/1.1'")
        if b"transfer-encoding" in self.headers:
            raise Refusal(400, "Transfer-Encoding does not exist in HTTP/1.0; send Content-Length")
        self.headers.setdefault(b"host", b"")
        self.headers[b"connection"] = b"close"

    def _measure_body(self) -> None:
        headers = self.headers
        if b"host" not in headers:
            raise Refusal(400, "missing required Host header")
        self.keep_alive = headers.get(b"connection", b"").lower() != b"close" and self._wants_keep_alive()
        if b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise Refusal(400, "unsupported Transfer-Encoding; send the body plain or chunked")
            self.stage = Stage.CHUNKS
        elif not self._ended:
            self._left = self.length = int(headers[b"content-length"])
            self.stage = Stage.BODY
            self._bound(self.length)
        if not self._ended:
            self._check_expectation()

    def _wants_keep_alive(self) -> bool:
        return self._parser is not None and self._parser.should_keep_alive()

    def _check_expectation(self) -> None:
        expectation = self.headers.get(b"expect")
        if expectation is None:
            return
        if expectation.lower() != b"100-continue":
            raise Refusal(417, "unknown expectation; only 100-continue is met")
        self.expects = not self.waiting

    # ---- the body

    def _bound(self, size: int) -> None:
        limit = self._max_body(self.target)
        if size > limit:
            raise Refusal(413, f"http: request body too large; at most {limit} bytes are taken here")

    def _read_body(self) -> bool:
        size = min(self._left, self.waiting)
        self._left -= size
        self._feed_next(size)
        return self._end() if self._left == 0 else False

    def _read_chunks(self) -> bool:
        while True:
            if not self._left and not self._open_chunk():
                return self._end() if self._ended else False
            size = min(self._left, self.waiting)
            if not size:
                return False
            self._left -= size
            self._feed_next(size)

    def _open_chunk(self) -> bool:
        """Read one size line; False when more bytes are needed or the last chunk was read. No extensions, no trailers."""
        buffer, at = self._buffer, self._at
        end = buffer.find(_CRLF, at, at + 10)
        if end < 0:
            return _need_more(len(buffer) - at < 10)
        if _CHUNK_SIZE.fullmatch(buffer, at, end) is None:
            return _need_more(False)
        size = int(buffer[at:end], 16)
        if size == 0:
            return self._close_chunks(end + 4)
        self.length += size
        self._chunks += 1
        self._bound(self.length)
        if self._chunks > MAX_CHUNKS:
            raise Refusal(413, f"the body comes in more than {MAX_CHUNKS} chunks; send larger ones")
        self._left = size + 2
        self._feed_next(end + 2 - at)
        return True

    def _close_chunks(self, end: int) -> bool:
        if len(self._buffer) < end:
            return False
        if self._buffer[end - 2 : end] != _CRLF:
            raise Refusal(400, "trailers are not taken; send headers before the body")
        self._feed_next(end - self._at)
        return False

    def _end(self) -> bool:
        if not self._ended:
            raise Refusal(400, "malformed request: the body does not end where its headers say")
        self.stage = Stage.HEAD
        if type(self.body) is bytearray:
            self.body = bytes(self.body)
        return True

    # ---- llhttp

    def _feed_next(self, size: int) -> None:
        at = self._at
        piece = self._buffer if size == len(self._buffer) else self._buffer[at : at + size]
        self._consume(at + size)
        if piece:
            self._feed(piece)

    def _feed(self, piece: bytes) -> None:
        if self._parser is None or self._ended:
            raise Refusal(400, "malformed request: bytes after its end")
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            raise Refusal(400, "upgrades and CONNECT are not supported; send plain HTTP/1.1") from None
        except HttpParserError as error:
            raise Refusal(400, f"malformed request: {_reason(error)}") from None

    def on_url(self, target: bytes) -> None:
        """Called by llhttp with the request target."""
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each header, and for trailers, which never reach it."""
        name = name.lower()
        headers = self.headers
        if name not in headers:
            headers[name] = value.rstrip(b" \t")
        elif name in SINGLE:
            self._repeated = name
        else:
            headers[name] += b", " + value.rstrip(b" \t")

    def on_headers_complete(self) -> None:
        """Called by llhttp at the empty line."""
        self._headed = True

    def on_body(self, data: bytes) -> None:
        """Called by llhttp with a piece of the body."""
        if not self.body:
            self.body = data
            return
        if type(self.body) is bytes:
            self.body = bytearray(self.body)
        self.body += data

    def on_message_complete(self) -> None:
        """Called by llhttp after the last byte of a request."""
        self._ended = True


def _need_more(possible: bool) -> bool:
    if not possible:
        raise Refusal(400, "malformed chunk; a chunk begins with its size in hexadecimal and nothing else")
    return False


def _bad_verb(verb: bytes) -> Refusal:
    if 0 < len(verb) <= 20 and verb.isalpha() and verb.isupper() and verb != b"CONNECT":
        return Refusal(405, "unsupported operation")
    return Refusal(400, "malformed request; this is not HTTP/1.1")


def _reason(error: HttpParserError) -> str:
    """llhttp's own words, which never quote the input."""
    return str(error.args[0]) if error.args else "not HTTP/1.1"
