"""F2: after a power loss at any instant the embedded store holds every acknowledged commit, and nothing half-written."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from strongroom.storage.sqlite import SqliteGroup, SqliteStorage
from strongroom.testing.powerloss import Careless, Delete, Disk, Sync, SyncNames, Truncate, Write, run

pytestmark = pytest.mark.fault("F2")

SHORT, LONG = 2_000, 20_000


def test_a_power_loss_neither_loses_nor_corrupts() -> None:
    tally = run(SHORT, seed=1)
    assert tally.states >= SHORT - 10
    assert (tally.lost, tally.corrupt) == (0, 0), tally.first


class CopiedAhead(SqliteStorage):
    """The log is copied into the database beside groups, as a server has it done."""

    copies = 0

    def begin(self, since: int, keys: Sequence[bytes]) -> SqliteGroup:
        group = super().begin(since, keys)
        if self.log_is_long:
            CopiedAhead.copies += 1
            self.copy_ahead()
        return group


def test_nor_does_one_while_the_log_is_copied_ahead() -> None:
    tally = run(SHORT, seed=7, kind=CopiedAhead)
    assert CopiedAhead.copies > 3
    assert (tally.lost, tally.corrupt) == (0, 0), tally.first


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
def test_power_losses_at_length(seed: int) -> None:
    tally = run(LONG // 4, seed)
    assert (tally.lost, tally.corrupt) == (0, 0), tally.first


@pytest.mark.control
def test_the_harness_finds_what_is_acknowledged_before_it_is_synced() -> None:
    assert run(200, seed=1, kind=Careless).lost > 20


def test_what_was_synced_is_in_every_state_and_what_was_not_in_some() -> None:
    disk, random = Disk(), Random(0)
    disk.note(Write("a", 0, b"1" * 1_024))
    disk.note(Sync("a"))
    disk.note(Write("a", 0, b"2" * 1_024))
    disk.note(Write("b", 0, b"3"))
    states = [disk.crash(random) for _ in range(200)]
    assert {bytes(state["a"]) for state in states} == {old + new for old in (b"1" * 512, b"2" * 512) for new in (b"1" * 512, b"2" * 512)}
    assert {"b" in state for state in states} == {True, False}


def test_a_deleted_file_may_come_back_until_names_are_synced() -> None:
    disk, random = Disk(), Random(0)
    disk.note(Write("a", 0, b"1"))
    disk.note(Truncate("a", 3))
    disk.note(Sync("a"))
    disk.note(Delete("a"))
    assert {bytes(state.get("a", b"gone")) for state in (disk.crash(random) for _ in range(50))} == {b"1\0\0", b"gone"}
    disk.note(SyncNames())
    assert all("a" not in disk.crash(random) for _ in range(50))
