"""Clients that keep a server busy and remember what it promised them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.server import Server


class Load(threading.Thread):
    """Writes until told to stop; a lost connection is retried once the server is back."""

    def __init__(self, server: Server, number: int) -> None:
        super().__init__(daemon=True)
        self.server, self.client = server, server.client()
        self.number = number
        self.kept: list[str] = []
        self.failed: list[str] = []
        self.cut = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            name = f"load/{self.number}/{turn}"
            try:
                reply = self.client.write(f"secret/data/{name}", {"data": {"name": name}})
            except ConnectionError as error:
                self.cut += "refused" not in str(error)
                time.sleep(0.02)
                continue
            if reply.status == 200:
                self.kept.append(name)
            else:
                self.failed.append(f"{reply.status} {reply.text}")

    def stop(self) -> None:
        """Finish the last request."""
        self.stopping.set()
        self.join()

    def lost(self) -> list[str]:
        """What was promised and is not there."""
        with self.server.client() as client:
            return [name for name in self.kept if client.read(f"secret/data/{name}").status != 200]


@contextmanager
def under_load(server: Server, clients: int) -> Iterator[list[Load]]:
    """Writers run for the length of the block."""
    loads = [Load(server, number) for number in range(clients)]
    for load in loads:
        load.start()
    try:
        yield loads
    finally:
        for load in loads:
            load.stop()
