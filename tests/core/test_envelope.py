"""The eight members of every logical answer, always all of them."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from strongroom.core.envelope import encode, envelope
from strongroom.core.response import Auth, Json, LeaseInfo, Response, WrapInfo
from strongroom.core.secret import Secret

MEMBERS = ["request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth", "mount_type"]
AUTH = Auth(client_token=Secret("t"), accessor="a", policies=("default", "p"), token_policies=("default",), identity_policies=("p",))


@pytest.mark.parametrize(
    "response",
    [
        Response(),
        Response(data={"a": 1}),
        Response(data=Json(b'{"a":1}')),
        Response(warnings=("w",)),
        Response(auth=AUTH),
        Response(lease=LeaseInfo("a/b", 60, renewable=True), data={}),
        Response(lease=LeaseInfo(duration=60), data={}),
        Response(mirror=True, data={"a": 1, "auth": 2}),
    ],
)
def test_all_members_are_there(response: Response) -> None:
    body = msgspec.json.decode(envelope(response, "id"))
    assert list(body)[:9] == MEMBERS
    assert body["request_id"] == "id"
    assert body["lease_duration"] == (response.lease.duration if response.lease else 0)
    assert body["warnings"] == (list(response.warnings) or None)
    assert (body["auth"] is None) == (response.auth is None)


def test_an_auth_block_shows_its_token_once() -> None:
    block = msgspec.json.decode(envelope(Response(auth=AUTH), "id"))["auth"]
    assert block["client_token"] == "t"
    assert block["identity_policies"] == ["p"]
    assert set(block) >= {"accessor", "policies", "token_policies", "metadata", "lease_duration", "renewable", "entity_id", "token_type"}
    assert "Secret(1 characters)" in repr(AUTH)


def test_a_wrapped_answer_shows_the_wrapping_only() -> None:
    wrap = WrapInfo(token=Secret("w"), accessor="a", ttl=60, creation_time=1_767_225_600_000_000_000, creation_path="x")
    body = msgspec.json.decode(envelope(Response(wrap=wrap), "id"))
    assert list(body) == MEMBERS
    assert body["request_id"] == ""
    assert body["data"] is None
    assert body["wrap_info"] == {
        "token": "w",
        "accessor": "a",
        "ttl": 60,
        "creation_time": "2026-01-01T00:00:00Z",
        "creation_path": "x",
    }


def test_numbers_stay_exact() -> None:
    assert encode({"a": Decimal("1.10"), "b": 2**53 + 1}) == b'{"a":1.10,"b":9007199254740993}'
    with pytest.raises(TypeError):
        encode({"a": object()})
