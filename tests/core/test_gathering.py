"""Long reads: what is gathered in shares is what one read would give, and whoever asks is looked at in each."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from strongroom.core import engine
from strongroom.core.call import Pause
from strongroom.core.policy import listing
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.secret import Secret
from strongroom.core.token import tokens
from strongroom.core.work import Work
from strongroom.errors import PermissionDenied
from strongroom.testing import Strongroom

NAMES = ("a", "b/c", "b/d/e", "b/d/f", "b/x", "b", "c/a/a", "d", "e/f/g/h")


@pytest.fixture
def room() -> Strongroom:
    room = Strongroom()
    for name in NAMES:
        room.write(f"secret/data/{name}", {"data": {}})
    return room


def asked(room: Strongroom, operation: Operation, path: str, token: str, data: dict[str, Any] | None = None) -> Work:
    return Work(Request("1", operation, path, data or {}, b"", Secret(token), Peer()), lambda _work: None)


def policy(room: Strongroom, text: str) -> None:
    room.write("sys/policies/acl/scan", {"policy": text})


def finish(room: Strongroom, work: Work, meanwhile: Callable[[], object] = lambda: None) -> int:
    """Run a call to its end; how often it paused."""
    pauses = 0
    while True:
        try:
            work.run(room.core, None)
        except Pause as pause:
            work.remembered[pause.key] = pause.state
            pauses += 1
            meanwhile()
        else:
            return pauses


def keys(room: Strongroom, work: Work) -> list[str]:
    assert work.response is not None, work.error
    found: list[str] = room.json(work.response)["keys"]
    return found


@pytest.mark.parametrize("data", [{}, {"limit": 3}, {"after": "b/d"}, {"after": "b", "limit": 2}, {"limit": 100}])
@pytest.mark.parametrize("path", ["secret/metadata/", "secret/metadata/b/"])
def test_a_scan_in_shares_is_the_scan_at_once(room: Strongroom, monkeypatch: pytest.MonkeyPatch, path: str, data: dict[str, Any]) -> None:
    whole = asked(room, Operation.SCAN, path, room.token, data)
    assert finish(room, whole) == 0
    monkeypatch.setattr(engine, "SCANNED_AT_ONCE", 1)
    shared = asked(room, Operation.SCAN, path, room.token, data)
    assert finish(room, shared) > 0 or data.get("limit") == 2
    assert keys(room, shared) == keys(room, whole)


def test_names_that_come_and_go_meanwhile_disturb_none_of_the_others(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SCANNED_AT_ONCE", 1)
    chance = random.Random("strongroom")

    def meanwhile() -> None:
        name = f"{chance.choice('abcde')}/{chance.choice('xyz')}/new"
        room.write(f"secret/data/{name}", {"data": {}})
        if chance.random() < 0.5:
            room.delete(f"secret/metadata/{name}")

    for _ in range(10):
        work = asked(room, Operation.SCAN, "secret/metadata/", room.token)
        finish(room, work, meanwhile)
        found = keys(room, work)
        assert [name for name in found if not name.endswith("/new")] == [*dict.fromkeys(sorted(NAMES, key=depth_first))]


def depth_first(name: str) -> list[str]:
    *folders, last = name.split("/")
    return [*(folder + "/" for folder in folders), last]


def test_a_token_that_ends_between_two_shares_gets_nothing(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SCANNED_AT_ONCE", 1)
    policy(room, 'path "secret/metadata/*" { capabilities = ["scan"] }')
    token = room.create_token("scan")
    for revoked in (False, True):  # False is the negative control
        work = asked(room, Operation.SCAN, "secret/metadata/", token)
        finish(room, work, (lambda: room.write("auth/token/revoke", {"token": token})) if revoked else lambda: None)
        assert isinstance(work.error, PermissionDenied) == revoked


def test_names_are_judged_in_shares_by_the_rules_that_stand_at_the_end(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "JUDGED_AT_ONCE", 2)
    open_to_all = 'path "secret/metadata/*" { capabilities = ["scan", "read"] }\n'
    policy(room, open_to_all)
    token = room.create_token("scan")
    free = asked(room, Operation.SCAN, "secret/metadata/", token)
    assert finish(room, free) > 1
    assert "a" in keys(room, free)
    policy(room, open_to_all + 'path "secret/metadata/b/d/*" { capabilities = ["deny"] }\n')
    denied = asked(room, Operation.SCAN, "secret/metadata/", token)
    first = iter([True])

    def then_deny_more() -> None:
        if next(first, False):
            policy(room, open_to_all + 'path "secret/metadata/a" { capabilities = ["deny"] }\n')

    finish(room, denied, then_deny_more)
    assert "a" not in keys(room, denied), "it had been let through in the first share"
    assert "b/d/e" in keys(room, denied)


def test_accessors_and_leases_of_many_tokens_come_in_shares(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "PAGE", 3)
    made = [room.create_token("default", ttl="1h") for _ in range(10)]
    accessors = sorted(room.json(room.read("auth/token/lookup-self", token=each))["accessor"] for each in made)
    work = asked(room, Operation.LIST, "auth/token/accessors/", room.token)
    assert finish(room, work) > 2
    assert keys(room, work) == sorted(keys(room, work))
    assert set(accessors) <= set(keys(room, work))
    work = asked(room, Operation.LIST, "sys/leases/lookup/auth/token/create/", room.token)
    assert finish(room, work) > 2
    assert len(keys(room, work)) == len(made)
