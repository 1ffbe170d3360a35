"""What one listener opens is open there only; unix sockets, several listeners and trusted proxies on the real server."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import Client, request
from tests.support.server import Server, free_port, serving

OPEN = """
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_disable = true
  disable_unauthed_rekey_endpoints = false
  disable_unauthed_generate_root_endpoints = false
  telemetry {{ unauthenticated_metrics_access = true }}
  x_forwarded_for_authorized_addrs = ["127.0.0.0/8"]
  x_forwarded_for_reject_not_present = false
}}
listener "unix" {{
  address = "{socket}"
  socket_mode = "0660"
}}
"""

OLD_FORMS = ("sys/rekey/init", "sys/generate-root/attempt", "sys/rekey-recovery-key/init")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Client, Client, Path]]:
    directory, port = tmp_path_factory.mktemp("listeners"), free_port()
    where = directory / "api.sock"
    with serving(directory, extra=OPEN.format(port=port, socket=where)) as (server, root), Client(port) as opened:
        yield server, root, opened, where


Four = tuple[Server, Client, Client, Path]


@pytest.mark.parametrize("path", OLD_FORMS)
def test_the_old_key_routes_are_open_where_a_listener_opens_them_and_only_there(server: Four, path: str) -> None:
    _, root, opened, _ = server
    assert opened.read(path).status in (200, 400)
    assert root.read(path, token="").status == 405
    assert root.read(path).status == 405


def test_metrics_need_no_token_where_a_listener_says_so_and_only_there(server: Four) -> None:
    _, root, opened, _ = server
    assert b"vault_core_unsealed 1.0" in opened.read("sys/metrics?format=prometheus").body
    assert opened.read("sys/metrics").json["Gauges"]
    assert root.read("sys/metrics", token="").status == 403
    assert root.read("sys/metrics").status == 200
    assert opened.read("sys/mounts").status == 403, "nothing else is open"
    assert opened.write("sys/metrics", {}).status in (403, 405)


def test_a_proxy_passes_on_what_is_open(server: Four) -> None:
    whole, _, opened, _ = server
    assert opened.read("sys/metrics", X_Forwarded_For="203.0.113.7").status == 200
    assert json.loads(whole.audit.read_bytes().splitlines()[-1])["request"]["remote_address"] == "203.0.113.7"


def test_a_unix_socket_has_its_mode_and_serves(server: Four) -> None:
    whole, _, _, where = server
    assert stat.S_IMODE(where.stat().st_mode) == 0o660
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(where))
        client.sendall(request(b"GET", b"/v1/sys/mounts", None, {"X-Vault-Token": whole.token}))
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_dead_socket_file_is_replaced_and_a_file_of_that_name_is_not(server: Four) -> None:
    whole, root, _, where = server
    whole.kill()
    assert where.exists(), "a killed server leaves its socket"
    whole.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(where))
    whole.terminate()
    assert not where.exists(), "one that was told to stop takes it away"
    where.write_text("kept")
    whole.spawn()
    assert whole.process is not None
    assert whole.process.wait(20) == 1
    assert "there is a file of that name" in whole.output()
    assert where.read_text() == "kept"
    where.unlink()
    whole.start()
    root.close()
