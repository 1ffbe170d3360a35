"""Threads beside the loop for what is slow: hashing, and waiting for other hosts.

Rules of this file:
- Each sort of slowness has threads of its own, so that neither keeps the other waiting, and a line before them that is bounded.
- A mount gets no more than its share of the threads at a time: behind one dead host the logins of other mounts go on. The line is
  otherwise served in order.
- What waited too long, or whose caller hung up, is not begun: nobody needs it, and those behind it do.
- All but the slow function itself runs on the loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from strongroom.core.group import work_out
from strongroom.core.request import Raised, Rerun
from strongroom.core.work import Work
from strongroom.errors import Unavailable

Finished = Callable[[Work, Rerun, object], None]
"""Called on the loop with the result, or with what was raised."""

LATE = "the server waits for too many other things at once; try again in a second"
GONE = "the caller closed the connection before its turn came"


class Bounds(NamedTuple):
    """`threads` in all and `share` of them for one mount; `most` requests on them or in line; `patience` in seconds to wait there."""

    threads: int
    share: int
    most: int
    patience: float


HASHING = Bounds(threads=2, share=2, most=64, patience=30.0)
"""At 30 ms a password hash the last one waits a second."""
OUTSIDE = Bounds(threads=32, share=12, most=256, patience=10.0)
"""Threads that wait cost little. Three dead hosts, each with logins for 10 s a piece, do not take them all."""


class _Waiting(NamedTuple):
    work: Work
    rerun: Rerun
    mount: bytes
    until: float


class Slow:
    """One set of threads with its line. See the rules above."""

    def __init__(self, name: str, bounds: Bounds, loop: asyncio.AbstractEventLoop, finished: Finished) -> None:
        self._bounds = bounds
        self._loop = loop
        self._finished = finished
        self._pool = ThreadPoolExecutor(bounds.threads, name)
        self._line: deque[_Waiting] = deque()
        self._running: Counter[bytes] = Counter()
        self.held = 0
        """On the threads or in line."""

    @property
    def full(self) -> bool:
        """Whether a request more is too many."""
        return self.held >= self._bounds.most

    def take(self, work: Work, rerun: Rerun) -> None:
        """Work the result out, now or when its turn comes."""
        self.held += 1
        mount = work.call.mount.uuid if work.call is not None and work.call.mount is not None else b""
        self._line.append(_Waiting(work, rerun, mount, self._loop.time() + self._bounds.patience))
        self._begin()

    def _begin(self) -> None:
        """Put on threads what may go there."""
        kept: deque[_Waiting] = deque()
        while self._line and self._running.total() < self._bounds.threads:
            waiting = self._line.popleft()
            if self._running[waiting.mount] >= self._bounds.share:
                kept.append(waiting)
                continue
            refusal = self._refusal(waiting)
            self._running[waiting.mount] += 1
            if refusal is None:
                self._pool.submit(self._work_out, waiting)
            else:
                self._loop.call_soon(self._done, waiting, Raised(refusal))
        self._line.extendleft(reversed(kept))

    def _refusal(self, waiting: _Waiting) -> Unavailable | None:
        if not waiting.work.audited:
            return None  # a timer has no caller, and trying later is no better
        if waiting.work.gone:
            return Unavailable(GONE)
        return Unavailable(LATE) if self._loop.time() > waiting.until else None

    def _work_out(self, waiting: _Waiting) -> None:
        """On a thread."""
        self._loop.call_soon_threadsafe(self._done, waiting, work_out(waiting.rerun))

    def _done(self, waiting: _Waiting, outcome: object) -> None:
        self.held -= 1
        self._running[waiting.mount] -= 1
        if not self._running[waiting.mount]:
            del self._running[waiting.mount]
        self._finished(waiting.work, waiting.rerun, outcome)
        self._begin()

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
