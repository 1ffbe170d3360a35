"""Waiting for what another thread, process or host does: the one place of the tests that looks again and again.

Rules of this file: a wait ends as soon as what it waits for is so, and fails after its time, saying what was to be seen.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Said = str | Callable[[], object]
"""What a failure says, or what it shows."""


def until(found: Callable[..., T], seconds: float = 10, said: Said = "it did not happen", *, every: float = 0.01) -> T:
    """Look until something is found, and what it is."""
    end = time.monotonic() + seconds
    while not (seen := found()):
        assert time.monotonic() < end, said if isinstance(said, str) else said()
        time.sleep(every)
    return seen


def tried(action: Callable[..., T], *errors: type[BaseException], seconds: float = 10, every: float = 0.02) -> T:
    """Try until none of these errors comes, and what it gave."""
    end = time.monotonic() + seconds
    while True:
        try:
            return action()
        except errors:
            if time.monotonic() >= end:
                raise
        time.sleep(every)


def listening(port: int) -> bool:
    """Whether somebody takes connections at a port of this host."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
