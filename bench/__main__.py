"""`make bench`: what each operation costs, as a ratio to the bare responder of the same run.

Rules of this file: measure in turn, bare and real, round by round; print the median and the spread; fail nobody.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.fill import fill_over_http, warm_over_http
from bench.large import BENCH_KEYS as KEYS
from bench.large import WARM_UP, large_store
from bench.load import Outcome, Target, cpu_seconds, load, resident_mib
from bench.servers import ENTRY, Running, approle_login, bare, call, environment, strongroom


class Case(NamedTuple):
    """One line of the table."""

    name: str
    goal: str
    target: Callable[[Running], Target]


WRITE_BODY = json.dumps({"data": ENTRY})
CASES = {
    "read": Case("KV v2 read", "≤ 2.5", lambda s: Target(s.url, "/v1/kv/data/app%d", "GET", s.token, keys=KEYS)),
    "tls": Case("KV v2 read, TLS 1.3", "≤ 4", lambda s: Target(s.tls_url, "/v1/kv/data/app%d", "GET", s.token, keys=KEYS)),
    "write": Case("KV v2 write, durable", "≤ 8", lambda s: Target(s.url, "/v1/kv/data/app%d", "POST", s.token, WRITE_BODY, KEYS)),
    "token": Case(
        "token create, durable",
        "≤ 10",
        lambda s: Target(s.url, "/v1/auth/token/create", "POST", s.token, '{"ttl":"1h","policies":["bench-0"]}'),
    ),
    "approle": Case("approle login, durable", "≤ 11", lambda s: Target(s.url, "/v1/auth/bench/login", "POST", body=approle_login(s))),
}


class Figure(NamedTuple):
    """CPU of one round."""

    micros: float
    rate: float
    failed: int


def measured(pid: int, run: Callable[[], Outcome]) -> Figure:
    """Run a load and read what the server spent on it."""
    before = cpu_seconds(pid)
    outcome = run()
    spent = cpu_seconds(pid) - before
    return Figure(spent / max(1, outcome.requests) * 1e6, outcome.requests / outcome.seconds, outcome.failed)


def fill(server: Running, keys: int) -> None:
    """Write every key once, through the API."""
    fill_over_http(server.url, server.token, keys)


def run_case(case: Case, server: Running, floor: tuple[int, str], options: argparse.Namespace, cpu: int | None) -> None:
    """Measure one case against the bare responder and print its line."""
    target = case.target(server)
    plain = Target(floor[1], "/v1/kv/data/app%d", "GET", server.token, keys=KEYS)
    ratios, own, base, rates, failed = [], [], [], [], 0
    warmed = 0
    while warmed < WARM_UP * target.keys and "%d" in target.path and target.method == "GET":
        warmed += load(target, options.connections, 2, cpu).requests
    for _ in range(options.rounds):
        low = measured(floor[0], lambda: load(plain, options.connections, options.seconds, cpu))
        high = measured(server.pid, lambda: load(target, options.connections, options.seconds, cpu))
        ratios.append(high.micros / low.micros)
        own.append(high.micros)
        base.append(low.micros)
        rates.append(high.rate)
        failed += high.failed
    print(
        f"{case.name:28} {statistics.median(own):8.1f} {statistics.median(base):8.1f} {statistics.median(ratios):8.2f}"
        f"  {min(ratios):5.2f}–{max(ratios):5.2f}  {case.goal:8} {statistics.median(rates):9.0f}/s  {failed} failed",
        flush=True,
    )


def count_syncs(server: Running, options: argparse.Namespace, cpu: int | None) -> None:
    """Count fdatasync calls under a write load, where strace is installed."""
    if not shutil.which("strace"):
        print("fdatasync per 1,000 writes   not counted: strace is not installed")
        return
    with tempfile.NamedTemporaryFile("r") as out:
        command = ["strace", "-f", "-qq", "-e", "trace=fdatasync,fsync", "-o", out.name, "-p", str(server.pid)]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        outcome = load(CASES["write"].target(server), options.connections, options.seconds, cpu)
        tracer.terminate()
        tracer.wait(10)
        syncs = sum(1 for line in out if "sync(" in line and "resumed" not in line)
    print(f"fdatasync per 1,000 writes   {syncs / max(1, outcome.requests) * 1000:8.1f}   goal ≤ 40   ({outcome.requests} writes)")


def command_line(directory: Path, server: Running) -> None:
    """Wall time of `strongroom kv get` against `python -c pass`, in turn."""
    env = environment() | {"VAULT_ADDR": server.url, "VAULT_TOKEN": server.root, "HOME": str(directory)}
    commands = {
        "get": [sys.executable, "-m", "strongroom", "kv", "get", "-mount=kv", "app1"],
        "pass": [sys.executable, "-c", "pass"],
    }
    script = Path(sys.executable).with_name("strongroom")
    if script.exists():
        commands["get"] = [str(script), "kv", "get", "-mount=kv", "app1"]
    ratios = []
    for _ in range(12):
        took = {}
        for name, command in commands.items():
            before = time.perf_counter()
            subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
            took[name] = time.perf_counter() - before
        ratios.append(took["get"] / took["pass"])
    print(f"strongroom kv get            {statistics.median(ratios):8.2f} × python -c pass   goal ≤ 7")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"comma-separated: {','.join(CASES)},syncs,memory,cli")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--full", action="store_true", help="also with 1,000,000 secrets; takes several minutes")
    options = parser.parse_args()
    wanted = set(options.only.split(",")) if options.only else {*CASES, "syncs", "memory", "cli"}
    cpus = (os.cpu_count() or 1) >= 2 and shutil.which("taskset") is not None
    server_cpu, load_cpu = (0, 1) if cpus else (None, None)
    generator = "wrk" if shutil.which("wrk") else "our own generator (wrk is not installed)"
    print(f"{options.connections} connections, {KEYS} keys, file audit, token with 5 policies; load by {generator}")
    print(f"{'operation':28} {'µs CPU':>8} {'bare µs':>8} {'ratio':>8}  {'spread':11}  {'goal':8} {'rate':>11}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        with strongroom(directory, server_cpu) as server:
            fill(server, 1_000)
            if "memory" in wanted:
                print(f"resident at 1,000 secrets    {resident_mib(server.pid):8.1f} MiB   goal ≤ 80")
            fill(server, KEYS)
            warm_over_http(server.url, server.token, KEYS)
            size = len(json.dumps(call(server.url, "GET", "kv/data/app1", server.token), separators=(",", ":")))
            with bare(directory, size, server_cpu) as floor:
                for key, case in CASES.items():
                    if key in wanted:
                        run_case(case, server, floor, options, load_cpu)
            if "syncs" in wanted:
                count_syncs(server, options, load_cpu)
            if "cli" in wanted:
                command_line(directory, server)
        if options.full:
            large_store(options, server_cpu, load_cpu)


if __name__ == "__main__":
    main()
