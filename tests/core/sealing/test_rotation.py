"""Epochs of the record key: begun on demand, by age and by use; old records are sealed anew, then the old key is destroyed."""

from __future__ import annotations

import pytest

from strongroom.barrier.barrier import Barrier
from strongroom.barrier.keyring import BOOT
from strongroom.barrier.scrub import scrub
from strongroom.core.request import Operation
from strongroom.core.sealing import rotation
from strongroom.errors import InvalidRequest, StorageTampered, Unavailable
from strongroom.storage.api import INDEX_KEY
from strongroom.testing import Strongroom

DAY = 86_400


def epochs(room: Strongroom) -> list[int]:
    return [epoch.number for epoch in room.core.barrier.keys.keyring.epochs]


def stored_epochs(room: Strongroom) -> set[int]:
    """The epochs of the records that lie in the store, boot rows aside."""
    rows = room.storage.scan(b"", b"\xff" * 40, -1)
    return {int.from_bytes(record[2:6], "big") for key, record in rows if key[: len(BOOT)] != BOOT or key == INDEX_KEY}


def filled(rows: int = 30) -> Strongroom:
    room = Strongroom()
    for number in range(rows):
        room.write(f"cubbyhole/{number}", {"value": f"v{number}"})
    return room


def settle(room: Strongroom) -> None:
    for _ in range(20):
        room.advance(5)


def check(room: Strongroom, rows: int = 30) -> None:
    for number in range(rows):
        assert room.json(room.read(f"cubbyhole/{number}")) == {"value": f"v{number}"}
    assert scrub(room.core.barrier).clean


def test_a_rotation_seals_everything_anew_and_destroys_the_old_key() -> None:
    room = filled()
    room.write("sys/rotate")
    assert epochs(room) == [1, 2]
    settle(room)
    assert epochs(room) == [2]
    assert stored_epochs(room) == {2}
    check(room)
    status = room.json(room.read("sys/key-status"))
    assert status["term"] == 2
    assert status["encryptions"] > 30


def test_the_walk_goes_on_where_a_crash_stopped_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ROWS_PER_STEP", 3)
    monkeypatch.setattr(rotation, "PAGE", 3)
    room = filled()
    room.write("sys/rotate/keyring")
    for _ in range(400):
        if epochs(room) == [2]:
            break
        assert {1, 2} >= stored_epochs(room)
        room.restart()
        room.unseal()
        room.clock.advance(1)
        room.run_due(limit=1)
    assert epochs(room) == [2]
    assert stored_epochs(room) == {2}
    check(room)


def test_a_step_stays_within_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BYTES_PER_STEP", 10)
    room = filled(5)
    room.write("sys/rotate")
    for _ in range(200):
        room.advance(1)
    assert epochs(room) == [2]
    check(room, 5)


def test_an_epoch_is_not_destroyed_while_the_last_walk_found_a_record_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    room = filled(3)
    renew, kept = rotation._renew, []

    def forgetful(transaction: object, key: bytes) -> int:
        kept.append(key)
        return 0

    monkeypatch.setattr(rotation, "_renew", forgetful)
    room.write("sys/rotate")
    for _ in range(10):
        room.advance(2)
    assert kept
    assert epochs(room) == [1, 2]
    monkeypatch.setattr(rotation, "_renew", renew)
    settle(room)
    assert epochs(room) == [2]
    check(room, 3)


def test_rotations_that_overtake_each_other_end_with_the_newest_key() -> None:
    room = filled()
    for _ in range(4):
        room.core.barrier.keys  # noqa: B018  unsealed
        room.write("sys/rotate")
    assert epochs(room)[-1] == 5
    settle(room)
    assert epochs(room) == [5]
    assert stored_epochs(room) == {5}
    check(room)


def test_who_missed_a_rotation_reads_on_and_commits_under_the_new_key() -> None:
    room = filled(3)
    peer = Barrier(room.storage)
    peer.unseal(room.core.barrier.keys.root)
    room.write("sys/rotate")
    settle(room)
    assert peer.keys.keyring.current.number == 1
    group = room.storage.begin(0, ())
    peer.write(group, {b"\x07" * 17 + b"x": b"late"}, {})
    group.commit()
    assert peer.keys.keyring.current.number == 2
    assert stored_epochs(room) == {2}


def test_a_commit_under_a_key_below_the_least_epoch_is_refused() -> None:
    room = filled(1)
    group = room.storage.begin(0, ())
    group.raise_min_epoch(9)
    group.commit()
    assert isinstance(room.request(Operation.UPDATE, "cubbyhole/0", {"value": "x"}).error, StorageTampered)


def test_two_changes_of_keys_do_not_share_a_commit() -> None:
    room = Strongroom()

    def both(call: object) -> None:
        rotation.rotate_keyring(room.core, call.transaction)  # type: ignore[attr-defined]
        rotation.rotate_keyring(room.core, call.transaction)  # type: ignore[attr-defined]

    with pytest.raises(Unavailable, match="being changed by another request"):
        room.transact(both)
    assert epochs(room) == [1]


def test_an_epoch_ends_by_age() -> None:
    room = filled(2)
    room.write("sys/rotate/config", {"interval": "24h"})
    room.advance(DAY - 7_200)
    assert epochs(room) == [1]
    for _ in range(30):
        room.advance(900)
    settle(room)
    assert epochs(room) == [2]
    check(room, 2)


def test_an_epoch_ends_by_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "MIN_OPERATIONS", 1)
    room = filled(2)
    room.write("sys/rotate/config", {"max_operations": 10, "interval": 0})
    room.advance(3_601)
    settle(room)
    assert epochs(room) == [2]


def test_a_disabled_rotation_does_nothing_by_itself() -> None:
    room = filled(2)
    room.write("sys/rotate/config", {"enabled": False})
    for _ in range(4):
        room.advance(200 * DAY)
    assert epochs(room) == [1]


def test_the_configuration_reads_back_and_keeps_what_is_not_sent() -> None:
    room = Strongroom()
    assert room.json(room.read("sys/rotate/config")) == {"max_operations": 3_865_470_566, "enabled": True, "interval": "2160h0m0s"}
    room.write("sys/rotate/keyring/config", {"interval": "48h"})
    room.write("sys/rotate/config", {"max_operations": 2_000_000})
    assert room.json(room.read("sys/rotate/keyring/config")) == {"max_operations": 2_000_000, "enabled": True, "interval": "48h0m0s"}
    room.write("sys/rotate/config", {"interval": 0, "enabled": False})
    assert room.json(room.read("sys/rotate/config")) == {"max_operations": 2_000_000, "enabled": False, "interval": 0}
    room.restart()
    room.unseal()
    assert room.json(room.read("sys/rotate/config"))["max_operations"] == 2_000_000


@pytest.mark.parametrize("fields", [{"max_operations": 5}, {"max_operations": 1 << 40}, {"interval": "1h"}, {"interval": -1}])
def test_a_configuration_out_of_bounds_is_refused(fields: dict[str, object]) -> None:
    room = Strongroom()
    with pytest.raises(InvalidRequest):
        room.write("sys/rotate/config", fields)
    assert epochs(room) == [1]
