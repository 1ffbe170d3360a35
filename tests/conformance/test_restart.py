"""A server that was stopped and started again: sealed, and after unsealing everything is still there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hvac import exceptions

from strongroom.sinks.file import worker_paths
from tests.conformance.conftest import configured, open_up


def lines_of(file: Path) -> int:
    """Of all workers."""
    return sum(len(Path(each).read_text().splitlines()) for each in worker_paths(str(file)))


def test_everything_that_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    second = tmp_path / "audit" / "second.log"
    with configured(tmp_path) as first:
        open_up(first)
        client = first.client()
        client.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        client.secrets.kv.v2.create_or_update_secret("a", {"zap": "zip"})
        client.sys.enable_auth_method("userpass")
        client.auth.userpass.create_or_update_user("me", "a password", policies="mine")
        client.sys.create_or_update_policy("mine", 'path "secret/data/a" { capabilities = ["read"] }')
        client.sys.enable_audit_device("file", options={"file_path": str(second)}, path="second")
        wrapped = client.sys.wrap({"in": "the envelope"}, ttl=600)["wrap_info"]["token"]
        revoked = client.auth.token.create(ttl="1h")["auth"]["client_token"]
        client.auth.token.revoke(revoked)
        keys, root = first.keys, first.root_token
        hashed = client.sys.calculate_hash("second", "text")["data"]["hash"]
    assert first.process.returncode == 0
    with configured(tmp_path) as again:
        again.root_token = root
        client = again.client()
        assert client.sys.is_initialized() and client.sys.is_sealed()
        with pytest.raises(exceptions.VaultDown):
            client.secrets.kv.v2.read_secret("a", raise_on_deleted_version=True)
        assert client.sys.submit_unseal_keys(keys)["sealed"] is False
        own = again.client("")
        own.auth.userpass.login("me", "a password")
        before = lines_of(second)
        assert own.secrets.kv.v2.read_secret("a", raise_on_deleted_version=True)["data"]["data"] == {"zap": "zip"}
        assert lines_of(second) == before + 2, "the device that the API added still writes"
        assert client.sys.calculate_hash("second", "text")["data"]["hash"] == hashed
        assert client.sys.unwrap(wrapped)["data"] == {"in": "the envelope"}
        with pytest.raises(exceptions.Forbidden):
            client.auth.token.lookup(revoked)
