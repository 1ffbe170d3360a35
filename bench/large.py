"""A million secrets: what a read costs, how soon the server is ready, what it weighs."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from bench.fill import fill_in_process
from bench.load import Target, cpu_seconds, load, resident_mib
from bench.servers import call, strongroom

SMALL, LARGE = 1_000, 1_000_000


def large_store(options: argparse.Namespace, server_cpu: int | None, load_cpu: int | None) -> None:
    """Print how a store of 1,000,000 secrets compares with one of 1,000; both are read over all their keys."""
    costs = {}
    for count in (SMALL, LARGE):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            directory = Path(name)
            keys: dict[str, str] = {}
            with strongroom(directory, None, keys):
                pass
            fill_in_process(directory / "store", keys["key"], count)
            with strongroom(directory, server_cpu, keys) as server:
                call(server.url, "GET", "kv/data/app1", server.token)
                target = Target(server.url, "/v1/kv/data/app%d", "GET", server.token, keys=min(count, 200_000))
                spent = []
                for _ in range(options.rounds):
                    before = cpu_seconds(server.pid)
                    outcome = load(target, options.connections, options.seconds, load_cpu)
                    spent.append((cpu_seconds(server.pid) - before) / outcome.requests * 1e6)
                costs[count] = statistics.median(spent)
                print(
                    f"{count:>9} secrets: read {costs[count]:6.1f} µs, ready after {server.started:5.2f} s, "
                    f"resident {resident_mib(server.pid):6.1f} MiB",
                    flush=True,
                )
    print(f"read at {LARGE} / at {SMALL}: {costs[LARGE] / costs[SMALL]:.2f}   goal ≤ 1.5")
