"""A seal is a seal: whatever races with it, a server of two workers is sealed as a whole, or open as a whole, and no client is cut off.

Rules of this file:
- Clients keep their connections, as every HTTP library does, and connect anew when they are told that an answer is the last. One that
  asks now and then only looks whether its connection has ended before it asks.
- Each race has its control in tests/support/lax_workers.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from strongroom.server.worker import FOLLOW_SECONDS
from tests.faults.rounds import rounds
from tests.faults.test_workers import CONNECTIONS, held_by_people, opened, seal, states
from tests.support.http import Client, Reply
from tests.support.server import Server
from tests.support.waiting import until

pytestmark = pytest.mark.fault("F12")

SNAPSHOT = "sys/storage/raft/snapshot"
SOON = 5.0
"""Seconds. Whoever waits for the other in a circle is ended after ten."""


class Kept(Client):
    """A client as libraries are: it looks whether its connection has ended before it uses it again."""

    def send(self, message: bytes, verb: str = "GET") -> Reply:
        if self._socket is not None:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if poll.poll(0):
                self.close()
        return super().send(message, verb)


def kept(server: Server, number: int = CONNECTIONS, timeout: float = 20) -> list[Client]:
    """Connections of this sort, over all workers, which end with the server."""
    clients: list[Client] = [Kept(server.port, server.token, timeout=timeout) for _ in range(number)]
    server.clients += clients
    return clients


def everywhere(server: Server) -> set[bool]:
    """What new connections to all workers are told: whether the server is sealed."""
    clients: list[Client] = [Kept(server.port) for _ in range(CONNECTIONS)]
    try:
        return states(clients)
    finally:
        for client in clients:
            client.close()


class Asking(threading.Thread):
    """Reads over one connection all the time, and looks for nothing but answers; how often it was cut off."""

    def __init__(self, server: Server, pause: float) -> None:
        super().__init__(daemon=True)
        self.client = server.client()
        self.pause = pause
        self.statuses = set[int]()
        self.cut: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(self.pause):
            try:
                self.statuses.add(self.client.read("auth/token/lookup-self").status)
            except ConnectionError as error:
                self.cut.append(str(error))


@contextlib.contextmanager
def asking(server: Server) -> Iterator[list[Asking]]:
    """Eight of them, as fast as they can and now and then."""
    threads = [Asking(server, pause) for pause in (0.001, 0.001, 0.01, 0.01, 0.05, 0.05, 0.2, 0.2)]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.stopping.set()
    for thread in threads:
        thread.join()


def unseal(client: Client, keys: list[str], **more: Any) -> list[Reply]:
    return [client.write("sys/unseal", {"key": key, **more}) for key in keys]


def replaced(server: Server, before: list[int]) -> bool:
    return not set(before) & set(server.children()) and len(server.children()) == 2


def open_again(server: Server, keys: list[str], **more: Any) -> list[Client]:
    """Unseal, trying again as a person would; new connections that all say that it is open."""
    clients = kept(server)
    until(lambda: unseal(clients[0], keys[:2], **more)[-1].json.get("sealed") is False)
    until(lambda: states(clients) == {False})
    return clients


# -- connections -----------------------------------------------------------------------------------------------------------


def cut_off(server: Server, keys: list[str]) -> list[str]:
    """Seal and unseal over one connection, then seal for longer, while others ask; what they were cut off with."""
    opened(server, keys)
    client = kept(server, 1)[0]
    with asking(server) as threads:
        for _ in rounds("F12", "seal and unseal beside kept connections", short=2, long=20):
            seal(client)
            assert [reply.json["sealed"] for reply in unseal(client, keys[:2])] == [True, False]
            assert client.read("auth/token/lookup-self").status == 200
            before = server.children()
            seal(client)
            until(lambda before=before: replaced(server, before), 10)
            unseal(client, keys[:2])
            until(lambda: client.read("auth/token/lookup-self").status == 200)
    assert set.union(*(thread.statuses for thread in threads)) == {200, 503}
    return [text for thread in threads for text in thread.cut]


def test_who_keeps_a_connection_is_not_cut_off_by_a_seal(tmp_path: Path) -> None:
    with held_by_people(tmp_path) as (server, keys):
        assert cut_off(server, keys) == []
        assert "worker died" not in server.output()


@pytest.mark.control
def test_control_who_closes_idle_connections_at_once_cuts_clients_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_by_people(tmp_path, monkeypatch, "abrupt") as (server, keys):
        assert cut_off(server, keys) != []


# -- seals beside each other -----------------------------------------------------------------------------------------------


def test_who_unseals_within_a_second_ends_no_worker(tmp_path: Path) -> None:
    with held_by_people(tmp_path) as (server, keys):
        clients = opened(server, keys)
        before = server.children()
        seal(clients[0])
        unseal(clients[0], keys[:2])
        time.sleep(1.5)
        assert server.children() == before
        assert states(clients) == {False}


def test_two_seals_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with held_by_people(tmp_path) as (server, keys), ThreadPoolExecutor(CONNECTIONS) as pool:
        clients = opened(server, keys)
        for _ in rounds("F12", "seals at once, through both workers", short=3, long=30):
            began = time.monotonic()
            answers = list(pool.map(lambda client: client.ask("PUT", "sys/seal").status, clients))
            assert 204 in answers and set(answers) <= {204, 503}, answers
            assert time.monotonic() - began < SOON
            assert everywhere(server) == {True}
            clients = open_again(server, keys)
        time.sleep(FOLLOW_SECONDS + 0.3)
        assert everywhere(server) == {False}, "no seal was left over"
        assert "worker died" not in server.output()


def test_shares_that_race_with_a_seal_leave_it_whole(tmp_path: Path) -> None:
    """One share of two opens nothing, whenever it comes. With two of them all workers are open in the end, or none is."""
    dice = random.Random(5)
    with held_by_people(tmp_path) as (server, keys), ThreadPoolExecutor(2) as pool:
        clients = opened(server, keys)
        for turn in rounds("F12", "shares that race with a seal", short=6, long=50):
            given = keys[: 1 + turn % 2]
            delays = dice.uniform(0, 0.03), dice.uniform(0, 0.03)
            sealing = pool.submit(_sealed_after, delays[0], clients[turn % 3])
            giving = pool.submit(_given_after, delays[1], clients[-1 - turn % 3], given)
            assert sealing.result() == 204
            assert giving.result() <= {200, 503}
            found = [everywhere(server) for _ in range(3)]
            assert found[-1] in ({True}, {False}), found
            assert len(given) == 2 or found == [{True}] * 3, found
            for client in clients:
                client.close()
            clients = open_again(server, keys)
            assert {client.read("auth/token/lookup-self").status for client in clients} == {200}


def test_a_worker_that_is_killed_in_the_midst_of_a_seal_leaves_it_whole(tmp_path: Path) -> None:
    """Who was told that the server is sealed finds it so everywhere; nobody waits for the dead, and it opens again."""
    dice = random.Random(6)
    with held_by_people(tmp_path) as (server, keys), ThreadPoolExecutor(1) as pool:
        opened(server, keys)
        for turn in rounds("F12", "workers killed in the midst of a seal", short=4, long=40):
            with Client(server.port, server.token) as client:
                sealing = pool.submit(_sealed_or_cut, client)
                time.sleep(dice.uniform(0, 0.02))
                os.kill(server.children()[turn % 2], signal.SIGKILL)
                began = time.monotonic()
                said = sealing.result()
            assert time.monotonic() - began < SOON
            assert said in (204, 0)
            if said:
                assert everywhere(server) == {True}
            until(lambda: len(server.children()) == 2)
            for client in open_again(server, keys):
                client.close()
            time.sleep(10 / 3)  # three deaths in ten seconds, and a slot is given up


def _sealed_or_cut(client: Client) -> int:
    try:
        return client.ask("PUT", "sys/seal").status
    except ConnectionError:
        return 0


def _sealed_after(seconds: float, client: Client) -> int:
    time.sleep(seconds)
    return client.ask("PUT", "sys/seal").status


def _given_after(seconds: float, client: Client, keys: list[str]) -> set[int]:
    time.sleep(seconds)
    return {reply.status for reply in unseal(client, keys)}


# -- a snapshot that is put in place ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def restoring(directory: Path, monkeypatch: pytest.MonkeyPatch, lax: str) -> Iterator[tuple[Server, list[str], bytes, list[Client]]]:
    """A server that takes seconds to put a snapshot in place, of when `secret/x` was `old`; since then it is `new`."""
    with held_by_people(directory, monkeypatch, lax) as (server, keys):
        clients = opened(server, keys)
        clients[0].write("sys/mounts/secret", {"type": "kv"})
        clients[0].write("secret/x", {"v": "old"})
        snapshot = clients[0].read(SNAPSHOT).body
        clients[0].write("secret/x", {"v": "new"})
        yield server, keys, snapshot, clients


def test_while_a_snapshot_is_put_in_place_nobody_unseals_seals_or_puts_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with restoring(tmp_path, monkeypatch, "slow") as (server, keys, snapshot, clients):
        assert clients[0].write(SNAPSHOT, snapshot).status == 202
        replies = unseal(connected_elsewhere(server), keys[:2])
        assert {reply.status for reply in replies} == {503}
        assert "just being sealed" in replies[0].text
        assert "replaced by a snapshot" not in server.output()
        until(lambda: "replaced by a snapshot" in server.output())
        clients = open_again(server, keys, accept_rollback=True)
        assert {client.read("secret/x").data["v"] for client in clients} == {"old"}


def connected_elsewhere(server: Server) -> Client:
    """A connection to the worker that does not put the snapshot in place, which answers while the other one does not."""
    for client in kept(server, timeout=0.2):
        with contextlib.suppress(ConnectionError):
            client.read("sys/health")
            return client
    raise AssertionError("nobody answers")


@pytest.mark.control
def test_control_who_takes_shares_meanwhile_opens_the_store_that_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with restoring(tmp_path, monkeypatch, "greedy") as (server, keys, snapshot, clients):
        clients[0].write(SNAPSHOT, snapshot)
        assert False in {reply.json.get("sealed") for reply in unseal(connected_elsewhere(server), keys[:2])}


def test_of_several_restores_and_seals_at_once_one_snapshot_at_most_is_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with restoring(tmp_path, monkeypatch, "slow") as (server, keys, snapshot, clients), ThreadPoolExecutor(6) as pool:
        asked: list[Callable[[Client], Reply]] = [
            lambda client: client.write(SNAPSHOT, snapshot),
            lambda client: client.ask("PUT", "sys/seal"),
        ]
        answers = list(pool.map(lambda number: asked[number % 3 == 2](clients[number]).status, range(6)))
        assert set(answers) <= {202, 204, 503}
        done = answers.count(202)
        assert done <= 1
        until(lambda: server.output().count("replaced by a snapshot") == done)
        clients = open_again(server, keys, accept_rollback=True)
        assert {client.read("secret/x").data["v"] for client in clients} == {"old" if done else "new"}
        assert "worker died" not in server.output()


@pytest.mark.parametrize("late", [0.0, 2.9, 3.02])
def test_a_worker_that_is_killed_while_it_puts_a_snapshot_in_place_leaves_one_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    with restoring(tmp_path, monkeypatch, "slow") as (server, keys, snapshot, clients):
        before = server.children()
        assert clients[0].write(SNAPSHOT, snapshot).status == 202
        time.sleep(late)
        for pid in set(before) & set(server.children()):
            os.kill(pid, signal.SIGKILL)
        clients = open_again(server, keys, accept_rollback=True)
        assert {client.read("secret/x").data["v"] for client in clients} in ({"old"}, {"new"})
        assert clients[0].write("secret/y", {"v": "1"}).status == 204
