"""From results to what people read: docs/measurements.md and its chart.

Rules of this file: nothing is measured here; what is missing in the results is left out.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.chart import Bars, chart
from bench.leases import DUE
from bench.leases import MANY as LEASES
from bench.matrix import CONNECTIONS, KINDS, Cell, Kind, cells
from bench.operations import MANY, OPERATIONS
from bench.results import Results

HEAD = """# Measurements

Written by `make bench ARGS=--full` on {machine}. What is measured and why stands in
[performance.md](performance.md); bench/README.md says how. CPU is that of all server processes, user and system, per request. *Ratio* is to
the bare responder of the same rounds, the only figure that means anything on another machine. Latencies are of a load that never pauses:
with 256 connections they are queues.

![CPU per request as a ratio to the bare responder](measurements.svg)

| compared | measured | goal |
|---|---|---|
"""
TABLE = """
| store | workers | secrets | operation | connections | | CPU µs | ratio | spread | requests/s | p50 ms | p99 ms |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""
ONE, TWO = KINDS[0], KINDS[1]
SERIES = ("embedded", "embedded, TLS", "two workers", "PostgreSQL")


def write(results: Results, docs: Path) -> None:
    """Write both files."""
    machine = f"{os.cpu_count()} processors ({platform.machine()}), {platform.system()}, Python {platform.python_version()}"
    compared = "".join(f"| {what} | {value} | {goal} |\n" for what, value, goal in comparisons(results.found))
    text = HEAD.format(machine=machine) + compared + TABLE + "".join(rows(results.found))
    (docs / "measurements.md").write_text(text, encoding="utf-8")
    (docs / "measurements.svg").write_text(picture(results.found), encoding="utf-8")


def rows(found: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The lines of the table."""
    for kind in KINDS:
        for cell in cells(kind):
            if str(cell) in found:
                yield _row(cell, found[str(cell)])


def _row(cell: Cell, numbers: dict[str, Any]) -> str:
    spread = f"{numbers['low']:.2f}–{numbers['high']:.2f}" + (f", {numbers['failed']} failed" if numbers["failed"] else "")
    return (
        f"| {cell.kind.store} | {cell.kind.workers} | {cell.kind.secrets:,} | {OPERATIONS[cell.operation].title} | {cell.connections} "
        f"| {'TLS' if cell.tls else ''} | {numbers['micros']:.1f} | {numbers['ratio']:.2f} | {spread} "
        f"| {numbers['rate']:,.0f} | {numbers['p50']:.2f} | {numbers['p99']:.2f} |\n"
    )


def picture(found: dict[str, dict[str, Any]]) -> str:
    """Ratios of all operations at 64 connections."""
    series = ((ONE, False), (ONE, True), (TWO, False), (Kind("postgresql", 1, 1_000), False))

    def ratio(kind: Kind, name: str, tls: bool) -> float | None:
        kind = kind._replace(secrets=max(kind.secrets, OPERATIONS[name].least))
        numbers = found.get(str(Cell(kind, name, 64, tls)))
        return None if numbers is None else float(numbers["ratio"])

    groups = [Bars(operation.title, [ratio(kind, name, tls) for kind, tls in series]) for name, operation in OPERATIONS.items()]
    return chart("CPU per request, 64 connections", "1 = bare responder", SERIES, groups)


def comparisons(found: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """What the matrix was measured for: what, how much, goal."""

    def number(name: str, key: str) -> float | None:
        return found.get(name, {}).get(key)

    def cell(kind: Kind, operation: str, connections: int, key: str) -> float | None:
        return number(str(Cell(kind, operation, connections, False)), key)

    large, remote = Kind("sqlite", 1, 1_000_000), Kind("postgresql", 1, 1_000)
    wanted = (
        ("KV read, CPU with two workers / with one", cell(TWO, "read", 64, "ratio"), cell(ONE, "read", 64, "ratio"), "≤ 1.15"),
        ("KV write, CPU with two workers / with one", cell(TWO, "write", 64, "ratio"), cell(ONE, "write", 64, "ratio"), "≤ 1.15"),
        ("KV read at 1,000,000 secrets / at 1,000", cell(large, "read", 64, "ratio"), cell(ONE, "read", 64, "ratio"), "≤ 1.5"),
        (f"KV read not in memory at 1,000,000 / at {MANY:,}", cell(large, "miss", 64, "ratio"),
         cell(Kind("sqlite", 1, MANY), "miss", 64, "ratio"), ""),
        ("KV read, CPU on PostgreSQL / embedded", cell(remote, "read", 64, "ratio"), cell(ONE, "read", 64, "ratio"), "≤ 1.6"),
        ("durable writes/s, 64 connections / 1 (one commit each)", cell(ONE, "write", 64, "rate"), cell(ONE, "write", 1, "rate"),
         _grouping(number(f"{ONE} disk", "millis"))),
        ("memory with 1,000,000 leases / none", number(f"leases {LEASES}", "mib"), number("leases none", "mib"), "≤ 1.2"),
        ("ready after, with 1,000,000 leases / none", number(f"leases {LEASES}", "ready"), number("leases none", "ready"), "≤ 1.5"),
    )  # fmt: skip
    for what, one, other, goal in wanted:
        if one is not None and other:
            yield what, f"{one / other:.2f}", goal
    alone = (
        ("one append and fdatasync, ms", number(f"{ONE} disk", "millis"), ""),
        ("fdatasync per 1,000 writes, one worker", number(f"{ONE} disk", "syncs"), "≤ 40"),
        ("fdatasync per 1,000 writes, two workers", number(f"{TWO} disk", "syncs"), "≤ 50"),
        ("timers that are due, run per second", number(f"leases due {DUE}", "rate"), "≥ 200"),
        ("ready after start at 1,000,000 secrets, s", number(f"{large} resident", "ready"), "≤ 1.5"),
        ("resident memory at 1,000 secrets, MiB", number(f"{ONE} resident", "mib"), "≤ 80"),
    )
    for what, value, goal in alone:
        if value is not None:
            yield what, f"{value:,.2f}", goal


def _grouping(millis: float | None) -> str:
    """What committing together is to give: the more, the longer a sync takes."""
    if millis is None or 0.3 < millis < 3:
        return ""
    return "≥ 2" if millis <= 0.3 else "≥ 12"


def progress(results: Results) -> str:
    """How much of the matrix there is."""
    every = [str(cell) for kind in KINDS for cell in cells(kind)]
    return f"{sum(name in results for name in every)} of {len(every)} cells, {len(CONNECTIONS)} numbers of connections"
