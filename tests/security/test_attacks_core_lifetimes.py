"""Short lifetimes that must not become long ones: less than a second is not none, and none is "the longest" or "not wrapped"."""

from __future__ import annotations

import pytest

from strongroom.api.vault import decode
from strongroom.core.request import Peer
from strongroom.errors import InvalidRequest
from strongroom.testing import Strongroom

SHORT = ["500ms", "0.5s", "1ns", "0.000001s", "0.5"]


def asked(ttl: str) -> int:
    return decode(b"GET", b"/v1/secret/data/a", {b"x-vault-token": b"t", b"x-vault-wrap-ttl": ttl.encode()}, b"", Peer()).wrap_ttl


@pytest.mark.parametrize("ttl", SHORT)
def test_who_asks_for_an_envelope_of_less_than_a_second_does_not_get_the_secret_in_the_open(ttl: str) -> None:
    assert asked(ttl) == 1
    with pytest.raises(InvalidRequest):
        asked(f"-{ttl}")
    assert asked("0") == asked("0s") == 0


@pytest.mark.parametrize("ttl", SHORT)
def test_a_token_of_less_than_a_second_does_not_live_for_a_month(ttl: str) -> None:
    room = Strongroom()
    for fields in ({"ttl": ttl}, {"explicit_max_ttl": ttl}, {"period": ttl}):
        auth = room.write("auth/token/create", {"policies": ["default"], **fields}).auth
        assert auth is not None
        assert auth.lease_duration == 1, fields
    room.write("sys/auth/userpass", {"type": "userpass"})
    room.write("auth/userpass/users/ann", {"password": "correct horse", "token_max_ttl": ttl})
    assert room.login("auth/userpass/login/ann", {"password": "correct horse"}).lease_duration == 1


@pytest.mark.parametrize("ttl", SHORT)
def test_a_version_that_shall_end_at_once_ends(ttl: str) -> None:
    room = Strongroom()
    room.write("secret/metadata/a", {"delete_version_after": ttl})
    room.write("secret/data/a", {"data": {"a": "b"}})
    assert room.json(room.read("secret/metadata/a"))["versions"]["1"]["deletion_time"] != ""
