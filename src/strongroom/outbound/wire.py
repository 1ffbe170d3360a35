"""One HTTP/1.1 exchange over a connection, within one deadline and one allowance of bytes.

Rules of this file:
- A request is written from checked parts: a header that could hold a line break is an error, and framing headers are set here only.
- Every read and every write is timed by what is left of the whole call, so that a byte now and then does not keep it going.
- Everything that comes counts, heads and chunk frames included: the parser has no bound of its own for those.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Hashable, Mapping
from functools import lru_cache
from http.client import HTTPException, HTTPResponse
from math import isinf
from time import monotonic
from typing import Any, TypeVar, cast

import msgspec

from strongroom.errors import InvalidRequest
from strongroom.outbound.errors import BadAnswer
from strongroom.outbound.url import Url

T = TypeVar("T")

HEAD_BYTES = 65_536
"""What may come beside the body: heads, interim answers, chunk frames."""
PIECE = 65_536

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?", re.ASCII)
_METHOD = re.compile(r"[A-Z]{1,16}", re.ASCII)
_FRAMING = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect", "upgrade", "te", "trailer", "accept-encoding"))


class Answer(msgspec.Struct, frozen=True):
    """What another host answered, whatever its status. Header names are in lower case."""

    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    closes: bool = True
    """Whether nothing can follow over this connection."""

    def __repr__(self) -> str:
        return f"Answer({self.host}, {self.status}, {len(self.body)} bytes)"

    def json(self, kind: type[T]) -> T:
        """The body as a struct. Raises BadAnswer, which does not quote it."""
        try:
            found: T = _decoder(cast("Hashable", kind)).decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadAnswer(self.host, f"it answered {self.status} with something else than the JSON that belongs there") from None
        return found


def written(method: str, url: Url, headers: Mapping[str, str], body: bytes, *, keep: bool = False) -> bytes:
    """A request's bytes; `keep`: others are to follow over this connection. Raises InvalidRequest, which quotes no value."""
    if not _METHOD.fullmatch(method):
        raise InvalidRequest("a method is a word in capitals")
    lines = [f"{method} {url.target} HTTP/1.1", f"host: {url.authority}", "accept-encoding: identity"]
    if not keep:
        lines.append("connection: close")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _FRAMING:
            raise InvalidRequest("a header to be sent has a name that cannot be sent")
        if not _VALUE.fullmatch(value):
            raise InvalidRequest(f"the header '{name}' to be sent has characters that cannot be in a header")
        lines.append(f"{name.lower()}: {value}")
    return "\r\n".join((*lines, "", "")).encode() + body


@lru_cache(maxsize=256)
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    """Floats are read by Python: the decoder's own way takes ten microseconds for each 1e300, a second for a body full of them."""
    return msgspec.json.Decoder(cast("type[Any]", kind), float_hook=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("beyond a double")
    return number


class Wire(io.RawIOBase):
    """A connection, timed and counted."""

    def __init__(self, connection: socket.socket, deadline: float, allowance: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._allowance = allowance
        self.ended = False
        """The other side said all it will."""

    def _timed(self) -> socket.socket:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._connection.settimeout(left)
        return self._connection

    def send_all(self, data: bytes) -> None:
        """Send all of it."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._timed().send(rest[:PIECE]) :]

    def readable(self) -> bool:
        """As a raw stream says it."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # the base takes any buffer
        """As a raw stream reads."""
        got = self._timed().recv_into(buffer)
        self._allowance -= got
        self.ended = not got
        if self._allowance < 0:
            raise HTTPException("the answer is longer than is read")
        return got

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The one method of a socket that HTTPResponse uses."""
        return io.BufferedReader(self)


def exchange(connection: socket.socket, host: str, method: str, request: bytes, deadline: float, limit: int) -> Answer:
    """Send a request and read the whole answer. Raises OSError and BadAnswer."""
    wire = Wire(connection, deadline, limit + HEAD_BYTES)
    wire.send_all(request)
    response = HTTPResponse(cast("socket.socket", wire), method=method)
    try:
        response.begin()
        if wire.ended:  # which the parser takes for the end of the head
            raise HTTPException("the head is cut")
        body = response.read(limit + 1)
        complete = response.isclosed() or not response.length
    except (HTTPException, ValueError) as error:
        raise BadAnswer(host, f"its answer cannot be read ({type(error).__name__})") from None
    finally:
        response.close()
    if len(body) > limit or not complete:
        raise BadAnswer(host, f"its answer is incomplete or longer than {limit} bytes")
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Answer(host, response.status, headers, body, bool(response.will_close))
