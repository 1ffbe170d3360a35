"""T21.1 behind nginx and haproxy, where they are installed: no form makes proxy and server disagree about where a request ends.

Each form carries a second request inside what one of the two readings calls its body. It must never reach the server as a request, which
the audit log would show, and whoever comes next over the same proxy must get the answer to his own request.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.server.test_http import SMUGGLING
from tests.support.http import Client, raw_exchange
from tests.support.server import Server, free_port
from tests.support.waiting import listening, until

PROBES = 3
SEARCH = "/usr/sbin:/usr/local/sbin:/usr/bin:/bin"

NGINX = """\
daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  upstream server {{ server 127.0.0.1:{to}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://server; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; }}
  }}
}}
"""

HAPROXY = """\
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  default_backend server
backend server
  server one 127.0.0.1:{to}
"""


class Kind(NamedTuple):
    """How a proxy is started."""

    program: str
    config: str
    arguments: tuple[str, ...]


PROXIES = {
    "nginx": Kind("nginx", NGINX, ("-p", "{directory}", "-c", "{directory}/config")),
    "haproxy": Kind("haproxy", HAPROXY, ("-db", "-f", "{directory}/config")),
}


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, live: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a proxy in front of the live server."""
    kind = PROXIES[request.param]
    program = shutil.which(kind.program, path=SEARCH)
    if program is None:
        pytest.skip(f"{kind.program} is not installed")
    directory, port = tmp_path_factory.mktemp(kind.program), free_port()
    (directory / "config").write_text(kind.config.format(directory=directory, port=port, to=live.port))
    arguments = [part.format(directory=directory) for part in kind.arguments]
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int) -> None:
    """Until a proxy takes connections."""
    until(lambda: listening(port), 10, "the proxy did not start")


def hidden(name: str) -> bytes:
    return f"GET /v1/secret/data/{name} HTTP/1.1\r\nHost: a\r\nX-Vault-Token: none\r\n\r\n".encode()


def carriers(name: str) -> Iterator[bytes]:
    """The ways to hide one request in another."""
    inner = hidden(name)
    head = b"POST /v1/sys/unseal HTTP/1.1\r\nHost: a\r\n"
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
    for coding in (
        b"chunked",
        b"xchunked",
        b"chunked\r\nTransfer-Encoding: x",
        b" chunked",
        b"\x0bchunked",
        b"identity, chunked",
        b"chunKed\t",
    ):
        encoding = b"Transfer-Encoding:" + coding + b"\r\n"
        yield head + b"Content-Length: %d\r\n" % (len(inner) + 5) + encoding + b"\r\n0\r\n\r\n" + inner
        yield head + b"Content-Length: 4\r\n" + encoding + b"\r\n" + chunk
        yield head + encoding + b"\r\n" + chunk
    yield head + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner
    yield head + b"Content-Length: %d\r\nX: a\nContent-Length: 0\r\n\r\n" % len(inner) + inner
    yield head + b"Content-Length : %d\r\n\r\n" % len(inner) + inner
    yield head + b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n" % len(inner) + b"0\r\n\r\n" + inner
    yield head + b"Transfer-Encoding: chunked\r\n\r\n0;a=b\r\nX: y\r\n\r\n"


def requested(live: Server, name: str) -> bool:
    """Whether the server took the hidden request for one."""
    return f"secret/data/{name}".encode() in live.audit.read_bytes()


def sent(port: int, message: bytes) -> bytes:
    """What comes back until nothing more comes for a moment; a half-closed connection would be an abort to a proxy."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as client, contextlib.suppress(OSError):
        client.sendall(message)
        while piece := client.recv(65_536):
            received += piece
            if b"\r\n\r\n" in received:
                client.settimeout(0.03)
    return received


def probe(live: Server, port: int) -> None:
    """Others who come over the same proxy get the answers to their own requests."""
    for number in range(PROBES):
        with Client(port, live.token) as client:
            reply = client.read(f"secret/data/probe-{number}")
            assert reply.status == 200, reply
            assert reply.data["data"] == {"number": number}


@pytest.fixture(scope="module", autouse=True)
def probes(live: Server) -> None:
    with live.client() as client:
        for number in range(PROBES):
            assert client.write(f"secret/data/probe-{number}", {"data": {"number": number}}).status == 200


def test_a_hidden_request_is_never_one(live: Server, proxy: int) -> None:
    for number, message in enumerate(carriers("hidden-by-proxy")):
        sent(proxy, message)
        probe(live, proxy)
        assert not requested(live, "hidden-by-proxy"), f"form {number}: {message[:120]!r}"


def test_no_form_disturbs_those_who_come_next(live: Server, proxy: int) -> None:
    for message in SMUGGLING.values():
        sent(proxy, message)
        probe(live, proxy)


def test_a_hidden_request_is_never_one_without_a_proxy(live: Server) -> None:
    for message in carriers("hidden-directly"):
        raw_exchange(live.port, message, timeout=8, end=True)
    assert not requested(live, "hidden-directly")


def test_a_request_that_is_sent_openly_is_one(live: Server, proxy: int) -> None:
    """The control: behind the proxy the same request, sent as a request, is in the audit log."""
    assert sent(proxy, hidden("sent-openly")).startswith(b"HTTP/1.1 403")
    assert requested(live, "sent-openly")
