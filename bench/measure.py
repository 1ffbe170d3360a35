"""One figure: what an operation costs on a server, in turn with the bare responder."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple

from bench.load import Outcome, Target, cpu_seconds, load


class Plan(NamedTuple):
    """How long and with how many connections to load, and on which processor the load runs."""

    connections: int = 64
    rounds: int = 3
    seconds: float = 2
    cpu: int | None = None


class Figure(NamedTuple):
    """Medians of all rounds: µs of CPU per request, those of the bare responder, their ratio with its spread; rate and latencies in ms."""

    micros: float
    bare: float
    ratio: float
    low: float
    high: float
    rate: float
    p50: float
    p99: float
    failed: int


def spent(pid: int, run: Callable[[], Outcome]) -> tuple[float, Outcome]:
    """Run a load; µs of CPU that the server spent on each request."""
    before = cpu_seconds(pid)
    outcome = run()
    return (cpu_seconds(pid) - before) / max(1, outcome.requests) * 1e6, outcome


def measure(pid: int, target: Target, floor: tuple[int, str], plan: Plan) -> Figure:
    """Load the bare responder and the server in turn."""
    plain = Target(floor[1], "/v1/kv/data/app%d", "GET", target.token, keys=target.keys)
    own, base, outcomes = [], [], []
    for _ in range(plan.rounds):
        base.append(spent(floor[0], lambda: load(plain, plan.connections, plan.seconds, plan.cpu))[0])
        micros, outcome = spent(pid, lambda: load(target, plan.connections, plan.seconds, plan.cpu))
        own.append(micros)
        outcomes.append(outcome)
    ratios = [mine / bare for mine, bare in zip(own, base, strict=True)]
    middle = statistics.median
    return Figure(
        middle(own), middle(base), middle(ratios), min(ratios), max(ratios),
        middle(each.requests / each.seconds for each in outcomes), middle(each.p50 for each in outcomes),
        middle(each.p99 for each in outcomes), sum(each.failed for each in outcomes),
    )  # fmt: skip


def warm(target: Target, times: int, plan: Plan) -> None:
    """Read every key so often, on average."""
    done = 0
    while done < times * target.keys:
        done += load(target, plan.connections, 2, plan.cpu).requests
