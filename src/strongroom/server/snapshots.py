"""`strongroom operator snapshot …` and `operator migrate`: whole stores, on the host that holds them.

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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from strongroom.barrier import scrub as scrubbing
from strongroom.barrier.anchor import Anchor
from strongroom.barrier.barrier import Barrier
from strongroom.barrier.snapshots import copying
from strongroom.barrier.snapshots.archive import plain
from strongroom.barrier.snapshots.format import Manifest
from strongroom.barrier.snapshots.opening import Opened, unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.barrier.snapshots.writing import Readers
from strongroom.clock import SystemClock, rfc3339
from strongroom.errors import ConfigError, StorageTampered, StorageUnusable
from strongroom.server.anchors import newest_anchor
from strongroom.server.config import Config, load_config
from strongroom.server.offline import FOUND, INTACT, config_of, flags_of, opened, show
from strongroom.server.public_key import read_key
from strongroom.server.recipients import read_private, read_public
from strongroom.server.worker import open_storage, settings_of
from strongroom.storage.api import Node, RemoteStorage, Storage
from strongroom.storage.directory import DATABASE, lock_directory, sync_directory
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.sqlite import SqliteStorage
from strongroom.storage.whole import pages, whole

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
    with _target(config) as storage, _open_snapshot(options, config) as (found, barrier):
        with _where_it_is_damaged(config):
            _same_installation(storage, found.snapshot, force=options.force)
            manifest = copying.restore(found, storage)
        report = _scrubbed(storage, barrier)
        anchor = newest_anchor(config.audit, barrier)
    facts = _facts(manifest) | {"clean": report.clean, "findings": [found.text for found in report.findings]}
    show(options, facts, "\n".join([f"restored: {_sentence(manifest)}", *_verdict(report), *_what_next(manifest, anchor)]))
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
            report = _scrubbed(storage, barrier)
            took = time.monotonic() - began
    finally:
        storage.close()
        shutil.rmtree(directory)
    age = (now - manifest.created) / 1e9
    facts = _facts(manifest) | {"clean": report.clean, "rto_seconds": round(took, 3), "rpo_seconds": round(age, 3)}
    times = (
        f"RTO {took:.1f} s: read, restored and scrubbed\nRPO {age:.0f} s: what was written since {rfc3339(manifest.created)} is not in it"
    )
    show(options, facts, "\n".join([f"rehearsed: {_sentence(manifest)}", *_verdict(report), times]))
    return INTACT if report.clean else FOUND


def migrate(argv: list[str]) -> int:
    """Copy a store into another, empty one, and scrub that."""
    flags = flags_of("operator migrate", "Copy the whole store of -config, whose server is stopped, into the one of -to; both stay.")
    flags.add_argument("-to", "--to", action="append", default=[], metavar="PATH", help="configuration whose store is to be filled")
    flags.add_argument("-force", "--force", action="store_true", help="also in the place of what the other store holds")
    options = flags.parse_args(argv)
    if not options.to:
        raise ConfigError("say into which store: -to=CONFIGURATION")
    source, config = config_of(options), load_config([Path(path) for path in options.to], os.environ)
    with ExitStack() as held:
        if source.storage.kind == "sqlite":
            held.enter_context(lock_directory(Path(source.storage.path)))
        barrier = held.enter_context(opened(source))
        storage = held.enter_context(_target(config))
        if Barrier(storage).installation() is not None and not options.force:
            raise ConfigError("the store to be filled holds an installation; nothing was changed. Name an empty one, or say -force")
        with whole(barrier.storage).instant() as instant:
            whole(storage).replace(pages(instant), instant.gsn, instant.min_epoch)
        report = _scrubbed(storage, barrier)
    facts = {"gsn": report.gsn, "rows": report.rows, "clean": report.clean, "findings": [found.text for found in report.findings]}
    show(options, facts, "\n".join([f"copied: {report.rows} rows, commit {report.gsn}", *_verdict(report)]))
    return INTACT if report.clean else FOUND


# -- shared -----------------------------------------------------------------------------------------------------------


@contextmanager
def _target(config: Config) -> Iterator[Storage]:
    """The store to be replaced; no server uses it. Raises StorageUnusable and ConfigError."""
    if config.storage.kind == "inmem":
        raise ConfigError('storage "inmem" keeps nothing; name a configuration with another one')
    with ExitStack() as held:
        if config.storage.kind == "sqlite":
            held.enter_context(lock_directory(Path(config.storage.path)))
        storage = open_storage(config.storage)
        held.callback(storage.close)
        if not storage.local:
            held.enter_context(_as_the_only_node(cast("RemoteStorage", storage)))
        yield storage


@contextmanager
def _as_the_only_node(storage: RemoteStorage) -> Iterator[None]:
    """Raises StorageUnusable where nodes were heard of lately."""
    me = Node(f"restore-{os.getpid()}", "operator snapshot", "", "", sealed=True)
    try:
        others = [node.name for node in storage.beat(me, first=False) if node.id != me.id]
        if others:
            raise StorageUnusable(f"nodes serve this store: {', '.join(others)}; stop all of them, and try again a minute later")
        yield
    finally:
        storage.leave(me.id)


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


@contextmanager
def _where_it_is_damaged(config: Config) -> Iterator[None]:
    """A store that cannot even be emptied has to make room; that is not for a program to decide."""
    try:
        yield
    except StorageUnusable as error:
        if config.storage.kind != "sqlite":
            raise
        advice = f"where the store there is damaged, move {DATABASE}* out of {config.storage.path} and restore again: a new one is made"
        raise StorageUnusable(*error.messages, advice) from None


def _same_installation(storage: Storage, snapshot: Snapshot, *, force: bool) -> None:
    try:
        present = Barrier(storage).installation()
    except StorageTampered:
        present = None
        if not force:
            raise snapshot.wrong("the store there does not say of which installation it is; say -force to replace it") from None
    if present is not None and present.id != snapshot.installation.id and not force:
        raise snapshot.wrong("the store there is of another installation; name another store, or say -force to replace it")


def _scrubbed(storage: Storage, opened_by: Barrier) -> scrubbing.Report:
    """What a scrub of a store finds, under the root key of another barrier."""
    barrier = Barrier(storage)
    barrier.unseal(opened_by.keys.root)
    try:
        return scrubbing.scrub(barrier)
    finally:
        barrier.seal()


def _facts(manifest: Manifest) -> dict[str, Any]:
    return msgspec.structs.asdict(manifest) | {"created": rfc3339(manifest.created)}


def _sentence(manifest: Manifest) -> str:
    return f"{manifest.rows} rows, commit {manifest.gsn}, made {rfc3339(manifest.created)}, installation {manifest.installation}"


def _verdict(report: scrubbing.Report) -> list[str]:
    if report.clean:
        return ["scrubbed: intact"]
    return [*(f"{found.row or 'the store as a whole'}: {found.text}" for found in report.findings), "scrubbed: NOT intact"]


def _what_next(manifest: Manifest, anchor: Anchor | None) -> list[str]:
    if anchor is None or anchor.gsn <= manifest.gsn:
        return []
    return [
        f"the audit files know commit {anchor.gsn}: the store stays sealed until a quorum of key holders accepts the older one, each with",
        "    strongroom write sys/unseal key=- accept_rollback=true",
    ]
