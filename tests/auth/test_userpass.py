"""userpass: users, logins, and what guessing costs (T1.1, T1.2, T1.4, T1.5, T6.1, T8.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.auth import userpass
from strongroom.core.lockout import MAX_UNKNOWN, canonical_name
from strongroom.core.request import Operation, Peer
from strongroom.crypto.passwords import WrongPassword, hash_password
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied, StrongroomError
from strongroom.testing import Strongroom
from tests.auth.audited import audit_to, reasons
from tests.auth.failpoints import lines_until
from tests.auth.parameters import PARAMETERS

LOGIN = "auth/userpass/login/"
USERS = "auth/userpass/users/"


def fresh() -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/userpass", {"type": "userpass"})
    room.write(USERS + "alice", {"password": "right", "token_policies": "reader"})
    return room


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return fresh()


@contextmanager
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Hashes that cost nothing and are counted, where the number of attempts matters and not their price."""
    asked: list[str] = []

    def verify(hashed: str, password: str) -> None:
        asked.append(hashed)
        if hashed != "plain:" + password:
            raise WrongPassword

    with monkeypatch.context() as patch:
        patch.setattr(userpass, "verify_password", verify)
        patch.setattr(userpass, "hash_password", lambda password: "plain:" + password)
        patch.setattr(userpass, "needs_rehash", lambda hashed: False)
        yield asked


def answer(room: Strongroom, name: str, password: str, path: str = LOGIN) -> tuple[int, str]:
    """Status and text of a login."""
    work = room.request(Operation.UPDATE, path + name, {"password": password}, token="")
    return (200, "") if work.error is None else (work.error.status, str(work.error))


WRONG = (400, "invalid username or password")
LOCKED = (403, "permission denied")


# -- users ----------------------------------------------------------------------------------------------------------


def test_every_parameter_is_read_back_and_the_password_never(room: Strongroom) -> None:
    room.write(USERS + "full", {"password": "right", **PARAMETERS})
    found = room.json(room.read(USERS + "full"))
    assert {name: found[name] for name in PARAMETERS} == PARAMETERS
    assert {"password", "password_hash", "hashed"}.isdisjoint(found)
    room.write(USERS + "full", {"token_ttl": "15m"})
    assert room.json(room.read(USERS + "full"))["token_ttl"] == 900
    assert room.json(room.read(USERS + "full"))["token_num_uses"] == 7


def test_old_names_mean_the_same_fields(room: Strongroom) -> None:
    room.write(USERS + "old", {"password": "x", "ttl": "5m", "max_ttl": 600, "policies": "B,a", "bound_cidrs": "127.0.0.1"})
    found = room.json(room.read(USERS + "old"))
    assert (found["token_ttl"], found["token_max_ttl"], found["token_policies"]) == (300, 600, ["a", "b"])
    assert (found["ttl"], found["max_ttl"], found["policies"], found["bound_cidrs"]) == (300, 600, ["a", "b"], ["127.0.0.1"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"password": ""},
        {"password": "x" * 1_025},
        {"password": "x", "password_hash": "y"},
        {"password_hash": "not a hash"},
        {"password": "x", "token_ttl": -1},
        {"password": "x", "token_ttl": 20, "token_max_ttl": 10},
        {"password": "x", "token_type": "batch", "token_num_uses": 1},
        {"password": "x", "token_type": "batch", "token_period": 1},
        {"password": "x", "token_type": "other"},
        {"password": "x", "token_bound_cidrs": "nowhere"},
    ],
)
def test_a_user_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        room.write(USERS + "wrong", fields)
    with pytest.raises(NotFound):
        room.read(USERS + "wrong")


@pytest.mark.parametrize("name", ["root", "Root", " root", "root\t", "ＲＯＯＴ", "ro\u00adot", "a,Root", "response-wrapping"])
@pytest.mark.parametrize("field", ["token_policies", "policies"])
@pytest.mark.parametrize("as_list", [True, False])
def test_no_user_gets_root_or_what_resembles_it(room: Strongroom, name: str, field: str, as_list: bool) -> None:
    before = room.json(room.read(USERS + "alice"))
    for path in (USERS + "alice", USERS + "alice/policies"):
        with pytest.raises(InvalidRequest):
            room.write(path, {field: [name] if as_list else name})
    assert room.json(room.read(USERS + "alice")) == before
    token = room.login(LOGIN + "alice", {"password": "right"}).client_token.reveal()
    with pytest.raises(PermissionDenied):
        room.list("auth/token/accessors", token=token)


def test_users_are_listed_and_deleted() -> None:
    room = fresh()
    room.write(USERS + "bob", {"password": "x"})
    assert room.list("auth/userpass/users") == ["alice", "bob"]
    room.delete(USERS + "BOB")
    assert room.list("auth/userpass/users") == ["alice"]
    with pytest.raises(NotFound):
        room.read(USERS + "bob")


def test_password_and_policies_have_routes_of_their_own() -> None:
    room = fresh()
    room.write(USERS + "alice/password", {"password": "new"})
    room.write(USERS + "alice/policies", {"token_policies": "x,y"})
    assert room.login(LOGIN + "alice", {"password": "new"}).token_policies == ("default", "x", "y")
    assert answer(room, "alice", "right") == WRONG
    for route, fields in (("password", {"password": "x"}), ("policies", {"policies": "x"})):
        with pytest.raises(InvalidRequest, match="username does not exist"):
            room.write(f"{USERS}nobody/{route}", fields)


def test_a_hash_made_elsewhere_serves(room: Strongroom) -> None:
    room.write(USERS + "moved", {"password_hash": hash_password("from afar")})
    assert room.login(LOGIN + "moved", {"password": "from afar"}).metadata == {"username": "moved"}


OUTSIDE = {
    "argon2id": (
        "correct horse battery staple",
        "$argon2id$v=19$m=65536,t=3,p=4$MIIRqgvgQbgj220jfp0MPA$YfwJSVjtjSU0zzV/P3S9nnQ/USre2wvJMjfCIjrTQbg",
    ),
    "bcrypt 2a": ("Kk4DQuMMfZL9o", "$2a$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm"),
    "bcrypt 2b": ("Kk4DQuMMfZL9o", "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm"),
}
"""Hashes that other programs made and published: argon2-cffi in its documentation, bcrypt in its tests."""


@pytest.mark.parametrize("kind", OUTSIDE)
def test_a_hash_of_another_program_serves_and_is_made_anew_at_the_first_login(kind: str) -> None:
    room = fresh()
    password, hashed = OUTSIDE[kind]
    room.write(USERS + "moved", {"password_hash": hashed})
    assert answer(room, "moved", password + "x") == WRONG
    assert answer(room, "moved", password) == (200, "")
    area = room.core.mounts.table(room.core.transaction(None)).by_path["auth/userpass/"].uuid
    stored = room.transact(lambda call: b"".join(value for _, value in call.transaction.scan(area, area + b"\xff" * 40, 100)))
    assert (hashed.encode() in stored) is (kind == "argon2id"), "which is stronger than today's own"
    assert answer(room, "moved", password) == (200, "")


COSTLY = {
    "bcrypt": "$2b$31$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm",
    "memory": "$argon2id$v=19$m=9999999,t=1,p=1$MIIRqgvgQbgj220jfp0MPA$YfwJSVjtjSU0zzV/P3S9nnQ/USre2wvJMjfCIjrTQbg",
    "passes": "$argon2id$v=19$m=65536,t=999,p=1$MIIRqgvgQbgj220jfp0MPA$YfwJSVjtjSU0zzV/P3S9nnQ/USre2wvJMjfCIjrTQbg",
}


@pytest.mark.parametrize("hashed", COSTLY.values(), ids=COSTLY)
def test_a_hash_that_would_cost_too_much_is_not_taken(room: Strongroom, hashed: str) -> None:
    with pytest.raises(InvalidRequest):
        room.write(USERS + "greedy", {"password_hash": hashed})


POLICY = """
length = 12
rule "charset" { charset = "abcdefghijklmnopqrstuvwxyz" min-chars = 1 }
rule "charset" { charset = "0123456789" min-chars = 2 }
"""


def test_a_mount_can_ask_for_passwords_that_keep_a_policy() -> None:
    room = fresh()
    room.write("sys/policies/password/people", {"policy": POLICY})
    assert room.json(room.read("auth/userpass/config")) == {"password_policy": ""}
    room.write("auth/userpass/config", {"password_policy": "People"})
    assert room.json(room.read("auth/userpass/config")) == {"password_policy": "people"}
    assert answer(room, "alice", "right") == (200, ""), "passwords that are there stay"
    for path in (USERS + "bob", USERS + "alice", USERS + "alice/password"):
        for password, said in (("short1", "at least 12 characters"), ("no digits at all", "at least 2 of 0123456789"), ("0" * 20, "abc")):
            with pytest.raises(InvalidRequest, match=said) as refused:
                room.write(path, {"password": password})
            assert password not in str(refused.value)
        with pytest.raises(InvalidRequest, match="a hash cannot be held against"):
            room.write(path, {"password_hash": hash_password("x")})
    room.write(USERS + "alice/password", {"password": "Größer als 12 und mit Zahlen"})
    room.write(USERS + "alice", {"token_ttl": 60})
    assert answer(room, "alice", "Größer als 12 und mit Zahlen") == (200, "")
    room.delete("sys/policies/password/people")
    with pytest.raises(InvalidRequest, match="does not exist"):
        room.write(USERS + "bob", {"password": "x" * 12 + "12"})
    room.write("auth/userpass/config", {"password_policy": ""})
    room.write(USERS + "bob", {"password": "x"})


# -- logins ---------------------------------------------------------------------------------------------------------


def test_a_login_gives_a_token_of_the_users_entity(room: Strongroom) -> None:
    first = room.login(LOGIN + "alice", {"password": "right"})
    second = room.login(LOGIN + "ALICE", {"password": "right"})
    assert first.token_policies == ("default", "reader")
    assert first.metadata == {"username": "alice"}
    assert first.entity_id == second.entity_id != ""
    found = room.json(room.read("auth/token/lookup-self", token=second.client_token.reveal()))
    assert (found["display_name"], found["orphan"], found["type"]) == ("userpass-alice", True, "service")
    assert found["path"] == "auth/userpass/login/alice"


def test_batch_tokens_come_where_the_user_says_so() -> None:
    room = fresh()
    room.write(USERS + "alice", {"token_type": "batch"})
    assert room.login(LOGIN + "alice", {"password": "right"}).token_type == "batch"
    with pytest.raises(InvalidRequest, match="invalid 'token_type' value: it is service, batch or default"):
        room.write(USERS + "alice", {"token_type": "default-batch"})


def test_a_login_from_elsewhere_is_refused_and_the_token_bound(room: Strongroom) -> None:
    room.write(USERS + "near", {"password": "x", "token_bound_cidrs": "10.0.0.0/8"})
    for password in ("x", "wrong"):
        with pytest.raises(InvalidRequest, match=userpass.INVALID):
            room.write(LOGIN + "near", {"password": password}, token="")
    token = room.login(LOGIN + "near", {"password": "x"}, peer=Peer("10.1.2.3", 1)).client_token.reveal()
    room.read("auth/token/lookup-self", token=token, peer=Peer("::ffff:10.9.9.9", 1))
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)


def test_renewal_goes_by_the_user_as_he_is_now() -> None:
    room = fresh()
    token = room.login(LOGIN + "alice", {"password": "right"}).client_token.reveal()
    room.write(USERS + "alice", {"token_ttl": 60})
    renewed = room.write("auth/token/renew-self", token=token).auth
    assert renewed is not None and renewed.lease_duration == 60
    room.write(USERS + "alice", {"token_policies": "other"})
    with pytest.raises(InvalidRequest, match="policies have changed, not renewing"):
        room.write("auth/token/renew-self", token=token)
    room.delete(USERS + "alice")
    with pytest.raises(PermissionDenied):
        room.write("auth/token/renew-self", token=token)


def test_tokens_of_an_unmounted_method_are_dead_at_once() -> None:
    room = fresh()
    token = room.login(LOGIN + "alice", {"password": "right"}).client_token.reveal()
    room.request(Operation.DELETE, "sys/auth/userpass")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)
    room.run_due()
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)
    assert len(room.list("auth/token/accessors")) == 1


# -- guessing -------------------------------------------------------------------------------------------------------

SPELLINGS = ["alice", "ALICE", "Alice ", " alice", "alice\0", "ａlice", "al\u0131ce", "alİce", "aliceſ", "\u212aim", "alice\u00ad", ""]


def test_five_wrong_passwords_lock_every_spelling_for_fifteen_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    with cheap_hashes(monkeypatch):
        room.write(USERS + "alice", {"password": "right"})
        for name in ("alice", "ALICE", "Alice", "aLiCe", "alicE"):
            assert answer(room, name, "wrong") == WRONG
        for name in ("alice", "ALICE", "Alice"):
            assert answer(room, name, "right") == LOCKED
        room.advance(899)
        assert answer(room, "alice", "right") == LOCKED
        room.advance(1)
        assert answer(room, "alice", "right") == (200, "")


@pytest.mark.parametrize("name", [name for name in SPELLINGS if name.lower() != "alice"])
def test_other_spellings_are_refused_before_any_work(monkeypatch: pytest.MonkeyPatch, room: Strongroom, name: str) -> None:
    with cheap_hashes(monkeypatch) as asked:
        work = room.request(Operation.UPDATE, LOGIN + name, {"password": "right"}, token="")
    assert work.error is not None and work.error.status in (400, 404, 403)
    assert work.response is None
    assert asked == []
    if name:
        assert work.error.status == 400


@settings(max_examples=500)
@given(st.text(st.characters(max_codepoint=127) | st.characters(), max_size=140) | st.from_regex(r"[A-Za-z0-9._@-]{1,130}", fullmatch=True))
def test_a_canonical_name_stays_itself(text: str) -> None:
    try:
        name = canonical_name(text)
    except InvalidRequest:
        return
    assert canonical_name(name) == name == name.lower()
    assert name.isascii()
    assert 1 <= len(name) <= 128


def test_a_locked_name_that_does_not_exist_looks_like_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    with cheap_hashes(monkeypatch) as asked:
        known = [answer(room, "alice", "wrong") for _ in range(7)]
        unknown = [answer(room, "nobody", "wrong") for _ in range(7)]
        assert known == unknown == [WRONG] * 5 + [LOCKED] * 2
        assert len(asked) == 14, "a locked name costs a hash like any other"
        assert room.json(room.read("sys/locked-users"))["total"] == 1


def test_names_that_do_not_exist_take_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from strongroom.core import areas, lockout

    room = fresh()
    monkeypatch.setattr(lockout, "MAX_UNKNOWN", 16)
    with cheap_hashes(monkeypatch):
        for number in range(100):
            answer(room, f"user{number}", "wrong")
    rows = room.transact(lambda call: call.transaction.view(areas.LOCKOUT).digests(b"u"))
    assert 0 < len(rows) <= 16
    assert MAX_UNKNOWN == 1 << 20


def test_a_flood_of_other_names_does_not_tell_locked_names_that_exist_from_those_that_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    candidates = ["alice", *(f"nobody{number}" for number in range(40))]
    with cheap_hashes(monkeypatch):
        for name in candidates * 5:
            answer(room, name, "wrong")
        for number in range(3_000):
            answer(room, f"flood{number}", "wrong")
        unlocked = [name for name in candidates if answer(room, name, "wrong") != LOCKED]
    assert len(unlocked) <= 2


def test_a_right_password_and_quiet_minutes_forget_the_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    with cheap_hashes(monkeypatch):
        room.write(USERS + "alice", {"password": "right"})
        for _ in range(3):
            assert [answer(room, "alice", "wrong") for _ in range(4)] == [WRONG] * 4
            assert answer(room, "alice", "right") == (200, "")
        assert [answer(room, "alice", "wrong") for _ in range(4)] == [WRONG] * 4
        room.advance(900)
        assert [answer(room, "alice", "wrong") for _ in range(4)] == [WRONG] * 4
        assert answer(room, "alice", "right") == (200, "")


def test_a_mount_sets_its_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    tune = {"user_lockout_config": {"lockout_threshold": "2", "lockout_duration": "1m", "lockout_counter_reset_duration": "1m"}}
    room.write("sys/auth/userpass/tune", tune)
    with cheap_hashes(monkeypatch):
        room.write(USERS + "alice", {"password": "right"})
        assert [answer(room, "alice", "wrong") for _ in range(3)] == [WRONG, WRONG, LOCKED]
        room.advance(60)
        assert answer(room, "alice", "right") == (200, "")
        room.write("sys/auth/userpass/tune", {"user_lockout_config": {"lockout_disable": True}})
        assert [answer(room, "alice", "wrong") for _ in range(9)] == [WRONG] * 9


def test_locked_users_are_shown_and_let_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    with cheap_hashes(monkeypatch):
        room.write(USERS + "alice", {"password": "right"})
        for _ in range(5):
            answer(room, "alice", "wrong")
        found = room.json(room.read("sys/locked-users"))
        accessor = found["by_namespace"][0]["mount_accessors"][0]["mount_accessor"]
        assert found["by_namespace"][0]["mount_accessors"] == [{"mount_accessor": accessor, "counts": 1, "alias_identifiers": ["alice"]}]
        room.write(f"sys/locked-users/{accessor}/unlock/Alice")
        assert answer(room, "alice", "right") == (200, "")
        assert room.json(room.read("sys/locked-users", {"mount_accessor": accessor}))["total"] == 0
        with pytest.raises(InvalidRequest):
            room.write("sys/locked-users/nothing/unlock/alice")


def test_two_mounts_count_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    room.write("sys/auth/other", {"type": "userpass"})
    room.write("auth/other/users/alice", {"password": "right"})
    with cheap_hashes(monkeypatch):
        room.write("auth/other/users/alice", {"password": "right"})
        for _ in range(5):
            answer(room, "alice", "wrong")
        assert answer(room, "alice", "right", "auth/other/login/") == (200, "")


def test_a_failed_login_makes_no_token_and_no_entity(room: Strongroom) -> None:
    before = room.list("auth/token/accessors")
    for name, password in (("alice", "wrong"), ("nobody", "wrong"), ("alice", ""), ("alice", "x" * 5_000)):
        with pytest.raises(StrongroomError):
            room.write(LOGIN + name, {"password": password}, token="")
    assert room.list("auth/token/accessors") == before


def test_the_audit_log_says_why_and_the_caller_is_not_told(room: Strongroom, tmp_path: Path) -> None:
    room.write(USERS + "far", {"password": "right", "token_bound_cidrs": "10.0.0.0/8"})
    file = audit_to(room, tmp_path)
    try:
        told = {answer(room, name, password) for name, password in (("alice", "wrong"), ("nobody", "right"), ("far", "right"))}
        for _ in range(5):
            answer(room, "far", "wrong")
        locked = answer(room, "far", "right")
    finally:
        room.delete("sys/audit/file")
    assert (told, locked) == ({WRONG}, LOCKED)
    assert reasons(file)[:3] == ["wrong password", "there is no such user", "the user's networks do not have this address"]
    assert "locked after too many wrong tries" in reasons(file)


def test_a_login_that_breaks_at_any_line_makes_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    room = fresh()
    before = room.list("auth/token/accessors")
    code = userpass.Userpass.login.__code__
    reached = 0
    with cheap_hashes(monkeypatch):
        room.write(USERS + "alice", {"password": "right"})
        for stop in range(1, 60):
            seen = lines_until(stop, code, lambda: room.request(Operation.UPDATE, LOGIN + "alice", {"password": "right"}, token=""))
            reached = max(reached, seen)
            if seen < stop:
                break
            assert room.list("auth/token/accessors") == before
    assert reached > 8, "the failpoints were never reached"
    assert len(room.list("auth/token/accessors")) == len(before) + 1, "the control, without a failpoint, makes one"
