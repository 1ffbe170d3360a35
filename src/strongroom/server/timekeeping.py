"""Says so when the machine's clock was set back, or is not the database's: tokens and leases end by it, and nodes go by one time.

Rules of this file: it looks once in a while, logs what changed, and changes nothing (clock.py keeps time from going back).
"""

from __future__ import annotations

import asyncio

from strongroom.clock import SECOND, SystemClock
from strongroom.server.logs import Log

LOOK_SECONDS = 2.0
TOLERATED = 2 * SECOND
"""Nodes that are further apart disagree on which tokens have ended by more than a slow request takes."""


class Timekeeping:
    """Watches the clock of one worker."""

    def __init__(self, clock: SystemClock, log: Log) -> None:
        self._clock, self._log = clock, log
        self._behind = False
        self._apart = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look now and from now on."""
        self.look()
        loop.call_later(LOOK_SECONDS, self.start, loop)

    def look(self) -> None:
        """Whether the machine's clock was set back, or was met again."""
        behind = self._clock.set_back()
        if (behind > TOLERATED) != self._behind:
            self._behind = not self._behind
            if self._behind:
                advice = "time goes on slightly slower until it is met; once the machine's clock is right, a restart takes it at once"
                self._log.error("the machine's clock was set back", seconds=round(behind / SECOND, 1), advice=advice)
            else:
                self._log.info("the machine's clock is met again")

    def compare(self, database: float) -> None:
        """The database, which all nodes go to, said what time it is in seconds since the epoch."""
        apart = self._clock.now() / SECOND - database
        if (abs(apart) > TOLERATED / SECOND) != self._apart:
            self._apart = not self._apart
            if self._apart:
                advice = "let both follow NTP: nodes disagree on which tokens have ended"
                self._log.error("this node's clock is not the database's", seconds_ahead=round(apart, 1), advice=advice)
            else:
                self._log.info("this node's clock is the database's again")
