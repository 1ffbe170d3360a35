"""F7, F8, F27 and F10: the network between nodes and their database cuts, swallows, delays and drops, under clients that race.

The store's own tests cut a commit at each of its messages (tests/storage/test_postgres.py); here clients judge what they were told.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.rounds import LONG, rounds
from tests.support.failover import Pair, pair
from tests.support.histories import Race, racing
from tests.support.http import Client, Reply
from tests.support.nodes import nodes
from tests.support.pgproxy import Link, Proxy, passing, proxy
from tests.support.postgres import Postgres, postgres
from tests.support.server import Server, free_port
from tests.support.waiting import until

LAX = ("-m", "tests.support.lax_nodes")
FAIL_SECONDS, BACK_SECONDS = 10.0, 5.0
HOLE_SECONDS = 60.0 if LONG else 8.0


class Network:
    """Nodes, and the proxies that each reaches its database through."""

    def __init__(self, database: Postgres, servers: list[Server], proxies: list[Proxy]) -> None:
        self.database, self.servers, self.proxies = database, servers, proxies


@contextmanager
def network(directory: Path, count: int = 2, lax: str = "", monkeypatch: pytest.MonkeyPatch | None = None) -> Iterator[Network]:
    """Each node with a proxy of its own before the one database."""
    options: dict[str, Any] = {}
    if monkeypatch is not None:
        monkeypatch.setenv("LAX", lax)
        options["entry"] = LAX
    with postgres() as database, ExitStack() as stack:
        database.database("vault")
        proxies = [stack.enter_context(proxy(database.port)) for _ in range(count)]
        urls = [database.at("vault", each.port) for each in proxies]
        yield Network(database, stack.enter_context(nodes(directory, urls, **options)), proxies)


def spoiling(dice: random.Random) -> Any:
    """A judge that cuts a connection, or swallows what comes after a COMMIT, once in a while."""

    def judge(link: Link, _number: int, frame: bytes) -> str:
        if link.is_commit(frame) and dice.random() < 0.03:
            return dice.choice(["cut", "swallow"])
        return "cut" if dice.random() < 0.0005 else "pass"

    return judge


# -- F7: cuts ------------------------------------------------------------------------------------------------------------


def cut_all_the_while(net: Network, seconds: float, seed: int) -> tuple[list[int], Any]:
    """Race while connections are cut anywhere and answers to COMMIT are swallowed; the contradictions, and the race."""
    dice = random.Random(seed)
    with racing(net.servers, 4, 8, seed) as race:
        for each in net.proxies:
            each.judge = spoiling(dice)
        time.sleep(seconds)
        until(lambda: sum(each.links for each in net.proxies) > 20, 60, "connections were to be cut, and made anew", every=0.1)
        for each in net.proxies:
            each.judge = passing
        time.sleep(0.5)
    with net.servers[0].client() as client:
        return race.contradictions(client), race


@pytest.mark.fault("F7")
def test_what_is_answered_while_connections_are_cut_is_what_happened(tmp_path: Path) -> None:
    for number in rounds("F7", "cuts", short=1, long=20):
        with network(tmp_path / str(number)) as net:
            contradictions, race = cut_all_the_while(net, 30 if LONG else 4, number)
            assert (contradictions, race.wrong) == ([], [])
            assert race.count("write") > 100


@pytest.mark.control
@pytest.mark.fault("F7")
def test_control_nodes_that_call_a_lost_answer_a_failure_contradict_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with network(tmp_path, lax="certain", monkeypatch=monkeypatch) as net:
        assert any(cut_all_the_while(net, 3, seed)[0] for seed in range(1, 6))


# -- F8: a black hole ------------------------------------------------------------------------------------------------------


def ask_all_the_while(server: Server, until: threading.Event, clients: int = 6) -> tuple[list[threading.Thread], list[tuple[int, float]]]:
    """Clients that read and write; what each was answered, and how long that took."""
    answers: list[tuple[int, float]] = []

    def ask(number: int) -> None:
        with server.client() as client:
            while not until.is_set():
                began = time.monotonic()
                reply = client.read("secret/data/x") if number % 2 else client.write("secret/data/x", {"data": {}})
                answers.append((reply.status, time.monotonic() - began))
                time.sleep(0.02)

    threads = [threading.Thread(target=ask, args=[number], daemon=True) for number in range(clients)]
    for thread in threads:
        thread.start()
    return threads, answers


def works_again(client: Client) -> float:
    """How long until a write is taken."""
    began = time.monotonic()
    while client.write("secret/data/x", {"data": {}}).status != 200:
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.fault("F8")
def test_behind_a_black_hole_requests_fail_in_time_and_resume_by_themselves(tmp_path: Path) -> None:
    with network(tmp_path, count=1) as net, net.servers[0].client() as client:
        assert client.write("secret/data/x", {"data": {}}).status == 200
        over = threading.Event()
        threads, answers = ask_all_the_while(net.servers[0], over)
        net.proxies[0].blackhole()
        time.sleep(0.5)
        answers.clear()
        time.sleep(HOLE_SECONDS)
        within, connections = list(answers), net.database.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'vault'")
        net.proxies[0].flow()
        back = works_again(client)
        over.set()
        for thread in threads:
            thread.join()
        assert len(within) >= 6
        assert {status for status, _ in within} == {503}
        assert max(took for _, took in answers) <= FAIL_SECONDS
        assert connections[0][0] <= 20
        assert back <= BACK_SECONDS


# -- F27: a node on its own --------------------------------------------------------------------------------------------------


def ask_the_isolated_node(net: Network, how: str) -> set[int]:
    """Revoke a token on one node while the other is cut off, and use it there; everything it is answered."""
    here, there = (server.client() for server in net.servers)
    token = there.write("auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
    assert there.write("secret/data/x", {"data": {"n": 1}}).status == 200
    assert here.read("auth/token/lookup-self", token=token).status == here.read("secret/data/x").status == 200
    if how == "cut":
        net.proxies[0].target = free_port()  # nobody listens there
        net.proxies[0].cut()
    else:
        net.proxies[0].blackhole()
    assert there.write("auth/token/revoke", {"token": token}).status == 204
    asked = [here.read(path, token=each).status for path, each in 2 * [("auth/token/lookup-self", token), ("secret/data/x", None)]]
    assert there.read("secret/data/x").status == 200, "the other node serves"
    return set(asked)


@pytest.mark.fault("F27")
@pytest.mark.parametrize("how", ["cut", "black hole"])
def test_a_node_without_its_database_answers_nothing_from_memory(tmp_path: Path, how: str) -> None:
    with network(tmp_path) as net:
        assert ask_the_isolated_node(net, how) == {503}
        with net.servers[0].client() as here:
            assert here.read("sys/health").status == 474


@pytest.mark.control
@pytest.mark.fault("F27")
def test_control_a_node_that_does_not_ask_accepts_a_revoked_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with network(tmp_path, lax="deaf", monkeypatch=monkeypatch) as net:
        assert 200 in ask_the_isolated_node(net, "black hole")


# -- F6 and F7: a commit that the primary takes with it ---------------------------------------------------------------------


@contextmanager
def cluster(directory: Path, **options: Any) -> Iterator[tuple[Pair, list[Server], list[Proxy]]]:
    """Two nodes that reach a primary and its standby through a proxy each."""
    with pair() as databases, ExitStack() as stack:
        databases.primary.database("vault")
        proxies = {each.port: stack.enter_context(proxy(each.port)) for each in (databases.primary, databases.standby)}
        address = databases.address("vault", lambda server: proxies[server.port].port)
        yield databases, stack.enter_context(nodes(directory, [address] * 2, **options)), list(proxies.values())


PROMOTED_SECONDS = 3.0
"""How long there is no primary."""
VALUE = "v" * 20_000
"""By which the network knows whose commit it is."""


class Answered(NamedTuple):
    """What became of a write that a primary died over."""

    reply: Reply
    took: float
    found: Reply


def write_while_the_primary_dies(directory: Path, action: str, **options: Any) -> Answered:
    """Do something to a COMMIT, let the primary die with it and its standby take over; what the client is told, and what is there."""
    died, sent = threading.Event(), threading.Event()
    large: set[Link] = set()

    def judge(link: Link, _number: int, frame: bytes) -> str:
        if sent.is_set():
            return "pass" if died.is_set() or link in large else "cut"
        if len(frame) > len(VALUE):
            large.add(link)
        if link not in large or not link.committing:
            return "pass"
        sent.set()
        return action

    def die(databases: Pair) -> None:
        sent.wait(10)
        time.sleep(0.1)  # the standby has it, where it was sent
        databases.primary.crash()
        died.set()
        time.sleep(PROMOTED_SECONDS)
        databases.promote()

    with cluster(directory, **options) as (databases, servers, proxies), servers[0].client() as client, servers[1].client() as other:
        dying = threading.Thread(target=die, args=[databases])
        dying.start()
        for each in proxies:
            each.judge = judge
        began = time.monotonic()
        reply = client.write("secret/data/lost", {"data": {"value": VALUE}})
        took = time.monotonic() - began
        dying.join()
        works_again(other)
        return Answered(reply, took, other.read("secret/data/lost"))


@pytest.mark.fault("F6", "F7")
def test_a_commit_whose_primary_died_is_found_on_the_next_one(tmp_path: Path) -> None:
    answered = write_while_the_primary_dies(tmp_path, "swallow")
    assert (answered.reply.status, answered.found.status) == (200, 200), answered
    assert PROMOTED_SECONDS < answered.took < FAIL_SECONDS


@pytest.mark.fault("F6", "F7")
def test_a_commit_that_the_next_primary_does_not_have_is_said_not_to_be_stored(tmp_path: Path) -> None:
    answered = write_while_the_primary_dies(tmp_path, "cut")
    assert (answered.reply.status, answered.found.status) == (503, 404), answered
    assert "was not stored" in answered.reply.text
    assert answered.took < FAIL_SECONDS


@pytest.mark.control
@pytest.mark.fault("F6", "F7")
def test_control_a_node_that_looks_once_cannot_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAX", "impatient")
    answered = write_while_the_primary_dies(tmp_path, "swallow", entry=LAX)
    assert (answered.reply.status, answered.found.status) == (503, 200), answered
    assert "outcome_unknown" in answered.reply.text


# -- F10: everything at once -------------------------------------------------------------------------------------------------


def everything_at_once(directory: Path, failovers: int, seed: int, clients: int, keys: int) -> tuple[list[int], Any]:
    """Race while connections are cut, answers swallowed and primaries die; the contradictions, and the race."""
    dice = random.Random(seed)
    with cluster(directory) as (databases, servers, proxies):
        with racing(servers, clients, keys, seed) as race:
            for _ in range(failovers):
                for each in proxies:
                    each.judge, each.delay = spoiling(dice), dice.choice([0.0, 0.0, 0.001])
                time.sleep(2.0)
                databases.fail_over()
                time.sleep(1.5)
                databases.rejoin()
            for each in proxies:
                each.judge, each.delay = passing, 0.0
            time.sleep(1.0)
        with servers[0].client() as client:
            return race.contradictions(client), race


@pytest.mark.fault("F10")
def test_every_secret_has_one_history_while_everything_fails_at_once(tmp_path: Path) -> None:
    for number in rounds("F10", "two nodes, eight clients each", short=1, long=10):
        size = (15, 8, 200) if LONG else (1, 4, 8)
        contradictions, race = everything_at_once(tmp_path / str(number), size[0], number, *size[1:])
        print(f"round {number}: {len(race.operations)} operations, {race.count('write')} writes, {race.count('unknown')} unknown")
        assert (contradictions, race.wrong) == ([], [])
        assert race.count("write") > 100


@pytest.mark.control
@pytest.mark.fault("F10")
def test_control_nodes_that_do_not_ask_contradict_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with network(tmp_path, lax="deaf", monkeypatch=monkeypatch) as net:
        assert any(race_undisturbed(net, seed).contradictions(net.servers[0].client()) for seed in range(1, 6))


def race_undisturbed(net: Network, seed: int) -> Race:
    """Two seconds of a race that nothing disturbs."""
    with racing(net.servers, 4, 8, seed) as race:
        time.sleep(2)
    return race
