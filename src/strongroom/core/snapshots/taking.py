"""Taking a snapshot of the serving store, beside its requests.

Rules of this file:
- It runs on a pool thread, reads one instant in pages, and keeps nobody from writing.
- The file has no name: nothing is left of it once nobody has it open, crash or not. It is handed on only after it was read back whole.
- One at a time in a process: each costs the disk as much as the store.
"""

from __future__ import annotations

import os
import threading
from typing import BinaryIO, NamedTuple

import msgspec

from strongroom.barrier.barrier import Barrier
from strongroom.barrier.snapshots.archive import pack
from strongroom.barrier.snapshots.copying import save
from strongroom.barrier.snapshots.format import Manifest
from strongroom.barrier.snapshots.writing import Readers
from strongroom.errors import StorageUnusable, Unavailable
from strongroom.storage.nameless import nameless


class Snapshotting(msgspec.Struct, frozen=True):
    """What the configuration says of snapshots.

    `readers`: who can open them. `directory`: below it schedules may keep files, "" for nowhere. `spool`: where the nameless file is made.
    """

    readers: Readers = Readers()
    directory: str = ""
    spool: str = ""


class Taken(NamedTuple):
    """A snapshot that was read back: `size` bytes in `file`."""

    file: BinaryIO
    size: int
    manifest: Manifest

    def __repr__(self) -> str:
        return f"Taken({self.manifest.id}, {self.size} bytes)"


class Taker:
    """Takes snapshots for one process."""

    def __init__(self, settings: Snapshotting) -> None:
        self.settings = settings
        self.taken = self.failed = 0
        """Snapshots that were read back, and those that could not be made or kept."""
        self._turn = threading.Lock()

    def take(self, barrier: Barrier, now: int, *, packed: bool = False) -> Taken:
        """A snapshot of now, `packed` for clients of the API. Raises Unavailable while another is being taken, and what `save` raises."""
        if not self._turn.acquire(blocking=False):
            raise Unavailable("another snapshot is being taken; try again once it is done")
        try:
            made = self._take(barrier, now, packed=packed)
        except BaseException as error:
            self.failed += 1
            if isinstance(error, OSError):
                text = f"the snapshot cannot be written: {error.strerror}; it needs as much room as the store"
                raise StorageUnusable(text) from None
            raise
        finally:
            self._turn.release()
        self.taken += 1
        return made

    def _take(self, barrier: Barrier, now: int, *, packed: bool) -> Taken:
        file = nameless(self.settings.spool)
        manifest = save(barrier, file, now, self.settings.readers)
        if packed:
            plain, file = file, nameless(self.settings.spool)
            pack(plain, file)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        return Taken(file, size, manifest)
