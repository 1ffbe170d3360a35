"""Leases end when their time, their token, its ancestors or their mount do, and taking back is tried until it works."""

from __future__ import annotations

import pytest

from strongroom.core import areas
from strongroom.core.leases import STUBBORN_ATTEMPTS, Lease
from strongroom.core.request import Operation
from strongroom.core.response import LeaseInfo
from strongroom.errors import InvalidRequest
from strongroom.testing import Strongroom
from tests.core.loans import borrow, lending_room, shelf


@pytest.fixture
def room() -> Strongroom:
    return lending_room()


def alive(room: Strongroom, lease_id: str) -> bool:
    return room.core.leases.find(room.core.transaction(None), lease_id) is not None


def renew(room: Strongroom, lease_id: str, increment: int = 0) -> LeaseInfo:
    lease = room.transact(lambda call: room.core.renew_lease(call, lease_id, increment)).lease
    assert isinstance(lease, LeaseInfo)
    return lease


def rows(room: Strongroom) -> int:
    view = room.core.transaction(None).view(areas.LEASES)
    return len(view.digests(b"")) + sum(1 for _ in view.walk())


def test_a_lease_is_named_after_its_path_and_ends_in_time(room: Strongroom) -> None:
    lease = borrow(room, room.create_token("borrower"), ttl=100)
    assert lease.id.startswith("loan/borrow/")
    assert len(lease.id) == len("loan/borrow/") + 24
    assert (lease.duration, lease.renewable) == (100, True)
    room.clock.advance(99.999)
    assert alive(room, lease.id)
    room.clock.advance(0.001)
    assert not alive(room, lease.id)
    assert shelf.out == {"book"}
    room.run_due()
    assert (shelf.out, rows(room)) == (set(), 0)


def test_the_mounts_ceiling_cuts_what_is_asked_for(room: Strongroom) -> None:
    token = room.create_token("borrower")
    assert borrow(room, token).duration == 2_764_800
    assert borrow(room, token, ttl=10**7).duration == 2_764_800
    assert borrow(room, token, ttl=100, max_ttl=50).duration == 50


def test_renewing_extends_to_the_ceiling_and_not_past_it(room: Strongroom) -> None:
    lease = borrow(room, room.create_token("borrower"), ttl=100, max_ttl=150)
    room.advance(60)
    assert renew(room, lease.id).duration == 90
    assert renew(room, lease.id, 10**9).duration == 90
    room.advance(89.999)
    assert alive(room, lease.id)
    with pytest.raises(InvalidRequest, match="past the max TTL"):
        renew(room, lease.id)
    room.advance(0.001)
    with pytest.raises(InvalidRequest, match="lease not found"):
        renew(room, lease.id)
    assert shelf.out == set()


def test_a_shorter_renewal_ends_sooner(room: Strongroom) -> None:
    lease = borrow(room, room.create_token("borrower"), ttl=100)
    assert renew(room, lease.id, 10).duration == 10
    room.advance(10)
    assert not alive(room, lease.id)
    assert shelf.out == set()


@pytest.mark.parametrize(("fields", "increment"), [({"renewable": False}, 0), ({"name": "recalled"}, 0), ({}, -1)])
def test_what_may_not_be_renewed_is_not(room: Strongroom, fields: dict[str, object], increment: int) -> None:
    lease = borrow(room, room.create_token("borrower"), ttl=100, **fields)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest):
        renew(room, lease.id, increment)
    room.clock.advance(100)
    assert not alive(room, lease.id)


@pytest.mark.parametrize("how", ["revoke", "expire", "parent", "parent expires", "orphaned parent"])
def test_a_lease_goes_with_its_token_and_the_tokens_above(room: Strongroom, how: str) -> None:
    parent = room.create_token("borrower", "maker", ttl=50 if how == "parent expires" else 1_000)
    auth = room.write("auth/token/create", {"ttl": 30 if how == "expire" else 1_000}, token=parent).auth
    assert auth is not None
    token = auth.client_token.reveal()
    lease = borrow(room, token, ttl=900)
    if how in ("revoke", "parent", "orphaned parent"):
        path = "revoke-orphan" if how == "orphaned parent" else "revoke"
        room.request(Operation.UPDATE, f"auth/token/{path}", {"token": token if how == "revoke" else parent})
    else:
        room.clock.advance(30 if how == "expire" else 50)
    spared = how == "orphaned parent"
    assert alive(room, lease.id) is spared, "at once, before any job has run"
    room.run_due()
    assert alive(room, lease.id) is spared
    assert shelf.out == ({"book"} if spared else set())
    assert rows(room) == (3 if spared else 0)


def test_a_lease_goes_with_its_mount(room: Strongroom) -> None:
    token = room.create_token("borrower")
    lease = borrow(room, token)
    room.request(Operation.DELETE, "sys/mounts/loan")
    assert not alive(room, lease.id)
    room.advance(5)
    assert (shelf.out, rows(room)) == (set(), 0)


def test_a_batch_tokens_lease_ends_with_it_and_is_not_renewed(room: Strongroom) -> None:
    batch = room.create_token("borrower", type="batch", ttl=60)
    room.advance(10.5)
    lease = borrow(room, batch, ttl=900)
    assert (lease.duration, lease.renewable) == (49, False)
    with pytest.raises(InvalidRequest, match="not renewable"):
        renew(room, lease.id, 900)
    room.clock.advance(49.499)
    assert alive(room, lease.id)
    room.clock.advance(0.001)
    assert not alive(room, lease.id)


def test_a_batch_tokens_lease_goes_with_the_batch_tokens_parent(room: Strongroom) -> None:
    parent = room.create_token("borrower", "maker")
    auth = room.write("auth/token/create", {"type": "batch", "policies": ["borrower"]}, token=parent).auth
    assert auth is not None
    lease = borrow(room, auth.client_token.reveal(), ttl=900)
    room.write("auth/token/revoke", {"token": parent})
    assert not alive(room, lease.id)
    assert shelf.out == set()


def test_the_last_use_of_a_token_gives_no_lease(room: Strongroom) -> None:
    token = room.create_token("borrower", num_uses=2)
    lease = borrow(room, token)
    assert alive(room, lease.id)
    with pytest.raises(InvalidRequest, match="one use left"):
        borrow(room, token)
    assert not alive(room, lease.id)


def test_taking_back_is_tried_until_it_works_and_shown_where_it_resists(room: Strongroom) -> None:
    lease = borrow(room, room.create_token("borrower"), ttl=10)
    shelf.broken = True
    room.advance(10)
    assert not alive(room, lease.id)
    for _ in range(STUBBORN_ATTEMPTS + 3):
        room.advance(300)
    assert shelf.tries > STUBBORN_ATTEMPTS
    assert [stuck.id for stuck in room.core.leases.stubborn(room.core.transaction(None))] == [lease.id]
    shelf.broken = False
    room.advance(300)
    assert (shelf.out, rows(room)) == (set(), 0)


def test_forcing_does_not_ask_the_engine(room: Strongroom) -> None:
    lease = borrow(room, room.create_token("borrower"), ttl=1_000)

    def force(call: object) -> None:
        transaction = call.transaction  # type: ignore[attr-defined]
        found = room.core.leases.stored(transaction, lease.id)
        assert isinstance(found, Lease)
        room.core.leases.end(transaction, found, forced=True)

    room.transact(force)
    room.run_due()
    assert (shelf.tries, rows(room)) == (0, 0)


def test_hundreds_of_leases_of_one_token_go_in_steps(room: Strongroom) -> None:
    token = room.create_token("borrower")
    leases = [borrow(room, token, f"book {number}", ttl=10_000) for number in range(250)]
    room.request(Operation.UPDATE, "auth/token/revoke", {"token": token})
    assert not any(alive(room, lease.id) for lease in leases)
    while room.run_due(1_000):
        pass
    assert (shelf.out, rows(room)) == (set(), 0)


@pytest.mark.parametrize("lease_id", ["", "/", "//", "loan", "loan/borrow/x", "loan//x", "x" * 2_000, "../loan", "lo\0an/x"])
def test_an_id_that_is_none_finds_nothing(room: Strongroom, lease_id: str) -> None:
    assert not alive(room, lease_id)
    with pytest.raises(InvalidRequest):
        renew(room, lease_id)
