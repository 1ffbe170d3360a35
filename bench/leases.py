"""A million leases: what they cost a server that starts, and how fast those that are due are worked off.

Rules of this file: leases are those of tokens, made through the same core in a store that no server has open; then a server starts.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.fill import lease_in_process
from bench.load import resident_mib
from bench.results import Results
from bench.servers import Running, call, strongroom

MANY = 1_000_000
DUE = 100_000
"""Leases that are past their end when the server starts."""
WATCHED_SECONDS = 10.0
COUNTER = "strongroom.timers"


def run(results: Results, cpu: int | None, many: int = MANY, due: int = DUE) -> None:
    """Measure what is missing."""
    for name, leases in (("leases none", 0), (f"leases {many}", many)):
        if name not in results:
            with _leased(leases, cpu, "240h") as server:
                results.put(name, {"ready": server.started, "mib": resident_mib(server.pid)})
    if f"leases due {due}" not in results:
        with _leased(due, cpu, "1h", made_ago=7_200) as server:
            results.put(f"leases due {due}", {"rate": _drained(server)})


def _drained(server: Running) -> float:
    """Timers run in a second, while there are any."""
    before, began = _ran(server), time.monotonic()
    time.sleep(WATCHED_SECONDS)
    return (_ran(server) - before) / (time.monotonic() - began)


def _ran(server: Running) -> float:
    counters = call(server.url, "GET", "sys/metrics", server.root)["Counters"]
    return next(float(each["Count"]) for each in counters if each["Name"].replace("_", ".") == COUNTER)


@contextlib.contextmanager
def _leased(leases: int, cpu: int | None, ttl: str, made_ago: int = 0) -> Iterator[Running]:
    """A server on a store with so many leases."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory, keys = Path(name), dict[str, str]()
        with strongroom(directory, None, keys):
            pass
        lease_in_process(directory / "store", keys["key"], leases, ttl, made_ago)
        with strongroom(directory, cpu, keys) as server:
            yield server
