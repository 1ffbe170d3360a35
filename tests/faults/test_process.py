"""The process as an operator meets it: stopping under load, reloading, refusing to start, and what it leaves on the disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strongroom.clock import SystemClock
from strongroom.server.certificates import make_authority
from tests.support import offline
from tests.support.http import Client
from tests.support.load import under_load
from tests.support.server import ROOT, Server, free_port, serving
from tests.support.waiting import until

LONG = os.environ.get("STRONGROOM_TEST_PROFILE", "ci") == "long"


# -- F30: SIGTERM ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F30")
@pytest.mark.parametrize("restarts", [3, pytest.param(100, marks=pytest.mark.long)])
def test_a_server_that_is_told_to_stop_answers_what_it_took(tmp_path: Path, restarts: int) -> None:
    with serving(tmp_path) as (server, _):
        with under_load(server, 4) as loads:
            for _ in range(restarts):
                time.sleep(0.3)
                began = time.monotonic()
                assert server.terminate() == 0
                assert time.monotonic() - began < 30
                server.start()
        assert not [failure for load in loads for failure in load.failed]
        assert sum(load.cut for load in loads) <= restarts * len(loads), "at most what was sent into a closing connection; one retry helps"
        for load in loads:
            assert len(load.kept) > restarts
            assert load.lost() == []
        assert server.terminate() == 0
        report = offline.verify(server)
        assert report.intact, offline.texts(report)
        assert report.last is not None
        assert report.last.final
        assert report.uncovered <= 1, "the last checkpoint covers everything but its own line"
        assert offline.scrub(server).clean


# -- SIGHUP ---------------------------------------------------------------------------------------------------------------


def certificate_of(server: Server) -> bytes:
    with server.client(tls=True) as client:
        made = client._connect()
        with made:
            assert isinstance(made, ssl.SSLSocket)
            return made.getpeercert(binary_form=True) or b""


def test_sighup_takes_a_new_certificate_and_reopens_the_audit_file(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, client):
        standing = server.client(tls=True)
        assert standing.read("sys/health").status == 200
        before = certificate_of(server)
        make_authority(tmp_path / "tls", ["localhost"], ["127.0.0.1"], SystemClock().now())
        rotated = tmp_path / "audit.log.1"
        server.audit.rename(rotated)
        assert client.write("secret/data/one", {"data": {"n": 1}}).status == 200
        server.signal(signal.SIGHUP)
        until(lambda: server.audit.exists() and certificate_of(server) != before)
        assert standing.read("secret/data/one", token=server.token).status == 200, "what stands goes on"
        assert client.write("secret/data/two", {"data": {"n": 2}}).status == 200
        server.terminate()
        assert b"secret/data/two" in server.audit.read_bytes()
        both = offline.verify(server, rotated, server.audit)
        assert both.intact, offline.texts(both)
        alone = offline.verify(server, server.audit)
        assert not alone.intact, "the control: without the older file the chain shows that something came before"


def test_a_bad_certificate_at_reload_keeps_the_old_one_and_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _):
        before = certificate_of(server)
        server.authority.cert.write_text("not a certificate")
        server.signal(signal.SIGHUP)
        until(lambda: "certificate not reloaded" in server.output())
        assert certificate_of(server) == before
        server.authority.cert.write_bytes(b"")
        server.signal(signal.SIGHUP)
        until(lambda: server.output().count("certificate not reloaded") == 2)
        assert certificate_of(server) == before


# -- what does not start ----------------------------------------------------------------------------------------------------


def started(directory: Path, config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected to say why not."""
    path = directory / "bad.hcl"
    path.write_text(config)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "strongroom", "server", *(arguments or (f"-config={path}",))]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, timeout=20)


LISTENER = 'listener "tcp" { address = "127.0.0.1:0" tls_disable = true }\n'
CONFIGS = {
    "an unknown key": (LISTENER + 'storage "inmem" {}\nlog_levl = "info"\n', "log_levl"),
    "an unknown storage": (LISTENER + 'storage "etcd" {}\n', "etcd"),
    "two storages": (LISTENER + 'storage "inmem" {}\nstorage "inmem" {}\n', "second storage"),
    "no path": (LISTENER + 'storage "sqlite" {}\n', "path"),
    "no listener": ('storage "inmem" {}\n', "listener"),
    "no certificate": ('listener "tcp" { address = "127.0.0.1:0" }\nstorage "inmem" {}\n', "tls_cert_file"),
    "a missing certificate": (
        LISTENER.replace("tls_disable = true", 'tls_cert_file = "/nonexistent/a.pem" tls_key_file = "/nonexistent/b.pem"')
        + 'storage "inmem" {}\n',
        "/nonexistent/a.pem",
    ),
    "a bad address": ('listener "tcp" { address = "here" tls_disable = true }\nstorage "inmem" {}\n', "here"),
    "no HCL": ("listener tcp {{{\n", "line"),
    "a bad level": (LISTENER + 'storage "inmem" {}\nlog_level = "loud"\n', "log_level"),
    "a bad seal": (LISTENER + 'storage "inmem" {}\nseal "static" { path = "/nonexistent/key" }\n', "/nonexistent/key"),
    "an unknown seal option": (LISTENER + 'storage "inmem" {}\nseal "static" { pth = "x" }\n', "pth"),
}
IN_CI = ("an unknown key", "no path", "no certificate", "a bad address", "no HCL", "a bad seal")


@pytest.mark.parametrize("what", [name if name in IN_CI else pytest.param(name, marks=pytest.mark.long) for name in CONFIGS])
def test_a_configuration_that_cannot_be_is_refused_in_one_sentence(tmp_path: Path, what: str) -> None:
    config, named = CONFIGS[what]
    done = started(tmp_path, config)
    assert done.returncode == 1, done
    *logged, sentence = done.stderr.splitlines()
    assert sentence.startswith("strongroom server: ")
    assert named in sentence
    assert not [line for line in logged if "[info" not in line], done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_configuration_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = started(tmp_path, "", "-config=/nonexistent/config.hcl")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nonexistent/config.hcl" in done.stderr


def test_a_second_server_on_the_same_directory_or_port_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, client):
        second = started(tmp_path, server.config.read_text().replace(str(server.port), str(free_port())))
        assert second.returncode == 1
        assert "another strongroom server is using" in second.stderr
        taken = started(tmp_path, f'listener "tcp" {{ address = "127.0.0.1:{server.port}" tls_disable = true }}\nstorage "inmem" {{}}\n')
        assert taken.returncode == 1
        assert f"cannot listen on 127.0.0.1:{server.port}" in taken.stderr
        assert client.write("secret/data/one", {"data": {"n": 1}}).status == 200, "the first one does not notice"
    assert "unexpected" not in server.output()


# -- T23.1: strongroom up ---------------------------------------------------------------------------------------------------


class Up:
    """`strongroom up` on a directory, under a careless umask."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.output = directory / "up.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "STRONGROOM_DATA": str(self.data), "PYTHONUNBUFFERED": "1"}
        with self.output.open("wb") as log:
            command = [sys.executable, "-m", "strongroom", "up", f"-port={free_port()}"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, umask=0o022)
        until(lambda: "serving" in self.output.read_text(), 20)
        return self.output.read_text()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path)
    yield made
    made.stop()


def said(text: str, name: str) -> str:
    return next(line.partition(": ")[2] for line in text.splitlines() if line.startswith(name))


def test_everything_that_up_makes_is_private(up: Up) -> None:
    text = up.start()
    token, port = said(text, "Root token"), int(said(text, "Address").rpartition(":")[2])
    context = Server.context_of(Path(said(text, "CA certificate")))
    with Client(port, token, context) as client:
        assert client.write("sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}).status == 204
        assert client.write("secret/data/one", {"data": {"n": 1}}).status == 200
    walked = [up.data, *up.data.rglob("*")]
    assert {path.name for path in walked} >= {
        "ca.pem",
        "ca-key.pem",
        "server.pem",
        "server-key.pem",
        "seal.key",
        "store",
        "audit.log",
        "strongroom.db",
    }
    assert not loose(walked)
    assert not [path for path in walked if path.is_file() and token.encode() in path.read_bytes()], "the root token is nowhere on the disk"

    up.stop()
    again = up.start()
    assert "Root token" not in again
    assert "Recovery key" not in again
    with Client(int(said(again, "Address").rpartition(":")[2]), token, context) as client:
        assert client.read("secret/data/one").data["data"] == {"n": 1}
    lines = [json.loads(line) for line in (up.data / "audit" / "audit.log").read_bytes().splitlines()]
    assert {"request", "response", "stream"} <= {line["type"] for line in lines}


def loose(paths: list[Path]) -> dict[str, str]:
    """What others could look into."""
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in paths}
    return {str(path): oct(mode) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)}


def test_a_file_that_others_could_read_would_be_found(tmp_path: Path) -> None:
    """The negative control."""
    (tmp_path / "file").touch(0o644)
    tmp_path.chmod(0o755)
    assert len(loose([tmp_path, *tmp_path.rglob("*")])) == 2


def test_up_takes_the_next_port_when_its_own_is_taken(up: Up) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "STRONGROOM_DATA": str(up.data), "PYTHONUNBUFFERED": "1"}
        with up.output.open("wb") as log:
            up.process = subprocess.Popen(
                [sys.executable, "-m", "strongroom", "up", f"-port={port}"], env=environment, stdout=log, stderr=log
            )
        until(lambda: "serving" in up.output.read_text(), 20)
        assert f"Port {port} is taken; using " in up.output.read_text()
