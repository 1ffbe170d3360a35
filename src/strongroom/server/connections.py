"""All open connections of one worker: how many there may be, how long each may take, and how they end.

Rules of this file:
- One timer per event loop. A connection keeps the instant it has to be done with what it is doing in `deadline`, a plain attribute that
  costs nothing to move; twice a second the sweep ends those that are late. 10,000 connections are swept in about a millisecond.
- `now` is the clock of the last sweep, so that a request needs no clock call; deadlines are set one tick early and are never exceeded.
- `idle_deadline` is computed once per sweep, because every answered request moves its connection's deadline there.
- `heads` are the request heads that are known to the worker (framing.py).
- `unsent` counts the bytes of answers that slow readers left with us, in `limits.max_unsent_together`.
- `held` counts the bytes of bodies being read, over all connections: what a hundred strangers may hold is bounded here. What is beyond the
  usual limit of one is counted apart, in `held_large`.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Final, Protocol

from strongroom.clock import Clock
from strongroom.server.framing import KnownHeads
from strongroom.server.limits import Limits

TICK: Final = 0.5
"""Seconds between two sweeps: the grain of every deadline."""
LAST_MOMENT: Final = 0.5 + 2 * TICK
"""Seconds that a connection has at most for one more request once the server drains; at least half a second, whatever the sweep's phase."""

SPARE_FILES: Final = 48
"""Descriptors kept back from connections for databases, audit files, sockets of our own and the accept that answers 503."""


class Connection(Protocol):
    """What the registry asks of a connection."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""
        ...

    def drain(self) -> None:
        """Close after the answer in flight, or to what comes within a moment."""
        ...

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        ...


class Connections:
    """The registry of one worker."""

    __slots__ = (
        "_clock",
        "_empty",
        "_loop",
        "_open",
        "_owing",
        "_timer",
        "draining",
        "heads",
        "held",
        "held_large",
        "idle_deadline",
        "limits",
        "max_connections",
        "now",
        "unsent",
    )

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.limits = limits
        self._clock = clock
        self._open: set[Connection] = set()
        self._owing: dict[Connection, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._empty: asyncio.Future[None] | None = None
        self.max_connections = min(limits.max_connections, file_limit())
        self.heads = KnownHeads()
        self.held = self.held_large = self.unsent = 0
        self.draining = False
        self.now = clock.monotonic()
        self.idle_deadline = self.deadline(limits.idle_seconds)

    def __len__(self) -> int:
        return len(self._open)

    def deadline(self, seconds: float) -> float:
        """The instant by which something that starts now and may take `seconds` has to be done."""
        return self.now + seconds - TICK

    def add(self, connection: Connection) -> bool:
        """Count a new connection; False when there are too many, and it should be turned away."""
        self._open.add(connection)
        return len(self._open) <= self.max_connections

    def discard(self, connection: Connection) -> None:
        """A connection ended."""
        self._open.discard(connection)
        self.settle(connection)
        if not self._open and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def hold(self, before: int, now: int) -> bool:
        """Count what a connection holds from now on; False, and nothing counted, when it is too much."""
        limits = self.limits
        beyond = max(0, now - limits.max_body) - max(0, before - limits.max_body)
        usual = now - before - beyond
        if now > before and (self.held + usual > limits.max_held or self.held_large + beyond > limits.max_held_large):
            return False
        self.held += usual
        self.held_large += beyond
        return True

    def owe(self, connection: Connection, size: int) -> bool:
        """Count what lies ready for a client that is behind; False where that is too much with all others, and it is to be cut."""
        self.settle(connection)
        self._owing[connection] = size
        self.unsent += size
        return size <= self.limits.max_unsent or self.unsent <= self.limits.max_unsent_together

    def settle(self, connection: Connection) -> None:
        """The client caught up, or is gone."""
        self.unsent -= self._owing.pop(connection, 0)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep from now on."""
        self._loop = loop
        self._timer = loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None

    def _tick(self) -> None:
        if self._loop is not None:
            self._timer = self._loop.call_later(TICK, self._tick)
        self.sweep()

    def sweep(self) -> None:
        """Read the clock and end what is late."""
        now = self.now = self._clock.monotonic()
        self.idle_deadline = self.deadline(self.limits.idle_seconds)
        for connection in [each for each in self._open if each.deadline <= now]:
            connection.expire()

    async def drain(self, seconds: float) -> None:
        """Let answers in flight leave, close idle connections, and after `seconds` cut what is left. Close the listening sockets first.

        Who asks within a moment still gets one answer, which says that it is the last: he cannot know, and may not send it twice.
        """
        self.draining = True
        self._empty = asyncio.get_running_loop().create_future()
        for connection in list(self._open):
            connection.drain()
        if self._open:
            await asyncio.wait((self._empty,), timeout=seconds)
        for connection in list(self._open):
            connection.abort()


def file_limit() -> int:
    """Connections that this process has descriptors for, so that it answers 503 before accept fails with EMFILE."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else max(1, soft - min(SPARE_FILES, soft // 2))
