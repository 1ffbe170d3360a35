"""The http device against a real collector over TLS: taken is what it answers 2xx to, and nothing else."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from strongroom import sinks
from strongroom.clock import SystemClock
from strongroom.errors import InvalidRequest
from strongroom.server.certificates import Authority, make_authority

BLOCK = b'{"n":1}\n{"n":2}\n'


class Collector(http.server.ThreadingHTTPServer):
    """What it was sent, and how it is told to answer."""

    status = 204
    wait = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        time.sleep(self.server.wait)
        self.send_response(self.server.status)
        self.send_header("Location", "https://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"), ["localhost"], ["127.0.0.1"], SystemClock().now())


@pytest.fixture
def collector(authority: Authority) -> Iterator[Collector]:
    made = Collector()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.cert, authority.key)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def options(collector: Collector, authority: Authority, **more: str) -> Mapping[str, str]:
    return {"uri": f"https://127.0.0.1:{collector.server_address[1]}/in", "ca_file": str(authority.ca), **more}


def test_a_block_is_one_post(collector: Collector, authority: Authority, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    sink = sinks.make("http", options(collector, authority, headers='{"X-Source": ["a", "b"]}', bearer_token_file=str(token)))
    assert sink.open() == (b"", b"")
    sink.write(BLOCK)
    token.write_text("second\n")
    sink.write(b"{}\n")
    (path, headers, body), (_, later, _) = collector.posts
    assert (path, body) == ("/in", BLOCK)
    assert (headers["content-type"], headers["x-source"]) == ("application/x-ndjson", "a, b")
    assert (headers["authorization"], later["authorization"]) == ("Bearer first", "Bearer second")
    assert collector.connections == 1
    sink.close()


@pytest.mark.parametrize("status", [302, 400, 401, 500, 503])
def test_what_is_not_2xx_is_a_failure_and_no_redirect_is_followed(collector: Collector, authority: Authority, status: int) -> None:
    collector.status = status
    with closing(sinks.make("http", options(collector, authority))) as sink, pytest.raises(OSError, match=str(status)):
        sink.write(BLOCK)
    assert len(collector.posts) == 1


def test_a_certificate_of_somebody_else_is_not_spoken_to(collector: Collector, authority: Authority, tmp_path: Path) -> None:
    other = make_authority(tmp_path, ["localhost"], ["127.0.0.1"], SystemClock().now())
    with pytest.raises(OSError, match="certificate"):
        sinks.make("http", options(collector, other)).write(BLOCK)
    assert not collector.posts


def test_a_collector_that_does_not_answer_is_a_failure_in_time(collector: Collector, authority: Authority) -> None:
    collector.wait = 4.0
    began = time.monotonic()
    with pytest.raises(OSError, match=r"."):
        sinks.make("http", options(collector, authority)).write(BLOCK)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"uri": "http://collector.example/"},
        {"uri": "ftp://127.0.0.1/"},
        {"uri": "https://user:pass@127.0.0.1/"},
        {"uri": "https://127.0.0.1/", "headers": "X-Source: a"},
        {"uri": "https://127.0.0.1/", "headers": '{"Host": "elsewhere"}'},
        {"uri": "https://127.0.0.1/", "headers": '{"content-LENGTH": "1"}'},
        {"uri": "https://127.0.0.1/", "headers": '{"Authorization": "Bearer x"}', "bearer_token_file": "/etc/token"},
    ],
)
def test_what_cannot_be_is_refused(given: Mapping[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        sinks.make("http", given)


def test_a_credential_may_stand_where_openbao_has_it(collector: Collector, authority: Authority) -> None:
    with closing(sinks.make("http", options(collector, authority, headers='{"Authorization": ["Bearer x"]}'))) as sink:
        sink.write(BLOCK)
    assert collector.posts[0][1]["authorization"] == "Bearer x"
    assert "Bearer" not in repr(sink)


def test_in_the_clear_it_speaks_to_this_host_only() -> None:
    assert sinks.make("http", {"uri": "http://127.0.0.1:9/"}).place == "http://127.0.0.1:9/"
