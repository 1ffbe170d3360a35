"""hvac's `auth.token` and the token methods of its client against a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hvac
import pytest
from hvac import exceptions

from tests.conformance.server import Running

LOOKUP_FIELDS = {
    "accessor", "creation_time", "creation_ttl", "display_name", "entity_id", "expire_time", "explicit_max_ttl", "id", "meta", "num_uses",
    "orphan", "path", "policies", "ttl", "type",
}  # fmt: skip


def gone(client: hvac.Client, token: str) -> None:
    with pytest.raises(exceptions.Forbidden):
        client.auth.token.lookup(token)


def test_the_root_token_looks_as_vaults(client: hvac.Client) -> None:
    data = client.auth.token.lookup_self()["data"]
    assert data.keys() >= LOOKUP_FIELDS
    expected = {"policies": ["root"], "display_name": "root", "path": "auth/token/root", "orphan": True, "type": "service"}
    assert data.items() >= {**expected, "ttl": 0, "creation_ttl": 0, "expire_time": None, "num_uses": 0, "meta": None}.items()
    assert data["id"] == client.token and isinstance(data["creation_time"], int)


@pytest.mark.parametrize("orphan", [False, True])
def test_a_token_is_created_looked_up_renewed_and_revoked(client: hvac.Client, orphan: bool) -> None:
    create = client.auth.token.create_orphan if orphan else client.auth.token.create
    auth = create(ttl="1h", renewable=True, meta={"user": "x"}, display_name="mine", policies=["default"])["auth"]
    assert auth["client_token"] and auth["accessor"] and auth["lease_duration"] == 3600 and auth["renewable"] is True
    assert (auth["policies"], auth["token_policies"], auth["metadata"]) == (["default"], ["default"], {"user": "x"})
    assert (auth["orphan"], auth["token_type"], auth["num_uses"], auth["entity_id"]) == (orphan, "service", 0, "")
    data = client.auth.token.lookup(auth["client_token"])["data"]
    assert data["id"] == auth["client_token"] and data["display_name"] == "token-mine" and data["orphan"] is orphan
    assert data["path"] == ("auth/token/create-orphan" if orphan else "auth/token/create") and 3590 < data["ttl"] <= 3600
    renewed = client.auth.token.renew(auth["client_token"], increment="2h")["auth"]
    assert renewed["client_token"] == auth["client_token"] and 7190 < renewed["lease_duration"] <= 7200
    assert client.auth.token.revoke(auth["client_token"]).status_code == 204
    gone(client, auth["client_token"])


def test_a_token_works_on_itself(server: Running, client: hvac.Client) -> None:
    token = client.auth.token.create(ttl="1h", policies=["default"])["auth"]["client_token"]
    own = server.client(token)
    assert own.auth.token.lookup_self()["data"]["id"] == token
    assert own.auth.token.renew_self()["auth"]["client_token"] == token
    assert own.auth.token.renew_self(increment=600)["auth"]["lease_duration"] == 600
    assert own.auth.token.revoke_self().status_code == 204
    gone(client, token)
    with pytest.raises(exceptions.Forbidden):
        own.auth.token.lookup_self()


def test_an_accessor_reaches_the_token_without_showing_it(client: hvac.Client) -> None:
    auth = client.auth.token.create(ttl="1h")["auth"]
    assert auth["accessor"] in client.auth.token.list_accessors()["data"]["keys"]
    found = client.auth.token.lookup_accessor(auth["accessor"])["data"]
    assert found["accessor"] == auth["accessor"] and not found["id"]
    renewed = client.auth.token.renew_accessor(auth["accessor"], increment="30m")["auth"]
    assert renewed["client_token"] == "" and renewed["lease_duration"] == 1800
    assert client.auth.token.revoke_accessor(auth["accessor"]).status_code == 204
    for use in (client.auth.token.lookup_accessor, client.auth.token.renew_accessor):
        with pytest.raises(exceptions.InvalidRequest, match="invalid accessor"):
            use(auth["accessor"])
    gone(client, auth["client_token"])


@pytest.mark.parametrize(
    ("asked", "lease", "shown"),
    [
        ({"ttl": "30m", "explicit_max_ttl": "5m"}, 300, {"explicit_max_ttl": 300, "creation_ttl": 300}),
        ({"ttl": "5m"}, 300, {"explicit_max_ttl": 0, "creation_ttl": 300}),
        ({"period": "30m"}, 1800, {"period": 1800, "creation_ttl": 1800}),
        ({"ttl": 7, "num_uses": 3}, 7, {"num_uses": 3}),
        ({"ttl": "1h", "renewable": False}, 3600, {"renewable": False}),
        ({"ttl": "1h", "no_parent": True}, 3600, {"orphan": True}),
        ({"ttl": "1h", "policies": ["B", "a", "a"]}, 3600, {"policies": ["a", "b", "default"]}),
        ({"ttl": "1h", "policies": ["a"], "no_default_policy": True}, 3600, {"policies": ["a"]}),
        ({"policies": ["default"]}, 2764800, {"ttl": 2764800}),
        ({"policies": ["default"], "ttl": "1h", "type": "service"}, 3600, {"type": "service"}),
    ],
)
def test_every_wish_at_creation_is_kept_and_shown(client: hvac.Client, asked: dict[str, Any], lease: int, shown: dict[str, Any]) -> None:
    auth = client.auth.token.create(**asked)["auth"]
    assert auth["lease_duration"] == lease
    data = client.auth.token.lookup(auth["client_token"])["data"]
    assert {name: data[name] for name in shown if name != "ttl"} == {name: value for name, value in shown.items() if name != "ttl"}
    assert lease - 10 < data["ttl"] <= lease


def test_a_batch_token_is_not_stored(server: Running, client: hvac.Client) -> None:
    auth = client.auth.token.create(type="batch", ttl="1h", policies=["default"])["auth"]
    assert (auth["token_type"], auth["renewable"], auth["accessor"], auth["lease_duration"]) == ("batch", False, "", 3600)
    assert server.client(auth["client_token"]).auth.token.lookup_self()["data"]["type"] == "batch"
    with pytest.raises(exceptions.InvalidRequest, match="batch token"):
        client.auth.token.renew(auth["client_token"])
    with pytest.raises(exceptions.InvalidRequest, match="batch token"):
        client.auth.token.revoke(auth["client_token"])


def test_a_caller_may_choose_the_id_once(client: hvac.Client, name: str) -> None:
    chosen = f"my-own-{name}"
    assert client.auth.token.create(id=chosen, ttl="1h")["auth"]["client_token"] == chosen
    assert client.auth.token.lookup(chosen)["data"]["id"] == chosen
    with pytest.raises(exceptions.InvalidRequest):
        client.auth.token.create(id=chosen, ttl="1h")
    client.auth.token.revoke(chosen)


def test_uses_are_counted_down_to_the_last(server: Running, client: hvac.Client) -> None:
    token = client.auth.token.create(num_uses=2, ttl="1h", policies=["default"])["auth"]["client_token"]
    assert server.client(token).auth.token.lookup_self()["data"]["num_uses"] == 1
    server.client(token).auth.token.lookup_self()
    with pytest.raises(exceptions.Forbidden):
        server.client(token).auth.token.lookup_self()
    gone(client, token)


def test_revoking_a_parent_revokes_its_children(server: Running, client: hvac.Client) -> None:
    parent = client.auth.token.create(ttl="1h")["auth"]["client_token"]
    child = server.client(parent).auth.token.create(ttl="1h")["auth"]["client_token"]
    orphan = server.client(parent).auth.token.create_orphan(ttl="1h")["auth"]["client_token"]
    client.auth.token.revoke(parent)
    gone(client, child)
    assert client.auth.token.lookup(orphan)["data"]["orphan"] is True
    client.auth.token.revoke(orphan)


def test_children_may_outlive_a_parent_revoked_alone(server: Running, client: hvac.Client) -> None:
    parent = client.auth.token.create(ttl="1h")["auth"]["client_token"]
    child = server.client(parent).auth.token.create(ttl="1h")["auth"]["client_token"]
    assert client.auth.token.revoke_and_orphan_children(parent).status_code == 204
    gone(client, parent)
    assert client.auth.token.lookup(child)["data"]["orphan"] is True
    with pytest.raises(exceptions.InvalidRequest):
        client.auth.token.revoke_and_orphan_children(parent)
    client.auth.token.revoke(child)


def test_a_token_cannot_give_what_it_does_not_have(server: Running, client: hvac.Client) -> None:
    plain = server.client(client.auth.token.create(ttl="1h", policies=["default"])["auth"]["client_token"])
    with pytest.raises(exceptions.Forbidden):
        plain.auth.token.create(ttl="1h")
    with pytest.raises(exceptions.Forbidden):
        plain.auth.token.list_accessors()
    with pytest.raises(exceptions.Forbidden):
        plain.auth.token.revoke_and_orphan_children("x")


def test_a_wrapped_creation_keeps_its_wishes(client: hvac.Client) -> None:
    wrapped = client.auth.token.create(period="30m", wrap_ttl="15m")
    assert wrapped["auth"] is None and wrapped["wrap_info"]["ttl"] == 900 and wrapped["wrap_info"]["token"]
    auth = client.sys.unwrap(wrapped["wrap_info"]["token"])["auth"]
    assert auth["lease_duration"] == 1800
    data = client.auth.token.lookup(auth["client_token"])["data"]
    assert (data["id"], data["period"]) == (auth["client_token"], 1800)


def test_renewals_may_be_wrapped(client: hvac.Client) -> None:
    auth = client.auth.token.create(ttl="1h")["auth"]
    for renewed in (
        client.auth.token.renew(auth["client_token"], wrap_ttl="1m"),
        client.auth.token.renew_accessor(auth["accessor"], wrap_ttl="1m"),
        client.renew_token(auth["client_token"], wrap_ttl="1m"),
    ):
        assert renewed["auth"] is None and client.sys.unwrap(renewed["wrap_info"]["token"])["auth"]["lease_duration"] > 0


def test_token_roles_are_written_listed_read_used_and_deleted(client: hvac.Client, name: str) -> None:
    assert client.auth.token.create_or_update_role(name).status_code == 204
    assert name in client.auth.token.list_roles()["data"]["keys"]
    role = {
        "allowed_policies": ["first", "second"],
        "disallowed_policies": ["third"],
        "orphan": True,
        "renewable": False,
        "path_suffix": "suffix",
        "allowed_entity_aliases": ["alias"],
        "token_period": 600,
        "token_explicit_max_ttl": 7200,
    }
    assert client.auth.token.create_or_update_role(name, **role).status_code == 204
    data = client.auth.token.read_role(name)["data"]
    assert data.items() >= {**role, "name": name}.items()
    auth = client.auth.token.create(role_name=name, ttl="1h")["auth"]
    assert (auth["policies"], auth["orphan"], auth["renewable"]) == (["default", "first", "second"], True, False)
    looked_up = client.auth.token.lookup(auth["client_token"])["data"]
    assert looked_up["path"] == f"auth/token/create/{name}/suffix" and looked_up["role"] == name and looked_up["period"] == 600
    with pytest.raises(exceptions.InvalidRequest):
        client.auth.token.create(role_name=name, policies=["third"])
    assert client.auth.token.delete_role(name).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.auth.token.read_role(name)
    with pytest.raises(exceptions.InvalidRequest, match="unknown role"):
        client.auth.token.create(role_name=name)


def test_a_token_of_a_role_without_policies_of_its_own_has_the_roles(client: hvac.Client, name: str) -> None:
    client.sys.create_or_update_policy(name, 'path "sys" { policy = "deny" }')
    assert client.auth.token.create_or_update_role(name, allowed_policies=name).status_code == 204
    assert client.auth.token.create(ttl="1h", role_name=name)["auth"]["policies"] == sorted(["default", name])
    client.auth.token.delete_role(name)
    client.sys.delete_policy(name)


def test_without_roles_the_list_is_an_invalid_path(custodians: Running) -> None:
    with pytest.raises(exceptions.InvalidPath):
        custodians.client().auth.token.list_roles()


def test_tidy_is_accepted(client: hvac.Client) -> None:
    answer = client.auth.token.tidy()
    assert answer.status_code == 202 and answer.json()["warnings"]


# -- the methods of the client itself ---------------------------------------------------------------------------------


def test_the_clients_own_token_methods_work(server: Running, client: hvac.Client) -> None:
    auth = client.auth.token.create(ttl="1h")["auth"]
    assert client.lookup_token(auth["client_token"])["data"]["id"] == auth["client_token"]
    assert client.lookup_token(auth["accessor"], accessor=True)["data"]["id"] == ""
    assert client.lookup_token()["data"]["id"] == client.token
    assert client.renew_token(auth["client_token"])["auth"]["client_token"] == auth["client_token"]
    client.revoke_token(auth["accessor"], accessor=True)
    gone(client, auth["client_token"])
    parent = client.auth.token.create(ttl="1h")["auth"]["client_token"]
    child = server.client(parent).auth.token.create(ttl="1h")["auth"]["client_token"]
    client.revoke_token(parent, orphan=True)
    assert client.lookup_token(child)
    client.revoke_token(child)
    gone(client, child)


def test_authentication_is_seen(server: Running, client: hvac.Client) -> None:
    assert client.is_authenticated()
    assert not server.client("").is_authenticated()
    assert not server.client("not-a-real-token").is_authenticated()
    client.logout()
    assert not client.is_authenticated()


def test_logging_out_may_revoke(server: Running, client: hvac.Client) -> None:
    own = server.client(client.auth.token.create(ttl="1h")["auth"]["client_token"])
    token = own.token
    own.logout(revoke_token=True)
    own.token = token
    assert not own.is_authenticated()


def test_a_token_that_is_no_header_value_is_refused_somewhere(server: Running) -> None:
    with pytest.raises((ValueError, exceptions.InvalidRequest)):
        server.client("token-with-new-line\n").auth.token.lookup_self()
    with pytest.raises((ValueError, exceptions.VaultError)):
        server.client("\x1b").auth.token.lookup_self()


@pytest.mark.parametrize("use", [lambda client: client.auth.token.lookup("x"), lambda client: client.auth.token.renew("x")])
def test_an_unknown_token_is_refused(client: hvac.Client, use: Callable[[hvac.Client], object]) -> None:
    with pytest.raises((exceptions.Forbidden, exceptions.InvalidRequest)):
        use(client)


def test_revoking_an_unknown_token_is_fine(client: hvac.Client) -> None:
    assert client.auth.token.revoke("unknown").status_code == 204
