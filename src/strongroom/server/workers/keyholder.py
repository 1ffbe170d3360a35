"""What a supervisor knows of keys: the root key, the unseal shares given so far, and who is to open or to seal.

Rules of this file:
- The root key lies in its own page (barrier/rootkey.py) and goes to a worker after that was started, never by the fork.
- Shares are collected here, so that each may come through another worker; which of them open the store, a worker proves.
- A worker that was told to open or to seal answers when it has; whoever asked for it waits for all of them, and no longer than they live.
- Who does not open in time is waited for no more and told again later. Who does not seal in time is ended, and waited for until it is.
- What was under way while the server was sealed does not open it again: a key is not taken from a worker that is to end, and one that
  only replaces another where there is another.
- A seal is a seal: from the first worker that is told until the last one is sealed, shares are not taken and nobody opens. The last is
  the one that asked; it may be putting a snapshot in the place of the store. Who asks for the same meanwhile is not the last.
- A worker that has sealed is opened again like any other, until it says that it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from strongroom.barrier.rootkey import RootKey
from strongroom.core.sealing.state import Progress
from strongroom.server.logs import Log
from strongroom.server.workers import channel
from strongroom.server.workers.board import Board
from strongroom.server.workers.channel import End, Ended
from strongroom.server.workers.slots import Slot

ORDER_SECONDS: Final = 10.0
"""For a worker to open or to seal; audit devices have 2 s each."""
RETIRE_SECONDS: Final = 10.0
"""For a worker that retires to end."""
RETRY_SECONDS: Final = 10.0
"""Until a worker that could not open is told again."""


class _Wait(NamedTuple):
    """Somebody who is answered once these slots have answered the order of that number, or a later one."""

    asker: Slot
    number: int
    awaited: dict[int, int]
    until: float
    answer: channel.Answer


class Keyholder:
    """See the rules above. `end` is how a worker is ended that does not do it by itself."""

    def __init__(self, slots: Sequence[Slot], board: Board, log: Log, end: Callable[[Slot], None]) -> None:
        self._slots, self._board, self._log, self._end = slots, board, log, end
        self.root = RootKey()
        self.stays_sealed = False
        """Somebody sealed the server: workers that are started now do not open by themselves."""
        self._used: tuple[bytes, ...] = ()
        self._progress = Progress()
        self._waits: list[_Wait] = []
        self._retries: dict[int, float] = {}
        self._last: Slot | None = None
        """Who had the others sealed, until it has too."""

    def forget(self) -> None:
        """In the child of a fork, which has no page to wipe: the shares."""
        self._progress.reset()

    # -- what workers ask -------------------------------------------------------------------------------------------

    def asked(self, slot: Slot, end: End, message: channel.Message) -> None:
        """Answer a worker, now or later. Raises Ended for what no worker asks."""
        match message:
            case channel.Hello():
                slot.joined = True
                end.answer(channel.Welcome(self.root.held))
                self._open(slot)
            case channel.Opened(used) if not slot.ends and self._last is None:
                self._opened(slot, end, used)
            case channel.RootChanged() if not slot.ends and self.root.held:
                self.root.hold(end.root)
                end.answer(channel.Done())
            case channel.Opened() | channel.RootChanged():
                end.answer(channel.Done())
            case channel.SealOthers() if slot.ends or self._last not in (None, slot):
                end.answer(channel.OthersSealed(last=False))
            case channel.SealOthers() if self._last is slot:  # for another request: nobody is told twice
                self._await(slot, end, [other for other in self._slots if other.sealing], channel.OthersSealed(last=True))
            case channel.SealOthers():
                self._seal_others(slot, end)
            case channel.Sealed():
                slot.sealed()
                self._last = None if self._last is slot else self._last
                end.answer(channel.Done())
            case channel.Retire():
                slot.retire(time.monotonic() + RETIRE_SECONDS)
                end.answer(channel.Done())
            case _:
                end.answer(self._asked_of_shares(slot, message))
        self._show()

    def _asked_of_shares(self, slot: Slot, message: channel.Message) -> channel.Answer:
        match message:
            case channel.ShareGiven() if self._being_sealed or slot.retiring:
                return channel.Done("the server is being sealed")
            case channel.ShareGiven(set_id, threshold, share, accept):
                given = self._progress.give(set_id, threshold, share, accept=accept)
                return channel.SharesTaken(given.new, given.shares, given.accepted)
            case channel.ProgressWanted():
                standing = self._progress.standing()
                return channel.Progressed(standing.nonce, dict(standing.counts))
            case channel.ProgressReset():
                self._progress.reset()
                return channel.Done()
            case _:
                raise Ended("a worker asks for what there is not")

    @property
    def _being_sealed(self) -> bool:
        return self._last is not None or any(slot.sealing and slot.pid for slot in self._slots)

    def _show(self) -> None:
        self._board.keyed = self.root.held or self._being_sealed

    def _opened(self, slot: Slot, end: End, used: tuple[bytes, ...]) -> None:
        """A worker proved the root key. It may answer when the others have opened too: its client asks those next."""
        self.root.hold(end.root)
        self._used = (*self._used, *(each for each in used if each not in self._used))
        self.stays_sealed = False
        slot.opened = True
        self._progress.reset()
        self._excuse(slot)
        others = [other for other in self._slots if other is not slot and other.joined and not other.opened and not other.ends]
        for other in others:
            self._open(other)
        self._await(slot, end, others, channel.Done())

    def _open(self, slot: Slot) -> None:
        if self.root.held and slot.joined and not slot.opened and not slot.ends:
            self._order(slot, channel.Open(self._used), self.root.key)

    def _seal_others(self, slot: Slot, end: End) -> None:
        """All but the asking worker seal, which does so last: its checkpoint covers what the others wrote."""
        self.root.wipe()
        self._used, self.stays_sealed = (), True
        self._last = slot
        self._progress.reset()
        self._board.lead = slot.number
        others = [other for other in self._slots if other is not slot and other.pid]
        for other in others:
            other.seal(time.monotonic() + ORDER_SECONDS)
            if other.joined:
                self._order(other, channel.Seal())
            else:
                self._end(other)
        self._await(slot, end, others, channel.OthersSealed(last=True))

    # -- what they are ordered --------------------------------------------------------------------------------------

    def _order(self, slot: Slot, order: channel.Order, root: bytes | memoryview = channel.NO_ROOT) -> None:
        if slot.orders is not None:
            slot.ordered += 1
            slot.opens = isinstance(order, channel.Open)
            with suppress(Ended):  # it is dying, which is heard of otherwise
                slot.orders.send(order, root, slot.ordered)

    def _await(self, slot: Slot, end: End, others: list[Slot], answer: channel.Answer) -> None:
        awaited = {other.number: other.ordered for other in others}
        self._waits.append(_Wait(slot, end.number, awaited, time.monotonic() + ORDER_SECONDS, answer))
        self._answer()

    def obeyed(self, slot: Slot, end: End, message: channel.Message) -> None:
        """A worker carried out an order, or says why it could not."""
        problem = message.problem if isinstance(message, channel.Done) else "it answers what nobody asked"
        if end.number == slot.ordered and not slot.opens:
            slot.sealed()
        elif end.number == slot.ordered:
            slot.opened = not problem
        if problem and not slot.ends:
            self._log.error("a worker could not open the store", slot=slot.number, reason=problem, next_try_seconds=RETRY_SECONDS)
            self._retries[slot.number] = time.monotonic() + RETRY_SECONDS
        for wait in self._waits:
            if wait.awaited.get(slot.number, end.number + 1) <= end.number:
                del wait.awaited[slot.number]
        self._answer()

    def gone(self, slot: Slot) -> None:
        """A worker has ended: it waits for nobody, and nobody for it."""
        self._waits = [wait for wait in self._waits if wait.asker is not slot]
        self._last = None if self._last is slot else self._last
        self._excuse(slot)

    def overdue(self, now: float) -> None:
        """End who was to seal, wait no more for who was to open, tell again who could not."""
        for slot in self._slots:
            if slot.ends and now > slot.end_by:
                self._end(slot)
        for wait in [wait for wait in self._waits if now > wait.until]:
            for number in [number for number in wait.awaited if not self._slots[number].sealing]:
                del wait.awaited[number]
        self._answer()
        for number in [number for number, at in self._retries.items() if now > at]:
            del self._retries[number]
            self._open(self._slots[number])

    def _excuse(self, slot: Slot) -> None:
        for wait in self._waits:
            wait.awaited.pop(slot.number, None)
        self._answer()

    def _answer(self) -> None:
        self._show()
        for wait in [wait for wait in self._waits if not wait.awaited]:
            self._waits.remove(wait)
            if wait.asker.asks is not None:
                with suppress(Ended):
                    wait.asker.asks.send(wait.answer, number=wait.number)
