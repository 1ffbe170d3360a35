"""An HTTPS server in a thread, on loopback and with a certificate authority of its own, that answers as a test says.

Rules of this file: real sockets and real TLS; what it was asked is kept for the test to look at.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple, TypeVar

from strongroom.clock import SystemClock
from strongroom.server.certificates import make_authority


class Asked(NamedTuple):
    """A request. Header names are in lower case, each with all of its values."""

    method: str
    path: str
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str) -> str:
        """The one value of a header; "" where there is none."""
        (value,) = self.headers.get(name, [""])
        return value


class Told(NamedTuple):
    """An answer. `hold`: seconds to wait before it."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    hold: float = 0.0


Respond = Callable[[Asked], Told]


class Stub:
    """A server that is being asked. `url` has no slash at its end, `ca` is what clients must trust (PEM)."""

    def __init__(self, directory: Path, respond: Respond) -> None:
        authority = make_authority(directory, ["localhost"], ["127.0.0.1"], SystemClock().now())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.cert, authority.key)
        self.ca = authority.ca.read_text()
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self._server = _Server(context, self, respond)
        self.url = f"https://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop; answers that are being held leave at once."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, stub: Stub, respond: Respond) -> None:
        self.context, self.stub, self.respond = context, stub, respond
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust this server, or that heard enough, hangs up: that is what tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 10

    def setup(self) -> None:
        self.request.settimeout(self.timeout)
        self.request = self.server.context.wrap_socket(self.request, server_side=True, do_handshake_on_connect=False)
        try:
            self.request.do_handshake()
        except OSError:
            self.request.close()
            raise
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()  # the server knows the socket below it only, which is spent

    def _answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        names = {name.lower() for name in self.headers}
        headers = {name: self.headers.get_all(name) or [] for name in names}
        asked = Asked(self.command, self.path, headers, self.rfile.read(length))
        self.server.stub.asked.append(asked)
        told = self.server.respond(asked)
        if told.hold:
            self.server.stub.closing.wait(told.hold)
        self.send_response(told.status)
        self.send_header("content-type", told.content_type)
        self.send_header("content-length", str(len(told.body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(told.body)
        self.close_connection = True

    do_GET = _answer  # noqa: N815 — the base class's names
    do_POST = _answer  # noqa: N815
    do_PUT = _answer  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Nothing: `asked` is the log."""


S = TypeVar("S", bound=Stub)


@contextmanager
def running(stub: S) -> Iterator[S]:
    """Let it serve until the block ends."""
    try:
        yield stub
    finally:
        stub.close()
