"""sys/policy and sys/policies: written policies hold at once, read back whole, and nobody becomes root through a name."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core import areas
from strongroom.core.password_policy import generate, parse_password_policy
from strongroom.core.policy.policies import PolicyEntry
from strongroom.errors import InvalidRequest
from tests.engines.api_kit import Api
from tests.sys.kit import allowed, house, refused

READ_A = 'path "secret/data/a" { capabilities = ["read"] }'
PATHS = ("sys/policy/", "sys/policies/acl/")


@pytest.fixture
def api() -> Api:
    return house()


def text_of(api: Api, name: str) -> str | None:
    reply = api.get(f"sys/policies/acl/{name}")
    return reply.data["policy"] if reply.status == 200 else None


def test_the_old_path_answers_in_both_places(api: Api) -> None:
    assert api.post("sys/policy/mine", {"policy": READ_A}).status == 204
    reply = api.get("sys/policy/mine")
    assert reply.data == {"name": "mine", "rules": READ_A}
    assert (reply.body["name"], reply.body["rules"]) == ("mine", READ_A)
    for verb in ("GET", "LIST"):
        listed = api.send(verb, "sys/policy")
        assert listed.data == {"keys": ["default", "mine", "root"], "policies": ["default", "mine", "root"]}
        assert listed.body["keys"] == listed.body["policies"] == ["default", "mine", "root"]


def test_the_new_path_answers_in_data_only(api: Api) -> None:
    assert api.post("sys/policies/acl/mine", {"policy": READ_A}).status == 204
    reply = api.get("sys/policies/acl/mine")
    assert reply.data == {"name": "mine", "policy": READ_A}, "whoever compares a read with what he wrote finds nothing else"
    assert "policy" not in reply.body
    assert api.send("LIST", "sys/policies/acl").data == {"keys": ["default", "mine", "root"]}
    assert api.get("sys/policies/acl?list=true").data == {"keys": ["default", "mine", "root"]}


@pytest.mark.parametrize("body", [{"policy": READ_A}, {"rules": READ_A}, {"policy": base64.b64encode(READ_A.encode()).decode()}])
def test_text_base64_and_the_older_name_are_the_same_policy(api: Api, body: dict[str, str]) -> None:
    assert api.send("PUT", "sys/policy/mine", body).status == (200 if "rules" in body else 204)
    assert text_of(api, "mine") == READ_A


def test_a_policy_holds_from_its_answer_on_for_tokens_that_named_it_before(api: Api) -> None:
    api.put("a", {"k": "v"})
    token = api.token("later")
    assert refused(api.get("secret/data/a", token=token))
    api.post("sys/policies/acl/later", {"policy": READ_A})
    assert api.get("secret/data/a", token=token).status == 200
    assert api.send("DELETE", "sys/policies/acl/later").status == 204
    assert refused(api.get("secret/data/a", token=token))
    assert api.send("DELETE", "sys/policies/acl/later").status == 204


@pytest.mark.parametrize("head", PATHS)
def test_names_are_lowered_with_a_warning_and_may_have_slashes(api: Api, head: str) -> None:
    reply = api.post(f"{head}Team/Ops", {"policy": READ_A})
    assert reply.status == 200
    assert reply.body["warnings"] == ["policy name was converted to team/ops"]
    assert api.get(f"{head}TEAM/OPS").data["name"] == "team/ops"
    assert "team/ops" in api.send("LIST", "sys/policies/acl").data["keys"]


def test_absent_policies_are_404_with_no_errors(api: Api) -> None:
    for head in PATHS:
        reply = api.get(f"{head}none")
        assert (reply.status, reply.body) == (404, {"errors": []})


BAD: list[tuple[Any, str]] = [
    ({}, "'policy' parameter not supplied or empty"),
    ({"policy": ""}, "'policy' parameter not supplied or empty"),
    ({"policy": 'path "a" { capabilities = ["fly"] }'}, "unknown capability"),
    ({"policy": 'path "a" { colour = 1 }'}, "unknown key"),
    ({"policy": "colour = 1"}, "unknown key"),
    ({"policy": 'path "a" {'}, "line 1"),
    ({"policy": READ_A, "ttl": "1h", "expiration": "2027-01-01T00:00:00Z"}, "one of them"),
    ({"policy": READ_A, "ttl": "-1h"}, "negative"),
    ({"policy": READ_A, "expiration": "2025-01-01T00:00:00Z"}, "passed already"),
    ({"policy": READ_A, "expiration": "tomorrow"}, "RFC 3339"),
    ({"policy": READ_A, "cas": 5}, "check-and-set parameter did not match the current version"),
]


@pytest.mark.parametrize(("body", "text"), BAD)
def test_bad_policies_are_a_400_and_the_old_text_stays(api: Api, body: Any, text: str) -> None:
    api.post("sys/policies/acl/mine", {"policy": READ_A})
    reply = api.post("sys/policies/acl/mine", body)
    assert reply.status == 400
    assert text in reply.errors[0]
    assert text_of(api, "mine") == READ_A


def test_builtin_policies_cannot_be_broken(api: Api) -> None:
    for name in ("root", "response-wrapping"):
        for head in PATHS:
            assert api.post(head + name, {"policy": READ_A}).status == 400
            assert api.send("DELETE", head + name).status == 400
    assert api.send("DELETE", "sys/policies/acl/default").errors == ["cannot delete default policy"]
    assert api.post("sys/policies/acl/default", {"policy": READ_A}).status == 204
    assert text_of(api, "default") == READ_A


# -- versions and time --------------------------------------------------------------------------------------------


def test_cas_makes_a_write_depend_on_the_version(api: Api) -> None:
    path = "sys/policies/acl/mine"
    assert api.post(path, {"policy": READ_A, "cas": -1, "cas_required": True}).status == 204
    assert api.post(path, {"policy": READ_A, "cas": -1}).status == 400
    assert api.post(path, {"policy": READ_A}).errors == ["check-and-set parameter required for this call"]
    assert api.post(path, {"policy": READ_A, "cas": 1}).status == 204
    assert api.get(path).data["version"] == 2
    assert api.get(path).data["cas_required"] is True
    assert api.post("sys/policy/mine", {"policy": READ_A}).status == 400, "the old path is no way around it"


def test_patch_changes_what_is_sent_and_nothing_else(api: Api) -> None:
    path = "sys/policies/acl/mine"
    assert api.send("PATCH", path, {"ttl": 60}).status == 404
    api.post(path, {"policy": READ_A, "cas_required": True})
    assert api.send("PATCH", path, {"cas": 1, "ttl": "1h"}).status == 204
    data = api.get(path).data
    assert (data["policy"], data["cas_required"], data["expiration"]) == (READ_A, True, "2026-01-01T01:00:00Z")
    assert api.send("PATCH", path, {"cas": 2, "cas_required": False}).status == 204
    data = api.get(path).data
    assert (data["expiration"], data["cas_required"], data["version"]) == ("2026-01-01T01:00:00Z", False, 3)
    assert api.send("PATCH", path, {"policy": "nonsense ="}).status == 400


def test_a_policy_with_a_ttl_ends_on_time_also_for_tokens_in_use(api: Api) -> None:
    api.put("a", {"k": "v"})
    api.post("sys/policies/acl/brief", {"policy": READ_A, "ttl": "60s"})
    token = api.token("brief")
    assert api.get("secret/data/a", token=token).status == 200
    api.room.clock.advance(59)
    assert api.get("secret/data/a", token=token).status == 200
    api.room.clock.advance(1)  # no timer has run yet
    assert refused(api.get("secret/data/a", token=token))
    assert text_of(api, "brief") is None
    assert "brief" not in api.send("LIST", "sys/policies/acl").data["keys"]


def test_an_ended_policy_is_gone_from_the_store_and_one_written_anew_is_not(api: Api) -> None:
    api.post("sys/policies/acl/one", {"policy": READ_A, "ttl": 60})
    api.post("sys/policies/acl/two", {"policy": READ_A, "ttl": 60})
    api.post("sys/policies/acl/two", {"policy": READ_A})
    api.room.advance(61)
    transaction = api.core.transaction(None)
    assert transaction.view(areas.POLICIES).settings("acl/one", PolicyEntry) is None
    assert text_of(api, "two") == READ_A


def test_the_detailed_list_has_versions_and_times(api: Api) -> None:
    api.post("sys/policies/acl/mine", {"policy": READ_A, "ttl": 60})
    data = api.send("LIST", "sys/policies/detailed/acl").data
    assert data["keys"] == ["default", "mine", "root"]
    assert data["key_info"]["mine"] == {
        "version": 1,
        "cas_required": False,
        "modified": "2026-01-01T00:00:00Z",
        "expiration": "2026-01-01T00:01:00Z",
    }


def test_lists_take_after_and_limit(api: Api) -> None:
    for name in ("a", "b", "c", "z"):
        api.post(f"sys/policies/acl/{name}", {"policy": READ_A})
    assert api.send("LIST", "sys/policies/acl?after=a&limit=2").data["keys"] == ["b", "c"]
    assert api.send("LIST", "sys/policies/acl?limit=0").data["keys"] == ["a", "b", "c", "default", "root", "z"]


# -- T6.1 ---------------------------------------------------------------------------------------------------------

DISGUISED = ["%20root", "root%20", "root%09", "%EF%BC%B2%EF%BC%AF%EF%BC%AF%EF%BC%B4", "ro%C2%ADot", "root%00", "root%0A"]


@pytest.mark.parametrize("head", PATHS)
@pytest.mark.parametrize("name", [*DISGUISED, "root", "Root", "ROOT"])
def test_no_spelling_of_root_can_be_written_or_deleted(api: Api, head: str, name: str) -> None:
    before = api.send("LIST", "sys/policies/acl").data["keys"]
    assert api.post(head + name, {"policy": 'path "*" { capabilities = ["sudo", "read", "update"] }'}).status == 400
    assert api.send("DELETE", head + name).status == 400
    assert api.send("LIST", "sys/policies/acl").data["keys"] == before


@given(st.text(max_size=12))
def test_a_name_is_stored_as_it_is_read_or_refused(name: str) -> None:
    """Whatever name is written, the list grows by its canonical form and by nothing else."""
    before = set(SHARED.room.list("sys/policies/acl"))
    try:
        SHARED.room.write(f"sys/policies/acl/{name}", {"policy": READ_A})
    except Exception:
        assert set(SHARED.room.list("sys/policies/acl")) == before
        return
    assert set(SHARED.room.list("sys/policies/acl")) == before | {name.lower()}
    assert name.isascii()


SHARED = house()


def test_a_token_with_a_policy_named_like_root_is_not_root(api: Api) -> None:
    api.post("sys/policies/acl/root-", {"policy": READ_A})
    token = api.token("root-")
    assert refused(api.post("sys/remount", {"from": "lend", "to": "x"}, token=token))


def test_policies_need_rights_but_no_sudo(api: Api) -> None:
    token = allowed(api, "sys/policies/acl/*:create read update delete list")
    assert api.post("sys/policies/acl/x", {"policy": READ_A}, token=token).status == 204
    assert refused(api.post("sys/policy/x", {"policy": READ_A}, token=token))
    assert refused(api.get("sys/policies/acl/x", token=api.token()))


# -- passwords ----------------------------------------------------------------------------------------------------

GOOD = """
length = 20
rule "charset" { charset = "abcdefghijklmnopqrstuvwxyz" min-chars = 1 }
rule "charset" {
  charset = "0123456789"
  min-chars = 2
}
"""


def test_password_policies_are_written_read_listed_used_and_deleted(api: Api) -> None:
    assert api.send("LIST", "sys/policies/password").status == 404
    assert api.post("sys/policies/password/mine", {"policy": GOOD}).status == 204
    assert api.get("sys/policies/password/mine").data == {"policy": GOOD}
    assert api.send("LIST", "sys/policies/password").data == {"keys": ["mine"]}
    first, second = (api.get("sys/policies/password/mine/generate").data["password"] for _ in range(2))
    assert first != second
    assert len(first) == 20
    assert sum(character.isdigit() for character in first) >= 2
    assert api.send("DELETE", "sys/policies/password/mine").status == 204
    assert api.get("sys/policies/password/mine").status == 404
    assert api.get("sys/policies/password/mine/generate").status == 404


@pytest.mark.parametrize(
    "text",
    [
        "",
        "length = 20",
        'length = 3 rule "charset" { charset = "abc" }',
        'length = "long" rule "charset" { charset = "abc" }',
        'length = 20 rule "colour" { charset = "abc" }',
        'length = 20 rule "charset" { charset = "" }',
        'length = 20 rule "charset" { charset = "a\\nb" }',
        'length = 20 rule "charset" { charset = "a" }',
        'length = 20 rule "charset" { charset = "abc" min-chars = -1 }',
        'length = 20 rule "charset" { charset = "abc" min-chars = 21 }',
        'length = 20 rule "charset" { charset = "abc" colour = 1 }',
        'length = 20 colour = 1 rule "charset" { charset = "abc" }',
        'length = 1000000 rule "charset" { charset = "abc" }',
        'length = 20 rule "charset" { charset = "ab" min-chars = 19 } rule "charset" { charset = "0123456789abcdefghijklmnop" }',
    ],
)
def test_password_policies_that_cannot_be_are_refused(api: Api, text: str) -> None:
    assert api.post("sys/policies/password/mine", {"policy": text}).status == 400
    assert api.get("sys/policies/password/mine").status == 404


charsets = st.lists(st.sampled_from("abcXYZ0123!# "), min_size=2, max_size=10, unique=True).map("".join)


@given(length=st.integers(10, 40), rules=st.lists(st.tuples(charsets, st.integers(0, 2)), min_size=1, max_size=3))
def test_every_generated_password_keeps_its_policy(length: int, rules: list[tuple[str, int]]) -> None:
    text = f"length = {length}\n" + "".join(f'rule "charset" {{ charset = "{chars}" min-chars = {least} }}\n' for chars, least in rules)
    try:
        policy = parse_password_policy(text)
    except InvalidRequest:
        assert length * len({character for chars, _ in rules for character in chars}) < 60
        return
    password = generate(policy)
    assert len(password) == length
    assert set(password) <= {character for chars, _ in rules for character in chars}
    assert all(sum(character in chars for character in password) >= least for chars, least in rules)
