"""Time, handed in everywhere so that tests own it.

Rules of this file:
- Wall-clock instants are integers: nanoseconds since the Unix epoch, UTC. 0 means "never" or "unset" in stored records.
- Waiting and measuring use `monotonic`, in seconds.
- While a process runs its wall clock only goes forward: whoever sets the machine's clock back revives no token, and prolongs none by more
  than a part in `SLOWING`. Set forward it is followed at once. A restart takes the machine's time as it is (docs/decisions/110).
- Nothing else in the package reads a clock; `testing.FakeClock` replaces this one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

SECOND = 1_000_000_000
SLOWING = 2_000
"""A clock that was set back is met by going slower by so small a part, as NTP does: an hour's token gains two seconds at most."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Clock(Protocol):
    """What the program may ask about time."""

    def now(self) -> int:
        """Wall clock: nanoseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards, for measuring and deadlines."""
        ...


class SystemClock:
    """The machine's clocks. `wall` and `steady` tell nanoseconds, as `time.time_ns` and `time.monotonic_ns` do."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = time.monotonic_ns) -> None:
        self._wall = wall
        self._steady = steady
        self._ahead = self._last = 0

    def now(self) -> int:
        wall = self._wall()
        steady = self._steady()  # read last: being put to sleep in between must not look like a clock that was set forward
        least = self._ahead - (steady - self._last) // SLOWING
        self._last = steady
        self._ahead = max(wall - steady, least)
        return steady + self._ahead

    def set_back(self) -> int:
        """By how many nanoseconds the machine's clock is behind this one: it was set back since the process started."""
        return self.now() - self._wall()


def rfc3339(ns: int) -> str:
    """Format an instant as clients of Vault read it: UTC, up to nine decimals without trailing zeros; 0 is the empty string."""
    if ns == 0:
        return ""
    whole, fraction = divmod(ns, SECOND)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{_second(whole)}{digits}Z"


@lru_cache(maxsize=1_024)
def _second(whole: int) -> str:
    """A second's text; most instants that are written are of the same few seconds."""
    return (_EPOCH + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> int:
    """Read an RFC 3339 instant into nanoseconds since the epoch. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("expected an RFC 3339 time such as 2026-01-31T12:00:00Z")
    date, clock, fraction, zone = match.groups()
    instant = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    delta = instant - _EPOCH
    return (delta.days * 86400 + delta.seconds) * SECOND + int((fraction or "0").ljust(9, "0"))
