"""`strongroom operator snapshot …`: whole stores as files, on the host that holds them.

Rules of this file:
- `save` reads beside a running server. What replaces a store takes the lock that a server takes, so that none runs.
- A snapshot is opened by the seal of its own time: the configured one, or key shares one a line. The store that it replaces need not open.
- What replaced a store is scrubbed before it is called restored; nothing is said of success before that.
- Exit codes: 0 done, 1 it could not be done and nothing was changed, 2 it was done and what is there now is not as it should be.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from strongroom.barrier.anchor import Anchor
from strongroom.barrier.barrier import Barrier
from strongroom.barrier.snapshots import copying
from strongroom.barrier.snapshots.archive import plain
from strongroom.barrier.snapshots.format import Manifest
from strongroom.barrier.snapshots.opening import Opened, unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.barrier.snapshots.writing import Readers
from strongroom.clock import SystemClock, rfc3339
from strongroom.errors import ConfigError, StorageTampered
from strongroom.server.anchors import newest_anchor
from strongroom.server.config import Config
from strongroom.server.offline import FOUND, INTACT, config_of, flags_of, opened, show
from strongroom.server.public_key import read_key
from strongroom.server.recipients import read_private, read_public
from strongroom.server.replacing import scrubbed, target, verdict, where_it_is_damaged
from strongroom.server.worker import settings_of
from strongroom.storage.api import Storage
from strongroom.storage.directory import sync_directory
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.sqlite import SqliteStorage

FILE_HELP: Final = "the snapshot"
IDENTITY_HELP: Final = "private key of a recipient, where the snapshot is sealed for its recipients only"


def save(argv: list[str]) -> int:
    """Take a snapshot into a new file, and read it back."""
    flags = flags_of("operator snapshot save", "Take a snapshot of the store: one commit, sealed, signed and read back.")
    flags.add_argument("file", type=Path, metavar="FILE", help="where it goes; an existing file is not written over")
    flags.add_argument("-recipient", "--recipient", type=Path, action="append", metavar="FILE", help="public key of a further reader")
    flags.add_argument("-recipients-only", "--recipients-only", action="store_true", help="the store's own keys do not open it")
    options = flags.parse_args(argv)
    config = config_of(options)
    with opened(config) as barrier, _new_file(options.file) as file:
        manifest = copying.save(barrier, file, SystemClock().now(), _readers(options, config), str(options.file))
    show(options, _facts(manifest), f"{options.file}: {_sentence(manifest)}")
    return INTACT


def _readers(options: argparse.Namespace, config: Config) -> Readers:
    configured = settings_of(config).snapshots.readers
    given = tuple(read_public(path) for path in options.recipient or ())
    return Readers((*configured.recipients, *given), options.recipients_only or configured.recipients_only)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name once everything in it is on the disk. Raises ConfigError."""
    if path.exists():
        raise ConfigError(f"{path} is there already, and is not written over; name another file")
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as made:
            try:
                yield cast("BinaryIO", made)
                made.flush()
                os.fsync(made.fileno())
                os.link(made.name, path)  # unlike a rename, this does not replace what appeared there meanwhile
            finally:
                Path(made.name).unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def inspect(argv: list[str]) -> int:
    """Say what a snapshot holds, and check what can be checked without opening it."""
    flags = argparse.ArgumentParser(
        prog="strongroom operator snapshot inspect", description="Say what a snapshot holds and whether it is whole.", allow_abbrev=False
    )
    flags.add_argument("file", type=Path, metavar="FILE", help=FILE_HELP)
    flags.add_argument("-key", "--key", type=Path, metavar="FILE", help="the store's audit-key.pub: check the signature with it")
    flags.add_argument("-format", "--format", choices=("table", "json"), default="table")
    options = flags.parse_args(argv)
    verifier = read_key(options.key) if options.key else None
    with _file(options.file) as file:
        snapshot = Snapshot(file, str(options.file))
        manifest = snapshot.look(verifier)
    locks = [f"{lock.kind} {lock.key_id.hex()}".strip() for lock in snapshot.header.locks]
    facts = _facts(manifest) | {"locks": locks, "signature": "good" if verifier else "not checked"}
    lines = [f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}" for name, value in facts.items()]
    show(options, facts, "\n".join(lines))
    return INTACT


def restore(argv: list[str]) -> int:
    """Put a snapshot in the place of the store, then scrub the store."""
    flags = flags_of("operator snapshot restore", "Put a snapshot in the place of a stopped server's store, whole or not at all.")
    flags.add_argument("file", type=Path, metavar="FILE", help=FILE_HELP)
    flags.add_argument("-identity", "--identity", type=Path, metavar="FILE", help=IDENTITY_HELP)
    flags.add_argument("-force", "--force", action="store_true", help="also in the place of another installation's store")
    options = flags.parse_args(argv)
    config = config_of(options, fresh=True)
    with target(config) as storage, _open_snapshot(options, config) as (found, barrier):
        with where_it_is_damaged(config):
            _same_installation(storage, found.snapshot, force=options.force)
            manifest = copying.restore(found, storage)
        report = scrubbed(storage, barrier)
        anchor = newest_anchor(config.audit, barrier)
    facts = _facts(manifest) | {"clean": report.clean, "findings": [found.text for found in report.findings]}
    show(options, facts, "\n".join([f"restored: {_sentence(manifest)}", *verdict(report), *_what_next(manifest, anchor)]))
    return INTACT if report.clean else FOUND


def rehearse(argv: list[str]) -> int:
    """Restore a snapshot into a store of its own, scrub that and remove it."""
    flags = flags_of(
        "operator snapshot rehearse", "Restore into a temporary store, scrub it, and report how long it took and what is lost."
    )
    flags.add_argument("file", type=Path, metavar="FILE", help=FILE_HELP)
    flags.add_argument("-identity", "--identity", type=Path, metavar="FILE", help=IDENTITY_HELP)
    flags.add_argument("-directory", "--directory", type=Path, default=None, metavar="DIR", help="where the temporary store is made")
    options = flags.parse_args(argv)
    directory = Path(tempfile.mkdtemp(dir=options.directory, prefix="strongroom-rehearsal-"))
    storage = SqliteStorage(directory / "store")
    try:
        with _open_snapshot(options, config_of(options, fresh=True)) as (found, barrier):
            began, now = time.monotonic(), SystemClock().now()
            manifest = copying.restore(found, storage)
            report = scrubbed(storage, barrier)
            took = time.monotonic() - began
    finally:
        storage.close()
        shutil.rmtree(directory)
    age = (now - manifest.created) / 1e9
    facts = _facts(manifest) | {"clean": report.clean, "rto_seconds": round(took, 3), "rpo_seconds": round(age, 3)}
    times = (
        f"RTO {took:.1f} s: read, restored and scrubbed\nRPO {age:.0f} s: what was written since {rfc3339(manifest.created)} is not in it"
    )
    show(options, facts, "\n".join([f"rehearsed: {_sentence(manifest)}", *verdict(report), times]))
    return INTACT if report.clean else FOUND


# -- shared -----------------------------------------------------------------------------------------------------------


@contextmanager
def _open_snapshot(options: argparse.Namespace, config: Config) -> Iterator[tuple[Opened, Barrier]]:
    """The snapshot, and a barrier that the seal of its time opened."""
    identity = read_private(options.identity) if options.identity else None
    with _file(options.file) as file:
        snapshot = Snapshot(file, str(options.file))
        then = MemoryStorage()
        then.replace([snapshot.boot_rows()], snapshot.header.gsn, 0)
        with opened(config, then) as barrier:
            yield unlock(snapshot, barrier.keys, identity), barrier


@contextmanager
def _file(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield plain(file, str(path))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _same_installation(storage: Storage, snapshot: Snapshot, *, force: bool) -> None:
    try:
        present = Barrier(storage).installation()
    except StorageTampered:
        present = None
        if not force:
            raise snapshot.wrong("the store there does not say of which installation it is; say -force to replace it") from None
    if present is not None and present.id != snapshot.installation.id and not force:
        raise snapshot.wrong("the store there is of another installation; name another store, or say -force to replace it")


def _facts(manifest: Manifest) -> dict[str, Any]:
    return msgspec.structs.asdict(manifest) | {"created": rfc3339(manifest.created)}


def _sentence(manifest: Manifest) -> str:
    return f"{manifest.rows} rows, commit {manifest.gsn}, made {rfc3339(manifest.created)}, installation {manifest.installation}"


def _what_next(manifest: Manifest, anchor: Anchor | None) -> list[str]:
    if anchor is None or anchor.gsn <= manifest.gsn:
        return []
    return [
        f"the audit files know commit {anchor.gsn}: the store stays sealed until a quorum of key holders accepts the older one, each with",
        "    strongroom write sys/unseal key=- accept_rollback=true",
    ]
