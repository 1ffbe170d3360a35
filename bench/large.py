"""A million secrets: what a read costs, how soon the server is ready, what it weighs."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from bench.fill import fill_in_process
from bench.load import Target, cpu_seconds, load, resident_mib
from bench.servers import Running, call, strongroom

SMALL, LARGE = 1_000, 1_000_000
BENCH_KEYS, MANY_KEYS = 10_000, 200_000
WARM_UP = 6
"""Reads of each key, on average, before reads are measured: all but one key in 400 are then known to the server."""


def large_store(options: argparse.Namespace, server_cpu: int | None, load_cpu: int | None) -> None:
    """Print how a store of 1,000,000 secrets compares with one of 1,000: over the bench's keys, and over more than a worker remembers."""
    costs: dict[tuple[int, int], float] = {}
    for count in (SMALL, LARGE):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            directory = Path(name)
            keys: dict[str, str] = {}
            with strongroom(directory, None, keys):
                pass
            fill_in_process(directory / "store", keys["key"], count)
            with strongroom(directory, server_cpu, keys) as server:
                call(server.url, "GET", "kv/data/app1", server.token)
                print(f"{count:>9} secrets: ready after {server.started:5.2f} s, resident {resident_mib(server.pid):6.1f} MiB", flush=True)
                for read in sorted({min(count, BENCH_KEYS), min(count, MANY_KEYS)}):
                    costs[count, read] = _read(server, read, options, load_cpu)
                    print(f"{count:>9} secrets: {read:>7} of them read, {costs[count, read]:6.1f} µs each", flush=True)
    few, bench, many = costs[SMALL, SMALL], costs[LARGE, BENCH_KEYS], costs[LARGE, MANY_KEYS]
    print(f"read at {LARGE} / at {SMALL}: {bench / few:.2f}   goal ≤ 1.5")
    print(f"the same over {MANY_KEYS} keys, most of them cold: {many / few:.2f}")


def _read(server: Running, keys: int, options: argparse.Namespace, load_cpu: int | None) -> float:
    """µs of CPU of a read of one of `keys` secrets, each read a few times before where a worker remembers so many."""
    target = Target(server.url, "/v1/kv/data/app%d", "GET", server.token, keys=keys)
    warmed = 0
    while keys <= BENCH_KEYS and warmed < WARM_UP * keys:
        warmed += load(target, options.connections, 2, load_cpu).requests
    spent = []
    for _ in range(options.rounds):
        before = cpu_seconds(server.pid)
        outcome = load(target, options.connections, options.seconds, load_cpu)
        spent.append((cpu_seconds(server.pid) - before) / outcome.requests * 1e6)
    return statistics.median(spent)
