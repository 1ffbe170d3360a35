"""What every store promises, run over each of them; a new kind of store is one more line in `STORES`."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import StorageUnusable
from strongroom.storage import walk
from strongroom.storage.api import HEADER, INDEX_KEY, Child, Feed, Storage
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.postgres.store import PostgresStorage
from strongroom.storage.sqlite import SqliteStorage
from strongroom.storage.walk import beyond, pack, unpack
from tests.support.postgres import DEBIAN, fresh_database

STORES: dict[str, Callable[[Path], Storage]] = {
    "inmem": lambda directory: MemoryStorage(),
    "sqlite": lambda directory: SqliteStorage(directory / "data"),
    "postgresql": lambda directory: PostgresStorage(fresh_database()),
}
if DEBIAN.is_dir():
    STORES["postgresql of Debian"] = lambda directory: PostgresStorage(fresh_database(DEBIAN))
MOUNT = bytes(range(16)) + b"\x01"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    made = STORES[request.param](tmp_path)
    yield made
    made.close()


def key(*names: bytes, mount: bytes = MOUNT) -> bytes:
    return mount + b"".join(len(name).to_bytes(2) + name for name in names)


def feed(gsn: int, *keys: bytes) -> Feed:
    return Feed(gsn, frozenset(keys))


def commit(store: Storage, puts: dict[bytes, bytes], deletes: tuple[bytes, ...] = ()) -> int:
    group = store.begin(0, [])
    group.apply(puts, deletes)
    group.commit()
    return group.gsn


def test_kind_and_place_are_named(store: Storage) -> None:
    assert store.kind in STORES
    assert store.local == (store.kind != "postgresql")


def test_an_empty_store_has_gsn_0_and_its_first_group_gsn_1(store: Storage) -> None:
    assert store.changed(0) == feed(0)
    assert store.get_many([key(b"a")]) == {}
    assert commit(store, {}) == 1
    assert store.changed(0) == feed(1)


def test_committed_rows_are_read_and_replaced_and_deleted(store: Storage) -> None:
    commit(store, {key(b"a"): b"1", key(b"b"): b"2"})
    assert store.get_many([key(b"a"), key(b"b"), key(b"c")]) == {key(b"a"): b"1", key(b"b"): b"2"}
    commit(store, {key(b"a"): b"3"}, (key(b"b"), key(b"never")))
    assert store.get_many([key(b"a"), key(b"b")]) == {key(b"a"): b"3"}
    assert store.get_many([key(b"b")]) == {}
    assert store.get_many([]) == {}


def test_many_rows_are_read_at_once(store: Storage) -> None:
    rows = {key(b"%d" % number): os.urandom(50) for number in range(3_000)}
    commit(store, rows)
    assert store.get_many([*rows, key(b"absent")]) == rows


def test_values_may_be_empty_large_and_any_bytes(store: Storage) -> None:
    rows = {key(b"empty"): b"", key(b"large"): os.urandom(3 << 20), key(b"all"): bytes(range(256))}
    commit(store, rows)
    assert store.get_many(list(rows)) == rows
    assert store.get_many([key(b"empty")]) == {key(b"empty"): b""}


def test_what_is_not_committed_is_invisible(store: Storage) -> None:
    commit(store, {key(b"kept"): b"old"})
    group = store.begin(0, [])
    group.apply({key(b"new"): b"1", key(b"kept"): b"changed"}, [])
    group.apply({}, [key(b"kept")])
    assert store.get_many([key(b"new"), key(b"kept")]) == {key(b"kept"): b"old"}
    assert store.children(MOUNT, b"", -1) == [Child(key(b"kept"), True, False)]
    assert store.scan(MOUNT, beyond(MOUNT), -1) == [(key(b"kept"), b"old")]
    assert store.changed(1) == feed(1)
    group.commit()
    assert store.get_many([key(b"new"), key(b"kept")]) == {key(b"new"): b"1"}


def test_the_last_of_several_applies_wins(store: Storage) -> None:
    group = store.begin(0, [])
    group.apply({key(b"a"): b"1", key(b"b"): b"1"}, [])
    group.apply({key(b"a"): b"2"}, [key(b"b")])
    group.apply({key(b"b"): b"3"}, [])
    group.commit()
    assert store.get_many([key(b"a"), key(b"b")]) == {key(b"a"): b"2", key(b"b"): b"3"}


def test_an_abandoned_group_leaves_nothing_and_the_store_usable(store: Storage) -> None:
    group = store.begin(0, [])
    group.apply({key(b"a"): b"1"}, [])
    group.raise_min_epoch(9)
    group.abandon()
    group.abandon()
    assert store.get_many([key(b"a")]) == {}
    assert store.changed(0) == feed(0)
    assert store.outcome(group.id) is None
    again = store.begin(0, [])
    assert (again.gsn, again.min_epoch) == (1, 0)
    again.abandon()


def test_an_ended_group_takes_nothing_more(store: Storage) -> None:
    group = store.begin(0, [])
    group.commit()
    for attempt in (
        group.commit,
        lambda: group.apply({key(b"a"): b"1"}, []),
        lambda: group.raise_min_epoch(1),
        lambda: group.more([key(b"a")]),
    ):
        with pytest.raises(StorageUnusable):
            attempt()
    group.abandon()
    assert store.changed(0).gsn == 1


def test_a_group_brings_the_rows_asked_for_and_the_index_row(store: Storage) -> None:
    commit(store, {key(b"a"): b"1", key(b"b"): b"2", INDEX_KEY: b"sealed"})
    group = store.begin(0, [key(b"a"), key(b"absent")])
    assert group.entries == {key(b"a"): b"1", INDEX_KEY: b"sealed"}
    group.abandon()
    group = store.begin(0, [])
    assert group.entries == {INDEX_KEY: b"sealed"}
    group.abandon()


def test_a_group_reads_more_of_what_is_committed(store: Storage) -> None:
    commit(store, {key(b"a"): b"1", key(b"b"): b"2"})
    group = store.begin(0, [])
    assert group.more([key(b"a")]) == {key(b"a"): b"1"}
    assert group.more([key(b"a"), key(b"b"), key(b"absent")]) == {key(b"a"): b"1", key(b"b"): b"2"}
    assert group.more([]) == {}
    group.abandon()


def test_the_feed_names_every_key_put_or_deleted_since(store: Storage) -> None:
    commit(store, {key(b"a"): b"1"})
    commit(store, {key(b"b"): b"1"}, (key(b"a"),))
    commit(store, {key(b"c"): b"1"})
    assert store.changed(0) == feed(3, key(b"a"), key(b"b"), key(b"c"))
    assert store.changed(1) == feed(3, key(b"a"), key(b"b"), key(b"c"))
    assert store.changed(2) == feed(3, key(b"c"))
    assert store.changed(3) == feed(3)
    group = store.begin(2, [])
    assert group.feed == feed(3, key(b"c"))
    assert group.gsn == 4
    group.abandon()


def test_a_since_from_the_future_is_everything(store: Storage) -> None:
    commit(store, {key(b"a"): b"1"})
    assert store.changed(7) == Feed(1, None)


def test_a_since_older_than_what_is_kept_is_everything(store: Storage) -> None:
    newest = 4_200 if store.kind == "inmem" else 300
    for gsn in range(newest):
        store.begin(gsn, []).commit()
    assert store.changed(0).keys is None
    assert store.changed(newest - 200).keys == frozenset()


def test_min_epoch_is_raised_with_its_commit_and_never_lowered(store: Storage) -> None:
    group = store.begin(0, [])
    assert group.min_epoch == 0
    group.raise_min_epoch(5)
    assert group.min_epoch == 5
    group.commit()
    group = store.begin(0, [])
    assert group.min_epoch == 5
    group.raise_min_epoch(3)
    assert group.min_epoch == 5
    group.commit()
    group = store.begin(0, [])
    assert group.min_epoch == 5
    group.abandon()


def test_the_outcome_of_a_group_is_found_by_its_id(store: Storage) -> None:
    groups = [store.begin(0, []) for _ in range(1)]
    groups[0].commit()
    other = store.begin(0, [])
    assert other.id != groups[0].id
    assert len(other.id) == 16
    other.commit()
    assert store.outcome(groups[0].id) == 1
    assert store.outcome(other.id) == 2
    assert store.outcome(bytes(16)) is None


def test_begin_waits_for_the_open_group(store: Storage) -> None:
    order: list[str] = []
    first = store.begin(0, [])

    def second() -> None:
        group = store.begin(0, [key(b"a")])
        order.append("second")
        assert group.gsn == 2
        assert group.entries == {key(b"a"): b"1"}
        group.commit()

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    order.append("first")
    first.apply({key(b"a"): b"1"}, [])
    first.commit()
    thread.join(5)
    assert order == ["first", "second"]


def test_a_group_begun_in_one_thread_is_applied_in_another(store: Storage) -> None:
    groups = []
    thread = threading.Thread(target=lambda: groups.append(store.begin(0, [])))
    thread.start()
    thread.join()
    groups[0].apply({key(b"a"): b"1"}, [])
    assert store.get_many([key(b"a")]) == {}
    thread = threading.Thread(target=groups[0].commit)
    thread.start()
    thread.join()
    assert store.get_many([key(b"a")]) == {key(b"a"): b"1"}


def test_reads_run_in_several_threads_beside_a_writer(store: Storage) -> None:
    commit(store, {key(b"%d" % number): bytes(8) for number in range(50)})
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            values = set(store.get_many([key(b"%d" % number) for number in range(50)]).values())
            if len(values) != 1 or len(store.children(MOUNT, b"", -1)) != 50:
                wrong.append(values)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(1, 60):
        commit(store, {key(b"%d" % name): number.to_bytes(8) for name in range(50)})
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_children_tells_leaf_folder_and_both(store: Storage) -> None:
    names = [(b"a",), (b"b", b"x"), (b"c",), (b"c", b"y"), (b"c", b"y", b"z"), (b"dd",)]
    commit(store, {key(*name): b"1" for name in names} | {MOUNT: b"own row", key(b"a", mount=beyond(MOUNT)): b"other mount"})
    assert store.children(MOUNT, b"", -1) == [
        Child(key(b"a"), True, False),
        Child(key(b"b"), False, True),
        Child(key(b"c"), True, True),
        Child(key(b"dd"), True, False),
    ]
    assert store.children(key(b"c"), b"", -1) == [Child(key(b"c", b"y"), True, True)]
    assert store.children(key(b"a"), b"", -1) == []
    assert store.children(MOUNT, key(b"b"), -1)[0].key == key(b"c")
    assert store.children(MOUNT, b"", 0) == []
    assert store.children(MOUNT, b"", 3)[-1] == Child(key(b"c"), True, True)
    assert store.children(MOUNT, key(b"bb"), 1) == [Child(key(b"dd"), True, False)]


def test_keys_without_components_are_not_children(store: Storage) -> None:
    commit(store, {INDEX_KEY: b"1", bytes(HEADER) + b"\x00\x01a": b"2"})
    assert store.children(bytes(HEADER), b"", -1) == [Child(bytes(HEADER) + b"\x00\x01a", True, False)]


def test_scan_takes_the_first_key_and_leaves_the_last(store: Storage) -> None:
    rows = {key(b"%d" % number): b"%d" % number for number in range(9)}
    commit(store, rows)
    everything = sorted(rows.items())
    assert store.scan(MOUNT, beyond(MOUNT), -1) == everything
    assert store.scan(key(b"2"), key(b"5"), -1) == everything[2:5]
    assert store.scan(key(b"2"), key(b"5"), 2) == everything[2:4]
    assert store.scan(key(b"2"), key(b"2"), -1) == []
    assert store.scan(key(b"5"), key(b"2"), -1) == []
    assert store.scan(MOUNT, beyond(MOUNT), 0) == []


def test_a_closed_store_refuses(store: Storage) -> None:
    commit(store, {key(b"a"): b"1"})
    store.close()
    store.close()
    for attempt in (
        lambda: store.get_many([key(b"a")]),
        lambda: store.children(MOUNT, b"", -1),
        lambda: store.scan(b"", b"\xff", -1),
        lambda: store.changed(0),
        lambda: store.outcome(bytes(16)),
        lambda: store.begin(0, []),
        lambda: store.begin(0, []),
    ):
        with pytest.raises(StorageUnusable):
            attempt()


components = st.sampled_from([b"", b"a", b"b", b"\xff", b"\xff\xff", b"\x00", b"long" * 20])
paths = st.lists(components, min_size=1, max_size=4).map(tuple)


def naive_children(keys: set[bytes], prefix: bytes, after: bytes, limit: int) -> list[Child]:
    found: dict[bytes, Child] = {}
    for row in sorted(keys):
        if not row.startswith(prefix) or row == prefix:
            continue
        end = len(prefix) + 2 + int.from_bytes(row[len(prefix) : len(prefix) + 2])
        old = found.get(row[:end], Child(row[:end], False, False))
        found[row[:end]] = Child(row[:end], old.leaf or len(row) == end, old.folder or len(row) > end)
    behind = [child for child in found.values() if child.key > after]
    return behind if limit < 0 else behind[:limit]


@settings(max_examples=80, deadline=None)
@given(
    st.sets(paths, max_size=40),
    st.lists(components, max_size=2),
    st.one_of(st.none(), components),
    st.integers(-1, 6),
    st.sampled_from([(16, 1_000), (2, 1), (500, 2)]),
)
def test_children_agrees_with_going_through_every_row(
    all_stores: list[Storage], names: set[tuple[bytes, ...]], below: list[bytes], after: bytes | None, limit: int, crowd: tuple[int, int]
) -> None:
    crowded = {key(b"b", b"%d" % (number % crowd[1]), b"%d" % number) for number in range(crowd[0])}
    rows = {key(*name) for name in names} | crowded
    prefix = key(*below)
    behind = b"" if after is None else prefix + len(after).to_bytes(2) + after
    for store in all_stores:
        old = tuple(row for row, _ in store.scan(b"", b"\xff" * 3_000, -1))
        commit(store, dict.fromkeys(rows, b"1"), tuple(row for row in old if row not in rows))
        assert store.children(prefix, behind, limit) == naive_children(rows, prefix, behind, limit)


@pytest.fixture(scope="module")
def all_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Storage]]:
    made = [build(tmp_path_factory.mktemp("stores")) for build in STORES.values()]
    yield made
    for store in made:
        store.close()


def test_a_folder_is_stepped_over_whatever_lies_below_it() -> None:
    rows = sorted({key(b"deep", b"%06d" % number) for number in range(50_000)} | {key(b"zz"), key(b"later")})
    read: list[bytes] = []

    def page(start: bytes, stop: bytes, size: int) -> list[bytes]:
        first = bisect_left(rows, start)
        found = rows[first : min(bisect_left(rows, stop), first + size)]
        read.extend(found)
        return found

    assert [child.key for child in walk.children(page, MOUNT, b"", -1)] == [key(b"zz"), key(b"deep"), key(b"later")]
    assert len(read) < 200


def test_rows_out_of_order_are_refused_rather_than_walked_for_ever() -> None:
    with pytest.raises(StorageUnusable, match="out of order"):
        walk.children(lambda start, stop, size: [key(b"a")] * size, key(b"b"), b"", -1)


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_beyond_is_the_first_key_behind_a_prefix(prefix: bytes, other: bytes) -> None:
    assert (prefix <= other < beyond(prefix)) == other.startswith(prefix)


@given(st.lists(st.binary(max_size=300)))
def test_packed_keys_come_back(keys: list[bytes]) -> None:
    assert unpack(pack(keys)) == keys


@pytest.mark.parametrize("cut", [b"\x00", b"\x00\x02a", b"\x00\x01a\x00\x05"])
def test_a_cut_list_of_keys_is_refused(cut: bytes) -> None:
    with pytest.raises(ValueError, match="cut short"):
        unpack(cut)
