"""sys/mounts and sys/remount answer as Vault's clients read them."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.mounts import PROTECTED
from tests.engines.api_kit import Api
from tests.sys.kit import Lender, allowed, enter, house, lend, refused

MOUNT = {
    "type", "description", "accessor", "uuid", "local", "seal_wrap", "external_entropy_access", "options", "config",
    "plugin_version", "running_plugin_version", "running_sha256", "deprecation_status",
}  # fmt: skip
CONFIG = {"default_lease_ttl", "max_lease_ttl", "force_no_cache"}


@pytest.fixture
def api() -> Api:
    return house()


def test_the_table_shows_every_mount_in_data_and_at_the_top_level(api: Api) -> None:
    reply = api.get("sys/mounts")
    assert reply.status == 200
    assert set(reply.data) == {"cubbyhole/", "identity/", "lend/", "plain/", "secret/", "sys/"}
    for path, mount in reply.data.items():
        assert reply.body[path] == mount
        assert set(mount) == MOUNT - ({"deprecation_status"} if path in PROTECTED else set())
        assert set(mount["config"]) >= CONFIG
        uuid.UUID(mount["uuid"])
    assert reply.data["secret/"]["options"] == {"version": "2"}
    assert reply.data["plain/"]["options"] == {}
    assert reply.data["sys/"]["options"] is None
    assert reply.data["lend/"]["accessor"].startswith("lender_")
    assert "data" in reply.body
    assert reply.body["wrap_info"] is None


def test_one_mount_reads_as_in_the_table(api: Api) -> None:
    reply = api.get("sys/mounts/secret")
    assert reply.data == api.get("sys/mounts").data["secret/"]
    assert reply.body["accessor"] == reply.data["accessor"]


def test_an_auth_method_reads_there_as_in_its_table_without_sudo(api: Api) -> None:
    reply = api.get("sys/mounts/auth/door", token=allowed(api, "sys/mounts/auth/door: read"))
    assert reply.data == api.get("sys/auth").data["door/"]


def test_everything_that_is_accepted_is_shown_again(api: Api) -> None:
    body = {
        "type": "lender",
        "description": "for tests",
        "options": {"colour": "red", "number": 2},
        "local": "true",
        "seal_wrap": True,
        "external_entropy_access": True,
        "config": {
            "default_lease_ttl": "90s",
            "max_lease_ttl": "2h",
            "force_no_cache": "1",
            "listing_visibility": "unauth",
            "audit_non_hmac_request_keys": "a,b",
            "audit_non_hmac_response_keys": ["c"],
            "passthrough_request_headers": ["X-One"],
            "allowed_response_headers": "X-Two",
        },
    }
    assert api.post("sys/mounts/a/b", body).status == 204
    mount = api.get("sys/mounts/a/b").data
    assert (mount["type"], mount["description"]) == ("lender", "for tests")
    assert mount["options"] == {"colour": "red", "number": "2"}
    assert mount["local"] is mount["seal_wrap"] is mount["external_entropy_access"] is True
    assert mount["config"] == {
        "default_lease_ttl": 90,
        "max_lease_ttl": 7_200,
        "force_no_cache": True,
        "listing_visibility": "unauth",
        "audit_non_hmac_request_keys": ["a", "b"],
        "audit_non_hmac_response_keys": ["c"],
        "passthrough_request_headers": ["X-One"],
        "allowed_response_headers": ["X-Two"],
    }


REFUSED: list[tuple[str, str, Any, str]] = [
    ("POST", "sys/mounts/secret", {"type": "lender"}, "path is already in use at secret/"),
    ("POST", "sys/mounts/secret/inside", {"type": "lender"}, "path is already in use at secret/"),
    ("POST", "sys/mounts/x", {"type": "nothing"}, "plugin not found in the catalog: nothing"),
    ("POST", "sys/mounts/x", {"type": "../kv"}, "not the name of an engine"),
    ("POST", "sys/mounts/x", {}, "backend type must be specified"),
    ("POST", "sys/mounts/x", {"type": "cubbyhole"}, "not mountable"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": {"plugin_version": "v1"}}, "non-builtin version"),
    ("POST", "sys/mounts/x", {"type": "lender", "options": {"refuse": "yes"}}, "the option refuse is refused"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": {"default_lease_ttl": "2h", "max_lease_ttl": "1h"}}, "greater than"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": {"default_lease_ttl": "769h"}}, "system max lease TTL"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": {"default_lease_ttl": "-1h"}}, "negative"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": {"max_lease_ttl": "soon"}}, "duration"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": {"listing_visibility": "all"}}, "listing_visibility"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": {"token_type": "batch"}}, "auth mounts"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": {"user_lockout_config": {}}}, "not allowed"),
    ("POST", "sys/mounts/x", {"type": "lender", "config": []}, "takes an object"),
    ("POST", "sys/mounts/sys/x", {"type": "lender"}, "cannot mount"),
    ("POST", "sys/mounts/identity", {"type": "lender"}, "cannot mount"),
    ("POST", "sys/mounts/auth/x", {"type": "lender"}, "cannot mount"),
    ("POST", "sys/mounts/audit", {"type": "lender"}, "cannot mount"),
    ("POST", "sys/mounts/a%E2%82%AC", {"type": "lender"}, "mount path"),
    ("GET", "sys/mounts/none", None, "No secret engine mount at none/"),
    ("GET", "sys/mounts/none/tune", None, 'cannot fetch sysview for path "none/"'),
    ("POST", "sys/mounts/none/tune", {"description": "x"}, "no mount entry found"),
    ("GET", "sys/mounts/auth/none", None, "No auth engine"),
    ("DELETE", "sys/mounts/sys", None, "cannot unmount"),
    ("DELETE", "sys/mounts/cubbyhole", None, "cannot unmount"),
    ("DELETE", "sys/mounts/identity", None, "cannot unmount"),
    ("DELETE", "sys/mounts/audit", None, "cannot unmount"),
    ("POST", "sys/mounts/sys/tune", {"description": "x"}, 'cannot tune "sys/"'),
    ("POST", "sys/mounts/cubbyhole/tune", {"description": "x"}, 'cannot tune "cubbyhole/"'),
    ("POST", "sys/mounts/secret/tune", {"options": {"version": "1"}}, "cannot downgrade mount from version 2"),
    ("POST", "sys/mounts/plain/tune", {"options": {"version": "3"}}, "1 or 2"),
    ("POST", "sys/mounts/lend/tune", {"options": {"version": "2"}}, "does not allow setting a version"),
    ("POST", "sys/mounts/lend/tune", {"max_lease_ttl": "1h", "default_lease_ttl": "2h"}, "would be less than"),
    ("POST", "sys/mounts/lend/tune", {"token_type": "batch"}, "auth mounts"),
    ("POST", "sys/mounts/lend/tune", {"options": {"refuse": "1"}}, "refused"),
]


@pytest.mark.parametrize(("verb", "path", "body", "text"), REFUSED)
def test_what_cannot_be_is_a_400_that_says_why_and_changes_nothing(api: Api, verb: str, path: str, body: Any, text: str) -> None:
    before = api.get("sys/mounts").data
    reply = api.send(verb, path, body)
    assert reply.status == 400, reply
    assert any(text in error for error in reply.errors), reply.errors
    assert api.get("sys/mounts").data == before


def test_aliases_stand_for_kind_and_version(api: Api) -> None:
    for name, version in (("kv-v1", "1"), ("kv-v2", "2"), ("generic", "1")):
        assert api.post(f"sys/mounts/{name}", {"type": name}).status == 204
        mount = api.get(f"sys/mounts/{name}").data
        assert (mount["type"], mount["options"]) == ("kv", {"version": version})
    assert api.post("sys/mounts/old", {"type": "plugin", "plugin_name": "lender"}).status == 204
    assert api.get("sys/mounts/old").data["type"] == "lender"


def test_members_nobody_knows_are_named_in_a_warning(api: Api) -> None:
    reply = api.post("sys/mounts/x", {"type": "lender", "config": {"colour": 1}, "size": 2})
    assert reply.status == 200
    assert len(reply.body["warnings"]) == 2
    assert "colour" in str(reply.body["warnings"])
    assert "size" in str(reply.body["warnings"])


def test_tune_shows_seconds_in_effect_and_changes_only_what_is_sent(api: Api) -> None:
    assert api.get("sys/mounts/lend/tune").data == {
        "default_lease_ttl": 2_764_800,
        "max_lease_ttl": 2_764_800,
        "description": "",
        "force_no_cache": False,
    }
    assert api.post("sys/mounts/lend/tune", {"max_lease_ttl": "1h"}).status == 204
    shown = api.get("sys/mounts/lend/tune")
    assert (shown.data["default_lease_ttl"], shown.data["max_lease_ttl"]) == (3_600, 3_600)
    assert shown.body["max_lease_ttl"] == 3_600
    assert api.post("sys/mounts/lend/tune", {"description": "new", "options": {"a": "1", "b": "2"}}).status == 204
    assert api.post("sys/mounts/lend/tune", {"options": {"a": ""}, "max_lease_ttl": "system"}).status == 204
    shown = api.get("sys/mounts/lend/tune")
    assert shown.data["description"] == "new"
    assert shown.data["options"] == {"b": "2"}
    assert shown.data["max_lease_ttl"] == 2_764_800
    assert Lender.tunings == ["", "", "new"], "the engine hears of every change, with the mount as it was"


def test_a_tune_without_a_change_is_none(api: Api) -> None:
    assert api.post("sys/mounts/lend/tune", {}).status == 204
    assert Lender.tunings == []


def test_kv_goes_from_version_1_to_2_with_a_warning(api: Api) -> None:
    reply = api.post("sys/mounts/plain/tune", {"options": {"version": "2"}})
    assert reply.status == 200
    assert "Upgrading mount from version 1 to version 2" in reply.body["warnings"][0]
    assert api.get("sys/mounts/plain").data["options"] == {"version": "2"}
    assert api.post("sys/mounts/plain/tune", {"options": {"version": "2"}}).status == 204


durations = st.integers(0, 2_764_800)


@given(
    default=durations,
    ceiling=durations,
    description=st.text(st.characters(codec="utf-8"), max_size=20),
    visibility=st.sampled_from(["", "hidden", "unauth"]),
    keys=st.lists(st.text("abc_-", min_size=1, max_size=5), max_size=4),
    form=st.sampled_from([int, str, lambda seconds: f"{seconds}s"]),
)
def test_a_tune_reads_back_whatever_way_it_was_written(
    default: int, ceiling: int, description: str, visibility: str, keys: list[str], form: Any
) -> None:
    api = SHARED
    sent = {
        "default_lease_ttl": form(default),
        "max_lease_ttl": form(ceiling),
        "description": description,
        "listing_visibility": visibility,
        "audit_non_hmac_request_keys": keys,
    }
    before = api.get("sys/mounts/lend/tune").data
    reply = api.post("sys/mounts/lend/tune", sent)
    shown = api.get("sys/mounts/lend/tune").data
    if default > (ceiling or 2_764_800):
        assert reply.status == 400
        assert shown == before
        return
    assert reply.status == 204
    assert shown["max_lease_ttl"] == (ceiling or 2_764_800)
    assert shown["default_lease_ttl"] == (default or shown["max_lease_ttl"])
    assert shown["description"] == description
    assert shown.get("listing_visibility", "") == visibility
    assert shown.get("audit_non_hmac_request_keys", []) == keys
    stored = api.get("sys/mounts/lend").data["config"]
    assert (stored["default_lease_ttl"], stored["max_lease_ttl"]) == (default, ceiling)


SHARED = house()


def test_unmounting_takes_secrets_leases_and_path_and_an_absent_mount_is_no_error(api: Api) -> None:
    lease = lend(api)
    assert api.send("DELETE", "sys/mounts/lend").status == 204
    assert api.get("lend/creds/x").status == 404
    assert api.post("sys/leases/lookup", {"lease_id": lease}).status == 400
    api.room.advance(5)
    assert Lender.returned == ["x"]
    assert api.send("DELETE", "sys/mounts/lend").status == 204
    assert api.post("sys/mounts/lend", {"type": "lender"}).status == 204


def test_a_mount_made_anew_has_nothing_of_the_old_one(api: Api) -> None:
    api.put("a", {"k": "v"})
    assert api.send("DELETE", "sys/mounts/secret").status == 204
    assert api.post("sys/mounts/secret", {"type": "kv-v2"}).status == 204
    assert api.get("secret/data/a").status == 404


# -- moving -------------------------------------------------------------------------------------------------------


def test_a_moved_engine_keeps_rows_uuid_and_accessor(api: Api) -> None:
    api.put("a", {"k": "v"})
    before = api.get("sys/mounts/secret").data
    reply = api.post("sys/remount", {"from": "secret/", "to": "moved/deep"})
    assert reply.status == 200
    migration = reply.data["migration_id"]
    assert reply.body["migration_id"] == migration
    assert api.get("sys/mounts/moved/deep").data == before
    assert api.get("moved/deep/data/a").data["data"] == {"k": "v"}
    assert api.get("secret/data/a").status == 404
    status = api.get(f"sys/remount/status/{migration}")
    assert status.data == {
        "migration_id": migration,
        "migration_info": {"source_mount": "secret/", "target_mount": "moved/deep/", "status": "success"},
    }
    assert api.get("sys/remount/status/none").status == 404


def test_what_was_issued_below_the_old_path_ends_and_what_is_issued_after_stays(api: Api) -> None:
    old = lend(api, "old")
    assert api.post("sys/remount", {"from": "lend", "to": "bank"}).status == 200
    assert api.post("sys/leases/lookup", {"lease_id": old}).status == 400
    assert Lender.returned == ["old"]
    assert api.post("sys/mounts/lend", {"type": "lender"}).status == 204
    new = lend(api, "new")
    api.room.advance(1)
    assert api.post("sys/leases/lookup", {"lease_id": new}).status == 200


def test_tokens_of_a_moved_auth_method_end(api: Api) -> None:
    token, brief = enter(api), enter(api, "auth/door/batch/bob")
    assert api.post("sys/remount", {"from": "auth/door", "to": "auth/gate"}).status == 200
    for old in (token, brief):
        assert refused(api.get("auth/token/lookup-self", token=old))
    api.room.advance(60)
    assert refused(api.get("auth/token/lookup-self", token=brief)), "the sweep is over; a batch token does not come back"
    assert api.get("auth/token/lookup-self", token=enter(api, "auth/gate/login/ann")).status == 200


BAD_MOVES = [
    ({"from": "none", "to": "x"}, "no matching mount"),
    ({"from": "secret", "to": "lend"}, 'path already in use at "lend/"'),
    ({"from": "secret", "to": "secret/below"}, 'path already in use at "secret/"'),
    ({"from": "sys", "to": "x"}, "cannot remount"),
    ({"from": "cubbyhole", "to": "x"}, "cannot remount"),
    ({"from": "auth/token", "to": "auth/x"}, "cannot remount"),
    ({"from": "secret", "to": "auth/x"}, "cannot remount to destination auth/x/"),
    ({"from": "auth/door", "to": "x"}, "cannot remount auth mount to non-auth mount"),
    ({"from": "secret", "to": "sys/x"}, "cannot remount to destination sys/x/"),
    ({"from": "secret"}, "both 'from' and 'to' path"),
]


@pytest.mark.parametrize(("body", "text"), BAD_MOVES)
def test_moves_that_cannot_be(api: Api, body: dict[str, str], text: str) -> None:
    before = api.get("sys/mounts").data
    reply = api.post("sys/remount", body)
    assert reply.status == 400
    assert text in reply.errors[0]
    assert api.get("sys/mounts").data == before


# -- rights -------------------------------------------------------------------------------------------------------


def test_no_mount_lies_where_its_requests_would_be_read_as_a_tune(api: Api) -> None:
    assert api.post("sys/remount", {"from": "lend", "to": "deep/tune"}).status == 400
    assert api.post("sys/remount", {"from": "auth/door", "to": "auth/deep/tune"}).status == 400
    assert api.post("sys/mounts/tune", {"type": "kv"}).status == 204
    assert api.send("DELETE", "sys/mounts/tune", None).status == 204
    assert api.post("sys/auth/tune", {"type": "userpass"}).status == 204
    assert api.send("DELETE", "sys/auth/tune", None).status == 204
    assert "auth/tune/" not in api.get("sys/auth").data
    assert api.send("DELETE", "sys/mounts/secret/tune", None).status == 405


def test_mounts_need_no_sudo_and_remount_does(api: Api) -> None:
    token = allowed(api, "sys/mounts/*:create read update delete", "sys/remount:update")
    assert api.post("sys/mounts/mine", {"type": "lender"}, token=token).status == 204
    assert api.get("sys/mounts/mine/tune", token=token).status == 200
    assert api.send("DELETE", "sys/mounts/mine", token=token).status == 204
    assert refused(api.post("sys/remount", {"from": "lend", "to": "x"}, token=token))
    more = allowed(api, "sys/remount:update sudo")
    assert api.post("sys/remount", {"from": "lend", "to": "x"}, token=more).status == 200


def test_a_token_without_rights_learns_nothing_of_mounts(api: Api) -> None:
    token = allowed(api, "secret/*:read")
    for verb, path in (("GET", "sys/mounts"), ("GET", "sys/mounts/lend"), ("GET", "sys/mounts/none"), ("DELETE", "sys/mounts/sys")):
        assert refused(api.send(verb, path, token=token))
