"""Keeps a worker level with a database that other nodes write to as well.

Rules of this file:
- Before a request runs, the worker asks what was committed, with a question sent after the request had come in; so no answer is older than
  any answer that was given before it was asked, by whichever node. All requests that wait share the question, and what calls miss is
  asked for in it: one is under way at a time, and no more than one a millisecond.
- One thread asks; all else runs on the loop.
- While the database does not answer, nothing is answered from memory but the few paths that say how this node is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from strongroom.core.call import Rerun
from strongroom.core.core import Core
from strongroom.core.mirror import MISSED, PATIENCE, Aside, Mirror, Missing
from strongroom.core.transaction import NeedsCommit, Staged
from strongroom.core.work import Internal, Reported, Work
from strongroom.errors import StorageUnusable, StrongroomError, Unavailable
from strongroom.server.ahead import ahead
from strongroom.server.committer import Committer, quiet
from strongroom.server.http import Exchange
from strongroom.storage.api import Fetched, Wanted

INTERVAL = 0.001
"""Seconds between questions; those who come meanwhile share the next one."""
IDLE_SECONDS = 1.0
"""A node that nobody asks hears of new keys, audit devices and timers after this long, and notices that the database is gone."""
MAX_MISSES = 5_000
"""Round trips for one call."""
ALWAYS = frozenset((b"/v1/sys/health", b"/v1/sys/seal-status", b"/v1/sys/leader"))
"""What load balancers and operators ask a node about itself."""
METRICS = b"/v1/sys/metrics"
"""Where the listener opens it: the alarm that the database is gone must not depend on it."""
UNKNOWN = "the database could not be asked; the server's log says why"


class Follower:
    """Asks the database, for everybody in this worker."""

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop, report: Reported) -> None:
        assert isinstance(core.storage, Aside)
        assert isinstance(core.committed, Mirror)
        self.aside, self.mirror = core.storage, core.committed
        self._loop = loop
        self._report = quiet(report)
        self._actions: list[Callable[[], None]] = []
        self._wanted = Wanted()
        self._under_way = self._planned = False
        self._sent = 0.0
        self._level = -inf
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle: asyncio.TimerHandle | None = None
        self.questions = 0
        self.lost: Callable[[StorageUnusable], None] = lambda _error: None
        self.recovered: Callable[[], None] = lambda: None
        """Called when the database stops answering, and when it answers again."""

    @property
    def error(self) -> StorageUnusable | None:
        """Why the last question was not answered."""
        return self.aside.error

    @property
    def age(self) -> float:
        """Seconds since the worker was level with the database for certain."""
        return self._loop.time() - self._level

    def start(self) -> None:
        """Ask from now on, now and then also without a reason."""
        Thread(target=self._serve, name="follow", daemon=True).start()
        self._ask_idly()

    def stop(self) -> None:
        """Ask nothing more."""
        if self._idle is not None:
            self._idle.cancel()
        self._orders.put(None)

    def after(self, action: Callable[[], None], wanted: Wanted = Wanted()) -> None:  # noqa: B008 — frozen
        """Do something once a question that is sent from now on was answered, or failed; `wanted` is then here."""
        self._actions.append(action)
        if wanted:
            self._wanted |= wanted
        self._plan()

    def order(self, order: Callable[[], None]) -> None:
        """Run something on the thread, which may ask the database; it must not raise."""
        self._orders.put(order)

    def _plan(self) -> None:
        if not self._planned and not self._under_way:
            self._planned = True
            self._loop.call_at(max(self._sent + INTERVAL, self._loop.time()), self._send)

    def _send(self) -> None:
        self._planned, self._under_way = False, True
        self._sent = self._loop.time()
        self.questions += 1
        actions, self._actions = self._actions, []
        wanted, self._wanted = self.mirror.lacking(self._wanted), Wanted()
        self._orders.put(partial(self._ask, self.mirror.gsn, wanted, actions))

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            order()

    def _ask(self, since: int, wanted: Wanted, actions: list[Callable[[], None]]) -> None:
        """On the thread."""
        answer: Fetched | StorageUnusable
        try:
            answer = self.aside.remote.fetch(since, wanted)
        except StorageUnusable as error:
            answer = error
        except BaseException as error:  # noqa: BLE001  a driver's bug must not end the thread
            self._report(error, None)
            answer = StorageUnusable(UNKNOWN)
        self._loop.call_soon_threadsafe(self._answered, answer, actions)

    def _answered(self, answer: Fetched | StorageUnusable, actions: list[Callable[[], None]]) -> None:
        self._under_way = False
        try:
            self._take(answer)
        except BaseException as error:  # noqa: BLE001  whoever waits must hear of something
            self._report(error, None)
            self.aside.error = StorageUnusable(UNKNOWN)
        for action in actions:
            self.guarded(action)
        if self._actions:
            self._plan()

    def guarded(self, action: Callable[[], None]) -> None:
        """Do something; a failure must not keep others waiting."""
        try:
            action()
        except BaseException as error:  # noqa: BLE001  see above
            self._report(error, None)

    def _take(self, answer: Fetched | StorageUnusable) -> None:
        if isinstance(answer, StorageUnusable):
            if self.aside.error is None:
                self.lost(answer)
            self.aside.error = answer
        else:
            back, self.aside.error = self.aside.error is not None, None
            self._level = self._sent
            self.mirror.take(answer)
            if back:
                self.recovered()

    def _ask_idly(self) -> None:
        self._idle = self._loop.call_later(IDLE_SECONDS, self._ask_idly)
        if self._loop.time() - self._sent >= IDLE_SECONDS / 2:
            self.after(lambda: None)


class Entrance(Protocol):
    """What an exchange enters behind the gate."""

    def __call__(self, exchange: Exchange) -> None: ...
    def refuse(self, exchange: Exchange, error: StrongroomError) -> None: ...


class Gate:
    """Stands before the dispatch: an exchange passes once the worker is level with the database as of its arrival."""

    def __init__(self, follower: Follower, dispatch: Entrance) -> None:
        self._follower = follower
        self._dispatch = dispatch

    def __call__(self, exchange: Exchange) -> None:
        """Take in one exchange."""
        self._follower.after(partial(self._pass, exchange))

    def _pass(self, exchange: Exchange) -> None:
        error = self._follower.error
        if error is None or _always(exchange):
            self._dispatch(exchange)
        else:
            self._dispatch.refuse(exchange, error)


def _always(exchange: Exchange) -> bool:
    path = exchange.target.partition(b"?")[0]
    return path in ALWAYS or (path == METRICS and "metrics" in exchange.peer.opened)


class Fetching:
    """Works whose call missed something, until it is here; `ask` gets it, from the database or a copy of it."""

    def __init__(self, core: Core, committer: Committer, follower: Follower, ask: Callable[[Callable[[], None], Wanted], None]) -> None:
        self._core = core
        self._committer = committer
        self._follower = follower
        self._ask = ask
        self.held = 0

    def take(self, work: Work, missing: Missing) -> None:
        """Have a work run again once what it missed is here."""
        times, wanted = work.remembered.get(MISSED, (0, Wanted()))
        if times >= MAX_MISSES:
            self._committer.refuse(work, Unavailable("the request needs more of the store than can be read for it; ask for less at once"))
            return
        work.remembered[MISSED] = (times + 1, wanted | missing.wanted)
        self.held += 1
        asked = Wanted(missing.wanted.keys, missing.wanted.ranges | ahead(missing.wanted, wanted))
        self._ask(partial(self._again, work), asked)

    def _again(self, work: Work) -> None:
        self.held -= 1
        if self._follower.error is not None:
            self._committer.refuse(work, self._follower.error)
        elif (work.audited and not self._core.commits(work.request)) or isinstance(work, Internal):
            self._committer.submit(work)
        elif work.remembered[MISSED][0] >= PATIENCE:
            self._enqueue(work)
        else:
            self._rehearse(work)

    def _rehearse(self, work: Work) -> None:
        """Find out before the lock is taken what else a call misses. Routes of the server itself act beside the store: not those."""
        if not work.request.path.startswith("sys/"):
            try:
                work.run(self._core, Staged())
            except Missing as missing:
                self.take(work, missing)
                return
            except (NeedsCommit, Rerun):
                pass  # it is met again under the lock
        self._enqueue(work)

    def _enqueue(self, work: Work) -> None:
        self._follower.aside.wanted |= self.lacked(work)
        self._committer.enqueue(work)

    def lacked(self, work: Work) -> Wanted:
        """What a work missed so far: read under the lock, it cannot be changed any more before the call runs."""
        found: Wanted = work.remembered.get(MISSED, (0, Wanted()))[1]
        return found
