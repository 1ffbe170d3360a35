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
from pathlib import Path

from bench import beside, leases, matrix, report
from bench.disk import sync_millis, syncs_per_thousand
from bench.fill import fill_over_http, warm_over_http
from bench.load import resident_mib
from bench.measure import Figure, Plan, measure, warm
from bench.operations import BENCH_KEYS, OPERATIONS, WARM_UP, fill_list, over_tls
from bench.results import Results
from bench.servers import Running, bare, call, environment, strongroom

SHORT = {name: (name, False) for name, operation in OPERATIONS.items() if operation.least <= BENCH_KEYS} | {"tls": ("read", True)}
"""Lines of the short table: which operation, and whether over TLS."""
TLS_GOAL = "≤ 4"
DOCS = Path(__file__).resolve().parents[1] / "docs"


def shown(name: str, figure: Figure) -> str:
    """A line of the short table."""
    operation, tls = SHORT[name]
    title, goal = OPERATIONS[operation].title + (", TLS 1.3" if tls else ""), TLS_GOAL if tls else OPERATIONS[operation].goal
    return (
        f"{title:31} {figure.micros:8.1f} {figure.bare:8.1f} {figure.ratio:8.2f}  {figure.low:5.2f}–{figure.high:<5.2f}  {goal:7}"
        f" {figure.rate:8.0f}/s {figure.p50:7.2f} {figure.p99:7.2f}  {figure.failed} failed"
    )


def short(wanted: set[str], server_cpu: int | None, plan: Plan) -> None:
    """Print the short table: one server, 10,000 secrets."""
    print(f"{'operation':31} {'µs CPU':>8} {'bare µs':>8} {'ratio':>8}  {'spread':11}  {'goal':7} {'rate':>10} {'p50 ms':>7} {'p99 ms':>7}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        with strongroom(directory, server_cpu) as server:
            fill_over_http(server.url, server.token, 1_000)
            if "memory" in wanted:
                print(f"resident at 1,000 secrets       {resident_mib(server.pid):8.1f} MiB   goal ≤ 80")
            fill_over_http(server.url, server.token, BENCH_KEYS)
            warm_over_http(server.url, server.token, BENCH_KEYS)
            fill_list(server)
            size = len(json.dumps(call(server.url, "GET", "kv/data/app1", server.token), separators=(",", ":")))
            with bare(directory, size, server_cpu) as floor:
                for key in (key for key in SHORT if key in wanted):
                    print(shown(key, measured(key, server, floor, plan)), flush=True)
            if "syncs" in wanted:
                syncs(server, directory, plan)
            if "cli" in wanted:
                command_line(directory, server)


def measured(name: str, server: Running, floor: tuple[int, str], plan: Plan) -> Figure:
    """One line's figure."""
    key, tls = SHORT[name]
    operation = OPERATIONS[key]
    target = operation.target(server, BENCH_KEYS)
    if operation.warm:
        warm(target, WARM_UP, plan)
    return measure(server.pid, over_tls(server, target) if tls else target, floor, plan)


def syncs(server: Running, directory: Path, plan: Plan) -> None:
    """How many syncs writes take, and how long each."""
    counted = syncs_per_thousand(server, OPERATIONS["write"].target(server, BENCH_KEYS), plan)
    told = "not counted: strace is not installed" if counted is None else f"{counted:8.1f}   goal ≤ 40"
    print(f"fdatasync per 1,000 writes      {told}   (one takes {sync_millis(directory):.2f} ms)")


def command_line(directory: Path, server: Running) -> None:
    """Wall time of `strongroom kv get` against `python -c pass`, in turn."""
    env = environment() | {"VAULT_ADDR": server.url, "VAULT_TOKEN": server.root, "HOME": str(directory)}
    script = Path(sys.executable).with_name("strongroom")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "strongroom"]
    commands = {"get": [*program, "kv", "get", "-mount=kv", "app1"], "pass": [sys.executable, "-c", "pass"]}
    ratios = []
    for _ in range(12):
        took = {}
        for name, command in commands.items():
            before = time.perf_counter()
            subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
            took[name] = time.perf_counter() - before
        ratios.append(took["get"] / took["pass"])
    print(f"strongroom kv get               {statistics.median(ratios):8.2f} × python -c pass   goal ≤ 7")


def full(path: Path, server_cpu: int | None, plan: Plan) -> None:
    """Measure what is missing of the whole matrix, and write the page."""
    results = Results(path)
    print(f"{path}: {report.progress(results)}")
    matrix.run(results, server_cpu, plan)
    leases.run(results, server_cpu)
    report.write(results, DOCS)


def main() -> None:
    """Print the table, or go through the matrix."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"comma-separated: {','.join(SHORT)},syncs,memory,cli")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--full", action="store_true", help="the whole matrix, an hour or two; goes on where it was interrupted")
    parser.add_argument("--results", type=Path, default=Path("bench-results.jsonl"), help="where --full keeps what it has measured")
    parser.add_argument("--report", action="store_true", help="write docs/measurements.md from the results, measuring nothing")
    parser.add_argument("--beside", type=Path, help="a program of Vault or OpenBao: the same load on both, in turn")
    options = parser.parse_args()
    cpus = (os.cpu_count() or 1) >= 2 and shutil.which("taskset") is not None
    server_cpu, load_cpu = (0, 1) if cpus else (None, None)
    plan = Plan(options.connections, options.rounds, options.seconds, load_cpu)
    print(f"{plan.connections} connections; load by {'wrk' if shutil.which('wrk') else 'our own generator (wrk is not installed)'}")
    if options.beside:
        beside.compare(options.beside, server_cpu, plan)
    elif options.report:
        report.write(Results(options.results), DOCS)
    elif options.full:
        full(options.results, server_cpu, plan._replace(rounds=2, seconds=1))
    else:
        short(set(options.only.split(",")) if options.only else {*SHORT, "syncs", "memory", "cli"}, server_cpu, plan)


if __name__ == "__main__":
    main()
