"""HTTP/1.1 as bytes: one request out, one answer in. No sockets here; `receive` is handed in.

Rules of this file:
- Nothing that came from a user reaches the wire unescaped: paths are percent-encoded, header values with line breaks are refused.
- An answer ends by its length, by its last chunk or by the connection's end; anything ambiguous is refused.
- Every limit has a name, so a hostile or broken peer cannot fill this process's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from strongroom.client.errors import BadAnswer, BadSettings, Unreachable

MAX_HEAD = 65_536
"""Bytes of status line and headers; a Vault answer has under 2 KiB."""

MAX_BODY = 256 * 1024 * 1024
"""Bytes of an answer's body: far over any JSON answer, below what hurts."""

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:@!$'()*,;=")
_BODILESS = (204, 304)


class Raw(NamedTuple):
    """An answer as it came: header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool


def quote(text: str, plain: frozenset[int] = _PLAIN) -> str:
    """Percent-encode everything that has a meaning in a URL, keeping `/`."""
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def query(pairs: Iterable[tuple[str, str]]) -> str:
    """`?a=b&c=d`, or nothing."""
    plain = _PLAIN - frozenset(b"=;/:@!$'()*,")
    text = "&".join(f"{quote(name, plain)}={quote(value, plain)}" for name, value in pairs)
    return f"?{text}" if text else ""


def encode(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None) -> bytes:
    """The bytes of a request."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {_checked(name, value)}" for name, value in headers)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def _checked(name: str, value: str) -> str:
    if not name.isascii() or not name.isprintable() or any(mark in name for mark in " :") or not name:
        raise BadSettings("a header's name must be printable ASCII without blanks and colons; give headers as -header 'Name=value'")
    if not value.isascii() or not value.isprintable():
        raise BadSettings(f"the value for the header {name} has line breaks or characters outside ASCII; look at where it was set")
    return value


class Reader:
    """Takes answers off a connection. `receive(n)` returns up to n bytes, and none at the end.

    With `take` a body of which nobody says how long it is, when all is well, is handed over as it comes, however long it gets.
    """

    def __init__(self, receive: Callable[[int], bytes], take: Callable[[bytes], None] | None = None) -> None:
        self._receive = receive
        self._take = take
        self._buffer = b""

    def answer(self, bodiless: bool = False) -> Raw:
        """The next final answer; interim ones (1xx) are skipped. Raises Unreachable, BadAnswer."""
        while True:
            version, status, headers = self._head()
            if status >= 200:
                break
        reusable = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        if bodiless or status in _BODILESS:
            return Raw(status, headers, b"", reusable)
        coding, length = headers.get("transfer-encoding", "").lower(), headers.get("content-length")
        if coding == "chunked" and length is None:
            return Raw(status, headers, self._body(status, self._chunks()), reusable)
        if coding:
            raise BadAnswer("the server's answer is framed in a way this client does not accept (transfer-encoding)")
        if length is None:
            return Raw(status, headers, self._body(status, self._rest()), reusable=False)
        return Raw(status, headers, self._exactly(_size(length, 10)), reusable)

    def _head(self) -> tuple[str, int, dict[str, str]]:
        version, _, rest = self._line(MAX_HEAD).partition(" ")
        status = rest.partition(" ")[0]
        if not version.startswith("HTTP/1.") or not status.isdecimal() or len(status) != 3:
            raise BadAnswer("what answered does not speak HTTP/1.1; if it serves TLS, use https:// in the address")
        return version, int(status), self._headers()

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        left = MAX_HEAD
        while line := self._line(left):
            left -= len(line)
            name, colon, value = line.partition(":")
            key = name.lower()
            if not colon or name != name.strip() or (key in headers and key in ("content-length", "transfer-encoding")):
                raise BadAnswer("the server's answer has a malformed header")
            headers[key] = value.strip()
        return headers

    def _body(self, status: int, pieces: Iterator[bytes]) -> bytes:
        parts: list[bytes] = []
        left = MAX_BODY
        for piece in pieces:
            if self._take is not None and status == 200:
                self._take(piece)
                continue
            left -= len(piece)
            parts.append(piece if left >= 0 else _too_long())
        return b"".join(parts)

    def _chunks(self) -> Iterator[bytes]:
        while size := _size(self._line(1024).partition(";")[0].strip(), 16):
            yield self._exactly(size)
            if self._line(2):
                raise BadAnswer("the server's answer has a malformed chunk")
        self._headers()

    def _line(self, limit: int) -> str:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > limit:
                raise BadAnswer("the server's answer has a line or header block over this client's limit")
            self._more()
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.removesuffix(b"\r").decode("latin-1")

    def _exactly(self, size: int) -> bytes:
        if size > MAX_BODY:
            _too_long()
        parts, have = [self._buffer], len(self._buffer)
        while have < size:
            parts.append(self._some(min(size - have, 1 << 20)))
            have += len(parts[-1])
        whole = b"".join(parts)
        self._buffer = whole[size:]
        return whole[:size]

    def _rest(self) -> Iterator[bytes]:
        piece, self._buffer = self._buffer, b""
        yield piece
        while piece := self._receive(65_536):
            yield piece

    def _more(self) -> None:
        self._buffer += self._some(65_536)

    def _some(self, size: int) -> bytes:
        piece = self._receive(size)
        if not piece:
            raise Unreachable("the server closed the connection before its answer was complete; its log says why")
        return piece


def _size(text: str, base: int) -> int:
    if not text or len(text) > 16 or not all(character in "0123456789abcdefABCDEF" for character in text):
        raise BadAnswer("the server's answer states a malformed length")
    try:
        return int(text, base)
    except ValueError:
        raise BadAnswer("the server's answer states a malformed length") from None


def _too_long() -> bytes:
    raise BadAnswer(f"the server's answer is longer than {MAX_BODY} bytes")
