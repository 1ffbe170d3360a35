"""What a stranger, or a token with a few rights to names of its own, might have the server keep and work out."""

from __future__ import annotations

import msgspec
import pytest

from strongroom.api.wire import JSON_LIMITS, strict_json
from strongroom.core.request import Operation
from strongroom.engines.kv import merge, metadata
from strongroom.errors import InvalidRequest, TooLarge
from strongroom.server.limits import DEFAULT_LIMITS
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
