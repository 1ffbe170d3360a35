"""The requests of the `vault` command line and the Go client under it: PUT for writes, `?list=true`, whole structs with zero values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.http import Http
from tests.conformance.server import Running

ENVELOPE = {"request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth"}
MOUNT = {
    "type": "kv",
    "description": "",
    "config": {"options": None, "default_lease_ttl": "", "max_lease_ttl": "", "force_no_cache": False},
    "local": False,
    "seal_wrap": False,
    "external_entropy_access": False,
    "options": {"version": "2"},
}
"""What `vault secrets enable -version=2 kv` sends."""


@pytest.fixture
def http(server: Running) -> Iterator[Http]:
    """HTTP with the root token."""
    client = Http(server)
    yield client
    client.close()


@pytest.fixture
def mount(http: Http, name: str) -> Iterator[str]:
    """A mount as the command line makes it."""
    assert http("POST", f"sys/mounts/{name}", MOUNT).status == 204
    yield name
    http("DELETE", f"sys/mounts/{name}")


# -- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_has_all_members_and_the_plain_content_type(http: Http, mount: str) -> None:
    written = http("PUT", f"{mount}/data/foo", {"data": {"a": "b"}, "options": {}})
    assert written.status == 200 and written.body.keys() >= ENVELOPE and written.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", written.body["request_id"])
    assert written.headers["Cache-Control"] == "no-store" and "Strict-Transport-Security" in written.headers


def test_errors_have_the_same_shape_everywhere(http: Http, server: Running, mount: str) -> None:
    for token, method, path, body, status in (
        (None, "GET", f"{mount}/data/nothing", None, 404),
        (None, "PUT", f"{mount}/data/foo", {"options": {}}, 400),
        ("", "GET", f"{mount}/data/foo", None, 403),
        ("wrong", "GET", f"{mount}/data/foo", None, 403),
        (None, "GET", "no/such/mount", None, 404),
        (None, "GET", "sys/seal", None, 405),
    ):
        answer = Http(server, token)(method, path, body)
        assert answer.status == status, path
        assert isinstance(answer.body["errors"], list) and answer.headers["Content-Type"] == "application/json", path
    assert http("GET", f"{mount}/data/nothing").body == {"errors": []}
    assert "permission denied" in str(Http(server, "wrong")("GET", f"{mount}/data/foo").body)


def test_a_token_may_come_as_a_bearer(server: Running) -> None:
    bearer = Http(server, "")
    assert bearer("GET", "auth/token/lookup-self", headers={"Authorization": f"Bearer {server.root_token}"}).status == 200


def test_posts_puts_and_forms_of_the_request_header_are_equal(http: Http, mount: str) -> None:
    for method in ("POST", "PUT"):
        assert http(method, f"{mount}/data/foo", {"data": {"a": method}}).status == 200
        assert http("GET", f"{mount}/data/foo").body["data"]["data"] == {"a": method}
    assert http("GET", f"{mount}/data/foo", headers={"x-vault-request": "TRUE"}).status == 200


@pytest.mark.parametrize("listing", ["?list=true", "?list=1", "?list=T", "/?list=true"])
def test_lists_are_gets_with_a_parameter(http: Http, mount: str, listing: str) -> None:
    http("PUT", f"{mount}/data/a/b", {"data": {}})
    assert http("GET", f"{mount}/metadata{listing}").body["data"] == {"keys": ["a/"]}
    assert http("LIST", f"{mount}/metadata").body["data"] == {"keys": ["a/"]}


def test_an_unreadable_list_parameter_is_refused(http: Http, mount: str) -> None:
    assert http("GET", f"{mount}/metadata?list=perhaps").status == 400


# -- vault kv ---------------------------------------------------------------------------------------------------------


def test_the_preflight_tells_where_a_path_is_mounted(http: Http, server: Running, mount: str) -> None:
    for path in (mount, f"{mount}/some/secret"):
        found = http("GET", f"sys/internal/ui/mounts/{path}").body["data"]
        assert (found["path"], found["type"], found["options"]) == (f"{mount}/", "kv", {"version": "2"})
    assert http("GET", "sys/internal/ui/mounts/not/there").status == 403
    policy = {"policy": f'path "{mount}/data/mine" {{ capabilities = ["read"] }}'}
    http("PUT", f"sys/policies/acl/{mount}", policy)
    token = http("POST", "auth/token/create", {"policies": [mount], "ttl": "1h"}).body["auth"]["client_token"]
    own = Http(server, token)
    assert own("GET", f"sys/internal/ui/mounts/{mount}/mine").status == 200
    assert own("GET", "sys/internal/ui/mounts/sys").status in (200, 403)
    assert Http(server, "")("GET", f"sys/internal/ui/mounts/{mount}").status == 403
    assert f"{mount}/" in own("GET", "sys/internal/ui/mounts").body["data"]["secret"]
    assert f"{mount}/" not in Http(server, "")("GET", "sys/internal/ui/mounts").body["data"]["secret"]


def test_kv_put_get_patch_delete_undelete_destroy_rollback(http: Http, mount: str) -> None:
    data, merge = f"{mount}/data/foo", {"Content-Type": "application/merge-patch+json"}
    assert http("PUT", data, {"data": {"a": "1", "b": "2"}, "options": {"cas": 0}}).body["data"]["version"] == 1
    assert http("PUT", data, {"data": {}, "options": {"cas": 0}}).status == 400
    assert http("PATCH", data, {"data": {"b": None, "c": "3"}, "options": {"cas": 1}}, merge).body["data"]["version"] == 2
    assert http("PATCH", data, {"data": {}}).status == 415, "the patch needs its content type"
    assert http("GET", data).body["data"]["data"] == {"a": "1", "c": "3"}
    assert http("GET", f"{data}?version=1").body["data"]["data"] == {"a": "1", "b": "2"}
    assert http("DELETE", data).status == 204
    gone = http("GET", data)
    assert gone.status == 404 and gone.body["data"]["data"] is None and gone.body["data"]["metadata"]["version"] == 2
    assert http("PUT", f"{mount}/undelete/foo", {"versions": ["2"]}).status == 204, "the command line sends text"
    assert http("GET", data).status == 200
    assert http("PUT", f"{mount}/delete/foo", {"versions": ["1", "2"]}).status == 204
    assert http("PUT", f"{mount}/destroy/foo", {"versions": ["1"]}).status == 204
    assert http("GET", f"{data}?version=1").body["data"]["metadata"]["destroyed"] is True
    assert http("GET", f"{mount}/subkeys/foo?version=2").status == 404
    assert http("PUT", f"{mount}/undelete/foo", {"versions": ["2"]}).status == 204
    assert http("GET", f"{mount}/subkeys/foo").body["data"]["subkeys"] == {"a": None, "c": None}


def test_kv_metadata_put_patch_get_delete(http: Http, mount: str) -> None:
    settings = {"max_versions": 5, "cas_required": True, "delete_version_after": "1h0m0s", "custom_metadata": {"a": "b"}}
    assert http("PUT", f"{mount}/metadata/foo", settings).status == 204
    merge = {"Content-Type": "application/merge-patch+json"}
    assert http("PATCH", f"{mount}/metadata/foo", {"custom_metadata": {"c": "d"}, "cas_required": False}, merge).status == 204
    shown = http("GET", f"{mount}/metadata/foo").body["data"]
    assert {name: shown[name] for name in settings} == {**settings, "cas_required": False, "custom_metadata": {"a": "b", "c": "d"}}
    assert http("DELETE", f"{mount}/metadata/foo").status == 204
    assert http("GET", f"{mount}/metadata/foo").status == 404


# -- vault secrets, auth, policy, audit -------------------------------------------------------------------------------


def test_secrets_tune_and_list_take_and_give_whole_structs(http: Http, mount: str) -> None:
    config = {"default_lease_ttl": "1h", "max_lease_ttl": "", "force_no_cache": False, "listing_visibility": "hidden", "options": None}
    assert http("POST", f"sys/mounts/{mount}/tune", config).status == 204
    entry = http("GET", "sys/mounts").body["data"][f"{mount}/"]
    assert entry["config"]["default_lease_ttl"] == 3600 and entry["config"]["listing_visibility"] == "hidden"
    assert entry.keys() >= {
        "accessor", "config", "description", "external_entropy_access", "local", "options", "plugin_version", "running_plugin_version",
        "running_sha256", "seal_wrap", "type", "uuid",
    }  # fmt: skip


def test_auth_enable_tune_and_disable(http: Http, name: str) -> None:
    assert http("POST", f"sys/auth/{name}", {**MOUNT, "type": "userpass", "options": None}).status == 204
    assert http("POST", f"sys/mounts/auth/{name}/tune", {"default_lease_ttl": "1h", "token_type": "service"}).status == 204
    tuned = http("GET", f"sys/mounts/auth/{name}/tune").body["data"]
    assert (tuned["default_lease_ttl"], tuned["token_type"]) == (3600, "service")
    assert http("GET", f"sys/auth/{name}").body["data"]["type"] == "userpass"
    assert http("PUT", f"auth/{name}/users/me", {"password": "a password"}).status == 204
    assert http("PUT", f"auth/{name}/login/me", {"password": "a password"}).body["auth"]["policies"] == ["default"]
    assert http("DELETE", f"sys/auth/{name}").status == 204


def test_policies(http: Http, name: str) -> None:
    rules = 'path "x" { capabilities = ["read"] }'
    assert http("PUT", f"sys/policies/acl/{name}", {"policy": rules}).status == 204
    assert name in http("GET", "sys/policies/acl?list=true").body["data"]["keys"]
    assert http("GET", f"sys/policies/acl/{name}").body["data"]["policy"] == rules
    assert http("DELETE", f"sys/policies/acl/{name}").status == 204
    assert http("GET", f"sys/policies/acl/{name}").status == 404


# -- vault token, login, unwrap, lease --------------------------------------------------------------------------------

TOKEN = {
    "policies": ["default"], "ttl": "1h0m0s", "explicit_max_ttl": "0s", "period": "0s", "display_name": "", "num_uses": 0,
    "renewable": True, "type": "service", "entity_alias": "", "no_parent": False, "no_default_policy": False, "meta": None,
}  # fmt: skip
"""What `vault token create -policy=default -ttl=1h` sends, nulls included."""


def test_tokens(http: Http, server: Running) -> None:
    auth = http("POST", "auth/token/create", TOKEN).body["auth"]
    assert auth["lease_duration"] == 3600 and auth["mfa_requirement"] is None
    own = Http(server, auth["client_token"])
    assert own("GET", "auth/token/lookup-self").body["data"]["policies"] == ["default"]
    assert own("PUT", "auth/token/renew-self", {"increment": 0}).body["auth"]["renewable"] is True
    path = {"token": auth["client_token"], "path": "cubbyhole/x"}
    assert own("POST", "sys/capabilities-self", path).body["data"]["capabilities"][:3] == ["create", "delete", "list"]
    assert http("POST", "auth/token/lookup-accessor", {"accessor": auth["accessor"]}).status == 200
    assert http("POST", "auth/token/revoke-accessor", {"accessor": auth["accessor"]}).status == 204
    assert own("PUT", "auth/token/revoke-self").status == 403


@pytest.mark.parametrize("ttl", ["120", "120s", "2m", "2m0s"])
def test_wrapping_by_header_and_unwrapping(http: Http, server: Running, mount: str, ttl: str) -> None:
    http("PUT", f"{mount}/data/foo", {"data": {"a": "b"}})
    wrapped = http("GET", f"{mount}/data/foo", headers={"X-Vault-Wrap-TTL": ttl}).body
    assert wrapped["wrap_info"]["ttl"] == 120 and wrapped["data"] is None
    token = wrapped["wrap_info"]["token"]
    by_itself = Http(server, token)("PUT", "sys/wrapping/unwrap")
    assert by_itself.body["data"]["data"] == {"a": "b"}
    again = http("PUT", "sys/wrapping/unwrap", {"token": token})
    assert again.status == 400 and "wrapping token is not valid or does not exist" in again.body["errors"][0]


@pytest.mark.parametrize("ttl", ["soon", "-1s", "1.2.3"])
def test_a_wrapping_time_that_is_none_is_refused(http: Http, ttl: str) -> None:
    assert http("GET", "auth/token/lookup-self", headers={"X-Vault-Wrap-TTL": ttl}).status == 400


def test_leases_are_revoked_by_prefix(http: Http) -> None:
    assert http("PUT", "sys/leases/revoke-prefix/auth/nothing/login").status in (200, 202, 204)
    assert http("PUT", "sys/leases/lookup", {"lease_id": "no/such/lease"}).status == 400


# -- status, operator -------------------------------------------------------------------------------------------------


def test_the_status_calls(http: Http, server: Running) -> None:
    anyone = Http(server, "")
    codes = "uninitcode=299&sealedcode=299&standbycode=299&drsecondarycode=299&performancestandbycode=299&removedcode=299"
    assert anyone("GET", f"sys/health?{codes}").status == 200
    for path in ("sys/seal-status", "sys/leader", "sys/init", f"sys/health?{codes}&haunhealthycode=299"):
        bare = anyone("GET", path).body
        assert not ENVELOPE & bare.keys(), path
    head = anyone("HEAD", "sys/health")
    assert head.status == 200 and head.body is None
    assert http("GET", "sys/ha-status").body["data"]["nodes"][0]["active_node"] is True
    assert http("GET", "sys/key-status").body["data"]["term"] >= 1


def test_help_and_the_openapi_document(http: Http, mount: str) -> None:
    assert http("GET", f"{mount}/data/foo?help=1").body.keys() >= {"help", "see_also", "openapi"}
    document = http("GET", "sys/internal/specs/openapi").body
    assert document["openapi"].startswith("3.") and "/sys/mounts" in document["paths"]


def test_tools(http: Http) -> None:
    assert len(http("PUT", "sys/tools/random/16", {"format": "hex"}).body["data"]["random_bytes"]) == 32
    hashed = http("PUT", "sys/tools/hash/sha2-256", {"input": "dmF1bHQ="}).body["data"]["sum"]
    assert hashed == hashlib.sha256(b"vault").hexdigest()


def test_unknown_members_are_named_in_a_warning(http: Http) -> None:
    body: dict[str, Any] = {**TOKEN, "colour": "red"}
    answer = http("POST", "auth/token/create", body)
    assert answer.status == 200 and "colour" in str(answer.body["warnings"])
