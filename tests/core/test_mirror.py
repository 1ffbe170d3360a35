"""What a worker knows of a store on another machine is that store as of one commit, whatever comes in which order."""

from __future__ import annotations

import os

import pytest

from strongroom.barrier.keyring import INSTALLATION_KEY
from strongroom.core.mirror import MAX_RANGES, MISSED, PATIENCE, RECENT, Mirror, Missing, patiently
from strongroom.errors import StorageUnusable
from strongroom.storage.api import Below, Scan, Wanted
from strongroom.testing.room import Strongroom
from tests.support.remote import RemoteMemory

AREA = bytes(15) + b"\x09\x01"
A, B = AREA + b"\x00\x01a", AREA + b"\x00\x01b"


@pytest.fixture
def store() -> RemoteMemory:
    return RemoteMemory()


@pytest.fixture
def mirror(store: RemoteMemory) -> Mirror:
    return of(Strongroom(storage=store))


def of(room: Strongroom) -> Mirror:
    assert isinstance(room.core.committed, Mirror)
    return room.core.committed


def commit(store: RemoteMemory, **rows: str) -> None:
    """As another node would."""
    group = store.begin(0, [])
    group.apply({AREA + b"\x00\x01" + name.encode(): value.encode() for name, value in rows.items()}, [])
    group.commit()


def record(mirror: Mirror, key: bytes) -> bytes | None:
    return patiently(lambda: mirror.entry(key).record)


def test_what_is_not_here_is_wished_for_and_then_is(store: RemoteMemory, mirror: Mirror) -> None:
    commit(store, a="1")
    with pytest.raises(Missing) as caught:
        mirror.entry(A)
    assert caught.value.wanted == Wanted(frozenset([A]))
    caught.value.fn()
    assert mirror.entry(A).record == b"1"


def test_an_absent_row_is_known_to_be_absent_until_it_comes(store: RemoteMemory, mirror: Mirror) -> None:
    assert record(mirror, A) is None
    commit(store, a="1")
    assert mirror.entry(A).record is None
    mirror.load()
    assert record(mirror, A) == b"1"


def test_rows_and_ranges_are_dropped_by_what_others_commit(store: RemoteMemory, mirror: Mirror) -> None:
    commit(store, a="1", b="1")
    scan, below = Scan(A, B, -1), Below(AREA, b"", -1)
    mirror.load(Wanted(frozenset([B]), frozenset([scan, below])))
    assert mirror.scan(scan) == [(A, b"1")]
    assert [child.key for child in mirror.below(below)] == [A, B]
    commit(store, a="2")
    mirror.load()
    assert mirror.entry(B).record == b"1"
    for attempt in (lambda: mirror.entry(A), lambda: mirror.scan(scan), lambda: mirror.below(below)):
        with pytest.raises(Missing):
            attempt()


def test_an_answer_that_was_overtaken_brings_nothing_old(store: RemoteMemory, mirror: Mirror) -> None:
    """Sent before, arriving after: a row that changed in between is not taken, one that did not is."""
    commit(store, a="1", b="1")
    mirror.load()
    wanted = Wanted(frozenset([A, B]), frozenset([Scan(A, B, -1), Below(AREA, b"", -1)]))
    late = store.fetch(mirror.gsn, mirror.lacking(wanted))
    commit(store, a="2")
    mirror.load()
    gsn = mirror.gsn
    mirror.take(late)
    assert mirror.gsn == gsn
    assert mirror.entry(B).record == b"1"
    assert record(mirror, A) == b"2"
    for attempt in (lambda: mirror.scan(Scan(A, B, -1)), lambda: mirror.below(Below(AREA, b"", -1))):
        with pytest.raises(Missing):
            attempt()


def test_an_answer_from_too_long_ago_is_not_taken_at_all(store: RemoteMemory, mirror: Mirror) -> None:
    commit(store, a="1", b="1")
    late = store.fetch(mirror.gsn, Wanted(frozenset([A, B])))
    for turn in range(RECENT + 2):
        commit(store, b=str(turn))
        mirror.load()
    mirror.take(late)
    with pytest.raises(Missing):
        mirror.entry(A)


def test_without_knowing_what_changed_an_old_answer_would_be_believed(store: RemoteMemory, mirror: Mirror) -> None:
    """The negative control of the two above."""
    commit(store, a="1")
    late = store.fetch(mirror.gsn, Wanted(frozenset([A])))
    commit(store, a="2")
    mirror.load()
    mirror._recent.clear()
    mirror._recent.append((late.feed.gsn + 1, frozenset()))
    mirror.take(late)
    assert mirror.entry(A).record == b"1"


def test_a_call_that_looks_at_names_it_makes_up_ends(store: RemoteMemory, mirror: Mirror) -> None:
    """Each run looks at another one, which is not here either; without the lock it would miss for ever."""

    def made_up() -> bytes | None:
        return mirror.entry(AREA + os.urandom(8)).record

    for turn in range(2 * PATIENCE):
        group = store.begin_with(mirror.gsn, Wanted())
        mirror.begun(group)
        remembered = {MISSED: (turn, Wanted())}
        if turn < PATIENCE:
            with pytest.raises(Missing):
                mirror.run(group, remembered, made_up)
        else:
            assert mirror.run(group, remembered, made_up) is None
        group.abandon()
    with pytest.raises(Missing):
        made_up()


def test_ranges_are_bounded(store: RemoteMemory, mirror: Mirror) -> None:
    for number in range(MAX_RANGES + 10):
        mirror.load(Wanted(ranges=frozenset([Scan(A, B, number)])))
    assert len(mirror._scans) == MAX_RANGES


def test_two_cores_on_one_store_follow_each_other(store: RemoteMemory) -> None:
    one = Strongroom(storage=store)
    one.write("secret/data/x", {"data": {"turn": 1}})
    core = one.core
    one.restart()
    one.unseal()
    other, one.core = one.core, core
    for turn in range(2, 20):
        one.core = core if turn % 2 else other
        one.write("secret/data/x", {"data": {"turn": turn}})
        one.core = other if turn % 2 else core
        assert one.json(one.read("secret/data/x"))["data"] == {"turn": turn}


def test_what_answers_while_sealed_waits_for_nothing_that_was_read_before(store: RemoteMemory) -> None:
    room = Strongroom(storage=store)
    of(room).load()
    asked = store.questions
    assert room.core.barrier.installation() is not None
    assert room.core.barrier.index().count > 0
    assert store.questions == asked


def test_a_store_that_does_not_answer_is_not_asked_again_by_everybody(store: RemoteMemory) -> None:
    room = Strongroom(storage=store)
    aside = of(room)._aside
    aside.error = StorageUnusable("gone")
    aside.rows.pop(INSTALLATION_KEY, None)
    with pytest.raises(StorageUnusable, match="gone"):
        room.core.barrier.installation()
