"""F18 on the real server with four kinds of devices: while any of them takes lines it serves, and each collector's log proves itself.

The collectors are real: a TCP socket, a receiver of RFC 5424 over TCP, HTTPS with the server's own authority, and a file.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from strongroom.clock import SystemClock
from strongroom.server.certificates import make_authority
from tests.sinks.test_http import Collector as Https
from tests.support import offline
from tests.support.collector import Collector
from tests.support.http import Client
from tests.support.server import Server, serving

AUDIT = """
audit "file" "file" {{ file_path = "{directory}/audit.log" }}
audit "socket" "socket" {{ address = "127.0.0.1:{lines}" }}
audit "syslog" "syslog" {{ address = "127.0.0.1:{syslog}" facility = "LOCAL0" }}
audit "http" "http" {{
  uri = "https://127.0.0.1:{https}/in"
  ca_file = "{directory}/https/ca.pem"
  headers = "{{\\"Authorization\\": [\\"Bearer {secret}\\"]}}"
}}
"""
SECRET = "canary-of-a-collector"


class Setup(NamedTuple):
    server: Server
    root: Client
    lines: Collector
    syslog: Collector
    https: Https

    def stored(self) -> dict[str, bytes]:
        """What each collector keeps, without what it put around the lines."""
        framed, messages = self.syslog.taken, []
        while framed:
            size, _, framed = framed.partition(b" ")
            messages.append(framed[: int(size)].partition(b" audit - ")[2] + b"\n")
            framed = framed[int(size) :]
        posts = b"".join(body for _, _, body in self.https.posts)
        kept = self.server.audit.read_bytes() if self.server.audit.is_file() else b""
        return {"file": kept, "socket": self.lines.taken, "syslog": b"".join(messages), "http": posts}


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    authority = make_authority(tmp_path / "https", ["localhost"], ["127.0.0.1"], SystemClock().now())
    https = Https()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.cert, authority.key)
    https.socket = context.wrap_socket(https.socket, server_side=True)
    thread = threading.Thread(target=https.serve_forever, daemon=True)
    thread.start()
    lines, syslog = (Collector(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
    ports = {"lines": port_of(lines.listening), "syslog": port_of(syslog.listening), "https": https.server_address[1]}
    with serving(tmp_path, audit=AUDIT.format(directory=tmp_path, secret=SECRET, **ports)) as (server, root):
        yield Setup(server, root, lines, syslog, https)
    https.shutdown()
    https.server_close()
    thread.join()


def write(root: Client, number: int) -> int:
    return root.write(f"secret/data/{number}", {"data": {"number": number}}).status


def test_all_get_every_line_and_each_log_proves_itself(setup: Setup, tmp_path: Path) -> None:
    for number in range(20):
        assert write(setup.root, number) == 200
    assert setup.server.terminate() == 0
    setup.lines.wait(b'"final":true')
    setup.syslog.wait(b'"final":true')
    for name, stored in setup.stored().items():
        log = tmp_path / f"{name}.received"
        log.write_bytes(stored)
        report = offline.verify(setup.server, log)
        assert report.intact and not report.notes, (name, offline.texts(report))
        for number in range(20):
            assert stored.count(f'"path":"secret/data/{number}"'.encode()) == 2, (name, number)


def test_collectors_go_one_after_the_other_and_the_last_one_is_enough(setup: Setup, tmp_path: Path) -> None:
    root = setup.root
    assert write(root, 0) == 200
    setup.https.status = 500
    assert write(root, 1) == 200
    setup.syslog.stop()
    assert write(root, 2) == 200
    setup.server.audit.unlink()
    setup.server.audit.mkdir()
    began = time.monotonic()
    for number in range(3, 8):
        assert write(root, number) == 200
    assert time.monotonic() - began < 5, "those that fail cost no deadline each"
    setup.lines.stop()
    assert write(root, 8) == 500
    assert root.read("secret/data/0").status == 500

    setup.https.status = 204
    end = time.monotonic() + 5
    while root.read("secret/data/7").status != 200:
        assert time.monotonic() < end
    assert root.read("secret/data/8").status == 404, "what was answered with an error was not done"
    assert setup.server.terminate() == 0
    for name in ("socket", "http"):
        log = tmp_path / f"{name}.received"
        log.write_bytes(setup.stored()[name])
        report = offline.verify(setup.server, log)
        assert not [finding for finding in report.findings if "changed" in finding.what or "copied" in finding.what], offline.texts(report)
    assert any("missed" in note.what for note in report.notes), "the collector that came back is told what it missed"


def test_nobody_is_shown_a_collectors_credential(setup: Setup) -> None:
    shown = setup.root.read("sys/audit")
    assert shown.data["http/"]["options"]["headers"] == "(not shown)"
    assert setup.https.posts[-1][1]["authorization"] == f"Bearer {SECRET}", "which it does send"
    for text in (shown.body, setup.server.log.read_bytes(), *setup.stored().values()):
        assert SECRET.encode() not in text
