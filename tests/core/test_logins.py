"""Tokens of somebody who is deleted or changed are dead at once, batch ones and children too (T10.3)."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from strongroom.auth import userpass
from strongroom.core import areas, jobs
from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.request import Operation
from strongroom.core.token import tokens
from strongroom.crypto.passwords import WrongPassword
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.testing import Strongroom

USERS = "auth/userpass/users/"
LOGIN = "auth/userpass/login/"
DAY = 86_400


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a password costs does not matter here."""

    def verify(hashed: str, password: str) -> None:
        if hashed != "plain:" + password:
            raise WrongPassword

    monkeypatch.setattr(userpass, "verify_password", verify)
    monkeypatch.setattr(userpass, "hash_password", lambda password: "plain:" + password)
    monkeypatch.setattr(userpass, "check_hash", lambda hashed: None)
    monkeypatch.setattr(userpass, "needs_rehash", lambda hashed: False)


def fresh(*names: str) -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/userpass", {"type": "userpass"})
    for name in names or ("alice", "bob"):
        room.write(USERS + name, {"password": "right"})
    return room


def token_of(room: Strongroom, name: str, password: str = "right") -> str:
    return room.login(LOGIN + name, {"password": password}).client_token.reveal()


def lives(room: Strongroom, token: str) -> bool:
    """Whether the very next request with the token is let in, before any timer ran."""
    return room.request(Operation.READ, "auth/token/lookup-self", token=token).error is None


def ended_rows(room: Strongroom) -> int:
    return len(room.transact(lambda call: call.transaction.view(areas.TOMBSTONES).digests(b"l")))


def test_a_deleted_users_tokens_are_refused_by_the_next_request() -> None:
    room = fresh()
    gone, other = token_of(room, "alice"), token_of(room, "bob")
    assert lives(room, gone) and lives(room, other)
    room.request(Operation.DELETE, USERS + "alice")
    assert not lives(room, gone)
    assert lives(room, other)


@pytest.mark.parametrize(
    ("path", "fields"),
    [("alice", {"password": "new"}), ("alice", {"password_hash": "plain:new"}), ("alice/password", {"password": "new"})],
)
def test_a_new_password_ends_the_tokens_of_the_old_one(path: str, fields: dict[str, str]) -> None:
    room = fresh()
    old = token_of(room, "alice")
    room.request(Operation.UPDATE, USERS + path, fields)
    assert not lives(room, old)
    assert lives(room, token_of(room, "alice", "new"))


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("alice", {"password": "right"}),
        ("alice", {"password_hash": "plain:right"}),
        ("alice/password", {"password": "right"}),
        ("alice", {"token_ttl": "5m"}),
        ("alice/policies", {"token_policies": "other"}),
    ],
)
def test_what_changes_no_password_ends_nothing(path: str, fields: dict[str, str]) -> None:
    room = fresh()
    token = token_of(room, "alice")
    room.write(USERS + path, fields)
    assert lives(room, token)


def test_without_the_check_they_would_live(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(tokens, "logins_stand", lambda _transaction, _entry: True)
    room = fresh()
    token = token_of(room, "alice")
    room.request(Operation.DELETE, USERS + "alice")
    assert lives(room, token)


def test_children_and_batch_tokens_die_with_the_user_they_come_from() -> None:
    room = fresh()
    room.write(USERS + "batch", {"password": "right", "token_type": "batch"})
    batch = token_of(room, "batch")
    room.write("sys/policies/acl/maker", {"policy": 'path "auth/token/create" { capabilities = ["update"] }'})
    room.write(USERS + "alice", {"token_policies": "maker"})
    made = room.write("auth/token/create", {}, token=token_of(room, "alice")).auth
    assert made is not None
    child = made.client_token.reveal()
    assert lives(room, batch) and lives(room, child)
    for name in ("batch", "alice"):
        room.request(Operation.DELETE, USERS + name)
    assert not lives(room, batch)
    assert not lives(room, child)


def test_a_user_made_anew_under_the_name_revives_nothing() -> None:
    room = fresh()
    old = token_of(room, "alice")
    for _ in range(2):
        room.delete(USERS + "alice")
        room.write(USERS + "alice", {"password": "right"})
        assert not lives(room, old)
        assert lives(room, token_of(room, "alice"))


def test_what_was_ended_is_removed_and_the_rows_about_it_too() -> None:
    room = fresh()
    for _ in range(3):
        token_of(room, "alice")
    kept = token_of(room, "bob")
    before = room.list("auth/token/accessors")
    room.delete(USERS + "alice")
    assert len(room.list("auth/token/accessors")) == len(before) - 3
    stored = room.transact(lambda call: call.transaction.view(areas.TOKENS).digests(b"t"))
    assert len(stored) == 2, "root's and bob's"
    assert ended_rows(room) == 1
    room.advance(31 * DAY)
    assert ended_rows(room) == 1, "a batch token from before could live this long"
    room.write("auth/token/renew-self", token=kept)
    room.advance(2 * DAY)
    assert ended_rows(room) == 0


def test_many_ends_at_once_are_one_walk_and_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"user{number}" for number in range(12)]
    room = fresh(*names)
    for name in names:
        token_of(room, name)
    steps = []
    walk = jobs.JOBS[areas.TOMBSTONES, "walk"]

    def counted(core: Core, call: Call, payload: bytes) -> None:
        steps.append(payload)
        walk(core, call, payload)

    monkeypatch.setitem(jobs.JOBS, (areas.TOMBSTONES, "walk"), counted)
    for name in names:
        room.request(Operation.DELETE, USERS + name)
    room.run_due()
    assert len(steps) == 2
    assert len(room.list("auth/token/accessors")) == 1


def test_a_walk_goes_on_over_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PAGE", 2)
    room = fresh()
    for _ in range(5):
        token_of(room, "alice")
    room.delete(USERS + "alice")
    assert len(room.list("auth/token/accessors")) == 1


class Logins(RuleBasedStateMachine):
    """Users come, log in, change and go; after every step exactly the tokens of the model live."""

    def __init__(self) -> None:
        super().__init__()
        self.room = fresh("a", "b")
        self.passwords: dict[str, str] = {"a": "right", "b": "right"}
        self.living: dict[str, str] = {}
        self.dead: set[str] = set()

    def _end(self, name: str) -> None:
        gone = {token for token, owner in self.living.items() if owner == name}
        self.dead |= gone
        self.living = {token: owner for token, owner in self.living.items() if token not in gone}

    @rule(name=st.sampled_from("ab"))
    def login(self, name: str) -> None:
        try:
            token = token_of(self.room, name, self.passwords.get(name, "right"))
        except (InvalidRequest, PermissionDenied):
            assert name not in self.passwords
        else:
            self.living[token] = name

    @rule(name=st.sampled_from("ab"), password=st.sampled_from(["right", "other"]))
    def write(self, name: str, password: str) -> None:
        self.room.request(Operation.UPDATE, USERS + name, {"password": password})
        if self.passwords.get(name, password) != password:
            self._end(name)
        self.passwords[name] = password

    @rule(name=st.sampled_from("ab"))
    def delete(self, name: str) -> None:
        self.room.request(Operation.DELETE, USERS + name)
        if self.passwords.pop(name, None) is not None:
            self._end(name)

    @rule()
    def timers(self) -> None:
        self.room.run_due()

    @rule()
    def restart(self) -> None:
        self.room.restart()
        self.room.unseal()

    @invariant()
    def exactly_these_live(self) -> None:
        assert all(lives(self.room, token) for token in self.living)
        assert not any(lives(self.room, token) for token in self.dead)


TestLogins = Logins.TestCase
TestLogins.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
