"""hvac's `sys` methods for secrets engines, auth methods, policies and capabilities, against a real server."""

from __future__ import annotations

from typing import Any

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running

DAYS_32 = 2764800


# -- secrets engines --------------------------------------------------------------------------------------------------


def test_secrets_engines_are_listed_with_every_field(client: hvac.Client, v2_mount: str) -> None:
    listed = client.sys.list_mounted_secrets_engines()
    assert listed["data"].keys() >= {"cubbyhole/", "identity/", "sys/", f"{v2_mount}/"}
    assert listed[f"{v2_mount}/"] == listed["data"][f"{v2_mount}/"], "shown at the top level too, for old clients"
    entry = listed["data"][f"{v2_mount}/"]
    assert entry["type"] == "kv" and entry["options"] == {"version": "2"} and entry["accessor"].startswith("kv_") and entry["uuid"]
    assert (entry["local"], entry["seal_wrap"], entry["description"]) == (False, False, "")
    assert entry["config"].items() >= {"default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": False}.items()


def test_an_engine_is_enabled_tuned_moved_and_disabled(client: hvac.Client, name: str) -> None:
    client.sys.enable_secrets_engine("generic", path=name)
    assert f"{name}/" in client.sys.list_mounted_secrets_engines()["data"]
    tuning = client.sys.read_mount_configuration(name)["data"]
    assert (tuning["max_lease_ttl"], tuning["default_lease_ttl"]) == (DAYS_32, DAYS_32)
    assert client.sys.tune_mount_configuration(name, default_lease_ttl="3600s", max_lease_ttl="8600s").status_code == 204
    tuning = client.sys.read_mount_configuration(name)["data"]
    assert (tuning["max_lease_ttl"], tuning["default_lease_ttl"]) == (8600, 3600)
    client.write(f"{name}/foo", zap="zip")
    moved = client.sys.move_backend(name, f"{name}-moved")
    assert moved["migration_id"]
    status = client.read(f"sys/remount/status/{moved['migration_id']}")["data"]["migration_info"]
    assert status["status"] == "success"
    mounts = client.sys.list_mounted_secrets_engines()["data"]
    assert f"{name}/" not in mounts and f"{name}-moved/" in mounts
    assert client.read(f"{name}-moved/foo")["data"] == {"zap": "zip"}
    for _ in range(2):
        assert client.sys.disable_secrets_engine(f"{name}-moved").status_code == 204
    assert f"{name}-moved/" not in client.sys.list_mounted_secrets_engines()["data"]


def test_every_setting_at_enabling_is_shown(client: hvac.Client, name: str) -> None:
    client.sys.enable_secrets_engine(
        "kv",
        path=name,
        description="what it is for",
        config={
            "default_lease_ttl": "30m",
            "max_lease_ttl": "1h",
            "listing_visibility": "unauth",
            "audit_non_hmac_request_keys": ["a"],
            "audit_non_hmac_response_keys": ["b"],
            "passthrough_request_headers": ["X-One"],
            "allowed_response_headers": ["X-Two"],
        },
        options={"version": "2"},
    )
    entry = client.sys.list_mounted_secrets_engines()["data"][f"{name}/"]
    assert entry["description"] == "what it is for"
    expected = {
        "default_lease_ttl": 1800,
        "max_lease_ttl": 3600,
        "listing_visibility": "unauth",
        "audit_non_hmac_request_keys": ["a"],
        "audit_non_hmac_response_keys": ["b"],
        "passthrough_request_headers": ["X-One"],
        "allowed_response_headers": ["X-Two"],
    }
    assert {each: entry["config"].get(each) for each in expected} == expected
    assert client.read(f"sys/mounts/{name}")["data"]["config"]["max_lease_ttl"] == 3600
    client.sys.disable_secrets_engine(name)


@pytest.mark.parametrize(
    ("setting", "sent", "shown"),
    [
        ("description", "new", "new"),
        ("audit_non_hmac_request_keys", ["a", "b"], ["a", "b"]),
        ("audit_non_hmac_response_keys", ["a"], ["a"]),
        ("listing_visibility", "unauth", "unauth"),
        ("passthrough_request_headers", ["X-One"], ["X-One"]),
        ("options", {"version": "2"}, {"version": "2"}),
        ("default_lease_ttl", 60, 60),
    ],
)
def test_every_tuned_setting_is_shown(client: hvac.Client, v1_mount: str, setting: str, sent: Any, shown: Any) -> None:
    client.sys.tune_mount_configuration(v1_mount, **{setting: sent})
    assert client.sys.read_mount_configuration(v1_mount)["data"][setting] == shown


def test_options_are_read_one_by_one(client: hvac.Client, v2_mount: str) -> None:
    assert client.sys.retrieve_mount_option(v2_mount, "version") == "2"
    assert client.sys.retrieve_mount_option(v2_mount, "nothing", "else") == "else"


def test_a_path_in_use_and_an_unknown_type_are_refused(client: hvac.Client, v1_mount: str, name: str) -> None:
    with pytest.raises(exceptions.InvalidRequest, match=f"path is already in use at {v1_mount}/"):
        client.sys.enable_secrets_engine("kv", path=v1_mount)
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.enable_secrets_engine("no-such-engine", path=f"{name}-x")
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.read_mount_configuration(f"{name}-x")
    for protected in ("sys", "cubbyhole", "identity"):
        with pytest.raises(exceptions.InvalidRequest):
            client.sys.disable_secrets_engine(protected)
        with pytest.raises(exceptions.InvalidRequest):
            client.sys.move_backend(protected, f"{name}-x")


def test_a_v1_mount_becomes_v2_by_its_options(client: hvac.Client, v1_mount: str) -> None:
    client.write(f"{v1_mount}/foo", zap="zip")
    client.sys.tune_mount_configuration(v1_mount, options={"version": "2"})
    read = client.secrets.kv.v2.read_secret("foo", mount_point=v1_mount, raise_on_deleted_version=True)
    assert read["data"]["data"] == {"zap": "zip"} and read["data"]["metadata"]["version"] == 1


# -- auth methods -----------------------------------------------------------------------------------------------------


def test_an_auth_method_is_enabled_tuned_and_disabled(client: hvac.Client, name: str) -> None:
    assert f"{name}/" not in client.sys.list_auth_methods()["data"]
    config = {"default_lease_ttl": "30m", "listing_visibility": "unauth"}
    assert client.sys.enable_auth_method("userpass", description="people", config=config, path=name).status_code == 204
    listed = client.sys.list_auth_methods()
    assert listed["data"].keys() >= {"token/", f"{name}/"} and listed[f"{name}/"] == listed["data"][f"{name}/"]
    entry = listed["data"][f"{name}/"]
    assert entry["type"] == "userpass" and entry["description"] == "people" and entry["accessor"].startswith("auth_userpass_")
    assert entry["config"].items() >= {"default_lease_ttl": 1800, "max_lease_ttl": 0, "token_type": "default-service"}.items()
    tuned = client.sys.tune_auth_method(name, description="robots", max_lease_ttl=12345678, default_lease_ttl="10m")
    assert tuned.status_code == 204
    tuning = client.sys.read_auth_method_tuning(name)["data"]
    assert (tuning["max_lease_ttl"], tuning["default_lease_ttl"], tuning["description"]) == (12345678, 600, "robots")
    assert client.sys.disable_auth_method(name).status_code == 204
    assert f"{name}/" not in client.sys.list_auth_methods()["data"]


@pytest.mark.parametrize(
    ("setting", "sent"),
    [
        ("audit_non_hmac_request_keys", ["a", "b"]),
        ("audit_non_hmac_response_keys", ["a"]),
        ("passthrough_request_headers", ["X-One"]),
        ("listing_visibility", "unauth"),
        ("token_type", "batch"),
    ],
)
def test_every_tuned_auth_setting_is_shown(client: hvac.Client, name: str, setting: str, sent: Any) -> None:
    client.sys.enable_auth_method("userpass", path=name)
    client.sys.tune_auth_method(name, **{setting: sent})
    assert client.sys.read_auth_method_tuning(name)["data"][setting] == sent
    client.sys.disable_auth_method(name)


def test_a_wrong_visibility_is_refused_by_client_and_server(client: hvac.Client, name: str) -> None:
    client.sys.enable_auth_method("userpass", path=name)
    with pytest.raises(exceptions.ParamValidationError):
        client.sys.tune_auth_method(name, listing_visibility="sometimes")
    with pytest.raises(exceptions.InvalidRequest):
        client.write(f"sys/auth/{name}/tune", listing_visibility="sometimes")
    client.sys.disable_auth_method(name)


def test_the_token_method_stays(client: hvac.Client) -> None:
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.disable_auth_method("token")
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.enable_auth_method("userpass", path="token")


# -- policies ---------------------------------------------------------------------------------------------------------

RULES = 'path "sys" { policy = "deny" }\npath "secret/*" { policy = "write" }\n'
AS_DICT = {"path": {"secret/*": {"capabilities": ["read", "list"]}}}


def test_old_policy_methods_write_list_read_and_delete(client: hvac.Client, name: str) -> None:
    with pytest.raises(exceptions.InvalidPath):
        client.sys.read_policy(name)
    assert client.sys.create_or_update_policy(name, RULES).status_code == 204
    listed = client.sys.list_policies()
    assert {"root", "default", name} <= {*listed["policies"]} and listed["keys"] == listed["policies"] == listed["data"]["keys"]
    read = client.sys.read_policy(name)
    assert read["rules"] == RULES == read["data"]["rules"] and read["name"] == name
    assert client.get_policy(name) == RULES and client.get_policy("no-such-policy") is None
    for _ in range(2):
        assert client.sys.delete_policy(name).status_code == 204
    assert name not in client.sys.list_policies()["policies"]


@pytest.mark.parametrize("pretty", [True, False])
def test_policies_may_be_json(client: hvac.Client, name: str, pretty: bool) -> None:
    client.sys.create_or_update_policy(name, AS_DICT, pretty_print=pretty)
    assert '"secret/*"' in client.sys.read_policy(name)["rules"]
    client.sys.create_or_update_acl_policy(name, AS_DICT, pretty_print=pretty)
    assert '"secret/*"' in client.sys.read_acl_policy(name)["data"]["policy"]
    client.sys.delete_policy(name)


def test_acl_policies_are_written_listed_read_and_deleted(client: hvac.Client, name: str) -> None:
    assert client.sys.create_or_update_acl_policy(name, RULES).status_code == 204
    assert {"root", "default", name} <= {*client.sys.list_acl_policies()["data"]["keys"]}
    assert client.sys.read_acl_policy(name)["data"] == {"name": name, "policy": RULES}
    assert client.sys.delete_acl_policy(name).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.sys.read_acl_policy(name)


@pytest.mark.parametrize("policy", ['path "x" { capabilities = ["fly"] }', 'path "x" {', 'path "x" { colour = "red" }', ""])
def test_a_wrong_policy_is_refused(client: hvac.Client, name: str, policy: str) -> None:
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.create_or_update_acl_policy(name, policy)
    with pytest.raises(exceptions.InvalidPath):
        client.sys.read_acl_policy(name)


def test_built_in_policies_are_kept(client: hvac.Client) -> None:
    with pytest.raises(exceptions.InvalidRequest):
        client.sys.create_or_update_policy("root", RULES)
    for builtin in ("root", "default"):
        with pytest.raises(exceptions.InvalidRequest):
            client.sys.delete_policy(builtin)
    assert client.sys.read_policy("default")["rules"]


def test_a_policy_is_enforced_at_once(server: Running, client: hvac.Client, v1_mount: str, name: str) -> None:
    client.write(f"{v1_mount}/open", zap="zip")
    client.write(f"{v1_mount}/shut", zap="zip")
    client.sys.create_or_update_policy(name, f'path "{v1_mount}/open" {{ capabilities = ["read"] }}')
    own = server.client(client.auth.token.create(policies=[name], ttl="1h")["auth"]["client_token"])
    assert own.read(f"{v1_mount}/open")["data"] == {"zap": "zip"}
    for refused in (lambda: own.read(f"{v1_mount}/shut"), lambda: own.write(f"{v1_mount}/open", a="b"), lambda: own.list(v1_mount)):
        with pytest.raises(exceptions.Forbidden, match="permission denied"):
            refused()
    client.sys.create_or_update_policy(name, f'path "{v1_mount}/open" {{ capabilities = ["deny"] }}')
    with pytest.raises(exceptions.Forbidden):
        own.read(f"{v1_mount}/open")


# -- capabilities -----------------------------------------------------------------------------------------------------


def test_capabilities_of_oneself_a_token_and_an_accessor(server: Running, client: hvac.Client, name: str) -> None:
    client.sys.create_or_update_policy(name, 'path "secret/a" { capabilities = ["update", "read"] }')
    auth = client.auth.token.create(policies=[name], ttl="1h")["auth"]
    own = server.client(auth["client_token"])
    one, two = ["secret/a"], ["secret/a", "secret/b"]
    for result in (
        own.sys.get_capabilities(one),
        client.sys.get_capabilities(one, token=auth["client_token"]),
        client.sys.get_capabilities(one, accessor=auth["accessor"]),
    ):
        assert result["data"] == {"secret/a": ["read", "update"], "capabilities": ["read", "update"]}
        assert result["capabilities"] == ["read", "update"]
    assert own.sys.get_capabilities(two)["data"] == {"secret/a": ["read", "update"], "secret/b": ["deny"]}
    assert client.sys.get_capabilities(one)["data"]["capabilities"] == ["root"]
    with pytest.raises(ValueError, match="either token or accessor"):
        client.sys.get_capabilities(one, token="x", accessor="y")
    with pytest.raises(exceptions.VaultError):
        client.sys.get_capabilities(one, token="unknown")
    client.sys.delete_policy(name)
