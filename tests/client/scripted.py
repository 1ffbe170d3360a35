"""A tiny HTTP server on a real socket that answers from a script and remembers what it was asked.

It answers one connection at a time, in order, and closes each connection after `per_connection` answers.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple


class Asked(NamedTuple):
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


def answer(status: int = 200, body: object = None, headers: Sequence[str] = (), kind: str = "application/json") -> bytes:
    """The bytes of an answer with a length."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Type: {kind}", f"Content-Length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Scripted:
    """Answers `script`, one entry a request; a function entry gets the request."""

    def __init__(self, script: Sequence[bytes | Callable[[Asked], bytes]], listener: socket.socket, per_connection: int) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.address = ""
        self._script = list(script)
        self._listener = listener
        self._per_connection = per_connection
        self.context: ssl.SSLContext | None = None
        self.on_tls: Callable[[ssl.SSLSocket], None] = lambda _: None
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while self._script:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(5)
            if plain.family != socket.AF_UNIX:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else answers over TLS wait for a delayed ACK
            self.connections += 1
            with suppress(OSError, ValueError, IndexError), plain:  # the peer may send anything
                self._talk(self._secured(plain) if self.context else plain)

    def _secured(self, plain: socket.socket) -> ssl.SSLSocket:
        assert self.context is not None
        secured = self.context.wrap_socket(plain, server_side=True)
        self.on_tls(secured)
        return secured

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming:
            for _ in range(self._per_connection):
                line = incoming.readline().decode().split()
                if not line or not self._script:
                    return
                headers = dict(iter(lambda: _header(incoming.readline()), ("", "")))
                asked = Asked(line[0], line[1], headers, incoming.read(int(headers.get("content-length", "0"))))
                self.asked.append(asked)
                entry = self._script.pop(0)
                connection.sendall(entry if isinstance(entry, bytes) else entry(asked))


def _header(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode().strip().partition(": ")
    return name.lower(), value


@contextmanager
def serve(
    *script: bytes | Callable[[Asked], bytes], per_connection: int = 100, unix: Path | None = None, tls: tuple[Path, Path] | None = None
) -> Iterator[Scripted]:
    """A scripted server on loopback, on a unix socket, or with TLS by (certificate, key)."""
    if unix is None:
        listener = socket.create_server(("127.0.0.1", 0))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unix))
        listener.listen()
    server = Scripted(script, listener, per_connection)
    if tls is not None:
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(*tls)
    scheme = "https" if tls else "http"
    server.address = f"unix://{unix}" if unix else f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    server.thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.thread.join(5)
