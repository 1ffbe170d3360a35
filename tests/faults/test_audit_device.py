"""F18 on the real server: what no audit device took is not answered and not done; when the disk is back, so is the server."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.support import offline
from tests.support.server import serving

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


def _take_away(directory: Path) -> None:
    """The file is deleted and nobody can make another one, root included."""
    shutil.rmtree(directory)
    directory.touch()


def _bring_back(directory: Path) -> None:
    directory.unlink()
    directory.mkdir()
