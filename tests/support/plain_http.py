"""An HTTP server in a thread, on loopback and in the clear, that answers as a test says: OCSP responders and places of revocation lists.

Rules of this file: real sockets; what it was asked is kept for the test to look at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Respond = Callable[[bytes], tuple[int, bytes]]
"""A request's body → status and body."""


class Answering:
    """A server that is being asked; `respond` may be changed at any time."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.asked: list[tuple[str, bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


def _handler(answering: Answering) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answering.asked.append((self.command, body))
            status, content = answering.respond(body)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 — the base class's name

        def log_message(self, *args: object) -> None:
            """Nothing: `asked` is the log."""

    return Handler


@contextmanager
def answering(respond: Respond) -> Iterator[Answering]:
    """A server until the block ends."""
    server = Answering(respond)
    try:
        yield server
    finally:
        server.close()
