"""sys/auth answers as Vault's clients read it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engines.api_kit import Api
from tests.sys.kit import allowed, enter, house, refused
from tests.sys.test_mounts import CONFIG, MOUNT


@pytest.fixture
def api() -> Api:
    return house()


def test_the_table_shows_paths_without_auth_and_the_token_type(api: Api) -> None:
    reply = api.get("sys/auth")
    assert set(reply.data) == {"token/", "door/"}
    for path, mount in reply.data.items():
        assert reply.body[path] == mount
        assert set(mount) == MOUNT - ({"deprecation_status"} if path == "token/" else set())
        assert set(mount["config"]) >= {*CONFIG, "token_type"}
    assert reply.data["door/"]["config"]["token_type"] == "default-service"
    assert reply.data["door/"]["accessor"].startswith("auth_doorman_")
    assert api.get("sys/auth/door").data == reply.data["door/"]


def test_every_setting_of_a_tune_reads_back(api: Api) -> None:
    lockout = {"lockout_threshold": "3", "lockout_duration": "10m", "lockout_counter_reset": 60, "lockout_disable": "false"}
    sent = {
        "default_lease_ttl": "1h",
        "max_lease_ttl": 7_200,
        "token_type": "batch",
        "listing_visibility": "unauth",
        "user_lockout_config": lockout,
    }
    assert api.post("sys/auth/door/tune", sent).status == 204
    shown = api.get("sys/auth/door/tune").data
    stored = {"lockout_threshold": 3, "lockout_duration": 600, "lockout_counter_reset_duration": 60, "lockout_disable": False}
    stored = {f"user_{name}": value for name, value in stored.items()}
    assert shown.items() >= stored.items()
    assert (shown["default_lease_ttl"], shown["max_lease_ttl"], shown["token_type"]) == (3_600, 7_200, "batch")
    assert shown["listing_visibility"] == "unauth"
    config = api.get("sys/auth/door").data["config"]
    assert config["user_lockout_config"] == stored
    assert api.post("sys/auth/door/tune", {"user_lockout_config": {"lockout_threshold": 9}}).status == 204
    assert api.get("sys/auth/door").data["config"]["user_lockout_config"] == {**stored, "user_lockout_threshold": 9}


def test_lifetimes_of_a_tune_hold_for_the_next_login(api: Api) -> None:
    assert api.post("sys/auth/door/tune", {"default_lease_ttl": "1m", "max_lease_ttl": "1m"}).status == 204
    token = enter(api)
    assert api.get("auth/token/lookup-self", token=token).data["ttl"] == 60


REFUSED: list[tuple[str, str, Any, str]] = [
    ("POST", "sys/auth/door", {"type": "doorman"}, "path is already in use at door/"),
    ("POST", "sys/auth/token", {"type": "doorman"}, "path is already in use at token/"),
    ("POST", "sys/auth/x", {"type": "token"}, "token credential backend cannot be instantiated"),
    ("POST", "sys/auth/x", {"type": "lender"}, "plugin not found in the catalog: lender"),
    ("POST", "sys/auth/x", {"type": "kv-v2"}, "plugin not found in the catalog: kv-v2"),
    ("POST", "sys/auth/x", {"type": "doorman", "config": {"token_type": "magic"}}, "invalid value for 'token_type'"),
    ("POST", "sys/auth/x", {"type": "doorman", "config": {"user_lockout_config": {"lockout_colour": 1}}}, "lockout_colour"),
    ("POST", "sys/auth/x", {"type": "doorman", "config": {"user_lockout_config": {"lockout_threshold": -1}}}, "negative"),
    ("GET", "sys/auth/none", None, "No auth engine at none/"),
    ("GET", "sys/auth/none/tune", None, 'cannot fetch sysview for path "auth/none/"'),
    ("GET", "sys/auth/secret", None, "No auth engine at secret/"),
    ("DELETE", "sys/auth/token", None, "token credential backend cannot be disabled"),
    ("POST", "sys/auth/token/tune", {"token_type": "batch"}, "cannot be set for 'token'"),
]


@pytest.mark.parametrize(("verb", "path", "body", "text"), REFUSED)
def test_what_cannot_be_is_a_400_that_says_why_and_changes_nothing(api: Api, verb: str, path: str, body: Any, text: str) -> None:
    before = api.get("sys/auth").data
    reply = api.send(verb, path, body)
    assert reply.status == 400, reply
    assert any(text in error for error in reply.errors), reply.errors
    assert api.get("sys/auth").data == before


def test_the_token_method_can_be_tuned(api: Api) -> None:
    assert api.post("sys/auth/token/tune", {"description": "tokens", "max_lease_ttl": "1h"}).status == 204
    assert api.get("sys/auth/token/tune").data["max_lease_ttl"] == 3_600


def test_removing_a_method_ends_its_tokens_and_an_absent_one_is_no_error(api: Api) -> None:
    token = enter(api)
    assert api.send("DELETE", "sys/auth/door").status == 204
    assert refused(api.get("auth/token/lookup-self", token=token))
    assert api.send("DELETE", "sys/auth/door").status == 204


def test_all_but_the_list_needs_sudo(api: Api) -> None:
    token = allowed(api, "sys/auth:read", "sys/auth/*:create read update delete")
    assert api.get("sys/auth", token=token).status == 200
    for verb, path in (("GET", "sys/auth/door"), ("POST", "sys/auth/x"), ("DELETE", "sys/auth/door"), ("GET", "sys/auth/door/tune")):
        assert refused(api.send(verb, path, {"type": "doorman"} if verb == "POST" else None, token=token))
    assert refused(api.post("sys/auth/door/tune", {"description": "x"}, token=token))
    more = allowed(api, "sys/auth/*:create read update delete sudo")
    assert api.get("sys/auth/door", token=more).status == 200
