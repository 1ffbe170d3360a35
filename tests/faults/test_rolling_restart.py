"""F30 at length: two nodes restart in turn, again and again, and no client that tries once more fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.rounds import rounds
from tests.support.http import Client, Reply
from tests.support.nodes import nodes
from tests.support.postgres import fresh_database
from tests.support.server import Server

pytestmark = pytest.mark.fault("F30")

DRAIN_SECONDS = 30.0


class Retrying(threading.Thread):
    """A client that goes on with the other node, so many times, when one does not answer or says that it cannot."""

    def __init__(self, servers: Sequence[Server], number: int, retries: int) -> None:
        super().__init__(daemon=True)
        self.clients = [server.client() for server in servers]
        self.number, self.tries = number, 1 + retries
        self.failed: list[str] = []
        self.kept: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            name, said = f"rolling/{self.number}/{turn}", ""
            for each in range(self.tries):
                reply = self.ask(self.clients[(turn + each) % 2], name)
                if isinstance(reply, Reply) and reply.status == 200:
                    self.kept.append(name)
                    break
                said = reply if isinstance(reply, str) else f"{reply.status} {reply.text}"
            else:
                self.failed.append(said)

    def ask(self, client: Client, name: str) -> Reply | str:
        try:
            return client.write(f"secret/data/{name}", {"data": {"name": name}})
        except ConnectionError as error:
            return str(error)


def restart_in_turn(servers: Sequence[Server], restarts: int, retries: int) -> list[Retrying]:
    """Stop and start one node after the other, each once the other serves again."""
    clients = [Retrying(servers, number, retries) for number in range(4)]
    for client in clients:
        client.start()
    for turn in range(restarts):
        time.sleep(0.3)
        began = time.monotonic()
        assert servers[turn % 2].terminate() == 0
        assert time.monotonic() - began < DRAIN_SECONDS
        servers[turn % 2].start()
    for client in clients:
        client.stopping.set()
        client.join()
    return clients


@pytest.mark.long
def test_nodes_restart_in_turn_and_no_client_with_one_retry_fails(tmp_path: Path) -> None:
    with nodes(tmp_path, [fresh_database()] * 2) as servers:
        for _ in rounds("F30", "ten restarts of two nodes in turn", short=1, long=10):
            clients = restart_in_turn(servers, 10, retries=1)
            assert [text for client in clients for text in client.failed] == []
            with servers[0].client() as reader:
                for client in clients:
                    assert len(client.kept) > 10
                    assert not [name for name in client.kept if reader.read(f"secret/data/{name}").status != 200]


@pytest.mark.control
def test_control_without_a_retry_clients_fail(tmp_path: Path) -> None:
    with nodes(tmp_path, [fresh_database()] * 2) as servers:
        assert any(client.failed for client in restart_in_turn(servers, 2, retries=0))
