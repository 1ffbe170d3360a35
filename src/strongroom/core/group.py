"""A group: the calls that commit together, run one after another under the store's lock.

Rules of this file:
- Every call runs from `resolve` on the freshest state plus the group's earlier rows; one that raises drops only its own effects.
- Request lines are out before rows are applied; response lines before answers leave. Nothing here waits: the committer does.
- A call that needs something slow leaves the group and comes back; whatever it staged is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from strongroom.barrier.view import DUE, QUEUE_AREA, Due, decoder
from strongroom.core.core import Core
from strongroom.core.jobs import lease_failed, run_due
from strongroom.core.request import Call, Operation, Peer, Raised, Request, Rerun, Response, Secret
from strongroom.core.transaction import NeedsCommit, Staged
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import AuditFailed, InternalError, StrongroomError
from strongroom.storage.api import Group

Reported = Callable[[BaseException, Call | None], None]
"""Where an exception that is a bug goes: the log, with the request id."""


class Work:
    """One request on its way through: what it has become so far, and how to answer it."""

    __slots__ = ("call", "done", "error", "remembered", "request", "response")

    def __init__(self, request: Request, done: Callable[[Work], None]) -> None:
        self.request = request
        self.done = done
        self.remembered: dict[Any, Any] = {}
        self.call: Call | None = None
        self.response: Response | None = None
        self.error: StrongroomError | None = None

    def run(self, core: Core, group: Staged | None) -> Staged:
        """One attempt; returns what it staged. Raises NeedsCommit and Rerun; a failure ends up in `error`."""
        public = core.public.get(self.request.path)
        if public is not None:
            return self._answer(core, public)
        transaction = core.transaction(group)
        call = self.call = Call(self.request, self.request.operation, transaction, remembered=self.remembered)
        self.response = self.error = None
        try:
            self.response = core.attempt(call)
        except StrongroomError as error:
            self.error = error
            return transaction.charges
        transaction.charges.take(transaction.effects)
        return transaction.charges

    def _answer(self, core: Core, public: Callable[[Core, Request], Response]) -> Staged:
        """Routes that work while sealed: no token, no mount, no audit."""
        try:
            self.response = public(core, self.request)
        except StrongroomError as error:
            self.error = error
        return Staged()

    def failed(self, error: StrongroomError) -> None:
        """Answer with an error instead of whatever there was."""
        self.response, self.error = None, error

    @property
    def audited(self) -> bool:
        """Requests are, timers are not."""
        return True

    def __repr__(self) -> str:
        return f"Work({self.request!r})"


class Timer(Work):
    """A due row on its way through: run like a request, answered to nobody."""

    __slots__ = ("due", "fault", "key")

    def __init__(self, key: bytes, due: Due, done: Callable[[Work], None]) -> None:
        super().__init__(Request(uuid4_text(), Operation.UPDATE, due.job, {}, b"", Secret(""), Peer()), done)
        self.key = key
        self.due = due
        self.fault: Exception | None = None

    def run(self, core: Core, group: Staged | None) -> Staged:
        """Do the job and remove its row; where it fails, set it again for later."""
        transaction = core.transaction(group)
        call = self.call = Call(self.request, self.request.operation, transaction, remembered=self.remembered)
        self.error = None
        row = transaction.get(self.key)
        if row is None:
            return transaction.charges
        transaction.put(self.key, None, charge=True)
        try:
            run_due(core, call, self.due)
        except (NeedsCommit, Rerun):
            raise
        except Exception as error:  # noqa: BLE001  whatever it was, the job is tried again
            self.error = error if isinstance(error, StrongroomError) else InternalError()
            self.fault = error
            lease_failed(core, call, self.due)
            set_again(call, self.due)
            return transaction.charges
        transaction.charges.take(transaction.effects)
        return transaction.charges

    @property
    def audited(self) -> bool:
        """Requests are, timers are not."""
        return False


class Internal(Work):
    """A change the server itself makes: at init, at start, when the keyring rotates."""

    __slots__ = ("change", "result")

    def __init__(self, change: Callable[[Call], object], done: Callable[[Work], None] = lambda _work: None) -> None:
        super().__init__(Request(uuid4_text(), Operation.UPDATE, "internal", {}, b"", Secret(""), Peer()), done)
        self.change = change
        self.result: object = None

    def run(self, core: Core, group: Staged | None) -> Staged:
        """Make the change."""
        transaction = core.transaction(group)
        call = self.call = Call(self.request, self.request.operation, transaction, remembered=self.remembered)
        self.error = None
        try:
            self.result = self.change(call)
        except StrongroomError as error:
            self.error = error
            return transaction.charges
        transaction.charges.take(transaction.effects)
        return transaction.charges

    @property
    def audited(self) -> bool:
        """Requests are, the server's own changes are not."""
        return False


LONGEST_WAIT = 300
"""Seconds between tries of a job that keeps failing."""


def set_again(call: Call, due: Due) -> None:
    """Set a failed job for later: 1, 2, 4 … seconds, at most five minutes, for as long as it takes."""
    wait = min(LONGEST_WAIT, 1 << min(due.attempts, 9))
    when = call.transaction.now + wait * 1_000_000_000
    key = QUEUE_AREA + DUE + when.to_bytes(8, "big") + uuid4_text()[:8].encode()
    again = Due(due.area, due.job, due.payload, due.attempts + 1)
    call.transaction.put(key, msgspec.msgpack.encode(again), charge=True, fresh=True)


class GroupRun:
    """The steps of one group, in order: `admit` each work, `apply`, commit (the committer's), `committed`."""

    def __init__(self, core: Core, group: Group, report: Reported) -> None:
        self.core = core
        self.group = group
        self.staged = Staged()
        self.works: list[Work] = []
        self._report = report
        self._puts: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        if group.feed.keys is None or group.feed.keys:
            keys = None if group.feed.keys is None else list(group.feed.keys)
            core.committed.forget(keys, keys)

    def admit(self, work: Work) -> Rerun | None:
        """Run a work as the next of the group; a Rerun is returned, and the work is then not part of it."""
        try:
            self.staged.take(work.run(self.core, self.staged))
        except Rerun as rerun:
            return rerun
        except NeedsCommit as error:  # a route cannot need more than a group
            self._report(error, work.call)
            work.failed(InternalError())
        except Exception as error:  # noqa: BLE001  a bug in a route is one 500, not the end of the group
            self._report(error, work.call)
            work.failed(InternalError())
        self.works.append(work)
        if work.audited and work.call is not None:
            self.core.audit.request(work.call, work.error)
        return None

    def apply(self) -> bool:
        """Write the request lines, then the rows; False when there is nothing to commit. Raises StrongroomError."""
        self.core.audit.flush()
        if not self.staged:
            return False
        committed = self.core.committed
        self._old = committed.old_records([key for key in self.staged if key not in self.staged.fresh])
        self._puts = self.core.barrier.write(self.group, self.staged, self._old, self.staged.min_epoch)
        return True

    def committed(self) -> None:
        """The rows are durable: let go of what they replaced, and write the response lines."""
        committed = self.core.committed
        old, puts = self._old, self._puts
        kept = committed.cache.rows
        keep = [key for key in puts if key in kept]
        came_or_went = [key for key in self.staged if (key in old) != (key in puts)]
        committed.forget(list(self.staged), came_or_went)
        for key in keep:
            committed.cache.keep(key, puts[key])

    def answer(self) -> None:
        """Write the response lines; where no device took them, every answer becomes an error that says so."""
        audit = self.core.audit
        for work in self.works:
            if work.audited and work.call is not None:
                audit.response(work.call, work.response, work.error)
        try:
            audit.flush()
        except AuditFailed:
            for work in self.works:
                if work.error is None:
                    work.failed(AuditFailed("the change was stored, but no audit device took its response; it is not shown"))

    def fail(self, error: StrongroomError) -> None:
        """Nothing was committed: every answer becomes this error."""
        for work in self.works:
            if work.error is None:
                work.failed(error)


def next_due(core: Core, now: int, limit: int) -> tuple[list[tuple[bytes, Due]], int]:
    """Timers that have come, oldest first, and the instant of the next one that has not (0 = none)."""
    head = QUEUE_AREA + DUE
    rows = core.storage.scan(head, head + b"\xff" * 9, limit + 1)
    due = [(key, record) for key, record in rows if int.from_bytes(key[17:25], "big") <= now][:limit]
    later = rows[len(due)][0] if len(rows) > len(due) else None
    found = [(key, decoder(Due).decode(core.barrier.open(key, record))) for key, record in due]
    return found, int.from_bytes(later[17:25], "big") if later is not None else 0


def perform(core: Core, work: Work, report: Reported) -> Work:
    """Take one work all the way, here and now: for start-up, tools and tests. Fills in `response` or `error`."""
    while True:
        try:
            work.run(core, None)
        except NeedsCommit:
            rerun = _commit_alone(core, work, report)
        except Rerun as needed:
            rerun = needed
        else:
            if work.audited and work.call is not None:
                core.audit.request(work.call, work.error)
                core.audit.response(work.call, work.response, work.error)
                core.audit.flush()
            return work
        if rerun is None:
            return work
        try:
            work.remembered[rerun.key] = rerun.fn()
        except Exception as error:  # noqa: BLE001  the call decides what its failure means
            work.remembered[rerun.key] = Raised(error)


def _commit_alone(core: Core, work: Work, report: Reported) -> Rerun | None:
    group = core.storage.begin(core.committed.gsn, ())
    run = GroupRun(core, group, report)
    try:
        rerun = run.admit(work)
        wrote = rerun is None and run.apply()
    except BaseException:
        group.abandon()
        raise
    if wrote:
        group.commit()
        core.committed.gsn = group.gsn
        run.committed()
    else:
        group.abandon()
    run.answer()
    return rerun


def transact(core: Core, change: Callable[[Call], object], report: Reported) -> object:
    """Make a change of the server's own and return what it returned. Raises StrongroomError."""
    work = Internal(change)
    perform(core, work, report)
    if work.error is not None:
        raise work.error
    return work.result
