"""radius: logins through a server that is asked, what guessing costs, and what is kept (T1.1, T1.4, T6.1, T8.2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.auth import radius
from strongroom.core.request import Operation, Peer
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.outbound.radius import CHALLENGE
from strongroom.testing import Strongroom
from tests.auth.audited import audit_to, reasons
from tests.support.freeradius import PROGRAM, freeradius
from tests.support.radius import SECRET, Answering, answering, by_password

CONFIG = "auth/radius/config"
LOGIN = "auth/radius/login/"
USERS = "auth/radius/users/"
PEOPLE = {"alice": "right", "bob@realm.example": "other"}

IN = (200, "")
WRONG = (400, "access denied by the authentication server")
LOCKED = (403, "permission denied")


@pytest.fixture(scope="module")
def server() -> Iterator[Answering]:
    with answering(by_password(PEOPLE)) as made:
        yield made


@pytest.fixture
def room(server: Answering) -> Strongroom:
    server.respond = by_password(PEOPLE)
    server.asked.clear()
    room = Strongroom()
    room.write("sys/auth/radius", {"type": "radius"})
    room.write(CONFIG, {"host": "127.0.0.1", "port": server.port, "secret": SECRET.decode(), "token_policies": "everybody"})
    return room


def answer(room: Strongroom, name: str, password: str, path: str = LOGIN) -> tuple[int, str]:
    work = room.request(Operation.UPDATE, path + name, {"password": password}, token="")
    return IN if work.error is None else (work.error.status, str(work.error))


# -- configuration ----------------------------------------------------------------------------------------------------------------


def test_the_configuration_is_read_back_without_the_secret() -> None:
    room = Strongroom()
    room.write("sys/auth/radius", {"type": "radius"})
    with pytest.raises(NotFound):
        room.read(CONFIG)
    room.write(CONFIG, {"host": "radius.example", "secret": "short", "unregistered_user_policies": "B, a"})
    answer = room.read(CONFIG)
    assert "guessed" in answer.warnings[0]
    found = room.json(answer)
    own = {
        "host": "radius.example",
        "port": 1812,
        "unregistered_user_policies": ["b", "a"],
        "dial_timeout": 10,
        "read_timeout": 10,
        "nas_port": 10,
        "nas_identifier": "",
    }
    assert {name: found[name] for name in own} == own
    assert "secret" not in found and "short" not in str(found)
    room.write(CONFIG, {"secret": SECRET.decode(), "nas_port": 7, "token_ttl": "1h"})
    after = room.read(CONFIG)
    assert not after.warnings
    assert room.json(after) == found | {"nas_port": 7, "token_ttl": 3_600}


@pytest.mark.parametrize(
    "fields",
    [
        {"secret": "x"},
        {"host": "radius.example"},
        {"host": "", "secret": "x"},
        {"host": "a b", "secret": "x"},
        {"host": "http://radius.example", "secret": "x"},
        {"host": "radius.example", "secret": "x", "port": 0},
        {"host": "radius.example", "secret": "x", "port": 65_536},
        {"host": "radius.example", "secret": "x", "nas_port": -1},
        {"host": "radius.example", "secret": "x", "nas_identifier": "x" * 254},
        {"host": "radius.example", "secret": "x", "read_timeout": "61s"},
        {"host": "radius.example", "secret": "x", "dial_timeout": 0},
        {"host": "radius.example", "secret": "x", "token_ttl": -1},
        {"host": "radius.example", "secret": "x", "unregistered_user_policies": "root"},
        {"host": "radius.example", "secret": "x", "unregistered_user_policies": "a, Root"},
    ],
)
def test_a_configuration_that_cannot_be_right_is_not_stored(fields: dict[str, Any]) -> None:
    room = Strongroom()
    room.write("sys/auth/radius", {"type": "radius"})
    with pytest.raises(InvalidRequest):
        room.write(CONFIG, fields)
    with pytest.raises(NotFound):
        room.read(CONFIG)


def test_without_a_configuration_nobody_logs_in() -> None:
    room = Strongroom()
    room.write("sys/auth/radius", {"type": "radius"})
    assert answer(room, "alice", "right") == (400, "radius backend not configured")


def test_nothing_that_is_kept_shows_the_secret(room: Strongroom) -> None:
    config = room.transact(lambda call: radius.changed_config(radius.Config(), radius.ConfigBody(host="h", secret="a long hidden one")))
    assert "hidden" not in repr(config) + repr(config.server)


# -- users ------------------------------------------------------------------------------------------------------------------------


def test_users_are_registered_listed_and_forgotten(room: Strongroom) -> None:
    with pytest.raises(NotFound):
        room.list("auth/radius/users")
    room.write(USERS + "Alice", {"policies": "B,a"})
    room.write(USERS + "bob", {})
    assert room.list("auth/radius/users") == ["alice", "bob"]
    assert room.json(room.read(USERS + "ALICE")) == {"policies": ["a", "b"]}
    assert room.json(room.read(USERS + "bob")) == {"policies": []}
    room.write(USERS + "alice", {})
    assert room.json(room.read(USERS + "alice")) == {"policies": []}
    room.delete(USERS + "alice")
    with pytest.raises(NotFound):
        room.read(USERS + "alice")


@pytest.mark.parametrize("policy", ["root", "Root", " root", "root\t", "ＲＯＯＴ", "ro\u00adot", "a,Root"])
def test_no_user_gets_root_or_what_resembles_it(room: Strongroom, policy: str) -> None:
    with pytest.raises(InvalidRequest):
        room.write(USERS + "alice", {"policies": policy})
    with pytest.raises(NotFound):
        room.read(USERS + "alice")


# -- logins -----------------------------------------------------------------------------------------------------------------------


def test_a_login_gives_the_policies_of_mount_and_user(room: Strongroom, server: Answering) -> None:
    room.write(USERS + "alice", {"policies": "reader"})
    room.write(CONFIG, {"unregistered_user_policies": "guest", "nas_identifier": "here", "nas_port": 42})
    auth = room.login(LOGIN + "Alice", {"password": "right"})
    assert auth.token_policies == ("default", "everybody", "reader")
    assert auth.metadata == {"username": "alice", "policies": "reader"}
    found = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert (found["display_name"], found["path"]) == ("radius-alice", "auth/radius/login/alice")
    assert (server.asked[0].name, server.asked[0].one(32), server.asked[0].one(5)) == ("alice", b"here", (42).to_bytes(4, "big"))
    assert server.asked[0].authentic
    guest = room.login(LOGIN + "bob@realm.example", {"password": "other"})
    assert guest.token_policies == ("default", "everybody", "guest")


def test_the_name_may_stand_in_the_body(room: Strongroom) -> None:
    path = LOGIN.removesuffix("/")
    auth = room.login(path, {"username": "ALICE", "password": "right"})
    assert auth.metadata == {"username": "alice", "policies": ""}
    assert room.login(LOGIN + "alice", {"password": "right"}).entity_id == auth.entity_id
    for data, said in (({"password": "right"}, "username cannot be empty"), ({"username": "alice"}, "password cannot be empty")):
        with pytest.raises(InvalidRequest, match=said):
            room.login(path, data)
    with pytest.raises(InvalidRequest, match="names in path and body differ"):
        room.login(LOGIN + "alice", {"username": "bob@realm.example", "password": "other"})
    assert room.login(LOGIN + "alice", {"username": "Alice", "password": "right"}).entity_id == auth.entity_id


def test_a_token_is_not_renewable_and_ends_with_its_user(room: Strongroom) -> None:
    room.write(USERS + "alice", {"policies": "reader"})
    auth = room.login(LOGIN + "alice", {"password": "right"})
    token = auth.client_token.reveal()
    assert auth.renewable is False
    with pytest.raises(InvalidRequest, match="not renewable"):
        room.write("auth/token/renew-self", token=token)
    room.delete(USERS + "alice")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)


def test_a_login_from_elsewhere_is_refused_before_anybody_is_asked(room: Strongroom, server: Answering) -> None:
    room.write(CONFIG, {"token_bound_cidrs": "10.0.0.0/8"})
    assert answer(room, "alice", "right") == LOCKED
    assert server.asked == []
    room.login(LOGIN + "alice", {"password": "right"}, peer=Peer("10.1.2.3", 1))


def test_the_password_is_kept_nowhere(room: Strongroom, server: Answering) -> None:
    server.respond = by_password({"alice": "canary-of-a-password"})
    token = room.login(LOGIN + "alice", {"password": "canary-of-a-password"}).client_token
    entry = room.transact(lambda call: room.core.tokens.find(call.transaction, token).entry)
    assert "canary" not in str(entry)


# -- guessing ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registered", [True, False])
def test_five_refusals_lock_every_spelling_and_route_for_fifteen_minutes(room: Strongroom, server: Answering, registered: bool) -> None:
    if registered:
        room.write(USERS + "alice", {"policies": "reader"})
    for name in ("alice", "ALICE", "Alice", "aLiCe", "alicE"):
        assert answer(room, name, "wrong") == WRONG
    asked = len(server.asked)
    assert answer(room, "Alice", "right") == LOCKED
    with pytest.raises(PermissionDenied):
        room.login(LOGIN.removesuffix("/"), {"username": "alice", "password": "right"})
    assert len(server.asked) == asked, "a locked name is not passed on"
    room.advance(899)
    assert answer(room, "alice", "right") == LOCKED
    room.advance(1)
    assert answer(room, "alice", "right") == IN


def test_a_challenge_is_a_refusal(room: Strongroom, server: Answering) -> None:
    server.respond = lambda asked: [asked.answer(CHALLENGE)]
    assert [answer(room, "alice", "right") for _ in range(6)] == [WRONG] * 5 + [LOCKED]


def test_no_answer_is_no_guess(room: Strongroom, server: Answering, tmp_path: Path) -> None:
    server.respond = lambda asked: [asked.old_answer(2)]
    room.write(CONFIG, {"read_timeout": 1})
    file = audit_to(room, tmp_path)
    for _ in range(2):
        assert answer(room, "alice", "right")[0] == 502
        assert "Message-Authenticator" in reasons(file)[-1]
    assert room.json(room.read("sys/locked-users"))["total"] == 0
    server.respond = by_password(PEOPLE)
    assert answer(room, "alice", "right") == IN


@pytest.mark.parametrize("name", ["alice ", " alice", "alice\0", "ａlice", "al\u0131ce", "alİce", "CORP\\alice", "alice\u00ad"])
def test_other_spellings_are_refused_before_anybody_is_asked(room: Strongroom, server: Answering, name: str) -> None:
    assert answer(room, name, "right")[0] in (400, 404)
    assert server.asked == []


@pytest.mark.parametrize("password", ["x" * 129, "a\0b"])
def test_a_password_that_no_packet_holds_is_no_guess(room: Strongroom, server: Answering, password: str) -> None:
    for _ in range(6):
        status, text = answer(room, "alice", password)
        assert status == 400 and "password for RADIUS" in text
    assert server.asked == []


# -- the real thing -----------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(PROGRAM is None, reason="freeradius is not installed")
def test_freeradius_lets_in_whom_it_knows(tmp_path: Path) -> None:
    room = Strongroom()
    room.write("sys/auth/radius", {"type": "radius"})
    with freeradius(tmp_path, {"alice": "right", "bob": "y" * 128}) as real:
        room.write(CONFIG, {"host": "localhost", "port": real.port, "secret": real.secret})
        assert answer(room, "alice", "right") == IN
        assert answer(room, "bob", "y" * 128) == IN
        assert answer(room, "alice", "wrong") == WRONG
        assert answer(room, "nobody", "right") == WRONG
        room.write(CONFIG, {"secret": "another-secret-of-decent-length", "read_timeout": 1})
        assert answer(room, "alice", "right")[0] == 502


@pytest.mark.skipif(PROGRAM is None, reason="freeradius is not installed")
def test_a_freeradius_of_before_2024_is_not_believed(tmp_path: Path) -> None:
    room = Strongroom()
    room.write("sys/auth/radius", {"type": "radius"})
    with freeradius(tmp_path, {"alice": "right"}, signing=False) as real:
        room.write(CONFIG, {"host": "127.0.0.1", "port": real.port, "secret": real.secret, "read_timeout": 1})
        file = audit_to(room, tmp_path)
        assert answer(room, "alice", "right")[0] == 502
        assert "Message-Authenticator" in reasons(file)[-1]
