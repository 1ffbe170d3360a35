"""hvac's `auth.approle` against a real server, the command line beside it, and a single-use secret id under a crowd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running
from tests.conformance.test_cli import Shell, shell

__all__ = ["shell"]


@pytest.fixture
def mount(client: hvac.Client, name: str) -> Iterator[str]:
    """A fresh approle mount with one role."""
    client.sys.enable_auth_method("approle", path=name)
    client.auth.approle.create_or_update_approle("testrole", token_policies=["not_root"], mount_point=name)
    yield name
    client.sys.disable_auth_method(name)


def role_id(client: hvac.Client, mount: str, role: str = "testrole") -> str:
    return str(client.auth.approle.read_role_id(role, mount_point=mount)["data"]["role_id"])


def test_the_default_path_is_approle(server: Running, client: hvac.Client) -> None:
    client.sys.enable_auth_method("approle")
    assert client.auth.approle.create_or_update_approle("testrole").status_code == 204
    role = client.auth.approle.read_role_id("testrole")["data"]["role_id"]
    secret = client.auth.approle.generate_secret_id("testrole")["data"]["secret_id"]
    own = server.client("")
    result = own.auth.approle.login(role, secret)
    assert own.token == result["auth"]["client_token"] and own.is_authenticated()
    client.sys.disable_auth_method("approle")
    assert not own.is_authenticated()


def test_a_service_logs_in_with_the_roles_policies(server: Running, client: hvac.Client, mount: str) -> None:
    secret = client.auth.approle.generate_secret_id("testrole", metadata={"team": "blue"}, mount_point=mount)["data"]["secret_id"]
    own = server.client("kept")
    auth = own.auth.approle.login(role_id(client, mount), secret, use_token=False, mount_point=mount)["auth"]
    assert own.token == "kept" != auth["client_token"]
    assert auth["policies"] == ["default", "not_root"] and auth["metadata"] == {"team": "blue", "role_name": "testrole"}
    data = server.client(auth["client_token"]).auth.token.lookup_self()["data"]
    assert data["path"] == f"auth/{mount}/login" and data["display_name"] == mount and data["entity_id"] == auth["entity_id"] != ""


def test_a_role_is_read_back_as_written_listed_and_deleted(client: hvac.Client, mount: str) -> None:
    fields = {
        "bind_secret_id": True,
        "secret_id_bound_cidrs": ["127.0.0.0/8"],
        "secret_id_num_uses": 3,
        "secret_id_ttl": 600,
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
    client.auth.approle.create_or_update_approle("Full", enable_local_secret_ids=True, mount_point=mount, **fields)
    data = client.auth.approle.read_role("full", mount_point=mount)["data"]
    assert {field: data[field] for field in fields} == fields and data["local_secret_ids"] is True
    assert client.auth.approle.list_roles(mount_point=mount)["data"]["keys"] == ["full", "testrole"]
    for role in ("full", "testrole"):
        assert client.auth.approle.delete_role(role, mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.approle.list_roles(mount_point=mount)
    with pytest.raises(exceptions.InvalidPath):
        client.auth.approle.read_role("full", mount_point=mount)
    with pytest.raises(exceptions.InvalidPath):
        client.auth.approle.read_role_id("full", mount_point=mount)


def test_a_role_id_can_be_chosen(client: hvac.Client, mount: str) -> None:
    assert client.auth.approle.update_role_id("testrole", "custom-role-id", mount_point=mount).status_code == 204
    assert role_id(client, mount) == "custom-role-id"


def test_a_secret_id_is_looked_up_listed_and_destroyed(server: Running, client: hvac.Client, mount: str) -> None:
    approle = client.auth.approle
    made = approle.generate_secret_id("testrole", cidr_list=["127.0.0.1/32"], token_bound_cidrs=["127.0.0.0/8"], mount_point=mount)["data"]
    data = client.auth.approle.read_secret_id("testrole", made["secret_id"], mount_point=mount)["data"]
    assert data["cidr_list"] == ["127.0.0.1/32"] and data["token_bound_cidrs"] == ["127.0.0.0/8"]
    accessor = data["secret_id_accessor"]
    assert accessor == made["secret_id_accessor"]
    assert client.auth.approle.read_secret_id_accessor("testrole", accessor, mount_point=mount)["data"] == data
    assert client.auth.approle.list_secret_id_accessors("testrole", mount_point=mount)["data"]["keys"] == [accessor]
    assert client.auth.approle.destroy_secret_id_accessor("testrole", accessor, mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidRequest, match="invalid role or secret ID"):
        server.client("").auth.approle.login(role_id(client, mount), made["secret_id"], mount_point=mount)
    with pytest.raises(exceptions.InvalidPath):
        client.auth.approle.read_secret_id_accessor("testrole", accessor, mount_point=mount)
    with pytest.raises(exceptions.InvalidPath):
        client.auth.approle.list_secret_id_accessors("testrole", mount_point=mount)


def test_a_secret_id_that_was_chosen_serves_until_it_is_destroyed(server: Running, client: hvac.Client, mount: str) -> None:
    made = client.auth.approle.create_custom_secret_id("testrole", "chosen", metadata={"a": "b"}, mount_point=mount)["data"]
    assert made["secret_id"] == "chosen"
    own = server.client("")
    own.auth.approle.login(role_id(client, mount), "chosen", mount_point=mount)
    assert own.is_authenticated()
    assert client.auth.approle.destroy_secret_id("testrole", "chosen", mount_point=mount).status_code == 204
    assert client.auth.approle.read_secret_id("testrole", "chosen", mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidRequest, match="invalid role or secret ID"):
        server.client("").auth.approle.login(role_id(client, mount), "chosen", mount_point=mount)


def test_a_wrapped_secret_id_opens_once_and_shows_its_accessor_before(server: Running, client: hvac.Client, mount: str) -> None:
    wrap = client.auth.approle.generate_secret_id("testrole", wrap_ttl="60s", mount_point=mount)["wrap_info"]
    assert [wrap["wrapped_accessor"]] == client.auth.approle.list_secret_id_accessors("testrole", mount_point=mount)["data"]["keys"]
    secret = server.client(wrap["token"]).sys.unwrap()["data"]["secret_id"]
    own = server.client("")
    own.auth.approle.login(role_id(client, mount), secret, mount_point=mount)
    assert own.is_authenticated()
    with pytest.raises(exceptions.InvalidRequest):
        server.client(wrap["token"]).sys.unwrap()


def test_single_fields_and_tidy_answer_as_vault_does(client: hvac.Client, mount: str) -> None:
    path = f"auth/{mount}/role/testrole/token-ttl"
    client.write(path, token_ttl="1m")
    assert client.read(path)["data"] == {"token_ttl": 60}
    client.delete(path)
    assert client.read(path)["data"] == {"token_ttl": 0}
    assert client._adapter.post(f"/v1/auth/{mount}/tidy/secret-id").status_code == 202


def test_of_a_hundred_logins_with_a_single_use_secret_id_one_succeeds(server: Running, client: hvac.Client, mount: str) -> None:
    own = role_id(client, mount)
    made = client.write(f"auth/{mount}/role/testrole/secret-id", num_uses=1)["data"]
    before = len(client.list("auth/token/accessors")["data"]["keys"])

    def attempt(_number: int) -> str:
        try:
            return str(server.client("").auth.approle.login(own, made["secret_id"], mount_point=mount)["auth"]["client_token"][:4])
        except exceptions.VaultError as error:
            return type(error).__name__

    with ThreadPoolExecutor(100) as pool:
        seen = Counter(pool.map(attempt, range(100)))
    assert seen == {"srs_": 1, "InvalidRequest": 5, "Forbidden": 94}, "one login, five wrong ones, and the role id is locked"
    assert len(client.list("auth/token/accessors")["data"]["keys"]) == before + 1


def test_the_command_line_logs_in(shell: Shell, client: hvac.Client, mount: str) -> None:
    secret = client.auth.approle.generate_secret_id("testrole", mount_point=mount)["data"]["secret_id"]
    del shell.variables["VAULT_TOKEN"]
    shell(f"login -method=approle -path={mount} role_id={role_id(client, mount)} secret_id=-", stdin=secret)
    assert shell("token lookup -format=json").json["data"]["policies"] == ["default", "not_root"]
