"""F33: an hour of mixed work. Memory, descriptors and threads stay where they were, and nobody gets a 5xx.

Rules of this file:
- What is measured is growth, not size: a cache that is filling up to its bound grows as a leak does. So the work is of few names and few
  lengths, and what no test can hold down, the tokens, comes so fast during the warm-up that every cache was full before the first sample.
- Beside the server runs one that leaks (tests/support/leaky_server.py), at the same time under the same work: the control.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from strongroom.barrier.cache import LIMIT_ABSENT
from tests.faults.rounds import LONG
from tests.support.http import Client
from tests.support.server import Server, serving

pytestmark = pytest.mark.fault("F33")

SECONDS: Final = float(os.environ.get("STRONGROOM_SOAK_MINUTES", "60")) * 60 if LONG else 12.0
WARM_SHARE: Final = 0.25
"""Of the time, in which clients do not pause: caches fill, as far as they may, and the allocator finds its size."""
WARM_TOKENS: Final = 2 * LIMIT_ABSENT
"""Tokens that come and go in that time, or the caches are not full and a slope says nothing: each leaves, for a while, a row that is not
there any more and the hashes of its requests, of which a worker keeps as many or fewer (`framing.KNOWN_ONCE`)."""
CLIENTS, PAUSE = 4, 0.012
"""About 60 % of one core."""
TOKEN_TURNS, WARM_TURNS = 25, 5
"""Every so many turns a token is made, used and revoked."""
SLOPE: Final = 1 << 20
"""Bytes an hour."""
SLACK: Final = 32 << 20
"""What a run of seconds may be off by: caches are still filling, which says nothing about an hour."""
LEAK: Final = 2 * SLOPE if LONG else 8 * SLACK * 3_600 / SECONDS
"""Bytes an hour that the control loses, in both workers."""


class Sample(NamedTuple):
    """What the workers use at one moment; `memory` is their own, without what is mapped from files, which the system takes and gives."""

    at: float
    memory: int
    files: int
    threads: int


class Run(NamedTuple):
    """What one server did under the work."""

    samples: list[Sample]
    done: int
    tokens: int
    wrong: list[str]


def sample(server: Server) -> Sample:
    pids = server.children() or [server.pid]
    sizes = [Path(f"/proc/{pid}/statm").read_text().split() for pid in pids]
    pages = sum(int(resident) - int(shared) for _, resident, shared, *_ in sizes)
    files = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
    return Sample(time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE"), files, threads)


class Worker(threading.Thread):
    """One client that does a bit of everything, over and over the same names so that the store does not grow."""

    def __init__(self, server: Server, number: int, until: threading.Event) -> None:
        super().__init__(daemon=True)
        self.server, self.number, self.over, self.pause = server, number, until, 0.0
        self.done, self.tokens, self.wrong = 0, 0, list[str]()

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
        path, tokens = f"secret/data/soak/{self.number}/", TOKEN_TURNS if self.pause else WARM_TURNS
        if turn % 10 == 0:  # each of the names in turn: what is read is there
            replies = [client.write(f"{path}{turn // 10 % 50}", {"data": {"turn": f"{turn:09}", "text": "x" * (turn % 900)}})]
        elif turn % tokens == 1:
            made = client.write("auth/token/create", {"policies": ["default"], "ttl": "1m", "no_parent": True})
            token = made.json["auth"]["client_token"]
            replies = [made, client.read("auth/token/lookup-self", token=token), client.write("auth/token/revoke-self", token=token)]
            self.tokens += 1
        elif turn % 25 == 2:
            replies = [client.ask("LIST", f"secret/metadata/soak/{self.number}"), client.read("sys/mounts")]
        else:
            replies = [client.read(f"{path}{turn % 50}")]
        self.done += len(replies)
        self.wrong += [f"{reply.status} {reply.text}" for reply in replies if reply.status >= 500]


def soak(server: Server, seconds: float) -> Run:
    """Work for so long; samples of the time behind the warm-up, tokens of the warm-up."""
    over = threading.Event()
    workers = [Worker(server, number, over) for number in range(CLIENTS)]
    for worker in workers:
        worker.start()
    time.sleep(seconds * WARM_SHARE)
    for worker in workers:
        worker.pause = PAUSE
    tokens = sum(worker.tokens for worker in workers)
    samples, end = [sample(server)], time.monotonic() + seconds * (1 - WARM_SHARE)
    while time.monotonic() < end:
        time.sleep(min(10.0, seconds / 12))
        samples.append(sample(server))
    over.set()
    for worker in workers:
        worker.join()
    return Run(samples, sum(worker.done for worker in workers), tokens, [text for worker in workers for text in worker.wrong])


def soaked(directory: Path, **options: Any) -> Run:
    with serving(directory, workers=2, **options) as (server, _):
        return soak(server, SECONDS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A server and one that leaks, side by side."""
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setenv("LEAK", str(LEAK / 3_600 / 2))
        steady = pool.submit(soaked, tmp_path_factory.mktemp("steady"))
        leaky = pool.submit(soaked, tmp_path_factory.mktemp("leaky"), entry=("-m", "tests.support.leaky_server"))
        return steady.result(), leaky.result()


def slope(samples: Sequence[Sample]) -> float:
    """Bytes of memory an hour, by least squares."""
    times, sizes = [each.at - samples[0].at for each in samples], [each.memory for each in samples]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    below = sum((at - middle) ** 2 for at in times)
    return 3_600 * sum((at - middle) * (size - mean) for at, size in zip(times, sizes, strict=True)) / below


def told(name: str, run: Run) -> None:
    """Print what was measured: every minute of it, for whoever wants to see the curve."""
    mib = " ".join(f"{each.memory / (1 << 20):.1f}" for each in run.samples[::6])
    grown = f"{slope(run.samples) / (1 << 20):.2f} MiB an hour"
    print(f"\n{name}: {run.done} requests in {SECONDS:.0f} s, {run.tokens} tokens in the warm-up; {grown}\n{mib}")


def grows(run: Run) -> bool:
    samples = run.samples
    return slope(samples) >= SLOPE if LONG else samples[-1].memory - samples[0].memory >= SLACK


def test_memory_descriptors_and_threads_stay_where_they_were(runs: tuple[Run, Run]) -> None:
    run, _ = runs
    told("steady", run)
    first, last = run.samples[0], run.samples[-1]
    assert run.wrong == []
    assert not LONG or run.tokens >= WARM_TOKENS, "the caches are not full yet: give it more minutes"
    assert not grows(run)
    assert last.files <= first.files + CLIENTS
    assert last.threads <= first.threads + 1


@pytest.mark.control
def test_control_a_server_that_leaks_is_found(runs: tuple[Run, Run]) -> None:
    _, run = runs
    told(f"with {LEAK / (1 << 20):.0f} MiB an hour lost", run)
    assert run.wrong == []
    assert grows(run)


@pytest.mark.control
def test_control_the_slope_is_that_of_what_is_lost() -> None:
    leaking = [Sample(float(second), 50_000_000 + 400 * second, 20, 5) for second in range(0, 3_600, 10)]
    assert slope(leaking) == pytest.approx(400 * 3_600)
    assert abs(slope([each._replace(memory=50_000_000) for each in leaking])) < 1
