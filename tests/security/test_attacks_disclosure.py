"""Secrets that would stand where others read: files wider than they should be, bodies that are no bodies."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from strongroom.server import serve
from tests.support.server import Server


@pytest.mark.parametrize("body", [b"hunter2-in-a-bare-body", b"aHVudGVyMi1pbi1hLWJhcmUtYm9keQ==", b"hunter2-in-a-bare-body&another"])
def test_a_secret_that_was_sent_bare_does_not_become_a_name_in_the_audit_log(live: Server, body: bytes) -> None:
    root = live.client(live.token)
    root.write("sys/mounts/bare", {"type": "kv"})
    for path in ("bare/x", "secret/data/x", "sys/wrapping/wrap"):
        reply = root.ask("POST", path, body, Content_Type="application/x-www-form-urlencoded")
        assert reply.status == 400
        assert body.split(b"=")[0] not in reply.body
    assert body.split(b"=")[0] not in live.audit.read_bytes()
    reply = root.ask("POST", "bare/x", b"name=value&empty=", Content_Type="application/x-www-form-urlencoded")
    assert reply.status == 204


def test_a_key_file_that_everybody_can_read_is_named_at_start(tmp_path: Path) -> None:
    for name, mode, said in (("shut", 0o600, False), ("group", 0o640, False), ("open", 0o644, True)):
        (tmp_path / name).mkdir()
        server = Server(tmp_path / name)
        server.seal_key.chmod(mode)
        try:
            server.start(501)
            assert ("can be read or written by everybody" in server.output()) is said
        finally:
            server.kill()


def test_the_development_servers_token_file_is_private_even_if_it_was_not_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".vault-token"
    file.write_text("old")
    file.chmod(0o644)
    serve._store_token("srs_new")
    assert file.read_text() == "srs_new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
