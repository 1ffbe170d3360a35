"""F6 and F10: the primary of the database dies and its standby takes over, under two nodes that many clients race on.

What each client saw must fit one order of events (tests/support/linearizable.py), which an acknowledged write that was lost, two winners of
one version, and a stale read do not. Each promise has a control: nodes of tests/support/lax_nodes.py, for which the test must fail.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg.conninfo
import pytest

from strongroom.storage.postgres.link import each_alone
from tests.faults.rounds import LONG, rounds
from tests.support.failover import SETTINGS, Pair, newest, pair
from tests.support.histories import Race, racing
from tests.support.http import Client
from tests.support.nodes import nodes
from tests.support.server import Server
from tests.support.waiting import until

LAX = ("-m", "tests.support.lax_nodes")
OUTAGE_SECONDS = 10.0
CLIENTS, KEYS = (8, 200) if LONG else (4, 8)


@contextmanager
def two_nodes(
    directory: Path, lax: str = "", monkeypatch: pytest.MonkeyPatch | None = None, *, synchronous: bool = True
) -> Iterator[tuple[Pair, list[Server]]]:
    """A pair of databases with two nodes on it."""
    options: dict[str, Any] = {}
    if monkeypatch is not None:
        monkeypatch.setenv("LAX", lax)
        options["entry"] = LAX
    with pair(synchronous=synchronous) as databases:
        databases.primary.database("vault")
        with nodes(directory, [databases.address("vault")] * 2, **options) as servers:
            yield databases, servers


def fail_over_under_load(databases: Pair, servers: list[Server], times: int, seed: int) -> tuple[Race, list[float]]:
    """What the clients saw, and how long after each promotion the first write was acknowledged."""
    outages = []
    with racing(servers, CLIENTS, KEYS, seed) as race:
        for _ in range(times):
            time.sleep(1.0)
            ready = databases.fail_over()
            time.sleep(1.0)
            databases.rejoin()
            outages.append(race.acknowledged_after(ready) - ready)
        time.sleep(0.5)
    return race, outages


@pytest.mark.fault("F6")
def test_no_acknowledged_write_is_lost_when_the_standby_takes_over(tmp_path: Path) -> None:
    for number in rounds("F6", "five failovers", short=1, long=10):
        with two_nodes(tmp_path / str(number)) as (databases, servers):
            race, outages = fail_over_under_load(databases, servers, times=5 if LONG else 2, seed=number)
            assert race.wrong == []
            assert race.count("write") > 100
            assert max(outages) <= OUTAGE_SECONDS
            with servers[0].client() as client:
                assert race.contradictions(client) == []


@pytest.mark.control
@pytest.mark.fault("F6")
def test_control_nodes_that_answer_before_they_commit_lose_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with two_nodes(tmp_path, "hasty", monkeypatch) as (databases, servers):
        found = []
        for seed in range(1, 6):
            race, _ = fail_over_under_load(databases, servers, times=1, seed=seed)
            with servers[0].client() as client:
                found += race.contradictions(client)
            if found:
                break
        assert found


@pytest.mark.fault("F6")
def test_a_former_primary_that_takes_connections_again_is_refused_and_the_present_one_found(tmp_path: Path) -> None:
    """As after a partition: both say that they are primary, and the address names the former one first."""
    with two_nodes(tmp_path) as (databases, servers), servers[0].client() as client:
        first = databases.primary
        for number in range(3):
            assert client.write("secret/data/kept", {"data": {"n": number}}).status == 200
        databases.fail_over()
        until_it_works(client)
        first.start()
        first.sql("ALTER SYSTEM RESET synchronous_standby_names")
        first.sql("SELECT pg_reload_conf()")
        left = newest(first, "vault")
        databases.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strongroom'")
        until_it_works(client)
        assert client.read("secret/data/kept").data["data"] == {"n": 2}
        assert newest(first, "vault") == left, "nobody wrote there"
        assert newest(databases.primary, "vault") > left


def until_it_works(client: Client) -> None:
    works = lambda: client.write("secret/data/works", {"data": {}}).status == 200  # noqa: E731 — a line of its own reads better
    until(works, OUTAGE_SECONDS, "it does not write again", every=0.05)


def lose_commits(databases: Pair, client: Client) -> None:
    """The standby goes on without what was answered while it was away."""
    databases.standby.crash()
    for number in range(3):
        assert client.write("secret/data/lost", {"data": {"n": number}}).status == 200
    databases.primary.crash()
    databases.standby.start(**SETTINGS)
    databases.promote()


@pytest.mark.fault("F6")
def test_a_failover_that_lost_commits_is_told_by_number_and_not_hidden(tmp_path: Path) -> None:
    with two_nodes(tmp_path, synchronous=False) as (databases, servers), servers[0].client() as client:
        lose_commits(databases, client)
        seen = re.compile(r"the database is at commit (\d+), and (\d+) was seen here")
        said = lambda: client.read("secret/data/lost").text  # noqa: E731 — looked at twice
        found = until(lambda: seen.search(said()), OUTAGE_SECONDS, said, every=0.05)
        assert found is not None
        assert int(found[2]) - int(found[1]) == 3
        assert client.write("secret/data/lost", {"data": {}}).status == 503


@pytest.mark.control
@pytest.mark.fault("F6")
def test_control_nodes_that_believe_any_server_hide_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with two_nodes(tmp_path, "trusting", monkeypatch, synchronous=False) as (databases, servers), servers[0].client() as client:
        lose_commits(databases, client)
        until_it_works(client)


@pytest.mark.fault("F6")
def test_an_address_of_several_servers_is_taken_apart() -> None:
    said = [psycopg.conninfo.conninfo_to_dict(each) for each in each_alone("postgres://u@a:1,b:2/x?sslmode=disable")]
    assert [(each["host"], each["port"], each["sslmode"]) for each in said] == [("a", "1", "disable"), ("b", "2", "disable")]
    assert [psycopg.conninfo.conninfo_to_dict(each)["port"] for each in each_alone("host=a,b port=5432")] == ["5432", "5432"]
    assert each_alone("postgres://u@a/x") == []
