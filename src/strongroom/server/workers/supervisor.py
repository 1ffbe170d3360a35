"""The supervisor: forks the workers of a server, passes signals on, starts again who died. It takes no request.

Rules of this file:
- One thread, no event loop: it forks, and a fork copies no other thread. It opens no store: what a fork inherits excludes nobody.
- What workers ask of each other, and who is opened and sealed, is the keyholder's (keyholder.py).
- Nothing here waits for a worker but the selector, and for a signal nobody waits longer than a turn.
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
from typing import Final

from strongroom.server import notify
from strongroom.server.hardening import end_with_parent
from strongroom.server.logs import Log
from strongroom.server.workers import channel
from strongroom.server.workers.board import Board
from strongroom.server.workers.channel import End, Ended
from strongroom.server.workers.keyholder import Keyholder
from strongroom.server.workers.member import Member
from strongroom.server.workers.slots import DEATHS, WITHIN, Slot
from strongroom.storage.newest import Newest

STOP_SECONDS: Final = 45.0
"""For workers that drain: their own limit is 30 s, and the last audit checkpoint comes behind that."""
HANG_SECONDS: Final = 60.0
"""Without a sign of a worker, which gives one every second. It may hold the store's lock, and then nobody writes. Longer than the disk of a
healthy machine ever stalls."""
START_SECONDS: Final = 300.0
"""For a worker to serve; connections wait in its sockets until then. Seals, audit devices and the database have seconds each."""
PAUSE_SECONDS: Final = 5.0
"""Without a look of the supervisor's own: a machine that was paused. Nobody is to blame for that time."""
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


class Supervisor:
    """See the rules above. `ready` is called once, when all workers serve."""

    def __init__(self, sockets: list[list[socket.socket]], newest: Newest, log: Log, work: Work, ready: Callable[[], None]) -> None:
        self.slots = [Slot(number, each) for number, each in enumerate(sockets)]
        self.board = Board(len(self.slots))
        self._newest, self._log, self._work, self._ready = newest, log, work, ready
        self._keys = Keyholder(self.slots, self.board, log, lambda slot: self._kill(slot, signal.SIGKILL))
        self._selector = selectors.DefaultSelector()
        self._signals: deque[int] = deque()
        self._started = self._stopping = False
        self._exit = 0
        self._looked = time.monotonic()
        for reason in self._keys.root.missing:
            log.warning("not hardened", measure="root key page", reason=reason)

    # -- the loop -------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        self._wakers = waker, woken = socket.socketpair()
        for each in self._wakers:
            each.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        self._selector.register(woken, selectors.EVENT_READ)
        for slot in self.slots:
            self._start(slot)
        while any(slot.pid for slot in self.slots):
            self._turn(woken)
        self._keys.root.wipe()
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
        self._keys.overdue(now)
        paused, self._looked = now - self._looked > PAUSE_SECONDS, now
        for slot in self.slots:
            if paused:
                slot.heard = now  # the machine stood still, and the workers with it
            limit = HANG_SECONDS if slot.serves else START_SECONDS
            if slot.silent(self.board.posts(slot.number), now) > limit and slot.pid and not self._stopping:
                self._log.error("a worker does nothing any more and is ended", slot=slot.number, pid=slot.pid, seconds=limit)
                self._kill(slot, signal.SIGKILL)
                slot.heard = now  # once

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
                for end in (asked, orders):
                    end.close()
                code = self._become(
                    slot, Member(slot.number, self.board, self._newest, asks, ordered, stays_sealed=self._keys.stays_sealed)
                )
            except Exception as error:  # noqa: BLE001  a process that ends here says nothing by itself
                self._log.report(error)
            finally:
                os._exit(code)
        asks.close()
        ordered.close()
        slot.begin(pid, asked, orders, time.monotonic())
        for end in (asked, orders):
            end.socket.settimeout(1.0)
            self._selector.register(end.socket, selectors.EVENT_READ, (slot, end))
        self.board.mark_live(slot.number, live=True)
        if self.board.lead not in self.board.live():
            self.board.lead = slot.number

    def _become(self, slot: Slot, member: Member) -> int:
        """In the child: leave everything that is the supervisor's, then work."""
        signal.set_wakeup_fd(-1)
        for each in self._wakers:
            each.close()
        for number, handler in CHILD_SIGNALS.items():
            signal.signal(number, handler)
        self._selector.close()
        for other in self.slots:
            if other is not slot:
                other.close_sockets()
            other.end()
        self._keys.forget()
        return self._work(member, slot.sockets)

    def _reap(self) -> None:
        for slot in self.slots:
            if slot.pid:
                pid, status = os.waitpid(slot.pid, os.WNOHANG)
                if pid:
                    self._ended(slot, os.waitstatus_to_exitcode(status))

    def _ended(self, slot: Slot, code: int) -> None:
        never_served, ends, pid = not slot.serves, slot.ends, slot.pid
        self._forget(slot)
        if self._stopping:
            return
        if not self._started and never_served and code == 1:
            self._exit = 1  # its own words say why: the configuration cannot be served
            self._stop()
        elif ends:
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
        self._keys.gone(slot)

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

    # -- what workers say -------------------------------------------------------------------------------------------

    def _hear(self, slot: Slot, end: End) -> None:
        if end not in (slot.asks, slot.orders):
            return  # its worker ended in this very turn
        try:
            message = end.receive()
            if end is slot.orders:
                self._keys.obeyed(slot, end, message)
            elif isinstance(message, channel.Serves):
                end.answer(channel.Done())
                self._serves(slot)
            else:
                self._keys.asked(slot, end, message)
        except (Ended, TimeoutError):
            self._kill(slot, signal.SIGKILL)  # it is ending, or says what no worker says
        finally:
            end.wipe()

    def _serves(self, slot: Slot) -> None:
        slot.serves = True
        if not self._started and all(each.serves for each in self.slots):
            self._started = True
            self._ready()
