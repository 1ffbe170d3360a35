"""KV version 2 as its clients see it: codes, texts and read-back of every field."""

from __future__ import annotations

from decimal import Decimal

import pytest

from strongroom.engines.kv.merge import merged, subkeys
from tests.engines.api_kit import Api


@pytest.fixture
def api() -> Api:
    return Api()


T0 = "2026-01-01T00:00:00Z"


def test_a_write_answers_the_new_versions_metadata_and_a_read_adds_the_data(api: Api) -> None:
    metadata = {"created_time": T0, "custom_metadata": None, "deletion_time": "", "destroyed": False, "version": 1}
    written = api.put("app/db", {"user": "u", "password": "p"})
    assert (written.status, written.data) == (200, metadata)
    read = api.get("secret/data/app/db")
    assert (read.status, read.data) == (200, {"data": {"user": "u", "password": "p"}, "metadata": metadata})
    assert list(read.body) == "request_id lease_id renewable lease_duration data wrap_info warnings auth mount_type".split()


def test_every_version_is_read_back_by_its_number(api: Api) -> None:
    for number in range(1, 5):
        api.put("a", {"n": number})
    assert [api.get(f"secret/data/a?version={number}").data["data"]["n"] for number in (1, 2, 3, 4, 0)] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    "text",
    ["1.10", "9007199254740993", "-0.0", "1e400", "1E-400", "123456789012345678901234567890", "0.1000000000000000055511151231257827"],
)
def test_numbers_stay_exact(api: Api, text: str) -> None:
    raw = b'{"data": {"number":%b,\n "list" : [ %b ]}}' % (text.encode(), text.encode())
    assert api.post("secret/data/n", raw).status == 200
    assert b'{"number":%b,\n "list" : [ %b ]}' % (text.encode(), text.encode()) in api.get("secret/data/n").text
    api.send("PATCH", "secret/data/n", {"data": {"other": 1}})
    patched = api.get("secret/data/n").data["data"]
    assert (Decimal(patched["number"]), patched["other"]) == (Decimal(text), 1)
    assert str(patched["number"]) == str(Decimal(text)) or Decimal(text) == int(Decimal(text))


NOT_FOUND: list[tuple[str, str, object]] = [
    ("GET", "secret/data/none", None),
    ("GET", "secret/data/a?version=9", None),
    ("GET", "secret/data/bare", None),
    ("GET", "secret/subkeys/none", None),
    ("GET", "secret/subkeys/a?version=9", None),
    ("GET", "secret/metadata/none", None),
    ("LIST", "secret/metadata/none", None),
    ("LIST", "secret/metadata/a", None),
    ("SCAN", "secret/metadata/none", None),
    ("LIST", "secret/detailed-metadata/none", None),
    ("SCAN", "secret/detailed-metadata/none", None),
    ("LIST", "secret/metadata?after=zzz", None),
    ("PATCH", "secret/data/none", {"data": {"a": 1}}),
    ("PATCH", "secret/data/bare", {"data": {"a": 1}}),
    ("PATCH", "secret/metadata/none", {"max_versions": 1}),
]


@pytest.mark.parametrize(("verb", "path", "body"), NOT_FOUND)
def test_what_is_not_there_is_a_plain_404(api: Api, verb: str, path: str, body: object) -> None:
    api.put("a", {"k": "v"})
    api.post("secret/metadata/bare", {"max_versions": 3})
    reply = api.send(verb, path, body)
    assert (reply.status, reply.body) == (404, {"errors": []})


@pytest.mark.parametrize(("verb", "target"), [("DELETE", "secret/data/a"), ("POST", "secret/delete/a"), ("PUT", "secret/destroy/a")])
def test_a_deleted_or_destroyed_version_is_a_404_with_the_whole_envelope(api: Api, verb: str, target: str) -> None:
    api.put("a", {"k": "v"})
    assert api.send(verb, target, {"versions": [1]} if verb != "DELETE" else None).status == 204
    destroyed = "destroy" in target
    metadata = {"created_time": T0, "custom_metadata": None, "deletion_time": "" if destroyed else T0, "destroyed": destroyed, "version": 1}
    for query in ("", "?version=1"):
        reply = api.get(f"secret/data/a{query}")
        assert (reply.status, reply.data) == (404, {"data": None, "metadata": metadata})
        assert "errors" not in reply.body
    assert api.get("secret/subkeys/a").data == {"subkeys": None, "metadata": metadata}
    patched = api.send("PATCH", "secret/data/a", {"data": {"x": 1}})
    assert (patched.status, patched.data) == (404, metadata)
    assert api.get("secret/metadata/a").data["current_version"] == 1


WRONG: list[tuple[str, object]] = [("GET", None), ("POST", {"data": {"a": 1}}), ("DELETE", None), ("LIST", None), ("PATCH", {"data": {}})]


@pytest.mark.parametrize(("verb", "body"), WRONG)
def test_a_path_without_data_says_what_is_wrong(api: Api, verb: str, body: object) -> None:
    reply = api.send(verb, "secret/app/db", body)
    assert reply.status == 404
    assert reply.body["warnings"][0].startswith("Invalid path for a versioned K/V secrets engine. See the API docs")
    assert reply.data is None


BAD: list[tuple[str, str, object, str]] = [
    ("POST", "secret/data/a", {}, "no data provided"),
    ("POST", "secret/data/a", {"data": None}, "no data provided"),
    ("POST", "secret/data/a", {"data": "text"}, 'for field "data": it takes an object'),
    ("POST", "secret/data/a", {"data": [1]}, 'for field "data": it takes an object'),
    ("POST", "secret/data/a", {"data": {}, "options": {"cas": "x"}}, "error parsing check-and-set parameter"),
    ("POST", "secret/data/a", {"data": {}, "options": {"cas": 7}}, "check-and-set parameter did not match the current version"),
    ("POST", "secret/data/a", {"data": {}, "options": {"cas": 0}}, "check-and-set parameter did not match the current version"),
    ("POST", "secret/data/new", {"data": {}, "options": {"cas": 1}}, "check-and-set parameter did not match the current version"),
    ("PATCH", "secret/data/a", {"options": {}}, "no data provided"),
    ("PATCH", "secret/data/a", {"data": {}, "options": {"cas": 0}}, "check-and-set parameter did not match the current version"),
    ("POST", "secret/delete/a", {}, "No version number provided"),
    ("POST", "secret/undelete/a", {"versions": []}, "No version number provided"),
    ("PUT", "secret/destroy/a", {"versions": []}, "no version number provided"),
    ("PUT", "secret/destroy/a", {"versions": "x"}, "takes a whole number"),
    ("POST", "secret/config", {"max_versions": -1}, "max_versions is a number"),
    ("POST", "secret/config", {"max_versions": 1 << 32}, "max_versions is a number"),
    ("POST", "secret/config", {"delete_version_after": "soon"}, "duration"),
    ("POST", "secret/metadata/a", {"delete_version_after": "-1s"}, "not negative"),
    ("POST", "secret/metadata/a", {"max_versions": "many"}, "takes a whole number"),
    ("POST", "secret/metadata/a", {"custom_metadata": {"k": []}}, "custom_metadata validation failed"),
    ("POST", "secret/metadata/a", {"custom_metadata": {"k": ""}}, "custom_metadata validation failed"),
    ("POST", "secret/metadata/a", {"custom_metadata": {"": "v"}}, "custom_metadata validation failed"),
    ("POST", "secret/metadata/a", {"custom_metadata": {"k": "é" * 257}}, "must be 0 < len(value) <= 512"),
    ("POST", "secret/metadata/a", {"custom_metadata": {"k" * 129: "v"}}, "must be 0 < len(key) <= 128"),
    ("POST", "secret/metadata/a", {"custom_metadata": {"k": "a\tb"}}, "unprintable"),
    ("POST", "secret/metadata/a", {"custom_metadata": {f"k{i}": "v" for i in range(65)}}, "at most 64 keys, provided 65"),
    ("PATCH", "secret/metadata/a", {"custom_metadata": {"k": ["v"]}}, "custom_metadata validation failed"),
    ("POST", "secret/metadata/a", {"metadata_cas": 5, "max_versions": 1}, "did not match the current version"),
    ("GET", "secret/data/a?version=x", None, "takes a whole number"),
    ("LIST", "secret/metadata?limit=1e9", None, "takes a whole number"),
    ("LIST", "secret/metadata?limit=9223372036854775808", None, "whole number"),
]


@pytest.mark.parametrize(("verb", "path", "body", "text"), BAD)
def test_bad_input_gets_a_clear_400_and_changes_nothing(api: Api, verb: str, path: str, body: object, text: str) -> None:
    api.put("a", {"k": "v"})
    before = dict(api.room.storage._rows)  # type: ignore[attr-defined]
    reply = api.send(verb, path, body)
    assert reply.status == 400
    assert text in reply.errors[0]
    assert api.room.storage._rows == before  # type: ignore[attr-defined]


def test_a_folder_is_not_the_secret_of_its_name_wherever_the_mount_lies(api: Api) -> None:
    api.post("sys/mounts/metadata", {"type": "kv", "options": {"version": "2"}})
    for mount in ("secret", "metadata"):
        api.send("POST", f"{mount}/data/a", {"data": {}})
        for verb, path in (("GET", "metadata/a/"), ("GET", "subkeys/a/"), ("DELETE", "metadata/a/")):
            reply = api.send(verb, f"{mount}/{path}", None)
            assert (reply.status, reply.body) == (404, {"errors": []}), path
        assert api.get(f"{mount}/data/a").status == 200


def test_check_and_set_accepts_the_current_version_only(api: Api) -> None:
    assert api.put("a", {}, cas=0).status == 200
    assert api.put("a", {}, cas="1").status == 200
    assert api.put("a", {}, cas=1).status == 400
    api.send("DELETE", "secret/data/a")
    assert api.put("a", {}, cas=0).status == 400, "a deleted latest version still counts as its number"
    assert api.put("a", {}, cas=2).data["version"] == 3


@pytest.mark.parametrize("where", ["secret/config", "secret/metadata/a"])
def test_check_and_set_can_be_required_by_the_mount_and_by_the_key(api: Api, where: str) -> None:
    api.put("a", {})
    api.post(where, {"cas_required": True})
    for verb in ("POST", "PATCH"):
        reply = api.send(verb, "secret/data/a", {"data": {}})
        assert (reply.status, reply.errors) == (400, ["check-and-set parameter required for this call"])
    assert api.send("PATCH", "secret/data/a", {"data": {}, "options": {"cas": 1}}).data["version"] == 2


def test_patch_merges_as_rfc_7396_says(api: Api) -> None:
    api.put("a", {"keep": 1, "gone": 2, "deep": {"x": 1, "y": [1]}})
    reply = api.send("PATCH", "secret/data/a", {"data": {"gone": None, "deep": {"y": {"z": None, "new": 1}}, "absent": None}})
    assert reply.data["version"] == 2
    assert api.get("secret/data/a").data["data"] == {"keep": 1, "deep": {"x": 1, "y": {"new": 1}}}
    plain = api.send("PATCH", "secret/data/a", {"data": {}}, headers={b"content-type": b"application/json"})
    assert plain.status == 415


RFC_7396: list[tuple[object, object, object]] = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
"""Appendix A of the RFC."""


@pytest.mark.parametrize(("target", "changes", "result"), RFC_7396)
def test_the_vectors_of_rfc_7396(target: object, changes: object, result: object) -> None:
    assert merged(target, changes) == result


def test_subkeys_show_the_tree_without_values(api: Api) -> None:
    data = {"a": "x", "b": {"c": {"d": 1, "e": {}}, "f": [1, {"g": 2}]}}
    api.put("a", data)
    api.put("a", {"other": 1})
    assert api.get("secret/subkeys/a?version=1").data["subkeys"] == {"a": None, "b": {"c": {"d": None, "e": None}, "f": None}}
    assert api.get("secret/subkeys/a?version=1&depth=2").data["subkeys"] == {"a": None, "b": {"c": None, "f": None}}
    assert api.get("secret/subkeys/a").data["metadata"]["version"] == 2
    assert subkeys(data, 1) == {"a": None, "b": None}


def test_delete_undelete_and_destroy_are_idempotent_and_pass_over_unknown_versions(api: Api) -> None:
    for number in range(1, 4):
        api.put("a", {"n": number})
    for verb, path, numbers in (
        ("POST", "delete", [1, 2, 99]),
        ("POST", "delete", [1]),
        ("PUT", "undelete", ["1", 99]),
        ("POST", "destroy", [2, 2, 99]),
        ("PUT", "destroy", [2]),
        ("POST", "undelete", [2]),
        ("POST", "delete", [2]),
    ):
        assert api.send(verb, f"secret/{path}/a", {"versions": numbers}).status == 204
        assert api.send(verb, f"secret/{path}/nothing", {"versions": numbers}).status == 204
    assert api.get("secret/data/a?version=1").data["data"] == {"n": 1}
    assert api.get("secret/data/a?version=2").status == 404
    versions = api.get("secret/metadata/a").data["versions"]
    assert versions["2"] == {"created_time": T0, "deletion_time": T0, "destroyed": True}
    assert versions["3"] == {"created_time": T0, "deletion_time": "", "destroyed": False}
    assert api.send("DELETE", "secret/data/nothing").status == 204


def test_metadata_shows_every_stored_setting_and_counts_its_own_changes(api: Api) -> None:
    api.put("a", {"k": 1})
    assert api.get("secret/metadata/a").data == {
        "cas_required": False,
        "created_time": T0,
        "current_metadata_version": 0,
        "current_version": 1,
        "custom_metadata": None,
        "delete_version_after": "0s",
        "max_versions": 0,
        "metadata_cas_required": False,
        "oldest_version": 0,
        "updated_time": T0,
        "versions": {"1": {"created_time": T0, "deletion_time": "", "destroyed": False}},
    }
    api.room.clock.advance(1.5)
    settings = {"max_versions": 5, "cas_required": True, "delete_version_after": "3h25m19s", "custom_metadata": {"owner": "jdoe"}}
    assert api.post("secret/metadata/a", settings).status == 204
    shown = api.get("secret/metadata/a").data
    assert {name: shown[name] for name in settings} == settings
    assert (shown["current_metadata_version"], shown["updated_time"]) == (1, "2026-01-01T00:00:01.5Z")
    assert api.get("secret/data/a").data["metadata"]["custom_metadata"] == {"owner": "jdoe"}
    for body in ({}, {"metadata_cas": 9}):
        assert api.post("secret/metadata/a", body).status == 204
        assert api.send("PATCH", "secret/metadata/a", body).status == 204
    assert api.get("secret/metadata/a").data == shown


def test_metadata_post_replaces_and_patch_merges(api: Api) -> None:
    api.post("secret/metadata/a", {"custom_metadata": {"a": "1", "b": "2"}, "max_versions": 4})
    api.send("PATCH", "secret/metadata/a", {"custom_metadata": {"a": None, "c": "3"}})
    assert api.get("secret/metadata/a").data["custom_metadata"] == {"b": "2", "c": "3"}
    api.post("secret/metadata/a", {"custom_metadata": {"z": "9"}})
    shown = api.get("secret/metadata/a").data
    assert (shown["custom_metadata"], shown["max_versions"], shown["versions"]) == ({"z": "9"}, 4, {})
    api.send("PATCH", "secret/metadata/a", {"custom_metadata": None, "max_versions": None})
    shown = api.get("secret/metadata/a").data
    assert (shown["custom_metadata"], shown["max_versions"]) == (None, 0)
    assert api.put("a", {"k": 1}, cas=0).data["version"] == 1


def test_metadata_check_and_set(api: Api) -> None:
    assert api.post("secret/metadata/new", {"metadata_cas": 1, "max_versions": 2}).status == 400
    assert api.get("secret/metadata/new").status == 404
    assert api.post("secret/metadata/new", {"metadata_cas": 0, "metadata_cas_required": True}).status == 204
    for verb in ("POST", "PATCH"):
        assert api.send(verb, "secret/metadata/new", {"max_versions": 2}).status == 400
        assert api.send(verb, "secret/metadata/new", {"max_versions": 2, "metadata_cas": 0}).status == 400
    assert api.put("new", {}).status == 200, "data writes are not bound by it"
    assert api.post("secret/metadata/new", {"metadata_cas": 1, "metadata_cas_required": False}).status == 204
    api.post("secret/config", {"metadata_cas_required": True})
    warned = api.post("secret/metadata/new", {"metadata_cas": 2, "metadata_cas_required": False})
    assert warned.body["warnings"] == [
        '"metadata_cas_required" set to false, but is mandated by backend config. This value will be ignored.'
    ]
    assert api.post("secret/metadata/new", {"max_versions": 2}).status == 400


def test_the_config_shows_what_was_stored(api: Api) -> None:
    plain = {"cas_required": False, "delete_version_after": "0s", "max_versions": 0, "metadata_cas_required": False}
    assert api.get("secret/config").data == plain
    assert api.post("secret/config", {"max_versions": "7", "delete_version_after": "90m"}).status == 204
    assert api.post("secret/config", {"cas_required": "true"}).status == 204
    assert api.get("secret/config").data == plain | {"max_versions": 7, "delete_version_after": "1h30m0s", "cas_required": True}


def test_old_versions_are_pruned_beyond_the_larger_of_the_two_settings(api: Api) -> None:
    for _ in range(12):
        api.put("default", {})
    shown = api.get("secret/metadata/default").data
    assert (list(shown["versions"]), shown["oldest_version"]) == ([str(number) for number in range(3, 13)], 3)
    api.post("secret/config", {"max_versions": 2})
    api.post("secret/metadata/key", {"max_versions": 3})
    for _ in range(5):
        api.put("key", {})
        api.put("mount", {})
    assert list(api.get("secret/metadata/key").data["versions"]) == ["3", "4", "5"]
    assert list(api.get("secret/metadata/mount").data["versions"]) == ["4", "5"]
    assert api.get("secret/data/key?version=2").status == 404


def rows(api: Api) -> int:
    """How many rows the store has."""
    return len(api.room.storage._rows)  # type: ignore[attr-defined]


def test_no_row_is_left_of_what_was_pruned_destroyed_or_removed(api: Api) -> None:
    empty = rows(api)
    api.post("secret/metadata/a", {"max_versions": 300})
    for number in range(250):
        api.put("a", {"n": number})
    assert rows(api) == empty + 250
    api.post("secret/destroy/a", {"versions": list(range(1, 6))})
    assert rows(api) == empty + 245
    api.post("secret/metadata/a", {"max_versions": 1})
    api.put("a", {"n": "last"})
    api.room.run_due()
    assert rows(api) == empty + 1
    for number in range(120):
        api.put("b", {"n": number})
    api.post("secret/metadata/b", {"max_versions": 500})
    for number in range(200):
        api.put("b", {"n": number})
    for name in "ab":
        assert api.send("DELETE", f"secret/metadata/{name}").status == 204
    api.room.run_due()
    assert rows(api) == empty
    assert api.put("a", {}, cas=0).data["version"] == 1


def test_a_version_ends_by_itself_and_undelete_starts_its_time_anew(api: Api) -> None:
    api.post("secret/config", {"delete_version_after": "1h"})
    api.post("secret/metadata/short", {"delete_version_after": "60s"})
    api.post("secret/metadata/long", {"delete_version_after": "9h"})
    ends = {"short": "2026-01-01T00:01:00Z", "long": "2026-01-01T01:00:00Z", "mount": "2026-01-01T01:00:00Z"}
    for name, end in ends.items():
        assert api.put(name, {"k": 1}).data["deletion_time"] == end
    api.room.advance(59.9)
    assert api.get("secret/data/short").status == 200
    api.room.advance(0.1)
    reply = api.get("secret/data/short")
    assert (reply.status, reply.data["metadata"]["deletion_time"]) == (404, ends["short"])
    assert api.get("secret/data/long").status == 200
    api.post("secret/undelete/short", {"versions": [1]})
    assert api.get("secret/data/short").data["metadata"]["deletion_time"] == "2026-01-01T00:02:00Z"
    api.post("secret/config", {"delete_version_after": "-1s"})
    assert api.put("short", {"k": 2}).data["deletion_time"] == "", "the mount switched it off"


def test_names_with_spaces_and_letters_of_any_script(api: Api) -> None:
    names = ["my key", "naïve", "日本/語", "a+b", "100% sure".replace("%", "percent"), "UPPER", "ünï/cødé/😀"]
    for name in names:
        path = "".join(f"%{byte:02X}" if byte != 47 else "/" for byte in name.encode())
        assert api.post(f"secret/data/{path}", {"data": {"name": name}}).status == 200
        assert api.get(f"secret/data/{path}").data["data"] == {"name": name}
    assert api.send("SCAN", "secret/metadata").data["keys"] == sorted(names)


def test_lists_pages_and_scans(api: Api) -> None:
    for name in ("a", "a/b", "a/c/d", "a-b", "e/f", "z"):
        api.put(name, {"of": name})
    assert api.send("LIST", "secret/metadata").data["keys"] == ["a", "a-b", "a/", "e/", "z"]
    assert api.get("secret/metadata/a?list=true").data["keys"] == ["b", "c/"]
    assert api.send("SCAN", "secret/metadata/").data["keys"] == ["a", "a-b", "a/b", "a/c/d", "e/f", "z"]
    assert api.send("SCAN", "secret/metadata/a").data["keys"] == ["b", "c/d"]
    assert api.send("LIST", "secret/metadata?after=a-b&limit=2").data["keys"] == ["a/", "e/"]
    for limit in ("0", "-1", "5", "99"):
        assert len(api.send("LIST", f"secret/metadata?limit={limit}").data["keys"]) == 5
    pages: list[str] = []
    while (page := api.send("SCAN", f"secret/metadata?limit=2&after={pages[-1] if pages else ''}")).status == 200:
        pages += page.data["keys"]
    assert pages == ["a", "a-b", "a/b", "a/c/d", "e/f", "z"]


def test_detailed_lists_carry_the_metadata_of_secrets_but_not_of_folders(api: Api) -> None:
    api.put("a/b", {})
    api.put("a/b", {})
    api.put("a/c/d", {})
    detailed = api.send("LIST", "secret/detailed-metadata/a").data
    assert (detailed["keys"], list(detailed["key_info"])) == (["b", "c/"], ["b"])
    assert detailed["key_info"]["b"] == api.get("secret/metadata/a/b").data
    assert list(api.send("SCAN", "secret/detailed-metadata").data["key_info"]) == ["a/b", "a/c/d"]


def test_a_deleted_secret_is_listed_until_its_metadata_is_removed(api: Api) -> None:
    api.put("a", {})
    api.post("secret/destroy/a", {"versions": [1]})
    assert api.send("LIST", "secret/metadata").data["keys"] == ["a"]
    api.send("DELETE", "secret/metadata/a")
    assert api.send("LIST", "secret/metadata").status == 404


def test_wrapping_a_read_keeps_the_secret_out_of_the_answer(api: Api) -> None:
    api.put("a", {"k": "canary-of-sixteen-bytes"})
    reply = api.get("secret/data/a", headers={b"x-vault-wrap-ttl": b"60"})
    assert (reply.status, reply.data) == (200, None)
    assert b"canary" not in reply.text
