"""A store that is to be replaced as a whole, and what is said of it afterwards.

Rules of this file:
- No server uses it: the lock of the embedded store is held as a server holds it; of a database, no node was heard of lately.
- It is scrubbed before anybody is told that it is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from strongroom.barrier import scrub as scrubbing
from strongroom.barrier.barrier import Barrier
from strongroom.errors import ConfigError, StorageUnusable
from strongroom.server.config import Config
from strongroom.server.worker import open_storage
from strongroom.storage.api import Node, RemoteStorage, Storage
from strongroom.storage.directory import DATABASE, lock_directory


@contextmanager
def target(config: Config) -> Iterator[Storage]:
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
def where_it_is_damaged(config: Config) -> Iterator[None]:
    """A store that cannot even be emptied has to make room; that is not for a program to decide."""
    try:
        yield
    except StorageUnusable as error:
        if config.storage.kind != "sqlite":
            raise
        advice = f"where the store there is damaged, move {DATABASE}* out of {config.storage.path} and restore again: a new one is made"
        raise StorageUnusable(*error.messages, advice) from None


def scrubbed(storage: Storage, opened_by: Barrier) -> scrubbing.Report:
    """What a scrub of a store finds, under the root key of another barrier."""
    barrier = Barrier(storage)
    barrier.unseal(opened_by.keys.root)
    try:
        return scrubbing.scrub(barrier)
    finally:
        barrier.seal()


def verdict(report: scrubbing.Report) -> list[str]:
    """What a scrub found, in lines."""
    if report.clean:
        return ["scrubbed: intact"]
    return [*(f"{found.row or 'the store as a whole'}: {found.text}" for found in report.findings), "scrubbed: NOT intact"]
