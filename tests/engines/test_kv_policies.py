"""Who may do what to KV version 2, with real policies (T4.4, T4.5)."""

from __future__ import annotations

import pytest

from tests.engines.api_kit import Api

DATA_ONLY = 'path "secret/data/app/*" { capabilities = ["create", "read", "update", "patch", "delete"] }'


@pytest.fixture
def api() -> Api:
    api = Api()
    api.put("app/x", {"k": 1})
    api.put("app/x", {"k": 2})
    api.put("other", {"k": "secret"})
    api.policy("app", DATA_ONLY)
    return api


REFUSED: list[tuple[str, str, object, int]] = [
    ("DELETE", "secret/metadata/app/x", None, 403),
    ("GET", "secret/metadata/app/x", None, 403),
    ("POST", "secret/metadata/app/x", {"max_versions": 1}, 403),
    ("PUT", "secret/destroy/app/x", {"versions": [1]}, 403),
    ("POST", "secret/delete/app/x", {"versions": [1]}, 403),
    ("POST", "secret/undelete/app/x", {"versions": [1]}, 403),
    ("GET", "secret/subkeys/app/x", None, 403),
    ("GET", "secret/data/other", None, 403),
    ("GET", "secret/data/app/../other", None, 400),
    ("GET", "secret/data/app/%2e%2e/other", None, 400),
    ("GET", "secret/data/app%2f..%2fother", None, 400),
    ("DELETE", "secret/data/app//x", None, 400),
    ("LIST", "secret/metadata/app", None, 403),
    ("POST", "secret/config", {"max_versions": 1}, 403),
]


@pytest.mark.parametrize(("verb", "path", "body", "status"), REFUSED)
def test_a_policy_for_data_reaches_nothing_else(api: Api, verb: str, path: str, body: object, status: int) -> None:
    token = api.token("app")
    before = api.get("secret/metadata/app/x").data
    assert api.send(verb, path, body, token=token).status == status
    assert api.get("secret/metadata/app/x").data == before
    assert api.send(verb, path, body).status in ((200, 204) if status == 403 else (400,)), "root may, so the policy is what refuses"


def test_the_same_token_works_where_it_may(api: Api) -> None:
    token = api.token("app")
    assert api.get("secret/data/app/x", token=token).data["data"] == {"k": 2}
    assert api.post("secret/data/app/new", {"data": {"k": 1}}, token=token).data["version"] == 1
    assert api.post("secret/data/app/x", {"data": {"k": 3}}, token=token).data["version"] == 3
    assert api.send("DELETE", "secret/data/app/x", token=token).status == 204
    assert api.send("GET", "secret/data/app/x", token=token).status == 404


def test_create_and_update_are_told_apart_by_whether_the_secret_exists(api: Api) -> None:
    api.policy("creator", 'path "secret/data/*" { capabilities = ["create"] }')
    api.policy("updater", 'path "secret/data/*" { capabilities = ["update"] }')
    creator, updater = api.token("creator"), api.token("updater")
    assert api.post("secret/data/fresh", {"data": {}}, token=updater).status == 403
    assert api.post("secret/data/fresh", {"data": {}}, token=creator).status == 200
    assert api.post("secret/data/fresh", {"data": {}}, token=creator).status == 403
    assert api.post("secret/data/fresh", {"data": {}}, token=updater).status == 200
    api.send("DELETE", "secret/data/fresh")
    assert api.post("secret/data/fresh", {"data": {}}, token=creator).status == 403, "a deleted version is still there"


def test_who_may_not_read_does_not_learn_what_exists(api: Api) -> None:
    token = api.token("app")
    replies = {api.get(f"secret/data/{name}", token=token).text for name in ("other", "nothing")}
    assert len(replies) == 1


@pytest.mark.parametrize("limit", ["", "&limit=0", "&limit=-1", "&limit=3", "&limit=2147483647"])
def test_a_policys_page_limit_holds_whatever_is_asked(api: Api, limit: str) -> None:
    for number in range(5):
        api.put(f"many/{number}", {})
    api.policy("pages", 'path "secret/metadata/many/" { capabilities = ["list"] pagination_limit = 2 }')
    reply = api.send("LIST", f"secret/metadata/many?after={limit}", token=api.token("pages"))
    assert (reply.status, reply.data["keys"]) == (200, ["0", "1"])


@pytest.mark.parametrize("limit", ["9223372036854775808", "1e9", "x"])
def test_a_limit_that_is_no_number_is_refused(api: Api, limit: str) -> None:
    assert api.send("LIST", f"secret/metadata?limit={limit}").status == 400
