"""Where one HTTP/1.1 request ends and the next begins: bytes in, requests out, no socket and no clock.

Rules of this file:
- Two readers must agree on every boundary: this file finds it by itself (the first empty line, Content-Length, strict chunk lines) and
  llhttp is fed exactly up to it. If llhttp does not think that the head or the message ended there, the request is refused. That is what
  keeps a request from being read differently here than by a proxy in front.
- Only one request is parsed at a time; whatever was pipelined behind it stays raw.
- llhttp answers 400 to LIST and SCAN. A head is complete before llhttp sees it, so those verbs are replaced by LINK, of the same length,
  with nothing to hold back; a genuine LINK is refused as any other verb that Vault does not have.
- A head that llhttp accepted means the same whenever the same bytes come again. Such heads are known by their bytes and not parsed again;
  of a body behind one, as many bytes are taken as its Content-Length says. A keep-alive client sends the same few heads all the time.
- A body may be more than fits in memory: where it may, what is beyond the usual limit goes to a file as it comes (spool.py).
- Nothing is repaired: folded lines, bare LF, chunk extensions, trailers and repeated single headers are refused. After a refusal the
  connection is closed, because where the next request begins is no longer known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO, Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from strongroom.errors import StrongroomError
from strongroom.server.spool import Room, Spool

VERBS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"LIST", b"SCAN"))

SINGLE: Final = frozenset(
    b"host content-length content-type transfer-encoding authorization expect x-vault-token x-vault-namespace"
    b" x-vault-wrap-ttl x-vault-wrap-format x-vault-request x-vault-policy-override x-amz-target x-amz-date"
    b" x-amz-security-token x-amz-content-sha256".split()
)
"""Headers that mean one thing only: two of them are two opinions, and who would be right depends on who reads."""

MAX_CHUNKS: Final = 16_384
LEAST_CHUNK: Final = 2_048
"""Chunks are as large on average, once there are so many: a million of one byte would be pure parsing work."""

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
_CRLF = b"\r\n"


class Refusal(StrongroomError):
    """The bytes cannot be taken as a request; the connection is answered once more and closed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


HEAD: Final = 0
BODY: Final = 1
CHUNKS: Final = 2
"""What the reader is waiting for, in `stage`. Plain numbers: they are compared on every request."""


class Head:
    """A request without its body. It may be shared by all requests that have it, so nobody changes it. `length` is that of the body.

    `known`: it came before, and when it comes again it will be this object. `decoded` and `answer` are then places for what others make of
    it: the codec, and whoever can answer it without looking at it again (repeats.py). Both belong to one worker's core, and so do the
    known heads (connections.py).
    """

    __slots__ = ("answer", "decoded", "headers", "known", "length", "target", "verb")

    def __init__(self, verb: bytes, target: bytes, headers: dict[bytes, bytes], length: int) -> None:
        self.verb = verb
        self.target = target
        self.headers = headers
        self.length = length
        self.known = False
        self.decoded: object = None
        self.answer: object = None


KNOWN_BYTES: Final = 32 << 20
LONGEST_KNOWN: Final = 1_024
"""What the known heads of a worker cost in memory, and the longest of them: a head of 200 bytes and five headers counts 1.8 KiB."""
KNOWN_ONCE: Final = 16_384
"""Heads that came once, of which only the hash is kept; as many again of those before them."""
_CHANGING: Final = frozenset((b"transfer-encoding", b"expect", b"connection"))
"""Headers of requests that are read anew each time."""


class KnownHeads:
    """Heads by their bytes. Strangers send them too, so they are bounded by what they cost once parsed, not by their number.

    A head is kept from its second coming on: most tokens are used for a request or two, and what comes once is not worth its memory, nor
    should the token in it lie there longer than it must.

    Two generations: a head that is asked for moves to the younger one; when that is full the older one is dropped. So what clients
    send all the time stays, whatever else passes through.
    """

    __slots__ = ("_cost", "_earlier", "_once", "old", "young")

    def __init__(self) -> None:
        self.young: dict[bytes, Head] = {}
        self.old: dict[bytes, Head] = {}
        self._cost = 0
        self._once: set[int] = set()
        self._earlier: set[int] = set()

    def __len__(self) -> int:
        return len(self.young.keys() | self.old.keys())

    def find(self, sent: bytes) -> Head | None:
        """A head that is not in the younger generation, which the caller has looked in: from the older one it moves there."""
        head = self.old.get(sent)
        if head is not None:
            self._keep(sent, head)
        return head

    def know(self, sent: bytes, head: Head) -> None:
        """Remember a head that was parsed, if it came before."""
        mark = hash(sent)  # keyed by the process; two heads with one hash are only kept a request too early
        if mark in self._once or mark in self._earlier:
            self._keep(sent, head)
            return
        if len(self._once) >= KNOWN_ONCE:
            self._earlier, self._once = self._once, set()
        self._once.add(mark)

    def _keep(self, sent: bytes, head: Head) -> None:
        cost = 2 * len(sent) + 128 * (6 + len(head.headers) + head.target.count(b"&"))
        self._cost += cost
        if self._cost > KNOWN_BYTES // 2:
            self.old, self.young, self._cost = self.young, {}, cost
        self.young[sent] = head
        head.known = True

    def forget(self) -> None:
        """Start over."""
        self.young, self.old, self._cost = {}, {}, 0
        self._once, self._earlier = set(), set()


class RequestReader:
    """Reads requests out of one connection's bytes.

    `receive` takes what arrived; `next` says whether a whole request stands in `head`, `body`, `keep_alive`.
    While a body is read, `length` is its size as far as it is known, and `expects` says that the client waits for 100 Continue. A body that
    went to a file stands in `upload`, and its connection is not kept: nothing else should hold the file open.
    """

    __slots__ = (
        "_at",
        "_chunks",
        "_ended",
        "_file",
        "_grown",
        "_headed",
        "_headers",
        "_heads",
        "_larger",
        "_left",
        "_limit",
        "_max_body",
        "_max_head",
        "_max_headers",
        "_parser",
        "_plain",
        "_repeated",
        "_searched",
        "_target",
        "_verb",
        "body",
        "buffer",
        "expects",
        "head",
        "keep_alive",
        "length",
        "stage",
        "upload",
    )

    def __init__(
        self, max_head: int, max_headers: int, max_body: int, larger: Callable[[Head], Room], heads: KnownHeads | None = None
    ) -> None:
        self._heads = KnownHeads() if heads is None else heads
        self._max_head = max_head
        self._max_headers = max_headers
        self._max_body = self._limit = max_body
        self._larger = larger
        self._parser = HttpRequestParser(self)
        self.buffer = b""
        self._at = self._searched = 0
        self.stage = HEAD
        self._verb = self._target = self._repeated = b""
        self._headers: dict[bytes, bytes] = {}
        self.body: bytes = b""
        self._grown = bytearray()
        self._file: Spool | None = None
        self.upload: BinaryIO | None = None
        self.length = self._left = self._chunks = 0
        self.keep_alive = self.expects = self._headed = self._ended = self._plain = False
        self.head = Head(b"", b"", self._headers, 0)

    @property
    def waiting(self) -> int:
        """Bytes that arrived and are not yet part of a request; `buffer` is empty when there are none."""
        return len(self.buffer) - self._at

    @property
    def kept(self) -> int:
        """Bytes of the body that are in memory once all are here."""
        return self.length if self._file is None else 0

    def receive(self, data: bytes) -> None:
        """Take what the socket brought."""
        if self.buffer:
            data = self.buffer[self._at :] + data
            self._searched -= self._at
            self._at = 0
        self.buffer = data

    def close(self) -> None:
        """Forget everything. The parser refers back to this reader, so it is replaced by one that does not."""
        self._parser = HttpRequestParser(None)
        self._consume(len(self.buffer))
        self._file = self.upload = None

    def next(self) -> bool:
        """Read on; True when a whole request is here, False when more bytes are needed. Raises Refusal."""
        if self.stage:
            return self._read_body() if self.stage == BODY else self._read_chunks()
        buffer, at = self.buffer, self._at
        if len(buffer) <= LONGEST_KNOWN:  # most often it is one head and nothing else, and all of it is known
            known = self._heads.young.get(buffer)
            if known is not None and not known.length and not at:
                self.buffer = self.body = b""
                self._searched = 0
                self.head, self.keep_alive = known, True
                return True
        end = buffer.find(b"\r\n\r\n", self._searched) + 4
        if end == 3 or end - at > self._max_head:
            return self._want_head()
        if end == len(buffer):
            head = buffer[at:] if at else buffer
            self.buffer = b""
            self._at = self._searched = 0
        else:
            head = buffer[at:end]
            self._at = self._searched = end
        return self._read_head(head)

    # ---- the head

    def _want_head(self) -> bool:
        """Old clients send CRLF after a body; RFC 9112 2.2 asks to ignore it."""
        while self.buffer.startswith(_CRLF, self._at):
            self._consume(self._at + 2)
        if self.waiting > self._max_head:
            raise Refusal(431, f"the request's head is larger than {self._max_head} bytes; send fewer or shorter headers")
        self._searched = max(self._at, len(self.buffer) - 3)
        return False

    def _read_head(self, head: bytes) -> bool:
        """Take a whole head: one that is known as it is, another one after llhttp has read it."""
        heads = self._heads
        known = heads.young.get(head) or heads.find(head)
        if known is None:
            self._plain = False
            return self._parse_head(head)
        self.head, self.keep_alive, self.body = known, True, b""
        if not known.length:
            return True
        self._plain, self._ended, self.expects = True, False, False
        self._limit = self._max_body
        self.stage, self.length, self._left = BODY, known.length, known.length
        self._bound(known.length)
        return self.next() if self.buffer else False

    def _parse_head(self, head: bytes) -> bool:
        """Parse a head: one call of llhttp and as few others as will do."""
        sent = head
        verb = self._verb = head[: head.find(b" ", 0, 32)]
        if verb not in VERBS:
            return self._odd_verb(head)
        if verb == b"LIST" or verb == b"SCAN":
            head = b"LINK" + head[4:]
        if len(head) > 4 * self._max_headers and head.count(_CRLF) > self._max_headers + 2:
            raise Refusal(431, f"the request has more than {self._max_headers} headers")
        headers = self._headers = {}
        self.body = b""
        self._headed = self._ended = False
        try:
            self._parser.feed_data(head)
        except (HttpParserUpgrade, HttpParserError) as error:
            raise _refusal(error) from None
        if not self._headed or not head.startswith(b" HTTP/1.1\r\n", len(verb) + len(self._target) + 1):
            self._check_old_version(head)
        elif b"host" not in headers:
            raise Refusal(400, "missing required Host header")
        else:
            self.keep_alive = b"connection" not in headers or not _closes(headers[b"connection"])
        if self._repeated:
            raise Refusal(400, f"the header {self._repeated.decode('latin-1')} was sent more than once; send it once")
        self.head = Head(verb, self._target, headers, int(headers.get(b"content-length", b"0")))
        if self.keep_alive and len(sent) <= LONGEST_KNOWN and _CHANGING.isdisjoint(headers):
            self._heads.know(sent, self.head)
        return self._ended or self._begin_body()

    def _odd_verb(self, head: bytes) -> bool:
        lines = head.lstrip(_CRLF)
        if lines is not head and head.startswith(_CRLF):
            self.buffer = lines + self.buffer[self._at :]
            self._at = self._searched = 0
            return self.next() if self.buffer else False
        if 0 < len(self._verb) <= 20 and self._verb.isalpha() and self._verb.isupper() and self._verb != b"CONNECT":
            raise Refusal(405, "unsupported operation")
        raise Refusal(400, "malformed request; this is not HTTP/1.1")

    def _check_old_version(self, head: bytes) -> None:
        """HTTP/1.0 is served and then closed; all else that is not HTTP/1.1 is refused."""
        self.keep_alive = False
        if not self._headed or not head.startswith(b" HTTP/1.0\r\n", len(self._verb) + len(self._target) + 1):
            raise Refusal(400, "malformed request line; send '<verb> <path> HTTP/1.1'")
        if b"transfer-encoding" in self._headers:
            raise Refusal(400, "Transfer-Encoding does not exist in HTTP/1.0; send Content-Length")

    def _begin_body(self) -> bool:
        headers = self._headers
        self._chunks = 0
        self._limit = self._max_body
        if b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise Refusal(400, "unsupported Transfer-Encoding; send the body plain or chunked")
            self.stage = CHUNKS
            self.length = self._left = 0
        else:
            self.stage = BODY
            self.length = self._left = int(headers[b"content-length"])
            self._bound(self.length)
        self._check_expectation(headers.get(b"expect"))
        return self.next() if self.buffer else False

    def _check_expectation(self, expectation: bytes | None) -> None:
        if expectation is not None and expectation.lower() != b"100-continue":
            raise Refusal(417, "unknown expectation; only 100-continue is met")
        self.expects = expectation is not None and not self.buffer

    # ---- the body

    def _bound(self, size: int) -> None:
        if size > self._limit:
            room = self._larger(self.head)
            self._limit = room.most
            if size <= room.most and room.file is not None and self._file is None:
                self._file = Spool(room.file, self._grown or self.body)
                self._grown, self.body = bytearray(), b""
        if size > self._limit:
            raise Refusal(413, f"http: request body too large; at most {self._limit} bytes are taken here")

    def _read_body(self) -> bool:
        size = min(self._left, self.waiting)
        self._left -= size
        if self._plain:
            self._take(size)
        else:
            self._feed_next(size)
        return self._end() if self._left == 0 else False

    def _take(self, size: int) -> None:
        """A piece of the body behind a known head."""
        piece = self.buffer if size == len(self.buffer) else self.buffer[self._at : self._at + size]
        self._consume(self._at + size)
        if piece:
            self.on_body(piece)
        self._ended = self._left == 0

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
        buffer, at = self.buffer, self._at
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
        if self._chunks > MAX_CHUNKS and self.length < self._chunks * LEAST_CHUNK:
            raise Refusal(413, f"the body comes in more than {MAX_CHUNKS} chunks; send larger ones")
        self._left = size + 2
        self._feed_next(end + 2 - at)
        return True

    def _close_chunks(self, end: int) -> bool:
        if len(self.buffer) < end:
            return False
        if self.buffer[end - 2 : end] != _CRLF:
            raise Refusal(400, "trailers are not taken; send headers before the body")
        self._feed_next(end - self._at)
        return False

    def _end(self) -> bool:
        if not self._ended:
            raise Refusal(400, "malformed request: the body does not end where its headers say")
        self.stage = HEAD
        if self._file is not None:
            self.upload, self._file, self.keep_alive = self._file.whole(), None, False
        elif self._grown:
            self.body = bytes(self._grown)
            self._grown = bytearray()
        return True

    # ---- llhttp

    def _consume(self, end: int) -> None:
        if end == len(self.buffer):
            self.buffer = b""
            end = 0
        self._at = self._searched = end

    def _feed_next(self, size: int) -> None:
        if not size:
            return
        at = self._at
        piece = self.buffer if size == len(self.buffer) else self.buffer[at : at + size]
        self._consume(at + size)
        if self._ended:
            raise Refusal(400, "malformed request: bytes after its end")
        try:
            self._parser.feed_data(piece)
        except (HttpParserUpgrade, HttpParserError) as error:
            raise _refusal(error) from None
        if self._file is not None:
            self._file.check()

    def on_url(self, target: bytes) -> None:
        """Called by llhttp with the request target."""
        self._target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by llhttp for each header, and for trailers, which never reach it."""
        name = name.lower()
        headers = self._headers
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
        if self._file is not None:
            self._file.write(data)
        elif self._grown:
            self._grown += data
        elif self.body:
            self._grown = bytearray(self.body) + data
        else:
            self.body = data

    def on_message_complete(self) -> None:
        """Called by llhttp after the last byte of a request."""
        self._ended = True


def _closes(options: bytes) -> bool:
    """Whether a Connection header asks to close after this request (RFC 9112, 9.6). llhttp has forgotten it by the end of a message."""
    return b"close" in [option.strip(b" \t") for option in options.lower().split(b",")]


def _need_more(possible: bool) -> bool:
    if not possible:
        raise Refusal(400, "malformed chunk; a chunk begins with its size in hexadecimal and nothing else")
    return False


def _refusal(error: Exception) -> Refusal:
    """In llhttp's own words, which never quote the input. Raises what is not the client's fault: memory that was not there for a body."""
    if isinstance(error, HttpParserCallbackError):
        raise error
    if isinstance(error, HttpParserUpgrade):
        return Refusal(400, "upgrades and CONNECT are not supported; send plain HTTP/1.1")
    return Refusal(400, f"malformed request: {error.args[0] if error.args else 'not HTTP/1.1'}")
