"""F19: a restore that is killed, or loses its power, leaves the old store or the new one, whole, and never some of both."""

from __future__ import annotations

import io
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from strongroom.barrier import scrub as scrubbing
from strongroom.barrier.barrier import Barrier, Keys
from strongroom.barrier.snapshots import copying
from strongroom.barrier.snapshots.opening import Opened, unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.storage.api import Storage
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.postgres.store import PostgresStorage
from strongroom.storage.sqlite import SqliteStorage
from strongroom.storage.walk import END
from strongroom.storage.whole import Rows, whole
from strongroom.testing import Strongroom
from strongroom.testing.powerloss import Acknowledged, Careless, Disk, Operation, Recorder, _fast_place
from tests.support.postgres import fresh_database

pytestmark = pytest.mark.fault("F19")

LONG = os.environ.get("STRONGROOM_TEST_PROFILE", "ci") == "long"
SECRETS, SIZE = 60, 30_000
"""2 MiB: several chunks and, in SQLite, more than its cache, so that the log is written long before the commit."""


class Stores(NamedTuple):
    """The rows of one store twice: as they were when a snapshot was taken, and now."""

    keys: Keys
    data: bytes
    then: Rows
    now: Rows
    now_gsn: int


@pytest.fixture(scope="module")
def stores() -> Stores:
    made = Strongroom()
    for number in range(SECRETS):
        made.write(f"secret/data/{number}", {"data": {"v": random.Random(number).randbytes(SIZE // 2).hex()}})
    file = io.BytesIO()
    manifest = copying.save(made.core.barrier, file, 1)
    then = everything(made.storage)
    for number in range(SECRETS // 2):
        made.write(f"secret/data/{number}", {"data": {"v": "newer"}})
    made.delete("secret/metadata/3")
    assert made.core.barrier.index().gsn > manifest.gsn
    return Stores(made.core.barrier.keys, file.getvalue(), then, everything(made.storage), made.core.barrier.index().gsn)


def everything(storage: Storage) -> Rows:
    return storage.scan(b"", END, -1)


def filled(storage: Storage, stores: Stores) -> None:
    whole(storage).replace([stores.now], stores.now_gsn, 0)


def opened(stores: Stores) -> Opened:
    return unlock(Snapshot(io.BytesIO(stores.data), "x"), stores.keys)


def killed(work: Callable[[], None], after: float | None = None) -> bool:
    """Run something in a process of its own that kills itself, or is killed after so many seconds; whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0 if after is None else 3)  # its end: a work that kills itself does not come here
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status)


def dies_at(step: int) -> Callable[[Opened, Any], Iterator[Rows]]:
    """The pages of a snapshot, up to a step; the last step is when all are in and nothing is committed."""
    original = copying._the_same

    def pages(found: Opened, manifest: Any) -> Iterator[Rows]:
        for number, page in enumerate(original(found, manifest)):
            if number == step:
                os.kill(os.getpid(), signal.SIGKILL)
            yield page
        if step < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return pages


def judged(storage: Storage, stores: Stores) -> str:
    """`old` or `new`; anything else is neither."""
    rows = everything(storage)
    found = "old" if rows == stores.now else "new" if rows == stores.then else "neither"
    barrier = Barrier(storage)
    barrier.unseal(stores.keys.root)
    report = scrubbing.scrub(barrier)
    assert report.clean, report.findings
    return found


Make = Callable[[], Storage]


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A store that can be made anew, as after a crash, any number of times."""
    if request.param == "sqlite":
        return lambda: SqliteStorage(tmp_path / "store")
    url = fresh_database()
    return lambda: PostgresStorage(url)


def prepared(make: Make, stores: Stores) -> None:
    storage = make()
    filled(storage, stores)
    storage.close()


def after_crash(make: Make, stores: Stores) -> str:
    storage = make()
    try:
        return judged(storage, stores)
    finally:
        storage.close()


def restoring(make: Make, stores: Stores) -> None:
    copying.restore(opened(stores), make())


def test_killed_at_each_step_it_is_the_old_store_and_after_the_last_the_new_one(
    make: Make, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = len(list(opened(stores).pages()))
    assert steps > 4
    prepared(make, stores)
    for step in (*range(steps), -1):
        monkeypatch.setattr(copying, "_the_same", dies_at(step))
        assert not killed(lambda: restoring(make, stores))
        assert after_crash(make, stores) == "old"
    monkeypatch.undo()
    assert killed(lambda: restoring(make, stores))
    assert after_crash(make, stores) == "new"


def test_killed_at_any_instant_it_is_one_of_both(make: Make, stores: Stores) -> None:
    rounds = 50 if LONG else 12
    dice, seen = random.Random(7), list[str]()
    began = time.monotonic()
    assert killed(lambda: restoring(make, stores))
    usual = time.monotonic() - began
    for _ in range(rounds):
        prepared(make, stores)
        killed(lambda: restoring(make, stores), after=dice.uniform(0.2, 1.3) * usual)
        seen.append(after_crash(make, stores))
    print(f"{seen.count('old')} old, {seen.count('new')} new, of {rounds}; a whole restore takes {usual:.2f} s")
    assert set(seen) <= {"old", "new"}
    assert "old" in seen


@pytest.mark.control
def test_one_that_empties_first_and_fills_later_is_found(make: Make, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the same rows in two transactions."""

    def in_two(found: Opened, storage: Storage) -> None:
        pages = list(found.pages())
        whole(storage).replace(pages[:2], 1, 0)
        os.kill(os.getpid(), signal.SIGKILL)

    prepared(make, stores)
    killed(lambda: in_two(opened(stores), make()))
    storage = make()
    try:
        rows = everything(storage)
        assert rows not in (stores.now, stores.then)
    finally:
        storage.close()


# -- power loss -----------------------------------------------------------------------------------------------------------


def recorded(kind: type[SqliteStorage], old: Rows, new: Rows) -> tuple[list[Operation], int]:
    """What a replacement really writes, and where in the log the old store was complete."""
    log: list[Operation] = []
    recorder = Recorder(log)
    try:
        with tempfile.TemporaryDirectory(dir=_fast_place()) as place:
            store = kind(Path(place) / "data", vfs=recorder.vfs_name, checkpoint_pages=40)
            store.replace([old], 5, 0)
            start = len(log)
            store.replace([new[:20], new[20:]], 3, 0)
            log.append(Acknowledged(1))
            group = store.begin(0, [])  # copies the log into the database
            group.abandon()
            store.close()
    finally:
        recorder.unregister()
    return log, start


def states(kind: type[SqliteStorage], count: int) -> list[str]:
    """What the store is in so many states that a power loss may leave."""
    old, new = (sorted((bytes(17) + bytes([n]) * 8, random.Random(n + s).randbytes(3_000)) for n in range(60)) for s in (0, 1_000))
    log, start = recorded(kind, old, new)
    dice, disk, acknowledged, found, owed = random.Random(1), Disk(), False, list[str](), 0.0
    with tempfile.TemporaryDirectory(dir=_fast_place()) as place:
        for number, operation in enumerate(log):
            if isinstance(operation, Acknowledged):
                acknowledged = True
            else:
                disk.note(operation)
            owed += count / (len(log) - start) if number >= start else 0
            while owed >= 1:
                owed -= 1
                found.append(_found(Path(place), disk.crash(dice), acknowledged, old, new))
    return found


def _found(place: Path, files: dict[str, bytearray], acknowledged: bool, old: Rows, new: Rows) -> str:
    for path in place.iterdir():
        path.unlink()
    for name, content in files.items():
        (place / name).write_bytes(content)
    store = SqliteStorage(place)
    try:
        store.check()
        rows, gsn = everything(store), store.changed(0).gsn
    finally:
        store.close()
    if (rows, gsn) == (new, 3):
        return "new"
    return "neither" if (rows, gsn) != (old, 5) else "lost" if acknowledged else "old"


def test_a_power_loss_at_any_instant_leaves_one_of_both() -> None:
    found = states(SqliteStorage, 6_000 if LONG else 600)
    print({verdict: found.count(verdict) for verdict in sorted(set(found))})
    assert set(found) == {"old", "new"}


@pytest.mark.control
def test_one_that_does_not_sync_is_found() -> None:
    assert "lost" in states(Careless, 300)


def test_an_instant_of_memory_is_one_of_both_as_well(stores: Stores) -> None:
    storage = MemoryStorage()
    filled(storage, stores)
    copying.restore(opened(stores), storage)
    assert judged(storage, stores) == "new"
