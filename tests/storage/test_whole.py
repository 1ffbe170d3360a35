"""Every store as a whole: one instant while others commit, and other rows in its place at once or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.errors import StorageUnusable
from strongroom.storage.api import INDEX_KEY, Feed, Storage
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.postgres.store import PostgresStorage
from strongroom.storage.sqlite import SqliteStorage
from strongroom.storage.walk import END
from strongroom.storage.whole import Rows, pages, whole
from tests.support.postgres import fresh_database

STORES: dict[str, Callable[[Path], Storage]] = {
    "inmem": lambda directory: MemoryStorage(),
    "sqlite": lambda directory: SqliteStorage(directory / "data"),
    "postgresql": lambda directory: PostgresStorage(fresh_database()),
}
KINDS = list(STORES)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    made = STORES[request.param](tmp_path)
    yield made
    made.close()


def key(number: int) -> bytes:
    return bytes(range(16)) + b"\x01" + number.to_bytes(4)


def filled(count: int, salt: bytes = b"") -> Rows:
    return [(key(number), salt + b"record %d" % number) for number in range(count)]


def commit(store: Storage, rows: Rows, deletes: tuple[bytes, ...] = (), epoch: int = 0) -> int:
    group = store.begin(0, [])
    group.apply(dict(rows), deletes)
    group.raise_min_epoch(epoch)
    group.commit()
    return group.gsn


def everything(store: Storage) -> Rows:
    return store.scan(b"", END, -1)


def test_an_instant_stands_still_while_others_commit(store: Storage) -> None:
    commit(store, filled(500), epoch=3)
    with whole(store).instant() as instant:
        assert (instant.gsn, instant.min_epoch) == (1, 3)
        reading = pages(instant, 50)
        seen = next(reading)
        commit(store, filled(600, b"newer "), deletes=(key(7), key(499)))
        seen += [row for page in reading for row in page]
        assert (instant.gsn, instant.scan(key(7), key(8), 1)) == (1, [(key(7), b"record 7")])
    assert seen == filled(500)
    assert store.changed(0).gsn == 2


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100])
def test_pages_hold_every_row_once_and_in_order(store: Storage, count: int) -> None:
    commit(store, filled(count))
    with whole(store).instant() as instant:
        found = list(pages(instant, 10))
    assert all(found)
    assert [row for page in found for row in page] == filled(count)


def test_a_replaced_store_holds_the_new_rows_alone_and_goes_on_from_their_commit(store: Storage) -> None:
    for _ in range(5):
        commit(store, filled(50), epoch=1)
    other = [*filled(20, b"other "), (b"\xff" * 20, os.urandom(3 << 20))]
    whole(store).replace(iter([other[:10], other[10:]]), 3, 7)
    assert everything(store) == other
    assert store.changed(3) == Feed(3, frozenset())
    assert store.changed(5).keys is None, "whoever knew a newer store has to forget everything"
    group = store.begin(3, [INDEX_KEY])
    assert (group.gsn, group.min_epoch) == (4, 7)
    group.apply({key(0): b"and on"}, [])
    group.commit()
    assert store.get_many([key(0)]) == {key(0): b"and on"}


class Broken(Exception):
    pass


def test_what_breaks_off_leaves_the_old_rows(store: Storage) -> None:
    commit(store, filled(50))

    def broken() -> Iterator[Rows]:
        yield filled(10, b"other ")
        raise Broken

    with pytest.raises(Broken):
        whole(store).replace(broken(), 9, 9)
    assert everything(store) == filled(50)
    assert commit(store, filled(1, b"later ")) == 2, "and the lock is free"


def test_nobody_sees_some_of_both(store: Storage) -> None:
    commit(store, filled(50))
    seen: list[Rows] = []

    def watched() -> Iterator[Rows]:
        for page in (filled(25, b"other "), filled(50, b"other ")[25:]):
            yield page
            seen.append(everything(store))

    if store.kind == "inmem":
        pytest.skip("its lock is held by the thread that would look")
    whole(store).replace(watched(), 9, 0)
    assert seen == [filled(50)] * 2
    assert everything(store) == filled(50, b"other ")


def test_a_group_waits_for_a_replacement(store: Storage) -> None:
    commit(store, filled(10))
    began, go = threading.Event(), threading.Event()
    order: list[str] = []

    def slowly() -> Iterator[Rows]:
        began.set()
        go.wait(10)
        order.append("replaced")
        yield filled(3)

    replacing = threading.Thread(target=lambda: whole(store).replace(slowly(), 40, 0))
    replacing.start()
    assert began.wait(10)
    writing = threading.Thread(target=lambda: order.append(f"commit {commit(store, [])}"))
    writing.start()
    go.set()
    replacing.join(10)
    writing.join(10)
    assert order == ["replaced", "commit 41"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_any_store_becomes_any_other(source: str, kind: str, tmp_path: Path) -> None:
    left, right = STORES[source](tmp_path / "left"), STORES[kind](tmp_path / "right")
    rows = [(key(number), os.urandom(number)) for number in range(300)]
    commit(left, rows, epoch=2)
    try:
        with whole(left).instant() as instant:
            whole(right).replace(pages(instant), instant.gsn, instant.min_epoch)
        assert everything(right) == rows
        group = right.begin(0, [])
        assert (group.gsn, group.min_epoch) == (2, 2)
        group.abandon()
    finally:
        left.close()
        right.close()


def test_a_store_that_cannot_be_copied_says_so() -> None:
    class Odd:
        kind = "odd"

    with pytest.raises(StorageUnusable, match="odd"):
        whole(Odd())  # type: ignore[arg-type]
