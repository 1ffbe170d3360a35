"""Another host, played here: an HTTP server on the loopback that answers by a function, over TLS with an authority of its own.

Rules of this file:
- Real sockets, real TLS, real HTTP/1.1; one thread a connection. Bytes instead of an `Answered` go out as they are, for answers that
  no HTTP server would give. What was asked is kept.
- Whatever was started is stopped when the `with` ends.
"""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from strongroom.clock import SystemClock
from strongroom.server.certificates import Authority, make_authority


class Asked(NamedTuple):
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str = ""
    """Path and query as they were sent."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answered(NamedTuple):
    """An answer to give."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = {}


Handler = Callable[[Asked], Answered | bytes]


class Elsewhere:
    """See above. `url` is its origin, `ca_pem` who vouches for it. Without a `directory` for its certificates it speaks in the clear."""

    authority: Authority
    """Where it speaks TLS."""

    def __init__(self, directory: Path | None, handler: Handler, *, names: tuple[str, ...] = ("localhost",)) -> None:
        self.asked: list[Asked] = []
        self.handler = handler
        self.says_goodbye = True
        """Ends are announced; else a connection ends as if it had been cut."""
        self.ca_pem = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler_class())
        self._server.daemon_threads = True
        if directory is not None:
            self.authority = make_authority(directory, list(names), ["127.0.0.1"], SystemClock().now())
            self.ca_pem = self.authority.ca.read_text()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(directory / "server.pem", directory / "server-key.pem")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.url = f"{'http' if directory is None else 'https'}://localhost:{self.port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler_class(self) -> type[BaseHTTPRequestHandler]:
        elsewhere = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                size = int(self.headers.get("content-length", "0"))
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                asked = Asked(self.command, parts.path, query, headers, self.rfile.read(size), self.path)
                elsewhere.asked.append(asked)
                self._give(elsewhere.handler(asked))
                if isinstance(self.connection, ssl.SSLSocket) and elsewhere.says_goodbye:
                    with contextlib.suppress(OSError):
                        self.connection.unwrap()

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815  the base class looks for these names

            def _give(self, answer: Answered | bytes) -> None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    if isinstance(answer, bytes):
                        self.wfile.write(answer)
                        return
                    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                    self.send_response(answer.status)
                    for name, value in {"content-type": "application/json", **answer.headers}.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # a client that does not trust it hangs up in the handshake
                    super().handle()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the base class's name
                del format, arguments

        return Answering


@contextlib.contextmanager
def elsewhere(directory: Path | None, handler: Handler, **options: Any) -> Iterator[Elsewhere]:
    """Another host for the time of a `with`."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    made = Elsewhere(directory, handler, **options)
    try:
        yield made
    finally:
        made.close()
