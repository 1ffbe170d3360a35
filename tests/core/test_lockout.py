"""How much guessing locks a name: by tune, by the configuration's stanzas, by default; and what is left of it later."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.auth import userpass
from strongroom.core import areas, lockout
from strongroom.core.core import Settings
from strongroom.core.lockout import PROFILES, Limits, limits
from strongroom.core.request import Operation
from strongroom.crypto.passwords import WrongPassword
from strongroom.errors import InvalidRequest, StrongroomError
from strongroom.server.config import parse_config
from strongroom.testing import Strongroom

LOGIN = "auth/userpass/login/"
TUNE = "sys/auth/userpass/tune"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of attempts matters here and not their price."""

    def verify(hashed: str, password: str) -> None:
        raise WrongPassword

    monkeypatch.setattr(userpass, "verify_password", verify)


def fresh(configuration: str = "") -> Strongroom:
    room = Strongroom(settings=Settings(dev=True, user_lockout=parse_config(configuration).user_lockout))
    room.write("sys/auth/userpass", {"type": "userpass"})
    for name in ("alice", "bob"):
        room.write(f"auth/userpass/users/{name}", {"password": "right"})
    return room


def tries(room: Strongroom, name: str = "alice", most: int = 40) -> int:
    """How many wrong passwords are answered before the name is locked."""
    for number in range(most):
        work = room.request(Operation.UPDATE, LOGIN + name, {"password": "wrong"}, token="")
        assert work.error is not None
        if work.error.status == 403:
            return number
    return most


def locked_for(room: Strongroom, name: str = "alice") -> int:
    """Whole minutes until a locked name is open again."""
    for minutes in range(240):
        if tries(room, name, 1) == 1:
            return minutes
        room.clock.advance(60)
    raise AssertionError("still locked")


@pytest.mark.parametrize(
    ("configuration", "tuned", "expected"),
    [
        ("", {}, (5, 15)),
        ('user_lockout "all" { lockout_profile = "pci-dss" }', {}, (10, 30)),
        ('user_lockout "all" { lockout_threshold = "3" lockout_duration = "5m" }', {}, (3, 5)),
        ('user_lockout "all" { lockout_threshold = 3 }\nuser_lockout "userpass" { lockout_threshold = 7 }', {}, (7, 15)),
        ('user_lockout "ldap" { lockout_threshold = 3 }', {}, (5, 15)),
        ('user_lockout "userpass" { lockout_profile = "pci-dss" lockout_duration = "1h" }', {}, (10, 60)),
        ('user_lockout "all" { lockout_threshold = 3 }', {"lockout_threshold": 2, "lockout_duration": "1m"}, (2, 1)),
        ('user_lockout "all" { disable_lockout = true }\nuser_lockout "userpass" { disable_lockout = false }', {}, (5, 15)),
        ('user_lockout "all" { disable_lockout = true }', {"lockout_disable": False, "lockout_profile": "pci-dss"}, (10, 30)),
    ],
)
def test_the_nearest_setting_counts(configuration: str, tuned: dict[str, Any], expected: tuple[int, int]) -> None:
    room = fresh(configuration)
    if tuned:
        room.write(TUNE, {"user_lockout_config": tuned})
        assert room.json(room.read(TUNE)).keys() >= {f"user_{name}" for name in tuned}
    assert (tries(room), locked_for(room)) == expected


@pytest.mark.parametrize(
    ("configuration", "tuned"),
    [('user_lockout "all" { disable_lockout = true }', {}), ("", {"lockout_disable": "true"})],
)
def test_lockout_can_be_switched_off(configuration: str, tuned: dict[str, Any]) -> None:
    room = fresh(configuration)
    if tuned:
        room.write(TUNE, {"user_lockout_config": tuned})
    assert tries(room) == 40


@pytest.mark.parametrize(
    "text",
    [
        'user_lockout "userpas" { lockout_threshold = 3 }',
        'user_lockout "all" { lockout_profile = "pci" }',
        'user_lockout "all" { lockout_treshold = 3 }',
        'user_lockout "all" { lockout_duration = "soon" }',
        'user_lockout "all" { lockout_threshold = -1 }',
        'user_lockout "all" { }\nuser_lockout "all" { }',
    ],
)
def test_a_stanza_that_cannot_be_right_is_refused(text: str) -> None:
    with pytest.raises(StrongroomError):
        parse_config(text)


@pytest.mark.parametrize("tuned", [{"lockout_profile": "pci"}, {"lockout_threshold": -1}, {"lockout_duration": "-1m"}])
def test_a_tune_that_cannot_be_right_is_refused(tuned: dict[str, Any]) -> None:
    room = fresh()
    with pytest.raises(InvalidRequest):
        room.write(TUNE, {"user_lockout_config": tuned})
    assert "user_lockout_config" not in room.json(room.read(TUNE))


def test_the_profile_is_what_pci_dss_asks_for() -> None:
    found = PROFILES["pci-dss"]
    assert found.threshold <= 10 and found.duration >= 30 * 60
    assert limits(None, None) == Limits() == PROFILES["default"]


def rows(room: Strongroom) -> int:
    return len(room.transact(lambda call: call.transaction.view(areas.LOCKOUT).digests(b"")))


def test_rows_go_when_what_they_count_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "PAGE", 4)
    room = fresh()
    tries(room)
    for number in range(20):
        tries(room, f"nobody{number}", 1)
    assert rows(room) == 1 + 20 + 1, "alice's, those of names that do not exist, and that there is a timer"
    room.advance(600)
    tries(room, "bob", 1)
    room.advance(600)
    assert rows(room) == 2, "bob's still counts"
    room.advance(1_800)
    assert rows(room) == 0
    assert tries(room) == 5, "and everything begins anew"
    assert rows(room) == 2


def test_a_lock_outlives_every_walk_until_it_is_over() -> None:
    room = fresh('user_lockout "all" { lockout_duration = "2h" }')
    assert tries(room) == 5
    for _ in range(7):
        room.advance(1_000)
        assert tries(room, most=1) == 0
    room.advance(1_000)
    assert tries(room, most=1) == 1


def test_rows_of_a_mount_that_is_gone_go_too() -> None:
    room = fresh()
    tries(room)
    room.delete("sys/auth/userpass")
    room.advance(900)
    assert rows(room) == 0
