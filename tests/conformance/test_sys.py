"""hvac's `sys` methods for health, leader, leases and audit, against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import hvac
import pytest
from hvac import exceptions

from strongroom.sinks.file import worker_paths
from tests.conformance.server import Running

# -- health and leader ------------------------------------------------------------------------------------------------


def test_a_healthy_server_says_so(client: hvac.Client) -> None:
    head = client.sys.read_health_status()
    assert head.status_code == 200 and head.content == b""
    health = client.sys.read_health_status(method="GET")
    assert health.items() >= {"initialized": True, "sealed": False, "standby": False, "cluster_name": "conformance"}.items()
    assert isinstance(health["server_time_utc"], int) and health["version"] and health["cluster_id"]
    with pytest.raises(exceptions.ParamValidationError):
        client.sys.read_health_status(method="POST")


@pytest.mark.parametrize(("active", "status"), [(None, 200), (299, 299), (204, 204)])
def test_the_active_code_is_the_callers(client: hvac.Client, active: int | None, status: int) -> None:
    answer = client.sys.read_health_status(active_code=active, method="GET")
    assert answer["initialized"] is True if status == 200 else answer.status_code == status


def test_every_override_is_accepted(client: hvac.Client) -> None:
    answer = client.sys.read_health_status(True, 299, 474, 475, 476, 477, 478, method="GET")
    assert answer.status_code == 299


def test_it_is_initialised_open_and_its_own_leader(client: hvac.Client) -> None:
    assert client.sys.read_init_status() == {"initialized": True} and client.sys.is_initialized() is True
    assert client.sys.is_sealed() is False
    status = client.sys.read_seal_status()
    assert status == client.seal_status
    assert status.items() >= {"type": "shamir", "initialized": True, "sealed": False, "t": 3, "n": 5, "progress": 0, "nonce": ""}.items()
    assert status.keys() >= {"version", "migration", "recovery_seal", "storage_type", "cluster_name", "cluster_id"}
    leader = client.sys.read_leader_status()
    assert leader == client.ha_status
    assert leader.keys() >= {"ha_enabled", "is_self", "leader_address", "leader_cluster_address"}


def test_stepping_down_is_accepted(client: hvac.Client) -> None:
    assert client.sys.step_down().status_code == 204
    assert client.is_authenticated()


def test_the_calls_that_need_no_token_need_none(server: Running) -> None:
    anyone = server.client("")
    assert anyone.sys.is_initialized() and not anyone.sys.is_sealed()
    assert anyone.sys.read_leader_status() and anyone.sys.read_health_status().status_code == 200


def test_initialising_twice_is_refused(client: hvac.Client) -> None:
    with pytest.raises(exceptions.InvalidRequest, match="already initialized"):
        client.sys.initialize(1, 1)


# -- leases -----------------------------------------------------------------------------------------------------------


def login_lease(client: hvac.Client, mount: str) -> str:
    """The lease id of a fresh login: what every server with no dynamic engine has."""
    client.auth.userpass.login("leaser", "password", use_token=False, mount_point=mount)
    keys = client.sys.list_leases(f"auth/{mount}/login/leaser")["data"]["keys"]
    return f"auth/{mount}/login/leaser/{keys[0]}"


@pytest.fixture
def mount(client: hvac.Client, name: str) -> str:
    """A userpass mount with one user."""
    client.sys.enable_auth_method("userpass", path=name)
    client.auth.userpass.create_or_update_user("leaser", "password", ttl="1h", mount_point=name)
    return name


def test_a_lease_is_looked_up_listed_and_revoked(client: hvac.Client, mount: str) -> None:
    lease = login_lease(client, mount)
    found = client.sys.read_lease(lease)["data"]
    assert found["id"] == lease and found["renewable"] is True and 3590 < found["ttl"] <= 3600
    assert found.keys() >= {"issue_time", "expire_time", "last_renewal"}
    assert client.sys.list_leases(f"auth/{mount}")["data"]["keys"] == ["login/"]
    with pytest.raises(exceptions.InvalidRequest, match="tokens cannot be renewed through this endpoint"):
        client.sys.renew_lease(lease, increment=600)
    assert client.sys.revoke_lease(lease)
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.read_lease(lease)
    with pytest.raises(exceptions.InvalidPath):
        client.sys.list_leases(f"auth/{mount}")


@pytest.mark.parametrize("force", [False, True])
def test_leases_are_revoked_by_prefix(client: hvac.Client, mount: str, force: bool) -> None:
    lease = login_lease(client, mount)
    revoke = client.sys.revoke_force if force else client.sys.revoke_prefix
    assert revoke(f"auth/{mount}/login")
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.read_lease(lease)


def test_an_unknown_lease_is_an_invalid_request(client: hvac.Client) -> None:
    for call in (client.sys.read_lease, client.sys.renew_lease):
        with pytest.raises(exceptions.InvalidRequest):
            call("no/such/lease")


# -- audit ------------------------------------------------------------------------------------------------------------


def test_the_configured_device_is_listed_and_stays(client: hvac.Client) -> None:
    devices = client.sys.list_enabled_audit_devices()
    assert devices["data"]["file/"].items() >= {"type": "file", "path": "file/", "local": False}.items()
    assert devices["file/"] == devices["data"]["file/"]
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.disable_audit_device("file")


def test_a_device_is_enabled_used_and_disabled(server: Running, client: hvac.Client, name: str) -> None:
    path = server.directory / "audit" / f"{name}.log"
    options = {"file_path": str(path)}
    enabled = client.sys.enable_audit_device("file", description="second", options=options, path=name, local=False)
    assert enabled.status_code == 204
    device = client.sys.list_enabled_audit_devices()["data"][f"{name}/"]
    assert (device["type"], device["description"], device["options"]) == ("file", "second", options)
    hashed = client.sys.calculate_hash(name, "hvac-rox")
    assert hashed["data"]["hash"].startswith("hmac-sha256:") and hashed["hash"] == hashed["data"]["hash"]
    client.auth.token.lookup(client.auth.token.create(id=f"chosen-{name}", ttl="1m")["auth"]["client_token"])
    seen = client.sys.calculate_hash(name, f"chosen-{name}")["data"]["hash"]
    text = "".join(Path(file).read_text() for file in worker_paths(str(path)))
    assert seen in text and f"chosen-{name}" not in text
    assert {json.loads(line)["type"] for line in text.splitlines()} >= {"request", "response"}
    assert client.sys.disable_audit_device(name).status_code == 204
    assert f"{name}/" not in client.sys.list_enabled_audit_devices()["data"]


def test_a_hash_needs_a_device(client: hvac.Client) -> None:
    with pytest.raises(exceptions.InvalidRequest, match="unknown audit backend"):
        client.sys.calculate_hash("tmpfile", "hvac-rox")


def test_a_device_elsewhere_is_refused(client: hvac.Client, tmp_path: Path) -> None:
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.enable_audit_device("file", options={"file_path": str(tmp_path / "x.log")}, path="elsewhere")
    assert not (tmp_path / "x.log").exists()


def test_the_audit_log_holds_both_lines_of_a_call_and_no_secret(server: Running, client: hvac.Client, v1_mount: str) -> None:
    client.write(f"{v1_mount}/audited", password="a-very-secret-password")
    text = "".join(Path(file).read_text() for file in worker_paths(f"{server.directory}/audit.log"))
    lines = [line for line in map(json.loads, text.splitlines()) if line.get("request", {}).get("path") == f"{v1_mount}/audited"]
    assert [line["type"] for line in lines] == ["request", "response"]
    assert lines[0]["request"].items() >= {"operation": "create", "mount_type": "kv"}.items()
    assert "a-very-secret-password" not in text and server.root_token not in text
