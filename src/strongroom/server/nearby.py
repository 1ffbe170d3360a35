"""Where a far database has a standby nearby: rows that calls miss are asked for there first.

Rules of this file:
- What a request may do is decided by rows of the primary: the server's own tables (tokens, policies, mounts, tombstones …) are never asked
  for at the standby, and it is the follower's questions to the primary that say up to which commit all rows here stand.
- What the standby is not certain of, or does not say in a moment, the primary is asked for; nobody has to know which of them answered.
- A standby that failed is not waited for: it is tried again beside the requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread

from strongroom.core.areas import own
from strongroom.core.mirror import Mirror
from strongroom.core.work import Reported
from strongroom.errors import StorageUnusable
from strongroom.server.follower import Follower
from strongroom.storage.api import AREA, Below, Fetched, Replica, Scan, Wanted

RETRY_SECONDS = 1.0
"""Between tries of a standby that failed."""
UNKNOWN = "the standby could not be asked; the server's log says why"

Waiting = tuple[Callable[[], None], Wanted]


class Nearby:
    """Asks the standby, for everybody in this worker; to be used as a follower is."""

    def __init__(self, replica: Replica, follower: Follower, loop: asyncio.AbstractEventLoop, report: Reported) -> None:
        self._replica, self._follower, self._loop, self._report = replica, follower, loop, report
        self._mirror: Mirror = follower.mirror
        self._waiting: list[Waiting] = []
        self._under_way = False
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._retry: asyncio.TimerHandle | None = None
        self.reachable = False
        """Whether the standby answered when it was asked last."""
        self.answered = self.passed_on = 0
        """Wishes that the standby fulfilled, and those that the primary was asked for after all."""

    def start(self) -> None:
        """Ask from now on."""
        Thread(target=self._serve, name="nearby", daemon=True).start()
        self._try()

    def stop(self) -> None:
        """Ask nothing more."""
        if self._retry is not None:
            self._retry.cancel()
        self._orders.put(None)

    def after(self, action: Callable[[], None], wanted: Wanted) -> None:
        """Do something once `wanted` is here, or could not be had."""
        if not self.reachable or decides(wanted):
            self._follower.after(action, wanted)
            return
        self._waiting.append((action, wanted))
        if not self._under_way:
            self._loop.call_soon(self._send)
            self._under_way = True

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        wanted = Wanted()
        for _, each in waiting:
            wanted |= each
        self._orders.put(partial(self._ask, self._mirror.gsn, wanted, waiting))

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            order()
        self._replica.close()

    def _ask(self, gsn: int, wanted: Wanted, waiting: list[Waiting]) -> None:
        """On the thread."""
        answer: Fetched | StorageUnusable
        try:
            answer = self._replica.fetch(gsn, wanted)
        except StorageUnusable as error:
            answer = error
        except BaseException as error:  # noqa: BLE001  a driver's bug must not end the thread
            self._report(error, None)
            answer = StorageUnusable(UNKNOWN)
        self._loop.call_soon_threadsafe(self._answered, answer, waiting)

    def _answered(self, answer: Fetched | StorageUnusable, waiting: list[Waiting]) -> None:
        try:
            self._take(answer)
        except BaseException as error:  # noqa: BLE001  whoever waits must hear of something
            self._report(error, None)
        for action, wanted in waiting:
            self._give(action, wanted)
        self._under_way = bool(self._waiting) and self.reachable
        if self._under_way:
            self._send()
            return
        waiting, self._waiting = self._waiting, []
        for action, wanted in waiting:
            self._give(action, wanted)

    def _give(self, action: Callable[[], None], wanted: Wanted) -> None:
        """Go on, or ask the primary for what is not here."""
        rest = self._mirror.unknown(wanted)
        if rest:
            self.passed_on += 1
            self._follower.after(action, rest)
        else:
            self.answered += 1
            self._follower.guarded(action)

    def _take(self, answer: Fetched | StorageUnusable) -> None:
        was, self.reachable = self.reachable, not isinstance(answer, StorageUnusable)
        if not isinstance(answer, StorageUnusable):
            self._mirror.take(answer)
            return
        if was:
            self._report(answer, None)
        self._retry = self._loop.call_later(RETRY_SECONDS, self._try)

    def _try(self) -> None:
        """A question about nothing: does it answer?"""
        if not self._under_way:
            self._under_way = True
            self._orders.put(partial(self._ask, self._mirror.gsn, Wanted(), []))


def decides(wanted: Wanted) -> bool:
    """Whether anything wanted is of the server's own tables."""
    return any(own(key[:AREA]) for key in wanted.keys) or any(own(_area(each)) for each in wanted.ranges)


def _area(wanted: Scan | Below) -> bytes:
    return (wanted.start if isinstance(wanted, Scan) else wanted.prefix)[:AREA]
