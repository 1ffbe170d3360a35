"""F18 on the real server: what no audit device took is not answered and not done; when the disk is back, so is the server."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest

from tests.support import offline
from tests.support.collector import Collector
from tests.support.server import serving

pytestmark = pytest.mark.fault("F18")

TWO = 'audit "file" "main" {{ file_path = "{0}/a/audit.log" }}\naudit "file" "second" {{ file_path = "{0}/b/audit.log" }}'


def test_with_no_device_left_nothing_is_answered_or_stored_and_it_recovers_by_itself(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = tmp_path / "a", tmp_path / "b"
    with serving(tmp_path, audit=TWO.format(tmp_path)) as (server, client):
        assert client.write("secret/data/one", {"data": {"text": "kept content"}}).status == 200
        _take_away(first)
        assert client.read("secret/data/one").status == 200, "with one of two devices good it serves"
        assert client.write("secret/data/two", {"data": {"text": "kept as well"}}).status == 200

        _take_away(second)
        for _ in range(3):
            reply = client.read("secret/data/one")
            assert reply.status == 500
            assert "content" not in reply.text
            assert client.write("secret/data/three", {"data": {"text": "never stored"}}).status == 500
        assert client.write("auth/token/create", {}).json.get("auth") is None

        _bring_back(second)
        began = time.monotonic()
        while client.read("secret/data/one").status != 200:
            assert time.monotonic() - began < 5
        assert client.read("secret/data/two").status == 200
        assert client.read("secret/data/three").status == 404, "what was answered with an error was not done"
        _bring_back(first)
        assert client.write("secret/data/four", {"data": {"n": 4}}).status == 200
        assert server.terminate() == 0
        assert offline.scrub(server).clean
        report = offline.verify(server, first / "audit.log", second / "audit.log")
        assert not report.intact, "the lines that were deleted are missed"
        assert not [finding for finding in report.findings if "changed" in finding.what], offline.texts(report)
        assert b"secret/data/four" in (first / "audit.log").read_bytes(), "both take lines again"


@pytest.mark.control
def test_control_a_server_that_was_given_no_device_answers_unrecorded(tmp_path: Path) -> None:
    with serving(tmp_path, audit="") as (server, client):
        assert client.write("secret/data/one", {"data": {"text": "unrecorded content"}}).status == 200
        assert "unrecorded content" in client.read("secret/data/one").text
        assert not list(tmp_path.glob("**/audit.log"))
        assert "no audit device is enabled" in server.output()


def _take_away(directory: Path) -> None:
    """The file is deleted and nobody can make another one, root included."""
    shutil.rmtree(directory)
    directory.touch()


def _bring_back(directory: Path) -> None:
    directory.unlink()
    directory.mkdir()


def test_a_collector_of_several_workers_gets_every_line_and_may_go_away_for_a_while(tmp_path: Path) -> None:
    """The socket device alone: while nobody takes lines nothing is answered, and afterwards the streams say what they missed."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    collector = Collector(listening)
    audit = f'audit "socket" "main" {{ address = "127.0.0.1:{port}" }}'
    with serving(tmp_path, audit=audit, workers=2) as (server, root):
        clients = [server.client() for _ in range(10)]
        for number, client in enumerate(clients):
            assert client.write(f"secret/data/{number}", {"data": {"text": "content"}}).status == 200
        for number in range(10):
            collector.wait(f'"path":"secret/data/{number}"'.encode())
        assert len(collector.connections) == 2, "one a worker"
        before = collector.taken
        collector.stop()
        assert root.read("secret/data/1").status == 500
        assert root.write("secret/data/lost", {"data": {}}).status == 500
        again = Collector(socket.create_server(("127.0.0.1", port)))
        until = time.monotonic() + 5
        for client in (root, *clients):
            while client.read("secret/data/lost").status != 404:  # a device that may block opens behind the scenes
                assert time.monotonic() < until
        again.wait(b'"missed":')
        server.terminate()
        again.wait(b'"final":true')
        again.stop()
        received = tmp_path / "received.log"
        received.write_bytes(before + again.taken)
        report = offline.verify(server, received)
        assert report.intact, offline.texts(report)
        assert any("missed" in note.what for note in report.notes)
