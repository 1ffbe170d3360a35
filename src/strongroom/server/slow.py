"""Threads beside the loop for what is slow: hashing, and waiting for other hosts.

Rules of this file:
- Each sort of slowness has threads of its own, so that neither keeps the other waiting, and a line before them that is bounded.
- A mount gets no more than its share of the threads at a time: behind one dead host the logins of other mounts go on.
- Sources take turns: the second request of one comes after everybody's first. Where the line is full, whose turn is furthest off is told
  to come back, which is the source that sent most, so that no flood of logins from one address keeps others from theirs.
- What waited too long, or whose caller hung up, is not begun: nobody needs it, and those behind it do.
- All but the slow function itself runs on the loop.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from strongroom.core.call import Raised, Rerun
from strongroom.core.group import work_out
from strongroom.core.work import Work
from strongroom.errors import Unavailable

Finished = Callable[[Work, Rerun, object], None]
"""Called on the loop with the result, or with what was raised."""

LATE = "the server waits for too many other things at once; try again in a second"
BUSY = "too many slow requests, such as logins, are waiting; try again in a second"
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
    turn: int
    work: Work
    rerun: Rerun
    mount: bytes
    source: str
    until: float


class Slow:
    """One set of threads with its line. See the rules above."""

    def __init__(self, name: str, bounds: Bounds, loop: asyncio.AbstractEventLoop, finished: Finished) -> None:
        self._bounds = bounds
        self._loop = loop
        self._finished = finished
        self._pool = ThreadPoolExecutor(bounds.threads, name)
        self._line: list[_Waiting] = []
        """By turn."""
        self._turn = 0
        """The latest that was begun."""
        self._running: Counter[bytes] = Counter()
        self.held = 0
        """On the threads or in line."""

    def has_room(self, work: Work) -> bool:
        """Whether a request may wait here: there is a place, or somebody whose turn would come later leaves his."""
        return self.held < self._bounds.most or self._gives_way(self._next_turn(source_of(work)))

    def take(self, work: Work, rerun: Rerun) -> None:
        """Work the result out, now or when its turn comes."""
        source = source_of(work)
        turn = self._next_turn(source)
        if self.held >= self._bounds.most and self._gives_way(turn):
            self._send_away(self._line.pop())
        self.held += 1
        mount = work.call.mount.uuid if work.call is not None and work.call.mount is not None else b""
        insort(self._line, _Waiting(turn, work, rerun, mount, source, self._loop.time() + self._bounds.patience), key=_turn_of)
        self._begin()

    def _next_turn(self, source: str) -> int:
        """The turn after the latest one that this source has in line; whoever has none there comes next."""
        return max((waiting.turn for waiting in self._line if waiting.source == source), default=self._turn) + 1

    def _gives_way(self, turn: int) -> bool:
        return bool(self._line) and self._line[-1].turn > turn and self._line[-1].work.audited

    def _send_away(self, waiting: _Waiting) -> None:
        self.held -= 1
        self._loop.call_soon(self._finished, waiting.work, waiting.rerun, Raised(Unavailable(BUSY)))

    def _begin(self) -> None:
        """Put on threads what may go there."""
        kept: list[_Waiting] = []
        while self._line and self._running.total() < self._bounds.threads:
            waiting = self._line.pop(0)
            if self._running[waiting.mount] >= self._bounds.share:
                kept.append(waiting)
                continue
            self._turn = max(self._turn, waiting.turn)
            refusal = self._refusal(waiting)
            self._running[waiting.mount] += 1
            if refusal is None:
                self._pool.submit(self._work_out, waiting)
            else:
                self._loop.call_soon(self._done, waiting, Raised(refusal))
        self._line[:0] = kept

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


def _turn_of(waiting: _Waiting) -> int:
    return waiting.turn


def source_of(work: Work) -> str:
    """Who takes turns with others: an address, or a whole /64 of IPv6, which one machine has to itself."""
    return _network(work.request.peer.address)


@lru_cache(maxsize=4_096)
def _network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return f"{int(found) >> 64:x}"
    return str(getattr(found, "ipv4_mapped", None) or found)
