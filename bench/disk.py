"""What the disk costs: fdatasync calls of a server under writes, and how long one of them takes."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.load import Target, load
from bench.measure import Plan
from bench.servers import Running

PROBES = 200
PAGE = os.urandom(4_096)


def sync_millis(directory: Path) -> float:
    """Median time to append a page and sync it."""
    took = []
    with tempfile.NamedTemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(PROBES):
            began = time.perf_counter()
            file.write(PAGE)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3


def syncs_per_thousand(server: Running, target: Target, plan: Plan) -> float | None:
    """fdatasync calls for 1,000 writes, of all workers; None where strace is not installed."""
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as out:
        command = ["strace", "-f", "-qq", "-e", "trace=fdatasync,fsync", "-o", out.name]
        for pid in (server.pid, *_children(server.pid)):
            command += ["-p", str(pid)]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        outcome = load(target, plan.connections, plan.seconds, plan.cpu)
        tracer.terminate()
        tracer.wait(10)
        calls = sum(1 for line in out if "sync(" in line and "resumed" not in line)
    return calls / max(1, outcome.requests) * 1_000


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
