"""hvac's `auth.userpass` against a real server."""

from __future__ import annotations

from collections.abc import Iterator

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running


@pytest.fixture
def mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh userpass mount."""
    client.sys.enable_auth_method("userpass", path=name)
    yield name
    client.sys.disable_auth_method(name)


def test_the_default_path_is_userpass(server: Running, client: hvac.Client) -> None:
    client.sys.enable_auth_method("userpass")
    client.write("auth/userpass/users/testuser", password="testpass", policies="not_root")
    own = server.client("")
    result = own.auth.userpass.login("testuser", "testpass")
    assert own.token == result["auth"]["client_token"] and own.is_authenticated()
    client.sys.disable_auth_method("userpass")
    assert not own.is_authenticated()


def test_a_user_logs_in_with_the_users_policies(server: Running, client: hvac.Client, mount: str) -> None:
    assert client.auth.userpass.create_or_update_user("testuser", "testpass", "not_root", mount_point=mount).status_code == 204
    own = server.client("")
    auth = own.auth.userpass.login("testuser", "testpass", mount_point=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated()
    assert auth["policies"] == ["default", "not_root"] and auth["metadata"] == {"username": "testuser"} and auth["orphan"] is True
    data = own.auth.token.lookup_self()["data"]
    assert data["path"] == f"auth/{mount}/login/testuser" and data["display_name"] == f"{mount}-testuser" and data["entity_id"]


def test_the_client_keeps_its_token_if_asked(server: Running, client: hvac.Client, mount: str) -> None:
    client.auth.userpass.create_or_update_user("testuser", "testpass", mount_point=mount)
    own = server.client("kept")
    auth = own.auth.userpass.login("testuser", "testpass", use_token=False, mount_point=mount)["auth"]
    assert own.token == "kept" != auth["client_token"]
    assert own.login(f"/v1/auth/{mount}/login/testuser", json={"password": "testpass"})["auth"]["client_token"] == own.token


def test_a_users_ttl_is_that_of_the_login(client: hvac.Client, mount: str) -> None:
    client.auth.userpass.create_or_update_user("testuser", "testpass", "not_root", ttl="10s", mount_point=mount)
    auth = client.auth.userpass.login("testuser", "testpass", use_token=False, mount_point=mount)["auth"]
    assert auth["lease_duration"] == 10


def test_a_user_is_read_back_as_written(client: hvac.Client, mount: str) -> None:
    fields = {
        "token_ttl": 600,
        "token_max_ttl": 1200,
        "token_policies": ["a", "b"],
        "token_bound_cidrs": ["127.0.0.1", "10.0.0.0/8"],
        "token_explicit_max_ttl": 3600,
        "token_no_default_policy": True,
        "token_num_uses": 5,
        "token_period": 0,
        "token_type": "service",
    }
    client.auth.userpass.create_or_update_user("readme", "mypassword", mount_point=mount, **fields)
    data = client.auth.userpass.read_user("readme", mount_point=mount)["data"]
    assert {name: data[name] for name in fields} == fields
    assert "mypassword" not in str(data) and "password" not in data and "password_hash" not in data


def test_users_are_listed_and_deleted(client: hvac.Client, mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath):
        client.auth.userpass.list_user(mount_point=mount)
    for user in ("testuserone", "testusertwo"):
        client.auth.userpass.create_or_update_user(user, f"{user}pass", mount_point=mount)
    assert client.auth.userpass.list_user(mount_point=mount)["data"]["keys"] == ["testuserone", "testusertwo"]
    for user in ("testuserone", "testusertwo"):
        assert client.auth.userpass.delete_user(user, mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.userpass.list_user(mount_point=mount)
    with pytest.raises(exceptions.InvalidPath):
        client.auth.userpass.read_user("testuserone", mount_point=mount)
    with pytest.raises(exceptions.InvalidRequest):
        client.auth.userpass.login("testuserone", "testuseronepass", mount_point=mount)


def test_policies_change_without_the_password(client: hvac.Client, mount: str) -> None:
    client.auth.userpass.create_or_update_user("user", "mypassword", policies="not_root", mount_point=mount)
    assert "not_root" in client.auth.userpass.read_user("user", mount_point=mount)["data"]["policies"]
    client.auth.userpass.create_or_update_user("user", policies="somethingelse", mount_point=mount)
    assert client.auth.userpass.read_user("user", mount_point=mount)["data"]["policies"] == ["somethingelse"]
    auth = client.auth.userpass.login("user", "mypassword", use_token=False, mount_point=mount)["auth"]
    assert auth["policies"] == ["default", "somethingelse"]


def test_a_new_password_replaces_the_old(server: Running, client: hvac.Client, mount: str) -> None:
    client.auth.userpass.create_or_update_user("changeme", "mypassword", mount_point=mount)
    assert client.auth.userpass.update_password_on_user("changeme", "mynewpassword", mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidRequest, match="invalid username or password"):
        server.client("").auth.userpass.login("changeme", "mypassword", mount_point=mount)
    own = server.client("")
    own.auth.userpass.login("changeme", "mynewpassword", mount_point=mount)
    assert own.is_authenticated()


def test_a_user_needs_a_password(client: hvac.Client, mount: str) -> None:
    with pytest.raises(exceptions.InvalidRequest):
        client.auth.userpass.create_or_update_user("nopassword", mount_point=mount)


def test_a_login_where_nothing_is_mounted_tells_nothing(server: Running) -> None:
    with pytest.raises(exceptions.Forbidden, match="permission denied"):
        server.client("").auth.userpass.login("x", "y", mount_point="not-mounted")
