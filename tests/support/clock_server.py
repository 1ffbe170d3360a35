"""A server on a machine whose clocks a test sets: the file `clock` holds how many seconds the wall clock and the steady one are off.

With a third word the wall clock stands still at that second. LAX=wall: expiry goes by the wall clock alone, the negative control.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from strongroom.clock import SECOND, SystemClock
from strongroom.server.serve import run
from tests.support.patching import put

CLOCK = Path("clock")


def _said() -> list[int]:
    return [int(word) for word in CLOCK.read_text().split()] if CLOCK.exists() else [0, 0]


def wall() -> int:
    offset, _, *frozen = _said()
    return (frozen[0] * SECOND if frozen else time.time_ns()) + offset * SECOND


def steady() -> int:
    return time.monotonic_ns() + _said()[1] * SECOND


_make = SystemClock.__init__

if __name__ == "__main__":
    put(SystemClock, __init__=lambda self: _make(self, wall, steady))
    if os.environ.get("LAX") == "wall":
        put(SystemClock, now=lambda self: wall())
    sys.exit(run(sys.argv[1:]))
