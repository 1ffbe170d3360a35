"""A client that sends exactly what it is told: any verb, any path bytes, any body, over plain or TLS sockets.

Rules of this file: nothing is encoded, normalised, retried or followed; a lost connection is a ConnectionError.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

MIB = 1 << 20


class Reply(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """One connection, opened when first used and again after it was lost."""

    def __init__(self, port: int, token: str = "", context: ssl.SSLContext | None = None, timeout: float = 20) -> None:
        self.port = port
        self.token = token
        self._context = context
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._buffer = b""

    def ask(self, verb: str, path: str | bytes, body: object = None, *, token: str | None = None, **headers: str) -> Reply:
        """`path` is without `/v1/`; a body that is not bytes becomes JSON; header names have `_` for `-`."""
        raw = b"/v1/" + (path.encode() if isinstance(path, str) else path)
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        token = self.token if token is None else token
        if token:
            said["X-Vault-Token"] = token
        return self.send(request(verb.encode(), raw, body, said), verb)

    def read(self, path: str, **options: Any) -> Reply:
        return self.ask("GET", path, **options)

    def write(self, path: str, body: object = None, **options: Any) -> Reply:
        return self.ask("POST", path, body, **options)

    def send(self, message: bytes, verb: str = "GET") -> Reply:
        """Send whole bytes and read one answer."""
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(message)
            return self._receive(verb)
        except (OSError, ssl.SSLError) as error:
            self.close()
            raise ConnectionError(str(error)) from error

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=self._timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain if self._context is None else self._context.wrap_socket(plain, server_hostname="localhost")

    def _receive(self, verb: str) -> Reply:
        head = self._until(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        status = int(lines[0].split(" ")[1])
        size = 0 if verb == "HEAD" else int(headers.get("content-length", "0"))
        body = self._chunks() if headers.get("transfer-encoding") == "chunked" else self._exactly(size)
        if headers.get("connection") == "close":
            self.close()
        return Reply(status, headers, body)

    def _chunks(self) -> bytes:
        pieces = []
        while size := int(self._until(b"\r\n"), 16):
            pieces.append(self._exactly(size))
            self._until(b"\r\n")
        self._until(b"\r\n")
        return b"".join(pieces)

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(end)
        return head

    def _exactly(self, size: int) -> bytes:
        pieces, have = [self._buffer], len(self._buffer)
        while have < size:
            pieces.append(self._piece())
            have += len(pieces[-1])
        whole = b"".join(pieces)
        self._buffer = whole[size:]
        return whole[:size]

    def _more(self) -> None:
        self._buffer += self._piece()

    def _piece(self) -> bytes:
        assert self._socket is not None
        piece = self._socket.recv(65_536)
        if not piece:
            raise ConnectionError("the server closed the connection")
        return piece

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def request(verb: bytes, target: bytes, body: object = None, headers: Mapping[str, str] | None = None) -> bytes:
    """One message as bytes."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [verb + b" " + target + b" HTTP/1.1", b"Host: localhost"]
    lines += [f"{name}: {value}".encode() for name, value in (headers or {}).items()]
    if content or body is not None:
        lines.append(b"Content-Length: %d" % len(content))
    return b"\r\n".join(lines) + b"\r\n\r\n" + content


def raw_exchange(port: int, message: bytes, *, timeout: float = 10, end: bool = False) -> bytes:
    """Send bytes and read until the server closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        try:
            client.sendall(message)
            if end:
                client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65_536):
                received += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


def statuses(answers: bytes) -> list[int]:
    """The status of every answer in a stream of bytes."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
