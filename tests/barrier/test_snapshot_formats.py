"""Snapshots of every format there was are read for ever: `golden/` holds one of each, with what opens it.

`python -m tests.barrier.test_snapshot_formats` writes one down, for a new format; one that is there is never made anew.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from strongroom.barrier import scrub as scrubbing
from strongroom.barrier.snapshots.copying import restore, save
from strongroom.barrier.snapshots.format import FORMAT
from strongroom.barrier.snapshots.opening import unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.barrier.snapshots.writing import Readers
from strongroom.crypto.hpke import Recipient
from strongroom.storage.memory import MemoryStorage
from strongroom.testing import Strongroom

GOLDEN = Path(__file__).parent / "golden"
RECIPIENT = Recipient.from_bytes(bytes(range(32)))


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
@pytest.mark.parametrize("identity", [None, RECIPIENT], ids=["store", "recipient"])
def test_a_snapshot_of_every_format_opens_and_serves(number: int, identity: Recipient | None) -> None:
    snapshot = Snapshot(io.BytesIO((GOLDEN / f"snapshot-{number}.snap").read_bytes()), "golden")
    known = json.loads((GOLDEN / f"snapshot-{number}.json").read_text())
    made = Strongroom()
    made.token, made.unseal_keys = known["token"], known["unseal_keys"]
    then, restored = MemoryStorage(), MemoryStorage()
    then.replace([snapshot.boot_rows()], snapshot.header.gsn, 0)
    open_on(made, then)
    restore(unlock(snapshot, made.core.barrier.keys, identity), restored)
    open_on(made, restored)
    assert made.json(made.read("secret/data/golden"))["data"] == {"written": "down"}
    assert scrubbing.scrub(made.core.barrier).clean


def open_on(made: Strongroom, storage: MemoryStorage) -> None:
    """Start on a store, and unseal."""
    made.storage = storage
    made.restart()
    made.unseal()


def make_golden() -> Path:
    """Write down a snapshot as this program makes it."""
    made = Strongroom()
    made.write("secret/data/golden", {"data": {"written": "down"}})
    file = io.BytesIO()
    save(made.core.barrier, file, made.clock.now(), Readers((RECIPIENT.public(),)))
    path = GOLDEN / f"snapshot-{FORMAT}.snap"
    GOLDEN.mkdir(exist_ok=True)
    with path.open("xb") as written:
        written.write(file.getvalue())
    path.with_suffix(".json").write_text(json.dumps({"token": made.token, "unseal_keys": made.unseal_keys}) + "\n")
    return path


if __name__ == "__main__":
    sys.exit(f"written: {make_golden()}")
