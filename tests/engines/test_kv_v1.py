"""KV version 1: one value per name, answered as it came in."""

from __future__ import annotations

import pytest

from strongroom.core.mounts import new_mount
from strongroom.errors import InvalidRequest
from tests.engines.api_kit import Api


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_value_is_read_back_as_it_was_written(api: Api) -> None:
    raw = b'{"n": 1.10, "big":9007199254740993, "deep": {"list":[1, null]}}'
    assert api.post("plain/app/db", raw).status == 204
    reply = api.get("plain/app/db")
    assert raw in reply.text
    assert (reply.status, reply.body["lease_duration"], reply.body["renewable"], reply.body["lease_id"]) == (200, 2_764_800, False, "")
    api.post("plain/app/db", {"only": "this"})
    assert api.get("plain/app/db").data == {"only": "this"}


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"ttl": "1h"}, 3600),
        ({"lease": 30}, 30),
        ({"ttl": "60", "lease": "9h"}, 60),
        ({"ttl": "soon"}, 2_764_800),
        ({"ttl": 90.5}, 90),
        ({"a": "ttl"}, 2_764_800),
    ],
)
def test_ttl_or_lease_say_when_to_come_again(api: Api, body: dict[str, object], seconds: int) -> None:
    api.post("plain/a", body)
    assert (api.get("plain/a").body["lease_duration"], api.get("plain/a").data) == (seconds, body)


@pytest.mark.parametrize("body", [None, {}, b"", b"null"])
def test_a_write_needs_at_least_one_member(api: Api, body: object) -> None:
    reply = api.post("plain/a", body)
    assert (reply.status, reply.errors) == (400, ["missing data fields"])
    assert api.get("plain/a").status == 404


def test_names_are_listed_scanned_and_deleted(api: Api) -> None:
    for name in ("a", "a/b", "c/d/e"):
        api.post(f"plain/{name}", {"k": name})
    assert api.send("LIST", "plain").data["keys"] == ["a", "a/", "c/"]
    assert api.send("LIST", "plain/c").data["keys"] == ["d/"]
    assert api.send("SCAN", "plain").data["keys"] == ["a", "a/b", "c/d/e"]
    assert api.send("SCAN", "plain/c?limit=1").data["keys"] == ["d/e"]
    for _ in range(2):
        assert api.send("DELETE", "plain/a").status == 204
    assert api.send("LIST", "plain").data["keys"] == ["a/", "c/"]
    for missing in (api.get("plain/a"), api.send("LIST", "plain/none"), api.send("SCAN", "plain/none")):
        assert (missing.status, missing.body) == (404, {"errors": []})


def test_create_and_update_are_two_capabilities(api: Api) -> None:
    api.policy("creator", 'path "plain/*" { capabilities = ["create"] }')
    token = api.token("creator")
    assert api.post("plain/a", {"k": 1}, token=token).status == 204
    assert api.post("plain/a", {"k": 2}, token=token).status == 403
    assert api.get("plain/a").data == {"k": 1}


@pytest.mark.parametrize("version", ["3", "v2", "two"])
def test_only_versions_1_and_2_exist(api: Api, version: str) -> None:
    mount = new_mount("x/", "kv", "secrets", options={"version": version})
    with pytest.raises(InvalidRequest, match="1 or 2"):
        api.room.transact(lambda call: api.core.engine_of(call, mount).check_mount())


def test_a_number_that_no_double_holds_is_kept_and_read_beside_a_ttl(api: Api) -> None:
    """It was stored, and then every read was the server's fault."""
    api.post("plain/a", b'{"ttl":60,"far":1e399}')
    reply = api.get("plain/a")
    assert (reply.status, reply.body["lease_duration"]) == (200, 60)
