"""Putting a snapshot back while the server runs: checked first, put in place once every key is out of memory.

Rules of this file:
- Only a snapshot of this very installation, under its present root key: for any other the seal of its time has to be opened, which is done
  on the host (`strongroom operator snapshot restore`).
- Where other key holders open the snapshot than the store of now, the caller has to insist.
- The store that comes back is as old as the snapshot, so the anchor refuses it until a quorum of key holders accepts that.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from strongroom.barrier.barrier import Keys
from strongroom.barrier.keyring import open_keyring
from strongroom.barrier.seal import SealConfig, decoded_config, stored_config
from strongroom.barrier.snapshots.archive import plain
from strongroom.barrier.snapshots.copying import restore
from strongroom.barrier.snapshots.format import Manifest
from strongroom.barrier.snapshots.opening import Opened, unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.core.core import Core
from strongroom.crypto.errors import InvalidRecord
from strongroom.errors import InvalidRequest

SENT = "that was sent"
ON_THE_HOST = "restore it on the host, with the server stopped: 'strongroom operator snapshot restore'"


class Checked(NamedTuple):
    """A snapshot that may come in the place of the store, and what puts it there."""

    manifest: Manifest
    put: Callable[[], None]


def checked(core: Core, body: bytes | BinaryIO, *, force: bool) -> Checked:
    """Check a snapshot from end to end, from memory or from a file. Raises InvalidRequest."""
    if not core.storage.local:
        raise InvalidRequest(f"other nodes serve this store; {ON_THE_HOST}")
    file = io.BytesIO(body) if isinstance(body, bytes) else body
    snapshot = Snapshot(plain(file, SENT, core.snapshots.settings.spool), SENT)
    opened = unlock(snapshot, _keys_of(core, snapshot))
    manifest = opened.verify()
    if not force:
        _same_holders(core, snapshot)
    return Checked(manifest, lambda: _put(opened, core))


def _put(opened: Opened, core: Core) -> None:
    restore(opened, core.storage)


def _keys_of(core: Core, snapshot: Snapshot) -> Keys:
    """The keys of the snapshot's time. Raises InvalidSnapshot."""
    keys = core.barrier.keys
    if snapshot.installation != keys.installation:
        raise snapshot.wrong(f"it belongs to another installation; {ON_THE_HOST}")
    try:
        return Keys(keys.root, open_keyring(keys.root, snapshot.header.keyring, keys.installation), keys.installation)
    except InvalidRecord:
        raise snapshot.wrong(f"it was taken under another root key than the present one; {ON_THE_HOST}") from None


def _same_holders(core: Core, snapshot: Snapshot) -> None:
    if _holders(decoded_config(snapshot.header.seals)) != _holders(stored_config(core.storage)):
        raise InvalidRequest(
            "the snapshot was made when other unseal or recovery keys were in force, and they would be again; "
            "write it to sys/storage/raft/snapshot-force if that is meant, and those keys are at hand"
        )


def _holders(config: SealConfig | None) -> object:
    return config and (config.wraps, config.recoveries)
