"""Where audit lines go, and how long that may take.

Rules of this file:
- A sink is plain blocking code. One that cannot block says so (`inline`) and is called on the loop: only regular files may. Any other
  is called by a thread of its own, and whoever waits for it waits no longer than the deadline.
- A call that overran its deadline goes on. Until it ends the sink is busy and refuses at once, so a stuck device costs one deadline,
  not one a request. What became of it is asked later: lines that arrived late have arrived.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Any, Final, Protocol, TypeVar

from strongroom.errors import InvalidRequest

T = TypeVar("T")

DEADLINE: Final = 2.0
"""Seconds a device may take before it counts as failed: long enough for a busy disk, short enough for a client that waits."""


class Sink(Protocol):
    """A place for lines. Every method raises OSError when it cannot do its work."""

    place: str
    """What it writes to, in words: two devices may not have the same."""
    inline: bool
    """True: a call returns at once and may run on the event loop. May change in `open`."""

    def open(self) -> tuple[bytes, bytes]:
        """Open, or close and open again. Brings the last whole line there and what a crash left behind it; b"": nothing, or not known."""
        ...

    def write(self, block: bytes) -> None:
        """Take all of these lines or, as far as the sink can, none."""
        ...

    def close(self) -> None:
        """Let go of it. May be called twice."""
        ...


class Late(OSError):
    """The sink did not answer in time. `outcome` tells when it does."""

    def __init__(self, outcome: Future[Any]) -> None:
        super().__init__("the device did not answer in time")
        self.outcome = outcome


class Worker:
    """One daemon thread that makes the calls of one sink, one after another. A thread stuck in a call does not keep the process alive."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._last: Future[Any] | None = None
        self._until = 0.0
        threading.Thread(target=self._work, name="audit", daemon=True).start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def submit(self, action: Callable[[], T]) -> Future[T]:
        """Begin an action without waiting. Raises Late while an earlier one still runs."""
        if self._last is not None and not self._last.done():
            raise Late(self._last)
        outcome: Future[T] = Future()
        self._last = outcome
        self._until = monotonic() + self._deadline
        self._calls.put(partial(_settle, outcome, action))
        return outcome

    def run(self, action: Callable[[], T]) -> T:
        """The action's result. Raises Late after the deadline, and at once while an earlier one still runs."""
        return self.wait(self.submit(action))

    def wait(self, outcome: Future[T]) -> T:
        """The outcome's result. Raises Late at the deadline, which began when the action did."""
        if not wait([outcome], max(0.0, self._until - monotonic())).done:
            raise Late(outcome)
        return outcome.result()

    def stop(self) -> None:
        """End the thread after the call it is in."""
        self._calls.put(None)


def _settle(outcome: Future[T], action: Callable[[], T]) -> None:
    try:
        result = action()
    except BaseException as error:  # noqa: BLE001 — it belongs to whoever waits
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


def require_declared(kind: str, directory: str) -> None:
    """Raises InvalidRequest for a device that a request adds: where a server connects to stands in its configuration.

    `directory` is that of devices that are added by request, "" for those of the configuration and in development.
    """
    if directory:
        raise InvalidRequest(f"an audit device of type {kind} stands in the server's configuration; by request only files can be added")
