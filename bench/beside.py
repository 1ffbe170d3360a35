"""`make bench ARGS="--beside PROGRAM"`: the same load on strongroom and on HashiCorp Vault (or OpenBao), in turn, on the same processor.

Rules of this file:
- Each server is as its makers would run it on one machine: durable (Vault: integrated storage), with a file audit device, plain HTTP.
- Both are pinned to one processor, the load to another; both hold the same secrets, policies and tokens and get the very same requests.
- Only the ratio of one run means anything. The program is not ours: whoever has it names it.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import tempfile
import time
import urllib.error
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.fill import fill_over_http, warm_over_http
from bench.load import Target, load, resident_mib
from bench.measure import Plan, spent
from bench.operations import BENCH_KEYS, OPERATIONS, fill_list
from bench.servers import Running, call, free_port, prepare, process, strongroom, wait_for

LINES = ("read", "policy", "list", "write", "token", "approle")
UNSEALED_SECONDS = 30.0


def _config(directory: Path, port: int) -> Path:
    data = directory / "raft"
    data.mkdir()
    path = directory / "beside.hcl"
    path.write_text(
        f"""
storage "raft" {{
  path = "{data}"
  node_id = "bench"
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{free_port()}"
  tls_disable = true
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{free_port()}"
disable_mlock = true
log_level = "warn"
"""
    )
    return path


def _wait_until_active(url: str) -> None:
    end = time.monotonic() + UNSEALED_SECONDS
    while True:
        try:
            call(url, "GET", "sys/health")
        except urllib.error.HTTPError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def vault(program: Path, directory: Path, cpu: int | None) -> Iterator[Running]:
    """Vault as it is run on one machine: initialised, unsealed, with a file audit device and the bench's token."""
    port = free_port()
    command = [str(program), "server", "-config", str(_config(directory, port))]
    with process(command, directory / "beside.log", cpu) as running:
        started, url = wait_for(port), f"http://127.0.0.1:{port}"
        made = call(url, "PUT", "sys/init", body={"secret_shares": 1, "secret_threshold": 1})
        call(url, "PUT", "sys/unseal", body={"key": made["keys"][0]})
        _wait_until_active(url)
        root = str(made["root_token"])
        call(url, "PUT", "sys/audit/file", root, {"type": "file", "options": {"file_path": str(directory / "beside-audit.log")}})
        token, strict = prepare(url, root)
        yield Running(running.pid, url, "", root, token, started, strict)


def version(program: Path) -> str:
    """What the program calls itself."""
    return subprocess.run([program, "version"], check=True, capture_output=True, text=True).stdout.strip()


def compare(program: Path, cpu: int | None, plan: Plan) -> None:
    """Print the table: requests a second and CPU per request of both, and how many times as fast ours is."""
    print(f"{version(program)}, one processor for the server, {plan.connections} connections, {BENCH_KEYS:,} secrets\n")
    titles = zip("ours/s theirs/s times ours-µs theirs times p99-ms theirs failed".split(), (8, 8, 6, 9, 8, 6, 9, 8, 7), strict=True)
    print(f"{'operation':31}" + "".join(f" {title:>{width}}" for title, width in titles))
    with tempfile.TemporaryDirectory(prefix="beside-") as name:
        here, there = Path(name) / "ours", Path(name) / "theirs"
        here.mkdir()
        there.mkdir()
        with strongroom(here, cpu) as ours, vault(program, there, cpu) as theirs:
            for server in (ours, theirs):
                fill_over_http(server.url, server.token, BENCH_KEYS)
                fill_list(server)
                warm_over_http(server.url, server.token, BENCH_KEYS)
            for line in LINES:
                print(_line(line, ours, theirs, plan), flush=True)
            print(f"{'resident MiB':31} {resident_mib(ours.pid):8.0f} {resident_mib(theirs.pid):8.0f}")


class Round(NamedTuple):
    """What one server did under one load: requests a second, µs of CPU for each, the slowest of 100 in ms."""

    rate: float
    micros: float
    p99: float
    failed: int


def _round(server: Running, target: Target, plan: Plan) -> Round:
    micros, outcome = spent(server.pid, lambda: load(target, plan.connections, plan.seconds, plan.cpu))
    return Round(outcome.requests / outcome.seconds, micros, outcome.p99, outcome.failed)


def _middle(rounds: Sequence[Round]) -> Round:
    rates, micros, tails, failed = zip(*rounds, strict=True)
    return Round(statistics.median(rates), statistics.median(micros), statistics.median(tails), sum(failed))


def _line(name: str, ours: Running, theirs: Running, plan: Plan) -> str:
    operation = OPERATIONS[name]
    sides = [(server, operation.target(server, BENCH_KEYS)) for server in (ours, theirs)]
    rounds = [[_round(server, target, plan) for server, target in sides] for _ in range(plan.rounds)]
    mine, other = (_middle(side) for side in zip(*rounds, strict=True))
    return (
        f"{operation.title:31} {mine.rate:8.0f} {other.rate:8.0f} {mine.rate / other.rate:6.1f}"
        f" {mine.micros:9.1f} {other.micros:8.1f} {other.micros / mine.micros:6.1f}"
        f" {mine.p99:9.1f} {other.p99:8.1f} {mine.failed + other.failed:7}"
    )
