# ruff: noqa: N802, T201 — the methods of a VFS have SQLite's names, and the long form prints its result
"""What would be on the disk if the power failed: crash states of the embedded store, built from what it really wrote.

Rules of this file:
- A recording VFS under the real `SqliteStorage` notes every write, truncate, delete and sync, and when a commit was acknowledged.
- A crash state is everything that was synced, plus any part of what came later: each later operation may be there, missing or, for
  a write, torn at sectors of 512 bytes. Syncing one file says nothing about another; names are synced, as SQLite does it, with the
  first sync of a new journal or log.
- A state is judged by the store itself: it opens, passes its integrity check, and holds exactly the rows of the last acknowledged
  group or of the one then under way. Anything older is *lost*, anything else is *corrupt*.
- A harness that cannot fail proves nothing: with `Careless`, the same store without syncing, it must find losses.

`python -m strongroom.testing.powerloss [states] [seed]` runs the long form.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from random import Random
from typing import ClassVar, NamedTuple

import apsw

from strongroom.errors import StorageUnusable
from strongroom.storage.database import SETTINGS
from strongroom.storage.sqlite import SqliteStorage

SECTOR = 512
NAMED_BY_SYNC = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
GROUPS = 120
KEYS = [bytes(16) + b"\x01" + len(name).to_bytes(2) + name for name in (b"row %03d" % number for number in range(60))]
_numbers = count()


class Write(NamedTuple):
    """Bytes written at an offset."""

    file: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    """A file cut or extended to a size."""

    file: str
    size: int


class Delete(NamedTuple):
    """A file's name removed."""

    file: str


class Sync(NamedTuple):
    """One file synced: all that was written to it so far is on the disk."""

    file: str


class SyncNames(NamedTuple):
    """The directory was synced: what was deleted stays deleted."""


class Acknowledged(NamedTuple):
    """`commit` returned: from here on the group must survive."""

    gsn: int


Operation = Write | Truncate | Delete | Sync | SyncNames | Acknowledged
Rows = Mapping[bytes, bytes]


class Recorder(apsw.VFS):
    """The system's VFS, with a log. Syncs are noted and not done: nothing here needs to survive."""

    def __init__(self, log: list[Operation]) -> None:
        self.vfs_name = f"strongroom-recorder-{next(_numbers)}"
        self.log = log
        super().__init__(self.vfs_name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _RecordedFile(self.log, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.log.append(Delete(Path(filename).name))
        if syncdir:
            self.log.append(SyncNames())


class _RecordedFile(apsw.VFSFile):
    def __init__(self, log: list[Operation], name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary")
        self._names_pending = bool(flags[0] & NAMED_BY_SYNC) and not path.exists()
        super().__init__("", name, flags)
        self._log = log
        self._file = path.name

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._log.append(Write(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._log.append(Truncate(self._file, newsize))

    def xSync(self, flags: int) -> None:
        self._log.append(Sync(self._file))
        if self._names_pending:
            self._names_pending = False
            self._log.append(SyncNames())


class Careless(SqliteStorage):
    """The negative control: commits are acknowledged before they are on the disk."""

    settings: ClassVar[Mapping[str, int | str]] = {**SETTINGS, "synchronous": 1}


def record(kind: type[SqliteStorage], random: Random) -> tuple[list[Operation], list[Rows]]:
    """Run groups with puts, deletes, large values, checkpoints and restarts; the log, and the rows as of each gsn."""
    log: list[Operation] = []
    recorder = Recorder(log)
    history: list[Rows] = [{}]
    try:
        with tempfile.TemporaryDirectory(dir=_fast_place()) as place:
            for first in range(0, GROUPS, GROUPS // 3):
                store = kind(Path(place) / "data", vfs=recorder.vfs_name, checkpoint_pages=40)
                for _ in range(first, first + GROUPS // 3):
                    history.append(_commit(store, history[-1], random))
                    log.append(Acknowledged(len(history) - 1))
                store.close()
    finally:
        recorder.unregister()
    return log, history


def _commit(store: SqliteStorage, before: Rows, random: Random) -> Rows:
    puts = {key: random.randbytes(random.choice((20, 300, 300, 5_000))) for key in random.sample(KEYS, random.randint(1, 6))}
    deletes = [key for key in random.sample(KEYS, 2) if key not in puts]
    group = store.begin(0, [])
    group.apply(puts, deletes)
    group.commit()
    return {key: value for key, value in before.items() if key not in deletes} | puts


class Disk:
    """What is surely on the disk, and what was written since and may be."""

    def __init__(self) -> None:
        self._durable: dict[str, bytearray] = {}
        self._pending: list[Write | Truncate | Delete] = []

    def note(self, operation: Write | Truncate | Delete | Sync | SyncNames) -> None:
        if isinstance(operation, Sync):
            self._settle(operation.file, len(self._pending))
        elif isinstance(operation, SyncNames):
            for pending in [pending for pending in self._pending if isinstance(pending, Delete)]:
                self._settle(pending.file, self._pending.index(pending) + 1)
        else:
            self._pending.append(operation)

    def _settle(self, file: str, end: int) -> None:
        """The first `end` pending operations are on the disk, as far as they concern this file."""
        for pending in self._pending[:end]:
            if pending.file == file:
                _perform(self._durable, pending)
        self._pending[:end] = [pending for pending in self._pending[:end] if pending.file != file]

    def crash(self, random: Random) -> dict[str, bytearray]:
        """One of the states a power loss may leave."""
        files = {name: bytearray(content) for name, content in self._durable.items()}
        survival = random.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        torn = random.random() < 0.5
        for operation in self._pending:
            if isinstance(operation, Write) and torn:
                for part in _sectors(operation):
                    if random.random() < survival:
                        _perform(files, part)
            elif random.random() < survival:
                _perform(files, operation)
        return files


def _sectors(write: Write) -> Iterator[Write]:
    start = 0
    while start < len(write.data):
        end = start + SECTOR - (write.offset + start) % SECTOR
        yield Write(write.file, write.offset + start, write.data[start:end])
        start = end


def _perform(files: dict[str, bytearray], operation: Write | Truncate | Delete) -> None:
    if isinstance(operation, Delete):
        files.pop(operation.file, None)
        return
    content = files.setdefault(operation.file, bytearray())
    if isinstance(operation, Truncate):
        del content[operation.size :]
        content.extend(bytes(operation.size - len(content)))
        return
    end = operation.offset + len(operation.data)
    content.extend(bytes(max(0, end - len(content))))
    content[operation.offset : end] = operation.data


class Tally(NamedTuple):
    """How many states were judged, and what the store said in them."""

    states: int
    lost: int
    corrupt: int
    first: str


def judge(place: Path, files: Mapping[str, bytes | bytearray], acknowledged: int, history: list[Rows]) -> str:
    """`whole`, `lost` or `corrupt: …`, as the store itself finds it after the crash."""
    for path in place.iterdir():
        path.unlink()
    for name, content in files.items():
        (place / name).write_bytes(content)
    store = SqliteStorage(place)
    try:
        store.check()
        gsn = store.changed(acknowledged).gsn
        rows = dict(store.scan(b"", b"\xff", -1))
    except StorageUnusable as error:
        return f"corrupt: {error}"
    finally:
        store.close()
    if gsn > acknowledged + 1 or gsn >= len(history) or rows != history[gsn]:
        return f"corrupt: at gsn {gsn} the rows are not those committed"
    return "whole" if gsn >= acknowledged else "lost"


def run(states: int, seed: int, kind: type[SqliteStorage] = SqliteStorage) -> Tally:
    """Judge about `states` crash states, spread evenly over everything that was recorded."""
    random = Random(seed)
    log, history = record(kind, random)
    with tempfile.TemporaryDirectory(dir=_fast_place()) as place:
        verdicts = [judge(Path(place), files, acknowledged, history) for files, acknowledged in _crashes(log, states, random)]
    bad = [verdict for verdict in verdicts if verdict != "whole"]
    lost = bad.count("lost")
    return Tally(len(verdicts), lost, len(bad) - lost, bad[0] if bad else "")


def _crashes(log: list[Operation], states: int, random: Random) -> Iterator[tuple[dict[str, bytearray], int]]:
    disk, acknowledged, owed = Disk(), 0, 0.0
    for operation in log:
        if isinstance(operation, Acknowledged):
            acknowledged = operation.gsn
        else:
            disk.note(operation)
        owed += states / len(log)
        while owed >= 1:
            owed -= 1
            yield disk.crash(random), acknowledged


def _fast_place() -> str | None:
    """Memory where there is some: thousands of small files, none of which is to be kept."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1))
