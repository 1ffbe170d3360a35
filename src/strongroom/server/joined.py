"""What a worker has beside the others' when its store is shared with other nodes.

Rules of this file: only wiring; `worker.py` makes it where the store is on another machine.
"""

from __future__ import annotations

import platform
import time
from functools import partial
from typing import TYPE_CHECKING

from strongroom.core.mirror import Aside
from strongroom.errors import StorageUnsafe, StorageUnusable
from strongroom.server.consistency import Consistency
from strongroom.server.follower import Fetching, Follower
from strongroom.server.heartbeat import Heartbeat
from strongroom.server.nearby import Nearby
from strongroom.storage.api import Node

if TYPE_CHECKING:
    from strongroom.server.worker import Worker

SAY_EVERY = 10.0
"""Seconds between lines about writes that fail: each of many clients tries again at once."""


class Joined:
    """One node of several."""

    def __init__(self, worker: Worker) -> None:
        core = worker.core
        assert isinstance(core.storage, Aside)
        self._remote, self._log = core.storage.remote, worker.log
        self.follower = Follower(core, worker.loop, worker.log.report)
        self.follower.lost = self._lost
        self.follower.recovered = partial(self._recovered, worker)
        self._said = -SAY_EVERY
        self._remote.refused = self._refused
        replica = self._remote.replica
        self.nearby = Nearby(replica, self.follower, worker.loop, worker.log.report) if replica is not None else None
        max_staleness = float(worker.config.storage.max_staleness)
        self.gate = Consistency(core, self.follower, worker.dispatch, max_staleness).take
        fetching = Fetching(core, worker.committer, self.follower, (self.nearby or self.follower).after)
        worker.committer.fetch = fetching.take
        worker.committer.fetching = lambda: fetching.held
        self.heartbeat = Heartbeat(core, self.follower, worker.loop, partial(_describe, worker))
        core.cluster.standby_codes = worker.config.storage.standby_codes
        if max_staleness:
            core.cluster.age = lambda: self.follower.age
        if self.nearby is not None:
            core.cluster.nearby = lambda: self.nearby is not None and self.nearby.reachable

    def examine(self) -> None:
        """Say at start what of the database is worth changing. Raises StorageUnsafe; a database that is away is waited for."""
        try:
            for text in self._remote.check():
                self._log.warning(text)
        except StorageUnsafe:
            raise
        except StorageUnusable as error:
            self._lost(error)

    def _lost(self, error: StorageUnusable) -> None:
        """Everything that is known goes into the log; callers hear less."""
        self._log.error("the database does not answer", reason=_reason(error))

    def _refused(self, error: StorageUnusable) -> None:
        """From the thread that tried to write."""
        now = time.monotonic()
        if now - self._said >= SAY_EVERY:
            self._said = now
            self._log.error("the database does not take writes", reason=_reason(error))

    def _recovered(self, worker: Worker) -> None:
        self._log.info("the database answers again")
        worker.open_now()

    def start(self) -> None:
        """Follow the others, and tell them of this one."""
        self.follower.start()
        if self.nearby is not None:
            self.nearby.start()
        self.heartbeat.start()

    def stop(self) -> None:
        """Leave."""
        self.heartbeat.stop()
        if self.nearby is not None:
            self.nearby.stop()
        self.follower.stop()


def _describe(worker: Worker) -> Node:
    config, name = worker.config, platform.node() or "localhost"
    where = config.api_addr or f"{name}/{config.listeners[0].address if config.listeners else ''}"
    return Node(where, name, config.api_addr, worker.core.settings.reported_version, worker.core.barrier.sealed)


def _reason(error: StorageUnusable) -> str:
    return "; ".join((*error.messages, *getattr(error, "__notes__", ())))
