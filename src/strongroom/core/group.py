"""A group: the calls that commit together, run one after another under the store's lock.

Rules of this file:
- Every call runs from `resolve` on the freshest state plus the group's earlier rows; one that raises drops only its own effects.
- Request lines are out before rows are applied; response lines before answers leave. Nothing here waits: the committer does.
- A call that needs something slow leaves the group and comes back; whatever it staged is gone.
- Nothing gets past a step, not even a panic of a native library: the store's lock would stay taken.
- A call that has no request line does not commit, and one that has no response line is not answered with what it found.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from strongroom.barrier.barrier import Written
from strongroom.core.call import Call, Raised, Rerun
from strongroom.core.core import Core
from strongroom.core.mirror import Mirror
from strongroom.core.takeback import Unsaid, issues, take_back
from strongroom.core.transaction import NeedsCommit, Staged
from strongroom.core.work import Internal, Reported, Work
from strongroom.errors import AuditFailed, InternalError, OutcomeUnknown, StorageUnusable, StrongroomError
from strongroom.storage.api import Group


class GroupRun:
    """The steps of one group, in order: `admit` each work, `apply`, `end` (on the committing thread), `settle`. Only reports raise."""

    def __init__(self, core: Core, group: Group, report: Reported) -> None:
        self.core = core
        self.group = group
        self.staged = Staged()
        self.works: list[Work] = []
        self.size = 0
        self.unsaid: list[Unsaid] = []
        """Answers that issued something and were not given; who commits takes back what they issued."""
        self._report = report
        self._lost = core.audit.lost
        self._written = Written({}, {})
        self._old: dict[bytes, bytes] = {}
        self._unread: StrongroomError | None = None
        core.committed.begun(group)

    @property
    def full(self) -> bool:
        """Whether the next call has to wait for the next group."""
        return len(self.works) >= MAX_GROUP or self.size >= MAX_GROUP_BYTES

    def admit(self, work: Work) -> Rerun | None:
        """Run a work as the next of the group; a Rerun is returned, and the work is then not part of it."""
        try:
            staged = self._run(work)
            if work.fault is not None:
                self._report(work.fault, work.call)
            if work.recorded and work.call is not None:
                self.core.audit.request(work.call, work.error)
            self.staged.take(staged)
            self.size += sum(len(plaintext) for plaintext in staged.values() if plaintext)
        except Rerun as rerun:
            return rerun
        except BaseException as error:  # noqa: BLE001  what leaves no request line does not commit
            self._report(error, work.call)
            work.failed(InternalError())
        self.works.append(work)
        return None

    def _run(self, work: Work) -> Staged:
        return self.core.committed.run(self.group, work.remembered, lambda: work.run(self.core, self.staged))

    def lacking(self) -> list[bytes]:
        """Rows to be replaced that `read` has to bring before `apply`: on a store on another machine those that no call has read."""
        if self.core.storage.local:
            return []
        rows = self.core.committed.cache.rows
        replaced = {key: rows.get(key) for key in self.staged if key not in self.staged.fresh}
        self._old = {key: entry.record for key, entry in replaced.items() if entry is not None and entry.record is not None}
        return [key for key, entry in replaced.items() if entry is None]

    def read(self, keys: list[bytes]) -> None:
        """Read rows under the lock; on the committing thread. What goes wrong fails `apply`."""
        try:
            self._old.update(self.group.more(keys))
        except StrongroomError as error:
            self._unread = error
        except BaseException as error:  # noqa: BLE001  a driver's bug must not end the thread
            self._report(error, None)
            self._unread = StorageUnusable("what is replaced could not be read; the server's log says why")

    def apply(self) -> bool:
        """Write the request lines, then the rows. False when nothing is to be committed: there is nothing, or it failed."""
        try:
            if self._unread is not None:
                raise self._unread
            self.core.audit.flush(self._lost)
            return self._write()
        except StrongroomError as error:
            self.fail(error)
        except BaseException as error:  # noqa: BLE001  nothing is committed, everybody is told
            self._report(error, None)
            self.fail(InternalError())
        return False

    def _write(self) -> bool:
        if not self.staged:
            return False
        committed = self.core.committed
        replaced = [key for key in self.staged if key not in self.staged.fresh]
        if self.core.storage.local:
            self._old = committed.run(self.group, {}, lambda: committed.old_records(replaced))
        self._written = self.core.barrier.write(self.group, self.staged, self._old, self.staged.min_epoch, committed.terms(replaced))
        return True

    def end(self, wrote: bool) -> StrongroomError | None:
        """Make it durable, or let go of the lock; returns what went wrong."""
        try:
            if wrote:
                self.group.commit()
            else:
                self.group.abandon()
        except OutcomeUnknown as error:
            return self._looked_up(error)
        except StrongroomError as error:
            return error
        except BaseException as error:  # noqa: BLE001  a driver's bug must not end the thread
            self._report(error, None)
            with suppress(Exception):
                self.group.abandon()
            return StorageUnusable("the change could not be committed; the server's log says why")
        return None

    def _looked_up(self, lost: OutcomeUnknown) -> StrongroomError | None:
        """The answer to COMMIT was lost: ask whether the group is there. Who can say so for certain does, either way."""
        try:
            found = self.core.storage.outcome(self.group.id)
        except StrongroomError:
            return lost
        return StorageUnusable(NOT_STORED) if found is None else None

    def settle(self, wrote: bool, error: StrongroomError | None) -> None:
        """The outcome is known: let go of what the rows replaced, and write the response lines."""
        try:
            if error is not None:
                self.fail(error)
                self.core.committed.forget(None, None)
            elif wrote:
                self._committed()
        finally:
            self._answer()
            self._follow()

    def _follow(self) -> None:
        """Audit devices and headers that this group changed are in use before anybody is told."""
        try:
            self.core.devices.catch_up()
        except BaseException as error:  # noqa: BLE001  everybody still gets an answer
            self._report(error, None)

    def _committed(self) -> None:
        committed = self.core.committed
        if committed.gsn > self.group.gsn:
            return  # this commit was heard of already, and later ones of others: what it wrote may be old
        committed.stand(self.group.gsn)
        old, (puts, terms) = self._old, self._written
        kept = committed.cache.rows
        keep = [key for key in puts if key in kept]
        came_or_went = [key for key in self.staged if (key in old) != (key in puts)]
        committed.forget(list(self.staged), came_or_went)
        for key in keep:
            committed.cache.keep(key, puts[key]).term = terms[key]

    def _answer(self) -> None:
        """Write the response lines; where no device took them, every answer becomes an error that says so."""
        audit = self.core.audit
        try:
            for work in self.works:
                if work.recorded and work.call is not None:
                    audit.response(work.call, work.response, work.error)
            audit.flush()
        except AuditFailed:
            self._unrecorded()
        except BaseException as error:  # noqa: BLE001  an answer that cannot be recorded is not given
            self._unrecorded()
            self._report(error, None)

    def _unrecorded(self) -> None:
        for work in self.works:
            if not work.recorded:
                continue
            if work.error is None:
                if work.response is not None and work.call is not None and issues(work.response):
                    self.unsaid.append((work.response, work.call.transaction.now))
                work.failed(AuditFailed(STORED_UNRECORDED))
            elif work.error.status < 500:
                work.failed(AuditFailed(UNRECORDED))

    def fail(self, error: StrongroomError) -> None:
        """Nothing was committed, charges included: every answer becomes this error."""
        for work in self.works:
            work.failed(error)


MAX_GROUP = 64
"""Calls per commit: more would hold the store's lock for longer than an fsync takes."""
MAX_GROUP_BYTES = 8 << 20
"""Staged plaintext after which a group takes no further call: twice what one call may stage."""
NOT_STORED = "the change was not stored: the store was lost while it was being written; try again"
UNRECORDED = "internal error: no audit device took the entry, so nothing is answered; the server's log names the devices"
STORED_UNRECORDED = "internal error: what was asked for is done and stored, but no audit device took the response, so it is not shown"


def record(core: Core, work: Work, report: Reported) -> None:
    """Buffer both audit lines of a work that had nothing to commit. One that cannot be recorded is answered with an error."""
    if work.fault is not None:
        report(work.fault, work.call)
    if not work.recorded or work.call is None or not core.audit.devices:
        return
    try:
        core.audit.request(work.call, work.error)
        core.audit.response(work.call, work.response, work.error)
    except Exception as error:  # noqa: BLE001  a bug in a format is one 500
        work.failed(InternalError())
        report(error, work.call)


def work_out(rerun: Rerun) -> object:
    """The slow result that a call waits for; a failure is a result too, the call decides what it means."""
    try:
        return rerun.fn()
    except Exception as error:  # noqa: BLE001
        return Raised(error)
    except BaseException as error:  # noqa: BLE001  a panic of a native library is no reason to lose the call
        return Raised(RuntimeError(type(error).__name__))


def perform(core: Core, work: Work, report: Reported) -> Work:
    """Take one work all the way, here and now: for start-up, tools and tests. Fills in `response` or `error`."""
    if isinstance(core.committed, Mirror):
        core.committed.load()
    while True:
        rerun: Rerun | None
        try:
            work.run(core, None)
        except NeedsCommit:
            rerun = _commit_alone(core, work, report)
        except Rerun as needed:
            rerun = needed
        else:
            record(core, work, report)
            _flush(core, work)
            return work
        if rerun is None:
            return work
        work.remembered[rerun.key] = work_out(rerun)


def _flush(core: Core, work: Work) -> None:
    try:
        core.audit.flush()
    except AuditFailed as error:
        if work.recorded:
            work.failed(error)


def _commit_alone(core: Core, work: Work, report: Reported) -> Rerun | None:
    try:
        group = core.storage.begin(core.committed.gsn, ())
    except StrongroomError as error:
        work.failed(error)
        return None
    try:
        run = GroupRun(core, group, report)
        rerun = run.admit(work)
        if lacking := run.lacking():
            run.read(lacking)
        wrote = run.apply()
    except BaseException:
        group.abandon()
        raise
    run.settle(wrote, run.end(wrote))
    if run.unsaid:
        perform(core, Internal(take_back(core, run.unsaid)), report)
    return rerun


def transact(core: Core, change: Callable[[Call], object], report: Reported) -> object:
    """Make a change of the server's own and return what it returned. Raises StrongroomError."""
    work = Internal(change)
    perform(core, work, report)
    if work.error is not None:
        raise work.error
    return work.result
