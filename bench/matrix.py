"""The whole matrix: every operation on every kind of server, with 1 to 256 connections, plain and over TLS.

Rules of this file:
- A cell that stands in the results file is not measured again: what was interrupted goes on. Delete the file to start over.
- A server is started and filled once for all of its cells, and only if one of them is missing.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.disk import sync_millis, syncs_per_thousand
from bench.fill import fill_in_process, fill_over_http
from bench.load import resident_mib
from bench.measure import Plan, measure, warm
from bench.operations import MANY, OPERATIONS, WARM_UP, fill_list, over_tls
from bench.results import Results
from bench.servers import Running, bare, strongroom
from tests.support.postgres import postgres

CONNECTIONS = (1, 8, 64, 256)
ANSWER = 441
"""Bytes of the bare responder's answer: those of a KV read."""


class Kind(NamedTuple):
    """A kind of server."""

    store: str
    workers: int
    secrets: int

    def __str__(self) -> str:
        return f"{self.store}/{self.workers}/{self.secrets}"


KINDS = (
    Kind("sqlite", 1, 1_000),
    Kind("sqlite", 2, 1_000),
    Kind("postgresql", 1, 1_000),
    Kind("postgresql", 2, 1_000),
    Kind("sqlite", 1, MANY),
    Kind("postgresql", 1, MANY),
    Kind("sqlite", 1, 1_000_000),
)


class Cell(NamedTuple):
    """One place of the matrix."""

    kind: Kind
    operation: str
    connections: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.operation} {self.connections} {'tls' if self.tls else 'plain'}"


def cells(kind: Kind) -> list[Cell]:
    """All cells of a kind of server that mean something."""
    names = [name for name, operation in OPERATIONS.items() if operation.least <= kind.secrets]
    return [Cell(kind, name, connections, tls) for tls in (False, True) for name in names for connections in CONNECTIONS]


def run(results: Results, server_cpu: int | None, plan: Plan) -> None:
    """Measure what is missing."""
    for kind in KINDS:
        missing = [cell for cell in cells(kind) if str(cell) not in results]
        if missing or f"{kind} disk" not in results:
            with tempfile.TemporaryDirectory(prefix="bench-") as name:
                _run(Path(name), kind, missing, results, server_cpu if kind.workers == 1 else None, plan)


def _run(directory: Path, kind: Kind, missing: list[Cell], results: Results, server_cpu: int | None, plan: Plan) -> None:
    with _serving(directory, kind, server_cpu) as server, bare(directory, ANSWER, server_cpu) as floor:
        results.put(f"{kind} resident", {"mib": resident_mib(server.pid), "ready": server.started})
        fill_list(server)
        for cell in missing:
            operation = OPERATIONS[cell.operation]
            target = operation.target(server, kind.secrets)
            now = plan._replace(connections=cell.connections)
            if operation.warm:
                warm(target, WARM_UP if cell.connections == 1 and not cell.tls else 1, plan)
            figure = measure(server.pid, over_tls(server, target) if cell.tls else target, floor, now)
            results.put(str(cell), figure._asdict())
        syncs = syncs_per_thousand(server, OPERATIONS["write"].target(server, kind.secrets), plan)  # on PostgreSQL those of audit files
        results.put(f"{kind} disk", {"millis": sync_millis(directory), "syncs": syncs})


@contextlib.contextmanager
def _serving(directory: Path, kind: Kind, cpu: int | None) -> Iterator[Running]:
    """A server of a kind, with its secrets."""
    with contextlib.ExitStack() as stack:
        storage = ""
        if kind.store == "postgresql":
            storage = f'storage "postgresql" {{ connection_url = "{stack.enter_context(postgres()).url}" }}'
        keys: dict[str, str] = {}
        if kind.secrets > MANY:
            with strongroom(directory, None, keys):
                pass
            fill_in_process(directory / "store", keys["key"], kind.secrets)
        server = stack.enter_context(strongroom(directory, cpu, keys, workers=kind.workers, storage=storage))
        if kind.secrets <= MANY:
            fill_over_http(server.url, server.token, kind.secrets)
        yield server
