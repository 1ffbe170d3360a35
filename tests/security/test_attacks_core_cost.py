"""What a stranger, or a token with a few rights to names of its own, might have the server keep and work out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from strongroom.api.wire import JSON_LIMITS, strict_json
from strongroom.core.call import Call
from strongroom.core.openapi import document
from strongroom.core.policy import acl, policies
from strongroom.core.request import Operation
from strongroom.core.token import kept
from strongroom.core.token.creation import MAX_CARRIED
from strongroom.engines.kv import merge, metadata
from strongroom.errors import InvalidRequest, PermissionDenied, TooLarge
from strongroom.memo import Budget
from strongroom.server.limits import DEFAULT_LIMITS
from strongroom.sys import internal
from strongroom.sys import policies as acl_routes
from strongroom.testing import Strongroom

MONTH = 30 * 86_400


@pytest.fixture
def room() -> Strongroom:
    return Strongroom()


# -- wrapping what needs no token -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "no such token", None], ids=["nobody", "a bad token", "root"])
def test_what_everybody_may_ask_is_not_laid_into_the_store_for_a_month(room: Strongroom, token: str | None) -> None:
    rows = len(room.storage.scan(b"", b"\xff" * 64, -1))
    for operation, path, data in (
        (Operation.READ, "sys/internal/ui/mounts", None),
        (Operation.UPDATE, "sys/decode-token", {"encoded_token": "AAAA", "otp": "abc"}),
    ):
        if path.endswith("ui/mounts") and token == "no such token":
            assert isinstance(room.request(operation, path, data, token=token, wrap_ttl=MONTH).error, PermissionDenied)
            continue
        assert room.request(operation, path, data, token=token).error is None
        assert isinstance(room.request(operation, path, data, token=token, wrap_ttl=MONTH).error, InvalidRequest)
    assert len(room.storage.scan(b"", b"\xff" * 64, -1)) == rows


def test_the_token_of_a_login_is_wrapped_for_who_has_none_yet(room: Strongroom) -> None:
    room.write("sys/auth/userpass", {"type": "userpass"})
    room.write("auth/userpass/users/ann", {"password": "correct horse"})
    answered = room.write("auth/userpass/login/ann", {"password": "correct horse"}, token="", wrap_ttl=60)
    assert answered.wrap is not None
    assert answered.auth is None


# -- merges -----------------------------------------------------------------------------------------------------------------


def test_many_merges_make_no_larger_secret_than_one_write(room: Strongroom) -> None:
    room.write("secret/data/a", {"data": {f"a{each}": "v" for each in range(6_000)}})
    more = {"data": {f"b{each}": "v" for each in range(6_000)}}
    with pytest.raises(TooLarge):
        room.patch("secret/data/a", more)
    assert room.json(room.read("secret/metadata/a"))["current_version"] == 1
    room.patch("secret/data/a", {"data": {f"a{each}": None for each in range(6_000)}})
    room.patch("secret/data/a", more)


def test_merged_texts_add_up_to_no_more_than_a_body_has(room: Strongroom) -> None:
    room.write("secret/data/a", {"data": {"a": "v" * 600_000}})
    with pytest.raises(TooLarge):
        room.patch("secret/data/a", {"data": {"b": "v" * 600_000}})


def test_the_bounds_of_a_merge_are_those_of_a_body() -> None:
    assert (JSON_LIMITS.nodes, DEFAULT_LIMITS.max_body) == (merge.MOST_NODES, merge.MOST_BYTES)
    nested: list[list[object]] = [[]] * (JSON_LIMITS.nodes // 2 - 2)
    fittings: list[dict[str, object]] = [{str(each): 0 for each in range(JSON_LIMITS.nodes)}, {"a": nested, "b": {}}]
    for fitting in fittings:
        text = msgspec.json.encode(fitting)
        strict_json(text)
        merge.check_size(fitting, text)
        with pytest.raises(InvalidRequest):
            strict_json(msgspec.json.encode({**fitting, "c": [0, 0]}))
        with pytest.raises(TooLarge):
            merge.check_size({**fitting, "c": [0, 0]}, text)


# -- listings that tell much ------------------------------------------------------------------------------------------------


def test_a_detailed_listing_tells_of_so_many_and_says_so(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MOST_DETAILS", 100)
    for each in range(30):
        room.write(f"secret/data/n{each:02}", {"data": {}})
    for operation in (Operation.LIST, Operation.SCAN):
        answered = room.ask(operation, "secret/detailed-metadata")
        told = room.json(answered)
        assert len(told["keys"]) == 30
        assert list(told["key_info"]) == told["keys"][:10]
        assert "20 of the names" in answered.warnings[0]
    page = room.ask(Operation.LIST, "secret/detailed-metadata", {"after": "n24", "limit": 9})
    assert list(room.json(page)["key_info"]) == [f"n{each}" for each in range(25, 30)]
    assert not page.warnings


def test_versions_count_in_a_detailed_listing(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MOST_DETAILS", 15)
    for _ in range(8):
        room.write("secret/data/a", {"data": {}})
    room.write("secret/data/b", {"data": {}})
    assert list(room.json(room.ask(Operation.LIST, "secret/detailed-metadata"))["key_info"]) == ["a"]


# -- what a worker keeps of tokens and their rules --------------------------------------------------------------------------

RULES = 200


@pytest.fixture
def caller(room: Strongroom) -> str:
    """A token of an entity, which may make others below itself."""
    room.write("sys/auth/userpass", {"type": "userpass"})
    rules = "".join(f'path "secret/data/app{each}/*" {{ capabilities = ["read"] }}' for each in range(RULES))
    room.write("sys/policies/acl/maker", {"policy": rules + 'path "auth/token/create*" { capabilities = ["update"] }'})
    room.write("auth/userpass/users/ann", {"password": "correct horse", "token_policies": "maker"})
    return room.login("auth/userpass/login/ann", {"password": "correct horse"}).client_token.reveal()


def test_rules_are_kept_once_however_many_tokens_go_by_them(room: Strongroom, caller: str) -> None:
    room.write("auth/userpass/users/bob", {"password": "correct horse", "token_policies": "maker"})
    made = [room.write("auth/token/create", {}, token=caller).auth for _ in range(20)]
    made.append(room.login("auth/userpass/login/bob", {"password": "correct horse"}))
    tokens = [auth.client_token.reveal() for auth in made if auth is not None]
    for token in tokens:
        room.read("auth/token/lookup-self", token=token)
    mine = {id(each.acl): each.acl for each in room.core.tokens.kept.values() if not each.acl.root}
    assert len(mine) == 2, "one for each entity"
    assert all(len(each) < 10 for each in mine.values()), "of its own each has what templates give it"
    assert all(each.capabilities("secret/data/app7/x") == ["read"] for each in mine.values())


def test_what_is_compiled_is_bounded_by_its_rules(room: Strongroom, caller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "MAX_RULES", 3 * RULES)
    room.write("sys/policies/acl/own", {"policy": 'path "secret/data/own" { capabilities = ["read"] }'})
    for each in range(20):
        room.write(f"sys/policies/acl/p{each}", {"policy": 'path "secret/data/all" { capabilities = ["read"] }'})
    for each in range(20):
        token = room.create_token("maker", f"p{each}")
        assert room.request(Operation.READ, "secret/data/all", token=token).error is not None
        room.read("auth/token/lookup-self", token=token)
        assert sum(map(len, room.core.policies._shared.values())) <= 5 * RULES
    assert len(room.core.tokens.kept) < 20, "nor does a kept token hold what was let go"


def test_denied_paths_are_remembered_within_one_bound_for_all_tokens(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acl, "_BUDGET", Budget(500))
    for each in range(10):
        room.write(f"sys/policies/acl/p{each}", {"policy": 'path "secret/data/all" { capabilities = ["read"] }'})
    tokens = [room.create_token(f"p{each}") for each in range(10)]
    for token in tokens:
        for each in range(100):
            assert room.request(Operation.READ, f"secret/data/no{each}", token=token).error is not None
    assert sum(len(memo) for each in room.core.tokens.kept.values() for memo in set_of(each.acl)) <= 500


def set_of(of: acl.Acl) -> list[dict[str, acl.Verdict]]:
    """The memos of an Acl, each once."""
    return list({id(memo): memo for memo in of._memo.values()}.values())


# -- what a token carries into the audit log ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "heavy",
    [
        {"meta": {f"{each:02}": "v" * 500 for each in range(20)}},
        {"policies": [f"team-{each:04}" for each in range(2_000)]},
    ],
    ids=["metadata", "policies"],
)
def test_a_token_does_not_carry_more_than_a_little_into_every_audit_line(room: Strongroom, caller: str, heavy: dict[str, object]) -> None:
    room.write("auth/token/roles/free", {"allowed_policies_glob": "team-*"})
    with pytest.raises(InvalidRequest, match=str(MAX_CARRIED)):
        room.write("auth/token/create/free", heavy, token=caller)
    light = {"meta": {"a": "v" * 500}, "policies": ["team-a", "team-b"]}
    assert room.write("auth/token/create/free", light, token=caller).auth is not None


def test_kept_tokens_carry_so_much_together(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_CARRIED", 20_000)
    tokens = [room.create_token("default", meta={str(each): "v" * 500 for each in range(10)}) for _ in range(30)]
    for token in [*tokens, *tokens]:
        room.read("auth/token/lookup-self", token=token)
    assert sum(kept._carried(each) for each in room.core.tokens.kept.values()) == room.core.tokens.kept._carried < 30_000
    for token in tokens:
        room.write("auth/token/revoke", {"token": token})
    assert sum(kept._carried(each) for each in room.core.tokens.kept.values()) == room.core.tokens.kept._carried


# -- documents --------------------------------------------------------------------------------------------------------------


def test_the_document_of_the_routes_is_made_once_for_each_who_sees_another(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def counted(mounts: Any, version: str, rights: acl.Acl | None, generic: bool = False) -> dict[str, Any]:
        made.append(rights)
        return document(mounts, version, rights, generic)

    monkeypatch.setattr(internal, "document", counted)
    room.write("sys/policies/acl/own", {"policy": 'path "secret/*" { capabilities = ["read"] }'})
    tokens = ["", *(room.create_token("own") for _ in range(3))]

    def asked() -> list[bytes]:
        answers = [room.read("sys/internal/specs/openapi", token=token).bare for token in [*tokens, *tokens]]
        return [answer.body for answer in answers if answer is not None]

    first = asked()
    assert len(made) == 2
    assert len(set(first)) == 2
    room.write("sys/policies/acl/own", {"policy": 'path "cubbyhole/*" { capabilities = ["read"] }'})
    second = asked()
    assert second[0] == first[0]
    assert b"/secret/data/{path}" in first[1]
    assert b"/secret/data/{path}" not in second[1]
    room.write("sys/auth/door", {"type": "userpass", "config": {"listing_visibility": "unauth"}})
    assert b"/auth/door/login/{username}" in asked()[0]
    assert len(made) == 5, "once for each of the two, the changed policy, and both again with another table"


# -- policies of a delegated administrator ----------------------------------------------------------------------------------


def policy_of(paths: int) -> str:
    return "".join(f'path "secret/data/{each}/*" {{ capabilities = ["read", "list"] }}\n' for each in range(paths))


def test_a_policy_has_so_many_entries_and_a_long_one_is_read_beside_the_loop(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    room.write("sys/policies/acl/team", {"policy": policy_of(1_900)})
    with pytest.raises(InvalidRequest, match="more than 10000 entries"):
        room.write("sys/policies/acl/team", {"policy": policy_of(2_100)})
    assert room.json(room.read("sys/policies/acl/team"))["policy"] == policy_of(1_900)
    beside: list[str] = []
    once = Call.once

    def seen(self: Call, name: str, *inputs: Any, fn: Any) -> Any:
        beside.append(name)
        return once(self, name, *inputs, fn=fn)

    monkeypatch.setattr(Call, "once", seen)
    room.write("sys/policies/acl/short", {"policy": policy_of(10)})
    assert beside == []
    room.write("sys/policies/acl/team", {"policy": policy_of(1_000)})
    assert set(beside) == {"policy"}


def test_a_longer_policy_that_was_stored_before_still_counts(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(acl_routes, "MOST_ENTRIES", 100_000)
        room.write("sys/policies/acl/team", {"policy": policy_of(2_100)})
    room.write("secret/data/7/x", {"data": {"a": "b"}})
    room.read("secret/data/7/x", token=room.create_token("team"))
