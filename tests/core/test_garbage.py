"""A call is freed with its answer: nothing waits for the collector, which stops the process while it looks through all there is."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.request import Operation
from strongroom.core.response import Response
from strongroom.testing import Strongroom

CALLS = 40
"""More of each kind than whatever else may become garbage meanwhile."""


@pytest.fixture
def room() -> Strongroom:
    room = Strongroom()
    room.write("sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    room.write("sys/auth/approle", {"type": "approle"})
    room.write("auth/approle/role/ci", {"token_policies": ["default"]})
    return room


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def denied(room: Strongroom) -> Callable[[], object]:
    stranger = room.create_token("default")
    return lambda: room.request(Operation.UPDATE, "kv/data/app", {"data": {"a": "1"}}, token=stranger)


def only_creating(room: Strongroom) -> Callable[[], object]:
    """Who may create and not update: the engine is asked which of both it would be, and then it is denied."""
    room.write("sys/policies/acl/maker", {"policy": 'path "kv/data/*" { capabilities = ["create"] }'})
    maker = room.create_token("maker")
    return lambda: room.request(Operation.UPDATE, "kv/data/app", {"data": {"a": "1"}}, token=maker)


def login(room: Strongroom) -> Callable[[], object]:
    role = room.read("auth/approle/role/ci/role-id").data
    secret = room.write("auth/approle/role/ci/secret-id").data
    assert isinstance(role, dict)
    assert isinstance(secret, dict)
    body = {"role_id": role["role_id"], "secret_id": secret["secret_id"]}
    return lambda: room.login("auth/approle/login", body)


CASES: dict[str, Callable[[Strongroom], Callable[[], object]]] = {
    "write": lambda room: lambda: room.write("kv/data/app", {"data": {"a": "1"}}),
    "read": lambda room: lambda: room.read("kv/data/app"),
    "list": lambda room: lambda: room.list("kv/metadata"),
    "refused": lambda room: lambda: room.request(Operation.UPDATE, "kv/data/app", {"data": "no object"}),
    "missing": lambda room: lambda: room.request(Operation.READ, "kv/data/none"),
    "token": lambda room: lambda: room.create_token("default", ttl="1h"),
    "denied": denied,
    "denied late": only_creating,
    "login": login,
}


def left_by(room: Strongroom, case: str) -> int:
    """Objects that only the collector can free, after some calls of a kind."""
    room.write("kv/data/app", {"data": {"a": "0"}})
    ask = CASES[case](room)
    ask()
    gc.collect()
    for _ in range(CALLS):
        ask()
    return gc.collect()


@pytest.mark.parametrize("case", CASES)
def test_a_call_leaves_nothing_for_the_collector(room: Strongroom, case: str) -> None:
    assert left_by(room, case) < CALLS


def test_control_a_call_that_keeps_its_engine_is_a_ring(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = Core.attempt

    def keeping(core: Core, call: Call) -> Response:
        response = attempt(core, call)
        assert call.mount is not None
        call.engine = core.engine_of(call, call.mount)
        return response

    monkeypatch.setattr(Core, "attempt", keeping)
    assert left_by(room, "write") > CALLS
