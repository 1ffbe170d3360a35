"""Has the embedded store's log copied into its database while others commit: what a group would otherwise wait for.

Rules of this file: one copy at a time, on a thread; what goes wrong is logged, and met again by the group that finds the log too long.
"""

from __future__ import annotations

import asyncio

from strongroom.errors import StrongroomError
from strongroom.server.logs import Log
from strongroom.storage.api import Storage
from strongroom.storage.sqlite import SqliteStorage


class Copying:
    """See the rules above. Make it inside the loop."""

    def __init__(self, storage: Storage, log: Log) -> None:
        self._storage = storage if isinstance(storage, SqliteStorage) else None
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._running: asyncio.Future[None] | None = None

    def look(self) -> None:
        """After a commit: is there enough to copy?"""
        if self._storage is not None and self._storage.log_is_long and self._running is None:
            self._running = self._loop.run_in_executor(None, self._storage.copy_ahead)
            self._running.add_done_callback(self._done)

    def _done(self, running: asyncio.Future[None]) -> None:
        self._running = None
        error = None if running.cancelled() else running.exception()
        if isinstance(error, StrongroomError):
            self._log.error("the store's log was not copied ahead; a group of writes will do it", reason="; ".join(error.messages))
        elif error is not None:
            self._log.report(error)

    async def end(self) -> None:
        """Wait for the one under way: the store is about to be closed."""
        if self._running is not None:
            await asyncio.wait([self._running])
