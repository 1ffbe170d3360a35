"""What a call sees inside a group: committed rows, the group's, its own. A dictionary is the model."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.barrier.scrub import scrub
from strongroom.barrier.view import View
from strongroom.core import areas
from strongroom.core.call import Call
from strongroom.core.group import GroupRun
from strongroom.core.transaction import MAX_KEYS, NeedsCommit, Transaction
from strongroom.core.work import Internal
from strongroom.errors import InvalidRequest, StrongroomError, TooLarge
from strongroom.testing.room import Strongroom

AREA = b"overlay-test-mnt"
"""Sixteen bytes, as a mount's uuid."""


class Value(msgspec.Struct, frozen=True):
    number: int


class Undo(StrongroomError):
    """Ends a call without effects."""


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return Strongroom()


# Few names, so that a name is often a leaf and a folder, and often comes and goes.
KEYS = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)
DIGESTS = st.binary(min_size=1, max_size=2)
STEP = st.one_of(
    st.tuples(st.just("put"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("charge"), KEYS, st.integers(0, 9)),
    st.tuples(st.just("delete"), KEYS, st.just(0)),
    st.tuples(st.just("put"), DIGESTS, st.integers(0, 9)),
    st.tuples(st.just("delete"), DIGESTS, st.just(0)),
    st.tuples(st.just("look"), KEYS, st.just(0)),
)
CALL = st.tuples(st.lists(STEP, max_size=6), st.booleans())
Steps = list[tuple[str, str | bytes, int]]
GROUPS = st.lists(st.lists(CALL, min_size=1, max_size=4), min_size=1, max_size=4)

Model = dict[str | bytes, int]


def listed(model: Model, prefix: str) -> list[str]:
    """The naive directory."""
    head = f"{prefix}/" if prefix else ""
    names = set()
    for key in model:
        if isinstance(key, str) and key.startswith(head):
            first, slash, _ = key[len(head) :].partition("/")
            names.add(first + slash)
    return sorted(names)


def agrees(view: View, model: Model) -> None:
    for key in {"a", "b", "a/a", "a/b", "b/a", "a/b/a", "b/b/b", *model}:
        want = model.get(key)
        assert (found.number if (found := view.get(key, Value)) else None) == want
        assert (kept.number if (kept := view.settings(key, Value)) else None) == want
        assert view.exists(key) == (want is not None)
    for prefix in ("", "a", "b", "a/b", "b/b"):
        assert view.list(prefix) == listed(model, prefix)
    digests = sorted(key for key in model if isinstance(key, bytes))
    assert list(view.digests(b"")) == digests
    for limit in (1, 2, 3):
        assert list(view.digests(b"", limit)) == digests[:limit]
    assert list(view.walk()) == [key for key in view.walk() if key in model]
    assert sorted(view.walk()) == sorted(key for key in model if isinstance(key, str))


def take(view: View, steps: Steps, effects: Model, charges: Model) -> None:
    """Stage the steps; `effects` is what the call sees, `charges` what stands if it fails."""
    for verb, key, number in steps:
        if verb == "look":
            agrees(view, effects)
        elif verb == "delete":
            view.delete(key)
            effects.pop(key, None)
        else:
            (view.charge() if verb == "charge" else view).put(key, Value(number))
            effects[key] = number
            if verb == "charge":
                charges[key] = number


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=GROUPS)
def test_a_call_sees_what_a_dictionary_would_hold(
    room: Strongroom, groups: list[list[tuple[list[tuple[str, str | bytes, int]], bool]]]
) -> None:
    model: Model = {}
    room.transact(lambda call: _clear(call.transaction.view(AREA)))
    for calls in groups:
        run = GroupRun(room.core, room.storage.begin(room.core.committed.gsn, ()), _raise)
        for steps, fails in calls:
            effects, charges = dict(model), dict(model)

            def change(call: Call, steps: Steps = steps, fails: bool = fails, effects: Model = effects, charges: Model = charges) -> None:
                view = call.transaction.view(AREA)
                agrees(view, effects)
                take(view, steps, effects, charges)
                agrees(view, effects)
                if fails:
                    raise Undo

            run.admit(Internal(change))
            model = charges if fails else effects
        wrote = run.apply()
        agrees(Transaction(room.core.committed, None, 1).view(AREA), _committed(room))
        run.settle(wrote, run.end(wrote))
        agrees(Transaction(room.core.committed, None, 1).view(AREA), model)
    assert room.core.barrier.index().gsn == room.core.committed.gsn
    assert scrub(room.core.barrier).clean


def _clear(view: View) -> None:
    for name in list(view.walk()):
        view.delete(name)
    for digest in view.digests(b""):
        view.delete(digest)


def _committed(room: Strongroom) -> Model:
    """What the store holds, read without any cache."""
    names = room.core.barrier.keys.names
    found: Model = {}
    for key, record in room.storage.scan(AREA, AREA + b"\xff", -1):
        value = msgspec.msgpack.decode(room.core.barrier.open(key, record), type=Value).number
        if key[16] == 3:
            found[key[17:]] = value
            continue
        parent, path = key[:17], []
        while parent != key:
            size = 2 + int.from_bytes(key[len(parent) : len(parent) + 2], "big")
            path.append(names.name(parent, key[len(parent) : len(parent) + size]))
            parent = key[: len(parent) + size]
        found["/".join(path)] = value
    return found


def _raise(error: BaseException, _call: object) -> None:
    raise error


def test_outside_a_group_nothing_can_be_staged(room: Strongroom) -> None:
    transaction = Transaction(room.core.committed, None, 1)
    with pytest.raises(NeedsCommit):
        transaction.view(AREA).put("a", Value(1))
    assert not transaction.writing


def test_a_call_cannot_stage_more_than_its_share(room: Strongroom) -> None:
    def rows(call: Call) -> None:
        for number in range(MAX_KEYS + 1):
            call.transaction.view(AREA).put(f"row{number}", Value(1))

    def size(call: Call) -> None:
        for number in range(5):
            call.transaction.view(AREA).put(b"%d" % number, Blob(bytes(1 << 20)))

    before = _committed(room)
    for change in (rows, size):
        with pytest.raises(TooLarge):
            room.transact(change)
    assert _committed(room) == before


class Blob(msgspec.Struct, frozen=True):
    data: bytes


def test_an_empty_name_is_refused(room: Strongroom) -> None:
    view = Transaction(room.core.committed, None, 1).view(AREA)
    for key in ("", "a/", "/a", "a//b"):
        with pytest.raises(InvalidRequest):
            view.get(key, Value)


def test_a_directory_handed_out_is_the_callers_own(room: Strongroom) -> None:
    room.transact(lambda call: call.transaction.view(AREA).put("mine/x", Value(1)))
    view = Transaction(room.core.committed, None, 1).view(AREA)
    view.list("mine").clear()
    assert view.list("mine") == ["x"]


def test_paging_takes_names_after_one_and_no_more_than_asked(room: Strongroom) -> None:
    def fill(call: Call) -> None:
        for name in "dabc":
            call.transaction.view(AREA).put(f"page/{name}", Value(1))

    room.transact(fill)
    view = Transaction(room.core.committed, None, 1).view(AREA)
    assert view.list("page", "a", 2) == ["b", "c"]
    assert view.list("page", "", 0) == view.list("page", "", -5) == ["a", "b", "c", "d"]


def test_areas_say_what_was_touched(room: Strongroom) -> None:
    seen = []

    def change(call: Call) -> None:
        seen.append(call.transaction.touched(areas.POLICIES))
        call.transaction.view(areas.POLICIES).charge().put("acl/x", Value(1))
        seen.append(call.transaction.touched(areas.POLICIES))
        raise Undo

    run = GroupRun(room.core, room.storage.begin(room.core.committed.gsn, ()), _raise)
    run.admit(Internal(change))
    run.admit(Internal(lambda call: seen.append(call.transaction.touched(areas.POLICIES))))
    run.settle(False, run.end(False))
    assert seen == [False, True, True]
