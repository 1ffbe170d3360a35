"""Runs timers when they come.

Rules of this file:
- Timers are rows; nothing is loaded at start but the time of the next one. A million leases cost nothing until due.
- A commit that sets an earlier timer moves the alarm; a timer under way is not started twice.
- Jobs go through the committer like requests, in batches, so that they never hold up callers for longer than a group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from strongroom.barrier.view import Due
from strongroom.clock import SECOND
from strongroom.core.areas import QUEUE
from strongroom.core.core import Core
from strongroom.core.group import GroupRun
from strongroom.core.work import Internal, Reported, Timer, Work, next_due
from strongroom.server.committer import Committer, quiet

BATCH = 8
"""Timers under way at one time."""
LONGEST_SLEEP = 60.0
"""Seconds; a clock that was set forward is noticed after this long."""
SHARED_SLEEP = 0.25
"""Seconds, where other workers set timers too: nobody tells this one, it looks."""
RETRY = 1.0
"""Seconds until the next look where the store could not be read, or a timer failed: its row may stand as it was."""


Timers = tuple[list[tuple[bytes, Due]], int]


def _always() -> bool:
    return True


class Scheduler:
    """The alarm clock of a worker that holds the lead, which `leads` tells. `longest` is how long it may sleep."""

    def __init__(
        self,
        core: Core,
        committer: Committer,
        loop: asyncio.AbstractEventLoop,
        report: Reported,
        leads: Callable[[], bool] = _always,
        longest: float = LONGEST_SLEEP,
    ) -> None:
        self._leads, self._longest = leads, longest
        self._core = core
        self._committer = committer
        self._loop = loop
        self._report = quiet(report)
        self._alarm: asyncio.TimerHandle | None = None
        self._next = 0
        self._running: set[bytes] = set()
        self._stopped = False
        self._failed = False
        self.ran = 0

    def start(self) -> None:
        """Look for timers from now on."""
        self._stopped = False
        self._wake(0.0)

    def stop(self) -> None:
        """Start no more timers."""
        self._stopped = True
        if self._alarm is not None:
            self._alarm.cancel()

    def heard(self, run: GroupRun) -> None:
        """A group committed: it may have set timers."""
        if QUEUE not in run.staged.areas:
            return
        set_now = [key[17:25] for key, due in run.staged.items() if key[:16] == QUEUE and due is not None]
        earliest = int.from_bytes(min(set_now, default=b""), "big")
        if earliest and (not self._next or earliest < self._next):
            self._next = earliest
            self._wake(self._until(earliest))

    def _until(self, when: int) -> float:
        return max(0.0, (when - self._core.clock.now()) / SECOND)

    def _wake(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if not self._stopped:
            self._alarm = self._loop.call_later(min(seconds, self._longest), self._look)

    def _look(self) -> None:
        """Start what is due and set the alarm for what is not."""
        if self._stopped or self._core.barrier.sealed:
            return
        if not self._leads():
            self._wake(self._longest)
            return
        if not self._core.storage.local:
            self._committer.submit(Internal(lambda _call: self._due(), self._looked))
            return
        try:
            due, later = self._due()
        except BaseException as error:  # noqa: BLE001  the alarm must be set again whatever it was
            self._report(error, None)
            self._wake(RETRY)
            return
        self._begin(due, later)

    def _due(self) -> Timers:
        return next_due(self._core, self._core.clock.now(), BATCH, self._report)

    def _looked(self, work: Work) -> None:
        """The store is on another machine: the look was a call of its own."""
        assert isinstance(work, Internal)
        if work.error is not None:
            self._wake(RETRY)
            return
        due, later = cast(Timers, work.result)
        self._begin(due, later)

    def _begin(self, due: list[tuple[bytes, Due]], later: int) -> None:
        for key, row in due:
            if key not in self._running:
                self._running.add(key)
                self._committer.enqueue(Timer(key, row, self._done))
        self._next = later
        if not self._running:
            self._wake(self._until(later) if later else self._longest)

    def _done(self, work: Work) -> None:
        assert isinstance(work, Timer)
        self.ran += 1
        self._running.discard(work.key)
        if work.error is not None:
            if work.fault is None and not self._failed:
                self._report(work.error, work.call)
            self._failed = True
        if not self._running:
            failed, self._failed = self._failed, False
            self._wake(RETRY if failed else 0.0)
