"""One worker process: hardened, audited, reloaded and stopped as an operator expects."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import Client
from tests.support.server import Server, serving
from tests.support.waiting import until


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, Client]]:
    with serving(tmp_path, extra='log_level = "warn"\npid_file = "server.pid"\naudit_directory = "more"') as pair:
        yield pair


def status_of(server: Server) -> dict[str, str]:
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


# -- hardening ----------------------------------------------------------------------------------------------------------


def test_the_process_is_hardened_and_says_what_was_not_given(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _):
        status, said = status_of(server), server.output()
        assert status["NoNewPrivs"] == "1"
        assert re.search(r"^Max core file size +0 +0", Path(f"/proc/{server.pid}/limits").read_text(), re.MULTILINE)
        locked = int(status["VmLck"].split()[0]) > 0
        assert ("memory locked" in said.partition("not hardened")[0]) == locked
        assert ("not hardened" in said) == (not locked)
        assert said.count("hardened  ") == 1, "once"
        assert int(status["VmRSS"].split()[0]) < 80 * 1_024


# -- audit devices ------------------------------------------------------------------------------------------------------


def test_declared_and_added_devices_are_both_there_after_a_restart(tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir(mode=0o700)
    allow = f'unsafe_allow_api_audit_creation = true\naudit_directory = "{more}"'
    with serving(tmp_path, extra=allow) as (server, root):
        added = root.write("sys/audit/added", {"type": "file", "options": {"file_path": str(more / "added.log")}})
        assert added.status == 204, added
        refused = root.ask("DELETE", "sys/audit/main")
        assert refused.status == 400, "what the configuration says stays"
        server.terminate()
        server.start()
        with server.client() as root:
            assert set(root.read("sys/audit").data) == {"main/", "added/"}
            assert root.read("secret/config").status == 200
            assert root.ask("DELETE", "sys/audit/added").status == 204
            assert root.read("secret/config").status == 200
        for path in (server.audit, more / "added.log"):
            paths = [json.loads(line).get("request", {}).get("path") for line in path.read_bytes().splitlines()]
            assert "secret/config" in paths


def test_a_declared_device_that_takes_no_lines_keeps_the_server_sealed(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _):
        server.terminate()
        kept = server.audit.rename(tmp_path / "kept")
        server.audit.mkdir()
        server.start(503)
        assert "an audit device could not be opened" in server.output()
        with server.client() as root:
            assert root.read("sys/seal-status").json["sealed"] is True
            assert root.read("secret/config").status == 503
        server.audit.rmdir()
        kept.rename(server.audit)
        server.terminate()
        server.start()


def test_what_init_shows_once_is_not_lost_when_a_device_takes_no_lines(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.audit.mkdir()
    try:
        server.start(501)
        with server.client() as root:
            made = root.write("sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
            assert made.status == 200, made
            assert root.read("sys/health").status == 503
        server.audit.rmdir()
        server.terminate()
        server.start()
        with server.client(made.json["root_token"]) as root:
            assert root.read("sys/mounts").status == 200
    finally:
        server.close()


# -- reload and log -----------------------------------------------------------------------------------------------------


def test_sighup_takes_over_the_log_level_and_what_cannot_be_read_changes_nothing(served: tuple[Server, Client]) -> None:
    server, root = served
    assert "[info" not in server.output()
    text = server.config.read_text()
    server.config.write_text(text.replace('log_level = "warn"', 'log_level = "info"'))
    server.signal(signal.SIGHUP)
    until(lambda: "reloaded" in server.output())
    server.config.write_text(text + "nonsense")
    server.signal(signal.SIGHUP)
    until(lambda: "the configuration stays as it is" in server.output())
    assert root.read("secret/config").status == 200
    assert server.output().count("reloaded") == 2


def test_certificates_may_be_said_to_lie_elsewhere(served: tuple[Server, Client]) -> None:
    server, _ = served
    moved = (server.directory / "tls").rename(server.directory / "elsewhere")
    server.config.write_text(server.config.read_text().replace(f"{server.directory}/tls", str(moved)).replace('"warn"', '"info"'))
    server.signal(signal.SIGHUP)
    until(lambda: "reloaded" in server.output())
    assert "not reloaded" not in server.output()
    server.config.write_text(server.config.read_text().replace(str(moved), "/nowhere"))
    server.signal(signal.SIGHUP)
    until(lambda: "certificate not reloaded" in server.output())
    context = server.context_of(moved / "ca.pem")
    with socket.create_connection(("127.0.0.1", server.tls_port)) as plain, context.wrap_socket(plain, server_hostname="localhost"):
        pass


def test_the_log_may_go_to_a_file_that_is_moved_away(tmp_path: Path) -> None:
    log = tmp_path / "strongroom.log"
    with serving(tmp_path, extra=f'log_file = "{log}"') as (server, _):
        assert "serving" in log.read_text()
        assert log.stat().st_mode & 0o777 == 0o600
        assert server.output() == ""
        log.rename(tmp_path / "old.log")
        server.signal(signal.SIGHUP)
        until(lambda: log.exists() and "reloaded" in log.read_text())
        assert "reloaded" not in (tmp_path / "old.log").read_text()


# -- the process --------------------------------------------------------------------------------------------------------


def test_the_pid_file_lives_as_long_as_the_server(served: tuple[Server, Client]) -> None:
    server, _ = served
    path = server.directory / "server.pid"
    assert int(path.read_text()) == server.pid
    server.terminate()
    assert not path.exists()


def test_a_second_signal_ends_a_server_that_still_drains(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, root):
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(b"POST /v1/secret/data/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
            until(lambda: b"strongroom_connections 2.0" in root.read("sys/metrics?format=prometheus").body)
            os.kill(server.pid, signal.SIGTERM)
            until(lambda: "stopping" in server.output())
            assert server.running, "the open request has its time"
            began = time.monotonic()
            os.kill(server.pid, signal.SIGTERM)
            assert server.process is not None
            assert server.process.wait(5) == -signal.SIGTERM
            assert time.monotonic() - began < 2
        server.start()
