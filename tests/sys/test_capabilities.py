"""sys/capabilities* say what the ACL would decide."""

from __future__ import annotations

import pytest

from tests.engines.api_kit import Api
from tests.sys.kit import allowed, house, refused

OWN = "sys/capabilities-self:update"


@pytest.fixture
def api() -> Api:
    return house()


def test_one_path_is_answered_under_its_name_and_as_capabilities_in_both_places(api: Api) -> None:
    token = allowed(api, "secret/data/a:update read", OWN)
    reply = api.post("sys/capabilities-self", {"paths": ["secret/data/a"]}, token=token)
    assert reply.status == 200
    assert reply.data == {"secret/data/a": ["read", "update"], "capabilities": ["read", "update"]}
    assert reply.body["capabilities"] == reply.body["secret/data/a"] == ["read", "update"]


@pytest.mark.parametrize("body", [{"paths": "secret/a,secret/b"}, {"path": ["secret/a", "secret/b"]}])
def test_several_paths_are_answered_each(api: Api, body: dict[str, object]) -> None:
    token = allowed(api, "secret/a:deny", "secret/+:list", OWN)
    assert api.post("sys/capabilities-self", body, token=token).data == {"secret/a": ["deny"], "secret/b": ["list"]}


def test_a_path_is_answered_as_it_was_written(api: Api) -> None:
    token = allowed(api, "secret/a:deny", OWN)
    assert api.post("sys/capabilities-self", {"paths": ["/secret/a", "other"]}, token=token).data["/secret/a"] == ["deny"]


def test_root_may_all_and_nobody_nothing(api: Api) -> None:
    assert api.post("sys/capabilities-self", {"paths": ["x"]}).data["x"] == ["root"]
    assert api.post("sys/capabilities", {"paths": ["x"], "token": api.token("default")}).data["x"] == ["deny"]


def test_of_a_token_and_of_an_accessor_are_the_same(api: Api) -> None:
    token = allowed(api, "secret/data/a:read")
    accessor = api.post("auth/token/lookup", {"token": token}).data["accessor"]
    by_token = api.post("sys/capabilities", {"paths": ["secret/data/a"], "token": token})
    by_accessor = api.post("sys/capabilities-accessor", {"paths": ["secret/data/a"], "accessor": accessor})
    assert by_token.data == by_accessor.data == {"secret/data/a": ["read"], "capabilities": ["read"]}


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("capabilities", {"paths": ["x"], "token": "srs_nobody"}, "invalid token"),
        ("capabilities", {"paths": ["x"]}, "no token found"),
        ("capabilities-accessor", {"paths": ["x"], "accessor": "none"}, "invalid accessor"),
        ("capabilities-accessor", {"paths": ["x"]}, "missing accessor"),
        ("capabilities-self", {}, "paths must be supplied"),
        ("capabilities-self", {"paths": [str(number) for number in range(1_001)]}, "at most"),
    ],
)
def test_bad_questions_are_a_400(api: Api, path: str, body: dict[str, object], text: str) -> None:
    reply = api.post(f"sys/{path}", body)
    assert reply.status == 400
    assert text in reply.errors[0]


def test_the_default_policy_asks_about_itself_only(api: Api) -> None:
    token = api.token("default")
    assert api.post("sys/capabilities-self", {"paths": ["x"]}, token=token).status == 200
    assert refused(api.post("sys/capabilities", {"paths": ["x"], "token": token}, token=token))
    assert refused(api.post("sys/capabilities-accessor", {"paths": ["x"], "accessor": "x"}, token=token))
