"""The supervisor: forks the workers of a server, hands on the root key, starts again who died. It takes no request.

Rules of this file:
- One thread, no event loop: it forks, and a fork copies no other thread. It opens no store: what a fork inherits excludes nobody.
- The root key lies in its own page (barrier/rootkey.py) and goes to a worker after that was started, never by the fork.
- Key shares are collected here, so that each may come through another worker; which of them open the store, a worker proves.
- A worker that was told to open or to seal answers when it has; whoever asked for it waits for all of them, and no longer than they live.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from strongroom.barrier.rootkey import RootKey
from strongroom.core.sealing.state import Progress
from strongroom.server import notify
from strongroom.server.hardening import end_with_parent
from strongroom.server.logs import Log
from strongroom.server.workers import channel
from strongroom.server.workers.board import Board
from strongroom.server.workers.channel import End, Ended
from strongroom.server.workers.member import Member
from strongroom.server.workers.slots import DEATHS, WITHIN, Slot
from strongroom.storage.newest import Newest

STOP_SECONDS: Final = 45.0
"""For workers that drain: their own limit is 30 s, and the last audit checkpoint comes behind that."""
ORDER_SECONDS: Final = 10.0
"""For a worker to open or to seal; audit devices have 2 s each. Who takes longer to open is waited for no more, who takes longer to seal is
ended."""
RETIRE_SECONDS: Final = 10.0
"""For a worker that has sealed to end."""
RETRY_SECONDS: Final = 10.0
"""Until a worker that could not open is told again."""
LOOK_SECONDS: Final = 0.5
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

CHILD_SIGNALS: Final = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.SIG_IGN,
    signal.SIGHUP: signal.SIG_IGN,
    signal.SIGCHLD: signal.SIG_DFL,
}
"""Until the worker's loop takes over: a reload that comes too early must not end it, and Ctrl-C is the supervisor's to pass on."""

Work = Callable[[Member, list[socket.socket]], int]
"""What a worker does from its start to its end, in its own process; its exit code."""


class _Wait(NamedTuple):
    """Somebody who is answered once these slots have answered the order of that number, or a later one."""

    asker: Slot
    number: int
    awaited: dict[int, int]
    until: float


class Supervisor:
    """See the rules above. `ready` is called once, when all workers serve."""

    def __init__(self, sockets: list[list[socket.socket]], newest: Newest, log: Log, work: Work, ready: Callable[[], None]) -> None:
        self.slots = [Slot(number, each) for number, each in enumerate(sockets)]
        self.board = Board(len(self.slots))
        self._newest, self._log, self._work, self._ready = newest, log, work, ready
        self._root = RootKey()
        self._used: tuple[bytes, ...] = ()
        self._progress = Progress()
        self._waits: list[_Wait] = []
        self._retries: dict[int, float] = {}
        self._selector = selectors.DefaultSelector()
        self._signals: deque[int] = deque()
        self._started = self._stopping = self._stays_sealed = False
        self._exit = 0
        for reason in self._root.missing:
            log.warning("not hardened", measure="root key page", reason=reason)

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        waker, woken = socket.socketpair()
        for each in (waker, woken):
            each.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        self._selector.register(woken, selectors.EVENT_READ)
        for slot in self.slots:
            self._start(slot)
        while any(slot.pid for slot in self.slots):
            self._turn(woken)
        self._root.wipe()
        return self._exit

    def _turn(self, woken: socket.socket) -> None:
        for key, _ in self._selector.select(LOOK_SECONDS):
            if key.data is not None:
                self._hear(*key.data)
            else:
                with suppress(BlockingIOError):
                    woken.recv(4_096)
        while self._signals:
            self._signalled(self._signals.popleft())
        self._reap()
        self._overdue(time.monotonic())

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._log.try_reopen()
            self._kill_all(signal.SIGHUP)
            notify.reloaded()
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self._stopping:
                self._kill_all(signal.SIGKILL)
            self._log.info("stopping")
            self._stop()

    def _stop(self) -> None:
        """Let the workers drain; nobody is started again."""
        if not self._stopping:
            self._stopping = True
            notify.stopping()
            self._stop_by = time.monotonic() + STOP_SECONDS
            for slot in self.slots:
                slot.close_sockets()
            self._kill_all(signal.SIGTERM)

    def _kill_all(self, number: signal.Signals) -> None:
        for slot in self.slots:
            self._kill(slot, number)

    def _kill(self, slot: Slot, number: signal.Signals) -> None:
        if slot.pid:
            with suppress(ProcessLookupError):
                os.kill(slot.pid, number)

    def _overdue(self, now: float) -> None:
        if self._stopping and now > self._stop_by:
            self._kill_all(signal.SIGKILL)
        for slot in self.slots:
            if slot.retiring and now > slot.end_by:
                self._kill(slot, signal.SIGKILL)  # it was to seal: its end is as good
        for wait in self._waits:
            if now > wait.until:
                for number in [number for number in wait.awaited if not self.slots[number].retiring]:
                    del wait.awaited[number]
        self._answer_waits()
        for number in [number for number, at in self._retries.items() if now > at]:
            del self._retries[number]
            self._open(self.slots[number])

    # -- workers come and go ----------------------------------------------------------------------------------------

    def _start(self, slot: Slot) -> None:
        asks, asked = channel.pair()
        orders, ordered = channel.pair()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                end_with_parent(parent)
                code = self._become(slot, Member(slot.number, self.board, self._newest, asks, ordered, stays_sealed=self._stays_sealed))
            except Exception as error:  # noqa: BLE001  a process that ends here says nothing by itself
                self._log.report(error)
            finally:
                os._exit(code)
        asks.close()
        ordered.close()
        slot.begin(pid, asked, orders)
        for end in (asked, orders):
            end.socket.settimeout(1.0)
            self._selector.register(end.socket, selectors.EVENT_READ, (slot, end))
        self.board.mark_live(slot.number, live=True)
        if self.board.lead not in self.board.live():
            self.board.lead = slot.number

    def _become(self, slot: Slot, member: Member) -> int:
        """In the child: leave everything that is the supervisor's, then work."""
        signal.set_wakeup_fd(-1)
        for number, handler in CHILD_SIGNALS.items():
            signal.signal(number, handler)
        self._selector.close()
        for other in self.slots:
            if other is not slot:
                other.close_sockets()
            other.end()
        self._progress.reset()
        return self._work(member, slot.sockets)

    def _reap(self) -> None:
        for slot in self.slots:
            if slot.pid:
                pid, status = os.waitpid(slot.pid, os.WNOHANG)
                if pid:
                    self._ended(slot, os.waitstatus_to_exitcode(status))

    def _ended(self, slot: Slot, code: int) -> None:
        never_served, retiring, pid = not slot.serves, slot.retiring, slot.pid
        self._forget(slot)
        if self._stopping:
            return
        if not self._started and never_served and code == 1:
            self._exit = 1  # its own words say why: the configuration cannot be served
            self._stop()
        elif retiring:
            self._start(slot)
        else:
            self._died(slot, pid, code)

    def _forget(self, slot: Slot) -> None:
        for end in (slot.asks, slot.orders):
            if end is not None:
                self._selector.unregister(end.socket)
        slot.end()
        self.board.mark_live(slot.number, live=False)
        live = self.board.live()
        if self.board.lead == slot.number and live:
            self.board.lead = live[0]
        self._waits = [wait for wait in self._waits if wait.asker is not slot]
        self._excused(slot)

    def _died(self, slot: Slot, pid: int, code: int) -> None:
        self._log.error("a worker died", slot=slot.number, pid=pid, code=code)
        if not slot.died(time.monotonic()):
            self.board.restarts += 1
            self._start(slot)
            return
        slot.close()
        self.board.mark_closed(slot.number)
        self._log.error("its slot is given up: it died again and again", slot=slot.number, deaths=DEATHS, within_seconds=WITHIN)
        if all(each.closed for each in self.slots):
            self._exit = 1

    # -- what workers ask -------------------------------------------------------------------------------------------

    def _hear(self, slot: Slot, end: End) -> None:
        if end not in (slot.asks, slot.orders):
            return  # its worker ended in this very turn
        try:
            message = end.receive()
            if end is slot.asks:
                self._asked(slot, end, message)
            else:
                self._obeyed(slot, end, message)
        except (Ended, TimeoutError):
            self._kill(slot, signal.SIGKILL)  # it is ending, or says what no worker says
        finally:
            end.wipe()

    def _asked(self, slot: Slot, end: End, message: channel.Message) -> None:
        match message:
            case channel.Hello():
                slot.joined = True
                end.answer(channel.Welcome(self._root.held))
                self._open(slot)
            case channel.Serves():
                slot.serves = True
                end.answer(channel.Done())
                self._serving()
            case channel.Opened(used):
                self._opened(slot, end, used)
            case channel.RootChanged():
                self._root.hold(end.root)
                end.answer(channel.Done())
            case channel.SealOthers():
                self._seal_others(slot, end)
            case channel.Retire():
                slot.retire(time.monotonic() + RETIRE_SECONDS)
                end.answer(channel.Done())
            case channel.ShareGiven(set_id, threshold, share, accept):
                given = self._progress.give(set_id, threshold, share, accept=accept)
                end.answer(channel.SharesTaken(given.new, given.shares, given.accepted))
            case channel.ProgressWanted():
                standing = self._progress.standing()
                end.answer(channel.Progressed(standing.nonce, dict(standing.counts)))
            case channel.ProgressReset():
                self._progress.reset()
                end.answer(channel.Done())
            case _:
                raise Ended("a worker asks for what there is not")

    def _serving(self) -> None:
        if not self._started and all(each.serves for each in self.slots):
            self._started = True
            self._ready()

    def _opened(self, slot: Slot, end: End, used: tuple[bytes, ...]) -> None:
        """A worker proved the root key. It may answer when the others have opened too: its client asks those next."""
        self._root.hold(end.root)
        self._used = (*self._used, *(each for each in used if each not in self._used))
        self._stays_sealed = False
        slot.opened = True
        self._progress.reset()
        self._excused(slot)
        others = [other for other in self.slots if other is not slot and other.joined and not other.opened]
        for other in others:
            self._open(other)
        self._await(slot, end, others)

    def _open(self, slot: Slot) -> None:
        if self._root.held and slot.joined and not slot.opened:
            self._order(slot, channel.Open(self._used), self._root.key)

    def _seal_others(self, slot: Slot, end: End) -> None:
        """All but the asking worker seal, which does so last: its checkpoint covers what the others wrote."""
        self._root.wipe()
        self._used, self._stays_sealed = (), True
        self._progress.reset()
        self.board.lead = slot.number
        others = [other for other in self.slots if other is not slot and other.pid]
        for other in others:
            other.retire(time.monotonic() + ORDER_SECONDS)
            if other.joined:
                self._order(other, channel.Seal())
            else:
                self._kill(other, signal.SIGKILL)
        self._await(slot, end, others)

    def _order(self, slot: Slot, order: channel.Order, root: bytes | memoryview = channel.NO_ROOT) -> None:
        if slot.orders is not None:
            slot.ordered += 1
            with suppress(Ended):  # it is dying, which is heard of otherwise
                slot.orders.send(order, root, slot.ordered)

    def _await(self, slot: Slot, end: End, others: list[Slot]) -> None:
        awaited = {other.number: other.ordered for other in others}
        self._waits.append(_Wait(slot, end.number, awaited, time.monotonic() + ORDER_SECONDS))
        self._answer_waits()

    def _obeyed(self, slot: Slot, end: End, message: channel.Message) -> None:
        """A worker carried out an order, or says why it could not."""
        problem = message.problem if isinstance(message, channel.Done) else "it answers what nobody asked"
        if not slot.retiring:
            slot.opened = not problem
        if problem:
            self._log.error("a worker could not open the store", slot=slot.number, reason=problem, next_try_seconds=RETRY_SECONDS)
            self._retries[slot.number] = time.monotonic() + RETRY_SECONDS
        for wait in self._waits:
            if wait.awaited.get(slot.number, end.number + 1) <= end.number:
                del wait.awaited[slot.number]
        self._answer_waits()

    def _excused(self, slot: Slot) -> None:
        """Nobody has to wait for this worker any more."""
        for wait in self._waits:
            wait.awaited.pop(slot.number, None)
        self._answer_waits()

    def _answer_waits(self) -> None:
        for wait in [wait for wait in self._waits if not wait.awaited]:
            self._waits.remove(wait)
            if wait.asker.asks is not None:
                with suppress(Ended):
                    wait.asker.asks.send(channel.Done(), number=wait.number)
