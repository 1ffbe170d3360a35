"""Between a store and a snapshot file, both ways.

Rules of this file:
- A file is a snapshot once it was read back and everything in it agreed; until then it is rubbish.
- A store is replaced by a snapshot that was checked from end to end, and which is checked again on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from strongroom.barrier.barrier import Barrier
from strongroom.barrier.snapshots.format import Manifest
from strongroom.barrier.snapshots.opening import Opened
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.barrier.snapshots.writing import Readers, write_snapshot
from strongroom.storage.api import Storage
from strongroom.storage.whole import Rows, whole

NOBODY_ELSE = Readers()


def save(barrier: Barrier, file: BinaryIO, now: int, readers: Readers = NOBODY_ELSE, name: str = "just made") -> Manifest:
    """Write a snapshot of the barrier's store and read it back. Raises InvalidSnapshot, StorageTampered, StorageUnusable and OSError."""
    with whole(barrier.storage).instant() as instant:
        key = write_snapshot(barrier, instant, file, now, readers)
    file.flush()
    return Opened(Snapshot(file, name), barrier.keys, key).verify()


def restore(opened: Opened, storage: Storage) -> Manifest:
    """Put a snapshot in the place of all that a store holds. Raises InvalidSnapshot, and leaves the store as it was."""
    manifest = opened.verify()
    whole(storage).replace(_the_same(opened, manifest), manifest.gsn, manifest.min_epoch)
    return manifest


def _the_same(opened: Opened, manifest: Manifest) -> Iterator[Rows]:
    yield from opened.pages()
    if opened.manifest != manifest:
        raise opened.snapshot.wrong("it was exchanged while it was read")
