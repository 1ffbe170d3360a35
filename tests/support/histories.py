"""Clients that race for the same secrets over several nodes, and the history of what each of them saw.

Rules of this file:
- A value is written once in the world, so whoever reads it knows who wrote it.
- What a client may conclude from an answer is what the server promises: 200 it is done, 400 another one was first, 503 it is not done,
  unless the answer says `outcome_unknown`; after a lost connection nobody knows. Any other answer is wrong by itself.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tests.support.http import Client, Reply
from tests.support.linearizable import Operation, linearizable
from tests.support.server import Server

PAUSE_SECONDS = 0.05
"""After a refusal: clients that hammer a node which cannot serve say nothing about it."""


class Racer(threading.Thread):
    """One client of one node."""

    def __init__(self, server: Server, number: int, keys: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.client = Client(server.port, server.token, timeout=30)
        self.number, self.keys = number, keys
        self.dice = random.Random(seed * 1_000 + number)
        self.seen: dict[int, int] = {}
        self.history: dict[int, list[Operation]] = defaultdict(list)
        self.wrong: list[str] = []
        self.waits: list[tuple[float, float]] = []
        """When each write that was acknowledged began, and how long it took."""
        self.stopping = threading.Event()
        self.turn = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            key = self.dice.randrange(self.keys)
            (self.write if key in self.seen and self.dice.random() < 0.5 else self.look)(key)
        self.client.close()

    def look(self, key: int) -> None:
        start = time.monotonic_ns()
        try:
            reply = self.client.read(f"secret/data/race/{key}")
        except ConnectionError:
            time.sleep(PAUSE_SECONDS)
            return
        end = time.monotonic_ns()
        if reply.status == 200:
            found: dict[str, Any] = reply.data
            self.note(key, Operation("read", start, end, found["metadata"]["version"], found["data"]["value"]))
        elif reply.status == 404:
            self.note(key, Operation("read", start, end, 0))
        else:
            self.unavailable(reply)

    def write(self, key: int) -> None:
        self.turn += 1
        version, value = self.seen[key] + 1, f"{self.number}.{self.turn}"
        body = {"data": {"value": value}, "options": {"cas": version - 1}}
        start = time.monotonic_ns()
        try:
            reply = self.client.write(f"secret/data/race/{key}", body)
        except ConnectionError:
            self.note(key, Operation("unknown", start, 0, version, value))
            time.sleep(PAUSE_SECONDS)
            return
        end = time.monotonic_ns()
        if reply.status == 200 and reply.data["version"] == version:
            self.note(key, Operation("write", start, end, version, value))
            self.waits.append((start / 1e9, (end - start) / 1e9))
        elif reply.status == 400 and "check-and-set" in reply.text:
            self.note(key, Operation("refused", start, end, version, value))
            del self.seen[key]
        elif reply.status == 503 and "outcome_unknown" in reply.text:
            self.note(key, Operation("unknown", start, 0, version, value))
        else:
            self.unavailable(reply)

    def note(self, key: int, operation: Operation) -> None:
        self.history[key].append(operation)
        if operation.kind in {"read", "write"}:
            self.seen[key] = operation.version

    def unavailable(self, reply: Reply) -> None:
        """Not done, for sure; anything but 503 is wrong."""
        if reply.status != 503:
            self.wrong.append(f"{reply.status} {reply.text}")
        time.sleep(PAUSE_SECONDS)


class Race:
    """What came of it."""

    def __init__(self, racers: Sequence[Racer]) -> None:
        self.racers = racers

    @property
    def wrong(self) -> list[str]:
        """Answers that no fault excuses."""
        return [text for racer in self.racers for text in racer.wrong]

    @property
    def operations(self) -> list[Operation]:
        return [operation for racer in self.racers for history in racer.history.values() for operation in history]

    def count(self, kind: str) -> int:
        return sum(operation.kind == kind for operation in self.operations)

    def acknowledged_after(self, moment: float) -> float:
        """When the first write that began after a moment was acknowledged."""
        return min((start + took for racer in self.racers for start, took in racer.waits if start > moment), default=float("inf"))

    def histories(self) -> dict[int, list[Operation]]:
        joined: dict[int, list[Operation]] = defaultdict(list)
        for racer in self.racers:
            for key, history in racer.history.items():
                joined[key] += history
        return joined

    def contradictions(self, client: Client) -> list[int]:
        """Secrets whose history, with a last read of each, could not have happened. The race must be over."""
        found = []
        for key, history in self.histories().items():
            start = time.monotonic_ns()
            reply = client.read(f"secret/data/race/{key}")
            assert reply.status in {200, 404}, reply
            last = (reply.data["metadata"]["version"], reply.data["data"]["value"]) if reply.status == 200 else (0, "")
            if not linearizable([*history, Operation("read", start, time.monotonic_ns(), *last)]):
                found.append(key)
        return found


@contextlib.contextmanager
def racing(servers: Sequence[Server], clients: int, keys: int, seed: int) -> Iterator[Race]:
    """`clients` per node race for the length of the block, and have stopped behind it."""
    racers = [Racer(server, index * clients + number, keys, seed) for index, server in enumerate(servers) for number in range(clients)]
    for racer in racers:
        racer.start()
    try:
        yield Race(racers)
    finally:
        for racer in racers:
            racer.stopping.set()
        for racer in racers:
            racer.join(60)
