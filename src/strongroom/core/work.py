"""One call's way through the core: a request, a timer that has come, or a change of the server's own.

Rules of this file:
- A work may run any number of times, each time from `resolve` on the freshest state; what it staged before is gone then, charges included.
- It ends in a `response` or an `error`. Effects commit only without an error; charges in any case.
- A timer's row goes in the commit of its job; a job that fails is set again in that commit, and never given up.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from strongroom.barrier.view import DUE, QUEUE_AREA, Due, decoder
from strongroom.core.call import Call, Rerun
from strongroom.core.core import Core
from strongroom.core.jobs import lease_failed, run_due
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Response
from strongroom.core.secret import Secret
from strongroom.core.transaction import NeedsCommit, Staged, Transaction
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InternalError, StorageTampered, StrongroomError
from strongroom.outbound.errors import OutboundError, Untold

Reported = Callable[[BaseException, Call | None], None]
"""Where an exception that is a bug goes: the log, with the request id."""


class Work:
    """One request on its way through: what it has become so far, and how to answer it.

    `fault` is the exception behind an `error` that is a bug, or says that the store was tampered with; whoever runs the work reports it.
    """

    __slots__ = ("call", "done", "error", "fault", "remembered", "request", "response")

    def __init__(self, request: Request, done: Callable[[Work], None]) -> None:
        self.request = request
        self.done = done
        self.remembered: dict[Any, Any] = {}
        self.call: Call | None = None
        self.response: Response | None = None
        self.error: StrongroomError | None = None
        self.fault: BaseException | None = None

    def run(self, core: Core, group: Staged | None) -> Staged:
        """One attempt; returns what may commit of it. Raises NeedsCommit and Rerun; any other failure ends up in `error`.

        Outside a group the state may change under the call; then it runs again, and in the end under the lock, where it cannot.
        """
        for _ in range(UNSTEADY_RUNS):
            staged = self._once(core, group)
            if group is not None or self.call is None or self._steady(core):
                return staged
        raise NeedsCommit

    def _steady(self, core: Core) -> bool:
        try:
            return core.committed.steady()
        except StrongroomError as error:
            self._failed_with(error)
            return True

    def _once(self, core: Core, group: Staged | None) -> Staged:
        self.call = self.response = self.error = self.fault = None
        transaction: Transaction | None = None
        try:
            if self._answered(core):
                return Staged()
            if group is None:
                core.committed.follow()
            transaction = core.transaction(group)
            call = self.call = Call(self.request, self.request.operation, transaction, remembered=self.remembered)
            self._attempt(core, call)
            return transaction.outcome()
        except Rerun:
            if len(self.remembered) < MAX_RERUNS:
                raise
            self._failed_with(RuntimeError("a route wants ever more results worked out"))
        except NeedsCommit as error:
            if group is None:
                raise
            self._failed_with(error)  # a route cannot need more than a group
        except BaseException as error:  # noqa: BLE001  whatever a route raises is one answer, not the end of the worker
            self._failed_with(error)
        return Staged() if transaction is None else self._charged(core, transaction)

    def _failed_with(self, error: BaseException) -> None:
        if isinstance(error, OutboundError) and self.call is not None and self.call.route is not None and self.call.route.public:
            error = Untold(error)
        if isinstance(error, StrongroomError):
            self.error = error
            if isinstance(error, StorageTampered):
                self.fault = error  # not a bug, but nobody may overlook it
            else:
                error.__traceback__ = error.__context__ = None  # its frames hold this work: a ring that only the collector could free
        else:
            self.error, self.fault = InternalError(), error

    def _answered(self, core: Core) -> bool:
        """Routes that work while sealed: no token, no mount, no audit."""
        public = core.public.get(self.request.path)
        if public is None or self.request.operation is Operation.HELP:
            return False
        self.response = public(core, self.request)
        return self.response is not None

    def _attempt(self, core: Core, call: Call) -> None:
        self.response = core.attempt(call)

    def _charged(self, _core: Core, transaction: Transaction) -> Staged:
        """What commits although the call failed."""
        return transaction.charges

    def failed(self, error: StrongroomError) -> None:
        """Answer with an error instead of whatever there was."""
        self.response, self.error = None, error

    @property
    def audited(self) -> bool:
        """Requests are, timers are not."""
        return True

    @property
    def mount_type(self) -> str:
        """The kind of the mount that answered, or ""."""
        return "" if self.call is None else self.call.mount_type

    @property
    def recorded(self) -> bool:
        """Whether there are audit lines of it: not of what was answered without a call."""
        return self.audited and self.call is not None

    @property
    def gone(self) -> bool:
        """Whether nobody would read the answer any more."""
        return False

    def __repr__(self) -> str:
        return f"Work({self.request!r})"


UNSTEADY_RUNS = 3
"""Attempts outside a group while others commit between what is read: one in fifty needs a second one on a busy host."""
MAX_RERUNS = 64
"""Slow results that one call may ask for, one after another: a login needs two or three."""


class Timer(Work):
    """A due row on its way through: run like a request, answered to nobody."""

    __slots__ = ("due", "key")

    def __init__(self, key: bytes, due: Due, done: Callable[[Work], None]) -> None:
        super().__init__(Request(uuid4_text(), Operation.UPDATE, due.job, {}, b"", Secret(""), Peer()), done)
        self.key = key
        self.due = due

    def _answered(self, _core: Core) -> bool:
        return False

    def _attempt(self, core: Core, call: Call) -> None:
        """Do the job and remove its row."""
        if call.transaction.get(self.key) is None:
            return
        call.transaction.put(self.key, None, charge=True)
        run_due(core, call, self.due)

    def _charged(self, core: Core, transaction: Transaction) -> Staged:
        """The job failed: set it again for later, and count where that is counted."""
        transaction.drop_effects()
        call = self.call
        if call is not None and transaction.staged(self.key)[0]:
            lease_failed(core, call, self.due)
            set_again(call, self.due)
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

    def _answered(self, _core: Core) -> bool:
        return False

    def _attempt(self, _core: Core, call: Call) -> None:
        self.result = self.change(call)

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
    key = QUEUE_AREA + DUE + when.to_bytes(8, "big") + secrets.token_bytes(8)
    again = Due(due.area, due.job, due.payload, due.attempts + 1)
    call.transaction.put(key, msgspec.msgpack.encode(again), charge=True, fresh=True)


def next_due(core: Core, now: int, limit: int, report: Reported) -> tuple[list[tuple[bytes, Due]], int]:
    """Timers that have come, oldest first, and the instant of the next one that has not (0 = none).

    A row that does not open is reported and passed over, so that it does not hold up all others.
    """
    head = QUEUE_AREA + DUE
    found: list[tuple[bytes, Due]] = []
    start = head
    store = core.storage if core.storage.local else core.committed.store  # where that is the mirror, this runs in a call
    while True:
        rows = store.scan(start, head + b"\xff" * 17, limit + 1)
        for key, record in rows:
            when = int.from_bytes(key[17:25], "big")
            if when > now or len(found) == limit:
                return found, when
            try:
                found.append((key, decoder(Due).decode(core.barrier.open(key, record))))
            except (StorageTampered, msgspec.DecodeError) as error:
                report(error, None)
        if len(rows) <= limit:
            return found, 0
        start = rows[-1][0] + b"\0"
