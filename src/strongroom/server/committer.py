"""From a request to its answer: reads run at once, writes in groups, answers wait until they may leave.

Rules of this file:
- The loop runs calls; one thread takes the store's lock and commits; the threads of slow.py do what is slow. Nothing else runs in parallel.
- An answer leaves only after its audit lines are out and its group is durable. All reads of a tick share one audit write.
- One group is in flight at a time; whatever arrives meanwhile forms the next one. That is what makes groups.
- Nothing here can stop the loop: every step ends in an answer, if only an error.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

from strongroom.core.call import Call, Pause, Rerun
from strongroom.core.core import Core
from strongroom.core.group import GroupRun, record
from strongroom.core.mirror import Missing
from strongroom.core.takeback import take_back
from strongroom.core.transaction import NeedsCommit
from strongroom.core.work import Internal, Reported, Work
from strongroom.errors import AuditFailed, InternalError, StorageUnusable, StrongroomError, Unavailable
from strongroom.server.slow import BUSY, HASHING, OUTSIDE, Slow
from strongroom.storage.api import Group

MAX_PARKED = 4_096
"""Calls waiting in one worker; beyond it callers are told to come back."""
NO_LOCK = "the store's lock could not be taken; the server's log says why"
SLICE_SECONDS = 0.002
"""How long a group keeps the loop before reads get a turn."""


class Answer(Protocol):
    """What waits to be sent: a finished work, or a read that was repeated without one."""

    @property
    def call(self) -> Call | None: ...
    @property
    def done(self) -> Callable[[Any], None]: ...
    @property
    def recorded(self) -> bool: ...
    def failed(self, error: StrongroomError) -> None: ...


def quiet(report: Reported) -> Reported:
    """A report that cannot itself fail: a log that does not take a line must not stop what it is about."""

    def reported(error: BaseException, call: Call | None) -> None:
        with suppress(Exception):
            report(error, call)

    return reported


class Committer:
    """The one way through the core of a worker."""

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop, report: Reported) -> None:
        self.core = core
        self._loop = loop
        self._report = quiet(report)
        self._queue: deque[Work] = deque()
        self._ready: list[Answer] = []
        self._flushing = False
        self._busy = False
        self._hashing = Slow("hash", HASHING, loop, self._again)
        self._outside = Slow("outside", OUTSIDE, loop, self._again)
        self._paused = 0
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="commit", daemon=True)
        self._thread.start()
        self._after: list[Callable[[], None]] = []
        self._idle: list[asyncio.Future[None]] = []
        self._lost: int | None = None
        self._closed = False
        self.fetch: Callable[[Work, Missing], None] = lambda work, _missing: self.refuse(work, InternalError())
        """Where the store is on another machine: has a work run again once what its call missed is here."""
        self.fetching: Callable[[], int] = lambda: 0
        """How many works wait for that."""
        self.on_commit: Callable[[GroupRun], None] = lambda _run: None
        self.groups = 0

    # -- in -----------------------------------------------------------------------------------------------------

    def submit(self, work: Work) -> None:
        """Take a work in; its `done` is called once, later, with `response` or `error` set."""
        if self._closed or len(self._queue) + self._slow >= MAX_PARKED:
            work.call = None
            work.failed(Unavailable("too many requests are waiting; try again in a second"))
            self.park(work)
            return
        if self.core.commits(work.request):
            self.enqueue(work)
            return
        try:
            work.run(self.core, None)
        except NeedsCommit:
            self.enqueue(work)
            return
        except Rerun as rerun:
            self._later(work, rerun)
            return
        self._record(work)
        self.park(work)

    def recording(self) -> None:
        """Audit lines of this tick are about to be buffered."""
        if self._lost is None:
            self._lost = self.core.audit.lost

    def refuse(self, work: Work, error: StrongroomError) -> None:
        """Answer a work with an error."""
        work.failed(error)
        self._record(work)
        self.park(work)

    def _record(self, work: Work) -> None:
        self.recording()
        record(self.core, work, self._report)

    def enqueue(self, work: Work) -> None:
        """Take in a work that is known to write: a timer."""
        self._queue.append(work)
        if not self._busy:
            self._begin()

    def after_answers(self, action: Callable[[], None]) -> None:
        """Run something once the answers of this tick are sent."""
        self._after.append(action)
        self._schedule()

    # -- answers ------------------------------------------------------------------------------------------------

    def park(self, answer: Answer) -> None:
        """Take in an answer whose audit lines are buffered since `recording`; it leaves with the others of the tick."""
        self._ready.append(answer)
        if not self._flushing:
            self._schedule()

    def _schedule(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """One audit write for all reads of the tick, then their answers."""
        self._flushing = False
        works, self._ready = self._ready, []
        lost, self._lost = self._lost, None
        try:
            self.core.audit.flush(lost)
        except AuditFailed as error:
            self._unrecorded(works, error)
        except BaseException as error:  # noqa: BLE001  the flush loop must go on
            self._report(error, None)
            self._unrecorded(works, InternalError())
        self._send(works)
        actions, self._after = self._after, []
        for action in actions:
            self._guarded(action)
        self._settled()

    def _unrecorded(self, works: Sequence[Answer], error: StrongroomError) -> None:
        for work in works:
            if work.recorded:
                work.failed(error)

    def _send(self, works: Sequence[Answer]) -> None:
        for work in works:
            try:
                work.done(work)
            except BaseException as error:  # noqa: BLE001  one broken connection must not keep others waiting
                self._report(error, work.call)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001  the flush loop must go on
            self._report(error, None)

    # -- slow things --------------------------------------------------------------------------------------------

    def _later(self, work: Work, rerun: Rerun) -> None:
        if isinstance(rerun, Missing):
            self.fetch(work, rerun)
            return
        if isinstance(rerun, Pause):
            self._paused += 1
            self._loop.call_soon(self._go_on, work, rerun)
            return
        slow = self._outside if rerun.outside else self._hashing
        if work.audited and not slow.has_room(work):
            work.failed(Unavailable(BUSY))
            self._record(work)
            self.park(work)
            return
        slow.take(work, rerun)

    def _go_on(self, work: Work, pause: Pause) -> None:
        self._paused -= 1
        self._again(work, pause, pause.state)

    def _again(self, work: Work, rerun: Rerun, outcome: object) -> None:
        """The result is there: run the call again."""
        work.remembered[rerun.key] = outcome
        if work.audited:
            self.submit(work)
        else:
            self.enqueue(work)

    @property
    def _slow(self) -> int:
        return self._hashing.held + self._outside.held + self._paused + self.fetching()

    # -- groups -------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """The committing thread: does what it is told, one order after another."""
        while True:
            order = self._orders.get()
            if order is None:
                return
            order()
            del order  # its group holds plaintext and keys, and the next one may be long in coming

    def _begin(self) -> None:
        self._busy = True
        self._loop.call_soon(self._take_lock_now)

    def _take_lock_now(self) -> None:
        """At the end of the tick, so that its writes form one group: take the lock here if it is free, else let the thread wait for it."""
        try:
            group = self.core.storage.try_begin(self.core.committed.gsn)
        except StrongroomError as error:
            self._run(error)
            return
        except BaseException as error:  # noqa: BLE001  a driver's bug must not end the loop
            self._report(error, None)
            self._run(StorageUnusable(NO_LOCK))
            return
        if group is None:
            self._orders.put(self._take_lock)
        else:
            self._run(group)

    def _take_lock(self) -> None:
        try:
            group: Group | StrongroomError = self.core.storage.begin(self.core.committed.gsn, ())
        except StrongroomError as error:
            group = error
        except BaseException as error:  # noqa: BLE001  a driver's bug must not end the thread
            self._report(error, None)
            group = StorageUnusable(NO_LOCK)
        self._loop.call_soon_threadsafe(self._run, group)

    def _run(self, group: Group | StrongroomError) -> None:
        if isinstance(group, StrongroomError):
            self._refuse(group)
            return
        try:
            run = GroupRun(self.core, group, self._report)
        except BaseException as error:  # noqa: BLE001  the lock must not stay taken
            self._report(error, None)
            self._orders.put(group.abandon)
            self._refuse(InternalError())
            return
        self._admit(run)

    def _refuse(self, error: StrongroomError) -> None:
        """The lock was not taken: whoever waits for it is told."""
        works = list(self._queue)
        self._queue.clear()
        self._busy = False
        for work in works:
            work.failed(error)
            self._record(work)
        self._ready += works
        self._schedule()

    def _admit(self, run: GroupRun) -> None:
        """Run calls into the group, giving reads a turn every now and then."""
        until = self._loop.time() + SLICE_SECONDS
        queue = self._queue
        while queue and not run.full:
            work = queue.popleft()
            rerun = run.admit(work)
            if rerun is not None:
                self._later(work, rerun)
            if queue and self._loop.time() > until:
                self._loop.call_soon(self._admit, run)
                return
        if lacking := run.lacking():
            self._orders.put(lambda: self._read(run, lacking))
        else:
            self._apply(run)

    def _read(self, run: GroupRun, lacking: list[bytes]) -> None:
        """On the committing thread: what the group replaces and nobody has read."""
        run.read(lacking)
        self._loop.call_soon_threadsafe(self._apply, run)

    def _apply(self, run: GroupRun) -> None:
        wrote = run.apply()
        self._orders.put(lambda: self._commit(run, wrote))

    def _commit(self, run: GroupRun, wrote: bool) -> None:
        """On the committing thread: make it durable, or let go of the lock."""
        self._loop.call_soon_threadsafe(self._committed, run, wrote, run.end(wrote))

    def _committed(self, run: GroupRun, wrote: bool, error: StrongroomError | None) -> None:
        self._guarded(lambda: run.settle(wrote, error))
        if run.unsaid:
            self._queue.append(Internal(take_back(self.core, run.unsaid)))
        if self._queue:
            self._begin()
        else:
            self._busy = False
        self._send(run.works)
        if wrote and error is None:
            self.groups += 1
            self._guarded(lambda: self.on_commit(run))
        self._settled()

    def _settled(self) -> None:
        """Tell those who wait for it that nothing is under way."""
        if self._idle and not self.busy:
            waiters, self._idle = self._idle, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    # -- out ----------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return self._busy or self._flushing or bool(self._queue) or self._slow > 0

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        if self.busy:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._idle.append(waiter)
            await waiter

    def close(self) -> None:
        """Stop the thread and the pool; to be called when idle. Whoever comes later is refused."""
        self._closed = True
        self._orders.put(None)
        self._thread.join(5)
        self._hashing.close()
        self._outside.close()
