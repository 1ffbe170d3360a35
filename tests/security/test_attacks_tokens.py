"""What a token of few rights might make of them: networks it is bound to, expiries, audit files it may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.core.core import Settings
from strongroom.core.request import Operation, Peer
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.testing import Strongroom

INSIDE, OUTSIDE, SOCKET = Peer("10.0.0.1", 1), Peer("99.0.0.1", 1), Peer("", 0)


@pytest.fixture
def room() -> Strongroom:
    return Strongroom()


# -- networks -----------------------------------------------------------------------------------------------------------


def made(room: Strongroom, path: str, token: str, peer: Peer, **fields: object) -> str:
    auth = room.write(path, fields, token=token, peer=peer).auth
    assert auth is not None
    return auth.client_token.reveal()


@pytest.mark.parametrize("maker", ["create", "create/free", "create-orphan"])
def test_a_child_is_bound_to_its_parents_networks_however_it_is_made(room: Strongroom, maker: str) -> None:
    room.write("sys/policies/acl/maker", {"policy": f'path "auth/token/{maker}" {{ capabilities = ["create", "update"] }}'})
    room.write("auth/token/roles/bound", {"token_bound_cidrs": "10.0.0.0/8", "allowed_policies": "maker"})
    room.write("auth/token/roles/free", {"allowed_policies": "maker"})
    bound = made(room, "auth/token/create/bound", room.token, INSIDE, policies=["maker"])
    child = made(room, f"auth/token/{maker}", bound, INSIDE)
    room.read("auth/token/lookup-self", token=child, peer=INSIDE)
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=child, peer=OUTSIDE)


def test_a_role_with_networks_of_its_own_decides_them(room: Strongroom) -> None:
    room.write("auth/token/roles/bound", {"token_bound_cidrs": "10.0.0.0/8"})
    child = made(room, "auth/token/create/bound", room.token, OUTSIDE, policies=["default"])
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=child, peer=OUTSIDE)


def test_a_token_bound_to_the_address_of_its_login_is_not_made_where_there_is_no_address(room: Strongroom) -> None:
    room.write("sys/auth/userpass", {"type": "userpass"})
    room.write("auth/userpass/users/ann", {"password": "pw", "token_strictly_bind_ip": True})
    with pytest.raises(InvalidRequest):
        room.login("auth/userpass/login/ann", {"password": "pw"}, peer=SOCKET)
    token = room.login("auth/userpass/login/ann", {"password": "pw"}, peer=INSIDE).client_token.reveal()
    room.read("auth/token/lookup-self", token=token, peer=INSIDE)
    for elsewhere in (OUTSIDE, SOCKET):
        with pytest.raises(PermissionDenied):
            room.read("auth/token/lookup-self", token=token, peer=elsewhere)


# -- instants at the edge of numbers --------------------------------------------------------------------------------------

RULE = 'path "secret/data/x" {{ capabilities = ["read"] expiration = "{}" }}'


def test_a_rule_that_ended_at_the_beginning_of_time_has_ended(room: Strongroom) -> None:
    room.write("secret/data/x", {"data": {"a": 1}})
    instants = {"1970-01-01T00:00:00Z": False, "1969-07-20T20:17:40Z": False, "2300-01-01T00:00:00Z": True}
    for number, (instant, allowed) in enumerate(instants.items()):
        room.write(f"sys/policies/acl/p{number}", {"policy": RULE.format(instant)})
        read = room.request(Operation.READ, "secret/data/x", token=room.create_token(f"p{number}"))
        assert (read.error is None) is allowed, instant


def test_a_policy_cannot_end_beyond_what_instants_can_say(room: Strongroom) -> None:
    with pytest.raises(InvalidRequest, match="2262"):
        room.write("sys/policies/acl/late", {"policy": RULE.format("2300-01-01T00:00:00Z"), "expiration": "9999-12-31T23:59:59Z"})


# -- audit files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["{}/./audit.log", "{}//audit.log", "{}/link/audit.log", "{}/inner/../audit.log"])
def test_two_devices_do_not_write_to_one_file_however_it_is_spelt(tmp_path: Path, spelling: str) -> None:
    settings = Settings(unsafe_allow_api_audit_creation=True, audit_directory=str(tmp_path))
    room = Strongroom(settings=settings)
    (tmp_path / "inner").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    room.write("sys/audit/first", {"type": "file", "options": {"file_path": f"{tmp_path}/audit.log"}})
    with pytest.raises(InvalidRequest, match="already writes"):
        room.write("sys/audit/second", {"type": "file", "options": {"file_path": spelling.format(tmp_path)}})


@pytest.mark.parametrize("path", ["/etc/passwd", "{}/../outside.log", "{}/out/outside.log", "relative.log"])
def test_a_device_by_request_stays_in_the_audit_directory(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "audit"
    inside.mkdir()
    (inside / "out").symlink_to(tmp_path)
    room = Strongroom(settings=Settings(unsafe_allow_api_audit_creation=True, audit_directory=str(inside)))
    with pytest.raises(InvalidRequest):
        room.write("sys/audit/escaped", {"type": "file", "options": {"file_path": path.format(inside)}})
    assert not (tmp_path / "outside.log").exists()
