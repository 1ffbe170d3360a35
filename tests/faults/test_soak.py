"""F33: an hour of mixed work. Memory, descriptors and threads stay where they were, and nobody gets a 5xx."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.rounds import LONG
from tests.support.http import Client
from tests.support.server import Server, serving

pytestmark = pytest.mark.fault("F33")

SECONDS = float(os.environ.get("STRONGROOM_SOAK_MINUTES", "60")) * 60 if LONG else 12.0
WARM_SHARE = 0.25
"""Of the time, in which clients do not pause: caches fill, as far as they may, and the allocator finds its size."""
CLIENTS, PAUSE = 4, 0.012
"""About 60 % of one core."""
SLOPE = 1 << 20
"""Bytes an hour."""
SLACK = 32 << 20
"""What a run of seconds may be off by: caches are still filling, which says nothing about an hour."""


class Sample(NamedTuple):
    """What the workers use at one moment."""

    at: float
    resident: int
    files: int
    threads: int


def sample(server: Server) -> Sample:
    pids = server.children() or [server.pid]
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
    return Sample(time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE"), files, threads)


class Worker(threading.Thread):
    """One client that does a bit of everything, over and over the same names so that the store does not grow."""

    def __init__(self, server: Server, number: int, until: threading.Event) -> None:
        super().__init__(daemon=True)
        self.server, self.number, self.over, self.pause = server, number, until, 0.0
        self.done, self.wrong = 0, list[str]()

    def run(self) -> None:
        turn = 0
        while not self.over.is_set():
            with self.server.client() as client:  # a new connection once in a while, as clients do
                for _ in range(200):
                    turn += 1
                    self.step(client, turn)
                    if self.over.wait(self.pause):
                        break

    def step(self, client: Client, turn: int) -> None:
        path = f"secret/data/soak/{self.number}/{turn % 50}"
        if turn % 10 == 0:
            replies = [client.write(path, {"data": {"turn": turn, "text": "x" * (turn % 900)}})]
        elif turn % 25 == 1:
            made = client.write("auth/token/create", {"policies": ["default"], "ttl": "1m", "no_parent": True})
            token = made.json["auth"]["client_token"]
            replies = [made, client.read("auth/token/lookup-self", token=token), client.write("auth/token/revoke-self", token=token)]
        elif turn % 25 == 2:
            replies = [client.ask("LIST", f"secret/metadata/soak/{self.number}"), client.read("sys/mounts")]
        else:
            replies = [client.read(path)]
        self.done += len(replies)
        self.wrong += [f"{reply.status} {reply.text}" for reply in replies if reply.status >= 500]


def soak(server: Server, seconds: float) -> tuple[list[Sample], Sequence[Worker]]:
    """Work for so long; samples of the time behind the warm-up."""
    over = threading.Event()
    workers = [Worker(server, number, over) for number in range(CLIENTS)]
    for worker in workers:
        worker.start()
    time.sleep(seconds * WARM_SHARE)
    for worker in workers:
        worker.pause = PAUSE
    samples, end = [sample(server)], time.monotonic() + seconds * (1 - WARM_SHARE)
    while time.monotonic() < end:
        time.sleep(min(10.0, seconds / 12))
        samples.append(sample(server))
    over.set()
    for worker in workers:
        worker.join()
    return samples, workers


def slope(samples: Sequence[Sample]) -> float:
    """Bytes of memory an hour, by least squares."""
    times, sizes = [each.at - samples[0].at for each in samples], [each.resident for each in samples]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    below = sum((at - middle) ** 2 for at in times)
    return 3_600 * sum((at - middle) * (size - mean) for at, size in zip(times, sizes, strict=True)) / below


def test_memory_descriptors_and_threads_stay_where_they_were(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as (server, _):
        samples, workers = soak(server, SECONDS)
        first, last = samples[0], samples[-1]
        grown = slope(samples)
        print(f"{sum(worker.done for worker in workers)} requests in {SECONDS:.0f} s; {grown / (1 << 20):.1f} MiB an hour\n{first}\n{last}")
        assert [text for worker in workers for text in worker.wrong] == []
        assert grown < SLOPE if LONG else last.resident - first.resident < SLACK
        assert last.files <= first.files + CLIENTS
        assert last.threads <= first.threads + 1


@pytest.mark.control
def test_control_a_leak_is_found() -> None:
    leaking = [Sample(float(second), 50_000_000 + 400 * second, 20, 5) for second in range(0, 3_600, 10)]
    assert slope(leaking) > SLOPE
    assert abs(slope([each._replace(resident=50_000_000) for each in leaking])) < 1
