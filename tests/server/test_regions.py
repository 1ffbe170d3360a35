"""A node far from the primary that reads from a standby nearby: what it may answer from, and what it says of it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from tests.support.http import Client
from tests.support.nodes import node
from tests.support.pgproxy import Proxy, passing, proxy
from tests.support.postgres import Postgres, postgres
from tests.support.server import Server
from tests.support.waiting import until

KEYS = 40
REVOCATIONS = 25


class Region(NamedTuple):
    """Two nodes of one installation: `home` beside the primary, `away` beside the standby, with a proxy before each database."""

    name: str
    primary: Postgres
    standby: Postgres
    to_primary: Proxy
    to_standby: Proxy
    home: Server
    away: Server

    def pause(self) -> None:
        """The standby takes over no commit from now on."""
        until = time.monotonic() + 10
        while self.standby.sql("SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()") != [(False,)]:
            assert time.monotonic() < until
        self.standby.sql("SELECT pg_wal_replay_pause()")
        while self.standby.sql("SELECT pg_get_wal_replay_pause_state()") != [("paused",)]:
            assert time.monotonic() < until

    def calm(self) -> None:
        """Undo whatever a test did to the databases and the ways to them."""
        self.standby.sql("SELECT pg_wal_replay_resume()")
        for way in (self.to_primary, self.to_standby):
            way.judge, way.delay = passing, 0.0
            way.flow()

    def ready(self) -> None:
        """Wait until the node away serves and has its standby."""
        client = self.away.client()
        until(lambda: client.read("sys/mounts").status == 200)
        until(lambda: client.read("sys/health").json["read_standby"] == "reachable")


@pytest.fixture(scope="module")
def databases() -> Iterator[tuple[Postgres, Postgres]]:
    with postgres(wal_level="replica") as primary:
        standby = Postgres(standby_of=primary)
        try:
            yield primary, standby.start()
        finally:
            standby.close()


@contextmanager
def serving(databases: tuple[Postgres, Postgres], directory: Path, name: str, extra: str = "") -> Iterator[Region]:
    """Both nodes on a database of their own; `extra` stands in the storage stanza of the one away."""
    primary, standby = databases
    primary.database(name)
    with proxy(primary.port) as to_primary, proxy(standby.port) as to_standby:
        home = node(directory / "home", primary.at(name))
        away = node(directory / "away", primary.at(name, to_primary.port), home.seal_key.read_text())
        stanza = f'read_url = "{standby.at(name, to_standby.port)}"\n  {extra}\n'
        away.config.write_text(away.config.read_text().replace("connection_url", f"{stanza}  connection_url", 1))
        made = Region(name, primary, standby, to_primary, to_standby, home, away)
        try:
            home.begin()
            away.token = home.token
            away.start()
            yield made
        finally:
            made.calm()
            away.close()
            home.close()


@pytest.fixture(scope="module")
def exact_region(databases: tuple[Postgres, Postgres], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with serving(databases, tmp_path_factory.mktemp("exact"), "exact") as made:
        yield made


@pytest.fixture(scope="module")
def stale_region(databases: tuple[Postgres, Postgres], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with serving(databases, tmp_path_factory.mktemp("stale"), "stale", 'max_staleness = "60s"') as made:
        yield made


@pytest.fixture
def region(exact_region: Region) -> Iterator[Region]:
    exact_region.ready()
    yield exact_region
    exact_region.calm()


@pytest.fixture
def stale(stale_region: Region) -> Iterator[Region]:
    """The same, and the node away may answer from a state that is a minute old."""
    stale_region.ready()
    yield stale_region
    stale_region.calm()


def put(client: Client, number: int, value: str) -> dict[str, str]:
    """Write a secret; the answer's headers."""
    answer = client.write(f"secret/data/k{number}", {"data": {"v": value}})
    assert answer.status == 200, answer
    return answer.headers


def got(client: Client, number: int, **headers: str) -> str:
    answer = client.read(f"secret/data/k{number}", **headers)
    assert answer.status == 200, answer
    return str(answer.data["data"]["v"])


def metric(client: Client, name: str) -> float:
    text = client.read("sys/metrics?format=prometheus").text
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(name + " ")))


# -- what the standby is for --------------------------------------------------------------------------------------------


def test_secrets_come_from_the_standby_and_are_those_that_were_written(region: Region) -> None:
    home, away = region.home.client(), region.away.client()
    for number in range(KEYS):
        put(home, number, str(number))
    region.pause()  # it is level then
    before = metric(away, "strongroom_standby_answered_total")
    assert [got(away, number) for number in range(KEYS)] == [str(number) for number in range(KEYS)]
    assert metric(away, "strongroom_standby_answered_total") - before >= KEYS
    assert away.ask("LIST", "secret/metadata/").data["keys"] == sorted(f"k{number}" for number in range(KEYS))


def test_a_standby_that_stands_still_makes_no_answer_older(region: Region) -> None:
    """What changed since is asked of the primary, also where it came from the standby before; the rest still does."""
    home, away = region.home.client(), region.away.client()
    for number in range(KEYS):
        put(home, number, "old")
    region.pause()
    for number in range(0, KEYS, 2):
        put(home, number, "new")
    answered, passed_on = (metric(away, f"strongroom_standby_{name}_total") for name in ("answered", "passed_on"))
    assert [got(away, number) for number in range(KEYS)] == ["new", "old"] * (KEYS // 2)
    assert metric(away, "strongroom_standby_answered_total") > answered
    assert metric(away, "strongroom_standby_passed_on_total") > passed_on
    for number in range(KEYS):
        put(home, number, "newest")
        assert got(away, number) == "newest"


# -- who may ------------------------------------------------------------------------------------------------------------


def still_read(region: Region) -> int:
    """How many tokens read away after they were revoked at home, with a standby that has not heard of it."""
    home, away = region.home.client(), region.away.client()
    home.write("sys/policies/acl/reader", {"policy": 'path "secret/data/*" { capabilities = ["read"] }'})
    put(home, 0, "v")
    tokens = [str(home.write("auth/token/create", {"policies": ["reader"]}).json["auth"]["client_token"]) for _ in range(REVOCATIONS)]
    region.pause()
    failures = 0
    for token in tokens:
        assert away.read("secret/data/k0", token=token).status == 200
        assert home.write("auth/token/revoke", {"token": token}).status == 204
        failures += away.read("secret/data/k0", token=token).status != 403
    return failures


def test_a_revoked_token_is_refused_by_the_next_request_though_the_standby_knows_it(region: Region) -> None:
    assert still_read(region) == 0


def test_control_a_node_that_may_be_stale_reads_with_revoked_tokens(stale: Region) -> None:
    assert still_read(stale) > 0


def test_a_policy_that_was_taken_away_is_gone_with_the_next_request(region: Region) -> None:
    home, away = region.home.client(), region.away.client()
    put(home, 0, "v")
    home.write("sys/policies/acl/some", {"policy": 'path "secret/data/k0" { capabilities = ["read"] }'})
    token = home.write("auth/token/create", {"policies": ["some"]}).json["auth"]["client_token"]
    region.pause()
    assert away.read("secret/data/k0", token=token).status == 200
    home.write("sys/policies/acl/some", {"policy": 'path "secret/data/k0" { capabilities = ["deny"] }'})
    assert away.read("secret/data/k0", token=token).status == 403


class Lied(NamedTuple):
    """A node that was stopped, a token it had revoked, the index of its last write; `liar` and `behind` are copies from before."""

    primary: Postgres
    home: Server
    token: str
    last: str


def lie(primary: Postgres, truth: str, liar: str) -> None:
    """Give a copy the commits of the truth, and leave its rows as they were."""
    with psycopg.connect(primary.at(truth)) as source, psycopg.connect(primary.at(liar)) as copy:
        gsn, group_id = source.execute("SELECT gsn, group_id FROM strongroom_store").fetchone() or (0, b"")
        copy.execute("UPDATE strongroom_store SET gsn = %s, group_id = %s", [gsn, group_id])
        copy.execute("DELETE FROM strongroom_changes")
        for row in source.execute("SELECT gsn, at, group_id, keys FROM strongroom_changes").fetchall():
            copy.execute("INSERT INTO strongroom_changes VALUES (%s, %s, %s, %s)", row)


@pytest.fixture(scope="module")
def lied_to(databases: tuple[Postgres, Postgres], tmp_path_factory: pytest.TempPathFactory) -> Lied:
    primary, _ = databases
    home = node(tmp_path_factory.mktemp("home"), primary.database("truth"))
    try:
        (client := home.begin()).write("sys/policies/acl/reader", {"policy": 'path "secret/data/*" { capabilities = ["read"] }'})
        put(client, 0, "v")
        token = str(client.write("auth/token/create", {"policies": ["reader"]}).json["auth"]["client_token"])
        home.kill()
        until(lambda: primary.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'truth'") == [(0,)])
        for name in ("liar", "behind"):
            primary.sql(f'CREATE DATABASE "{name}" TEMPLATE "truth"')
        home.start()
        client = home.client()
        assert client.write("auth/token/revoke", {"token": token}).status == 204
        index = [put(client, 0, "v")["x-vault-index"] for _ in range(20)][-1]
    finally:
        home.close()
    return Lied(primary, home, token, index)


def read_by_a_liar(lied_to: Lied, directory: Path, **options: Any) -> tuple[int, float]:
    """What the revoked token gets from a node with that standby, and how much the standby answered."""
    primary, home, token, _ = lied_to
    lie(primary, "truth", "liar")
    url = f'{primary.at("truth")}"\n  read_url = "{primary.at("liar")}'
    away = node(directory, url, home.seal_key.read_text(), **options)
    try:
        away.start()
        client = away.client(home.token)
        until(lambda: client.read("sys/health").json["read_standby"] == "reachable")
        status = client.read("secret/data/k0", token=token).status
        assert got(client, 0) == "v"
        return status, metric(client, "strongroom_standby_answered_total")
    finally:
        away.close()


def test_a_standby_that_lies_lets_nobody_in(lied_to: Lied, tmp_path: Path) -> None:
    status, answered = read_by_a_liar(lied_to, tmp_path)
    assert status == 403
    assert answered, "it was asked for the secret, and believed"


def test_control_a_node_that_reads_tokens_from_the_standby_is_let_in_by_a_liar(
    lied_to: Lied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAX", "gullible")
    status, _ = read_by_a_liar(lied_to, tmp_path, entry=("-m", "tests.support.lax_nodes"))
    assert status == 200


# -- when one of them is away ----------------------------------------------------------------------------------------------


def test_without_the_standby_reads_go_to_the_primary_and_come_back(region: Region) -> None:
    home, away = region.home.client(), region.away.client()
    for number in range(KEYS):
        put(home, number, "v")
    region.to_standby.blackhole()
    began = time.monotonic()
    assert [got(away, number) for number in range(KEYS)] == ["v"] * KEYS
    assert time.monotonic() - began < 5, "one of them waited for the standby, not each"
    assert away.read("sys/health").json["read_standby"] == "unreachable"
    assert metric(away, "strongroom_standby_reachable") == 0
    region.calm()
    until(lambda: away.read("sys/health").json["read_standby"] == "reachable")


@pytest.mark.parametrize("cut", ["cut", "blackhole"])
def test_without_the_primary_the_standby_answers_nothing(region: Region, cut: str) -> None:
    home, away = region.home.client(), region.away.client()
    put(home, 0, "v")
    assert got(away, 0) == "v"
    region.to_primary.judge = lambda *_: "cut"
    getattr(region.to_primary, cut)()
    assert away.read("secret/data/k0").status == 503
    assert away.read("sys/health").status == 474
    region.calm()
    until(lambda: away.read("secret/data/k0").status == 200)


# -- answers that may be old -------------------------------------------------------------------------------------------------


def test_answers_that_may_be_old_come_at_once_and_say_their_age(stale: Region) -> None:
    home, away = stale.home.client(), stale.away.client()
    put(home, 0, "v")
    assert got(away, 0) == "v"
    stale.to_primary.delay = 0.3
    began = time.monotonic()
    answers = [away.read("secret/data/k0") for _ in range(20)]
    assert time.monotonic() - began < 1
    assert all(1 <= int(answer.headers["age"]) <= 60 for answer in answers)
    assert "age" not in home.read("secret/data/k0").headers
    assert away.read("sys/health").json["replication_primary_canary_age_ms"] > 0
    assert home.read("sys/health").json["replication_primary_canary_age_ms"] == 0


def test_whoever_sends_an_index_back_never_reads_older_and_who_sends_none_may(stale: Region) -> None:
    home, away = stale.home.client(), stale.away.client()
    stale.pause()
    older = 0
    for number in range(REVOCATIONS):
        put(home, 0, f"old{number}")
        assert got(away, 0, X_Vault_Forward="active-node") == f"old{number}"
        index = put(home, 0, f"new{number}")["x-vault-index"]
        older += got(away, 0) != f"new{number}"
        assert got(away, 0, X_Vault_Index=index, X_Vault_Inconsistent="forward-active-node") == f"new{number}"
    assert older, "the control: without the index the node did answer from an older state"


def test_an_answer_says_how_new_it_is_so_that_the_next_one_is_no_older(stale: Region) -> None:
    home, away = stale.home.client(), stale.away.client()
    put(home, 0, "one")
    got(away, 0, X_Vault_Forward="active-node")
    put(home, 0, "two")
    read = home.read("secret/data/k0")
    assert got(away, 0, X_Vault_Index=read.headers["x-vault-index"]) == "two"


def test_what_is_written_is_decided_on_the_newest_state(stale: Region) -> None:
    home, away = stale.home.client(), stale.away.client()
    put(home, 0, "one")
    got(away, 0)
    put(home, 0, "two")
    answer = away.write("secret/data/k0", {"options": {"cas": 1}, "data": {"v": "three"}})
    assert answer.status == 400, "check-and-set saw version 2"
    assert "check-and-set" in answer.text


@pytest.fixture
def hardly_stale(databases: tuple[Postgres, Postgres], tmp_path: Path) -> Iterator[Region]:
    with serving(databases, tmp_path, "hardly", 'max_staleness = "1s"') as made:
        yield made


def test_a_state_that_is_older_than_allowed_is_not_answered_from(hardly_stale: Region) -> None:
    away = hardly_stale.away.client()
    put(hardly_stale.home.client(), 0, "v")
    assert got(away, 0) == "v"
    hardly_stale.to_primary.judge = lambda *_: "cut"
    hardly_stale.to_primary.cut()
    assert away.read("secret/data/k0").status == 200
    until(lambda: away.read("secret/data/k0").status == 503, 4)


# -- the index ---------------------------------------------------------------------------------------------------------------


def test_an_index_has_the_form_that_clients_of_vault_compare(region: Region) -> None:
    home = region.home.client()
    first, second = (base64.b64decode(put(home, 0, "v")["x-vault-index"]).decode().split(":") for _ in range(2))
    version, cluster, local, replicated, code = first
    assert (version, cluster) == ("v1", home.read("sys/health").json["cluster_id"])
    assert local == replicated == str(int(second[2]) - 1)
    assert len(bytes.fromhex(code)) == 32


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"X_Vault_Index": "!"}, 400, "not base64"),
        ({"X_Vault_Index": ""}, 400, "did not give it out"),
        ({"X_Vault_Index": base64.b64encode(b"v1:x:9:9:00").decode()}, 400, "did not give it out"),
        ({"X_Vault_Index": "a,b,c,d,e"}, 400, "more than 4"),
        ({"X_Vault_Inconsistent": "whatever"}, 400, "X-Vault-Inconsistent takes"),
        ({"X_Vault_Forward": "somewhere"}, 400, "X-Vault-Forward takes"),
    ],
)
def test_what_cannot_be_an_index_is_refused_and_not_ignored(region: Region, headers: dict[str, str], status: int, said: str) -> None:
    answer = region.home.client().read("sys/mounts", **headers)
    assert (answer.status, said in answer.text) == (status, True), answer


def test_a_changed_index_is_refused(region: Region) -> None:
    home = region.home.client()
    cooked = bytearray(base64.b64decode(put(home, 0, "v")["x-vault-index"]))
    cooked[-70] ^= 1  # the last digit of the number
    assert home.read("secret/data/k0", X_Vault_Index=base64.b64encode(cooked).decode()).status == 400


def test_an_index_of_a_commit_that_was_lost_is_told(lied_to: Lied, tmp_path: Path) -> None:
    """A node on a database without the last commits, as after a failover without synchronous standbys."""
    server = node(tmp_path, lied_to.primary.at("behind"), lied_to.home.seal_key.read_text())
    try:
        server.start()
        answer = server.client(lied_to.home.token).read("secret/data/k0", X_Vault_Index=lied_to.last)
        assert (answer.status, answer.json) == (412, {"errors": ["required index state not present"]})
    finally:
        server.close()
