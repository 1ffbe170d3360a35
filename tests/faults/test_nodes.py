"""Two server processes on one PostgreSQL: what one node answered holds on the other at once, and survives nodes, networks and the database.

Rules of this file: every claim has a negative control, a node that is careless in one way (tests/support/stale_node.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from strongroom.storage.postgres.schema import LOCKS, OURS
from tests.conftest import PROFILE
from tests.support.http import Client, Reply
from tests.support.load import under_load
from tests.support.nodes import node, nodes
from tests.support.pgproxy import Judge, Link, proxy
from tests.support.postgres import Postgres, fresh_database, postgres
from tests.support.server import ROOT, Server
from tests.support.waiting import until

TURNS = 5_000 if PROFILE == "long" else 500
STANDBYS = 'storage "postgresql" {{ connection_url = "{url}" standby_codes = true }}'
CARELESS = ("-m", "tests.support.stale_node")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    url = fresh_database()
    with nodes(tmp_path_factory.mktemp("pair"), [url, url]) as made:
        yield made


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


def revoked_tokens_still_taken(one: Client, other: Client, turns: int) -> int:
    """Make a token on one node, use it on the other, revoke it on the first, use it on the other."""
    taken = 0
    for _ in range(turns):
        token = one.write("auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
        assert other.read("auth/token/lookup-self", token=token).status == 200
        assert one.write("auth/token/revoke", {"token": token}).status == 204
        taken += other.read("auth/token/lookup-self", token=token).status == 200
    return taken


@pytest.mark.fault("F11")
def test_a_token_revoked_on_one_node_is_refused_by_the_other_in_the_next_request(pair: list[Server]) -> None:
    one, other = (each.client() for each in pair)
    assert revoked_tokens_still_taken(one, other, TURNS) == 0
    assert revoked_tokens_still_taken(other, one, 20) == 0


@pytest.mark.control
@pytest.mark.fault("F11")
@pytest.mark.parametrize("way", ["deaf", "early"])
def test_a_node_that_does_not_ask_in_time_is_found(tmp_path: Path, way: str) -> None:
    url = fresh_database()
    with nodes(tmp_path, [url]) as [good]:
        bad = node(tmp_path / "bad", url, good.seal_key.read_text(), entry=(*CARELESS, way))
        bad.token = good.token
        try:
            bad.start()
            assert revoked_tokens_still_taken(good.client(), bad.client(), 20) > 0
        finally:
            bad.close()


@pytest.mark.fault("F11")
def test_what_one_node_wrote_the_other_reads_and_lists(pair: list[Server]) -> None:
    clients = [each.client() for each in pair]
    for turn in range(100):
        writer, reader = clients[turn % 2], clients[1 - turn % 2]
        assert writer.write(f"secret/data/seen/{turn}", {"data": {"turn": turn}}).status == 200
        assert reader.read(f"secret/data/seen/{turn}").data["data"] == {"turn": turn}
        assert len(reader.ask("LIST", "secret/metadata/seen").data["keys"]) == turn + 1
        assert writer.ask("DELETE", f"secret/metadata/seen/{turn}").status == 204
        assert reader.read(f"secret/data/seen/{turn}").status == 404
        assert reader.write(f"secret/data/seen/{turn}", {"data": {}}).status == 200


def test_a_mount_a_policy_and_a_changed_key_hold_on_the_other_node_at_once(pair: list[Server]) -> None:
    one, other = (each.client() for each in pair)
    assert one.write("sys/mounts/fresh", {"type": "kv"}).status == 204
    assert other.write("fresh/x", {"a": 1}).status == 204
    assert one.write("sys/policies/acl/fresh", {"policy": 'path "fresh/*" { capabilities = ["read"] }'}).status == 204
    token = other.write("auth/token/create", {"policies": ["fresh"]}).json["auth"]["client_token"]
    assert one.read("fresh/x", token=token).status == 200
    assert one.write("sys/policies/acl/fresh", {"policy": 'path "fresh/*" { capabilities = ["deny"] }'}).status == 204
    assert other.read("fresh/x", token=token).status == 403
    assert one.write("sys/rotate").status == 204
    assert other.write("fresh/y", {"a": 2}).status == 204
    assert one.read("fresh/y").data == {"a": 2}
    assert one.ask("DELETE", "sys/mounts/fresh").status == 204
    assert other.read("fresh/x").status == 404


@pytest.mark.fault("F10")
def test_a_call_that_must_not_take_an_id_which_is_taken_ends(pair: list[Server]) -> None:
    client = pair[1].client()
    assert client.write("sys/auth/approle", {"type": "approle"}).status == 204
    assert client.write("auth/approle/role/one", {"policies": ["default"]}).status == 204
    assert client.write("auth/approle/role/one/secret-id").status == 200
    assert client.ask("DELETE", "sys/auth/approle").status == 204


def test_a_counter_under_check_and_set_has_one_winner_each(pair: list[Server]) -> None:
    won: list[int] = []

    def count(server: Server) -> None:
        with server.client() as client:
            for _ in range(15):
                version = client.read("secret/data/counter").json["data"]["metadata"]["version"]
                if client.write("secret/data/counter", {"data": {}, "options": {"cas": version}}).status == 200:
                    won.append(version)

    with pair[0].client() as client:
        client.write("secret/data/counter", {"data": {}, "options": {"cas": 0}})
        threads = [threading.Thread(target=count, args=[pair[number % 2]]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == list(range(1, len(won) + 1))
        assert client.read("secret/data/counter").data["metadata"]["version"] == len(won) + 1


def test_a_token_with_one_use_is_used_once_over_both_nodes(pair: list[Server]) -> None:
    clients = [each.client() for each in pair]
    for _ in range(30):
        token = clients[0].write("auth/token/create", {"policies": ["default"], "num_uses": 1}).json["auth"]["client_token"]
        replies: list[int] = []

        def use(client: Client, token: str = token, replies: list[int] = replies) -> None:
            replies.append(client.read("auth/token/lookup-self", token=token).status)

        threads = [threading.Thread(target=use, args=[client]) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(replies) == [200, 403]


def test_nodes_of_several_workers_are_all_level(tmp_path: Path) -> None:
    url = fresh_database()
    with nodes(tmp_path, [url, url], workers=2) as pair:
        clients = [each.client() for each in pair for _ in range(4)]
        for turn in range(40):
            assert clients[turn % 8].write("secret/data/x", {"data": {"turn": turn}}).status == 200
            assert [client.read("secret/data/x").data["data"] for client in clients] == [{"turn": turn}] * 8


def test_a_walk_over_many_rows_on_a_node_that_knows_none_takes_few_round_trips(database: Postgres, tmp_path: Path) -> None:
    questions: list[bytes] = []

    def judge(_link: Link, _number: int, frame: bytes) -> str:
        questions.append(frame[:1])
        return "pass"

    database.database("walked")
    with proxy(database.port) as between, nodes(tmp_path, [database.at("walked", between.port)]) as [server]:
        client = server.client()
        for _ in range(300):
            assert client.write("auth/token/create", {"policies": ["default"]}).status == 200
        server.terminate()
        server.start()
        between.judge = judge
        assert len(server.client().ask("LIST", "auth/token/accessors").data["keys"]) == 301
        assert questions.count(b"E") < 150, "a question for each token would be 300"


# -- who is there ---------------------------------------------------------------------------------------------------------


def test_both_nodes_are_active_and_say_so(pair: list[Server]) -> None:
    def listed() -> list[Any]:
        return list(pair[0].client().read("sys/ha-status").data["nodes"])

    until(lambda: len(listed()) == 2 and all(each["active_node"] for each in listed()))
    for each in pair:
        client = each.client()
        assert client.read("sys/health").status == 200
        leader = client.read("sys/leader").json
        assert leader["ha_enabled"] and leader["is_self"]
        assert client.read("sys/seal-status").json["storage_type"] == "postgresql"


def test_a_node_is_sealed_alone_and_opened_again(pair: list[Server]) -> None:
    one, other = (each.client() for each in pair)
    assert one.write("sys/seal").status == 204
    assert one.read("sys/health").status == 503
    assert other.read("sys/health").status == 200
    assert other.write("secret/data/while", {"data": {"sealed": "one"}}).status == 200
    pair[0].terminate()
    pair[0].start()
    assert pair[0].client().read("secret/data/while").data["data"] == {"sealed": "one"}


def test_with_standby_codes_one_node_is_active_and_all_serve(tmp_path: Path) -> None:
    url = fresh_database()
    with nodes(tmp_path, [url, url], storage=STANDBYS, ready=429) as pair:
        one, other = (each.client() for each in pair)
        until(lambda: other.read("sys/health").status == 429)
        assert one.read("sys/health").status == 200
        assert other.read("sys/health?standbyok=true").status == 200
        assert other.read("sys/health?standbycode=299").status == 299
        assert other.read("sys/leader").json["is_self"] is False
        assert other.write("secret/data/x", {"data": {}}).status == 200


# -- what breaks ----------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F1")
def test_a_killed_node_loses_nothing_and_the_other_serves_on(tmp_path: Path) -> None:
    url = fresh_database()
    with nodes(tmp_path, [url, url]) as (one, other):
        with under_load(one, 2) as lost, under_load(other, 2) as going:
            time.sleep(0.7)
            one.kill()
            made = sum(len(load.kept) for load in going)
            time.sleep(1.5)
            assert sum(len(load.kept) for load in going) > made
            one.start()
            time.sleep(0.5)
        assert [load.failed for load in going if load.failed] == []
        for load in (*lost, *going):
            load.server = other
            assert load.lost() == []


def test_a_database_that_crashes_under_load_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with postgres() as database:
        url = database.database("crashing")
        with nodes(tmp_path, [url, url]) as (one, other):
            with under_load(one, 2) as first, under_load(other, 2) as second:
                for _ in range(10 if PROFILE == "long" else 2):
                    time.sleep(0.7)
                    database.crash()
                    time.sleep(0.2)
                    database.start()
                time.sleep(1.5)
            kept = sum(len(load.kept) for load in (*first, *second))
            assert kept > 50
            for load in (*first, *second):
                assert all(text.startswith("503") for text in load.failed), load.failed[:3]
                assert load.lost() == []


def test_a_stranger_who_holds_the_lock_holds_up_writes_alone_and_is_named_in_the_log(tmp_path: Path) -> None:
    """Any role that may connect to the database can take a lock by its number; strongroom cannot end its session."""
    with postgres() as database:
        database.sql("CREATE ROLE keeper LOGIN")
        database.sql("CREATE ROLE stranger LOGIN")
        url = database.database("held", "keeper")
        database.sql("GRANT CONNECT ON DATABASE held TO stranger")
        with nodes(tmp_path, [url]) as (one,), one.client() as client:
            database.sql("GRANT SELECT ON strongroom_store TO stranger", "held")
            assert client.write("secret/data/a", {"data": {"x": "1"}}).status == 200
            assert "does not take writes" not in one.output()
            with psycopg.connect(database.at("held", user="stranger"), autocommit=True) as stranger:
                stranger.execute(f"SELECT pg_advisory_lock({LOCKS << 32} + {OURS}::bigint)")
                began = time.monotonic()
                assert client.write("secret/data/a", {"data": {"x": "2"}}).status == 503
                assert time.monotonic() - began < 10
                assert client.read("secret/data/a").data["data"] == {"x": "1"}
                until(lambda: "does not take writes" in one.output())
                assert f"session {stranger.info.backend_pid} of the role stranger has the lock" in one.output()
            assert client.write("secret/data/a", {"data": {"x": "3"}}).status == 200


def _at_first_commit(action: str) -> Judge:
    """Do something to the first COMMIT that passes; how its outcome is looked up, which ends in one too, is left alone."""
    left = [action]
    return lambda link, _number, _frame: left.pop() if link.committing and left else "pass"


def _write_with(database: Postgres, name: str, tmp_path: Path, judge: Judge, **options: Any) -> tuple[Reply, Reply]:
    """Write through a network that does something to COMMIT; the answer, and what another node then reads."""
    database.database(name)
    with proxy(database.port) as between:
        first = node(tmp_path / "0", database.at(name, between.port), **options)
        truth = node(tmp_path / "1", database.at(name), "")
        try:
            first.begin()
            truth.seal_key.write_text(first.seal_key.read_text())
            truth.token = first.token
            truth.start()
            client = first.client()
            client.write("secret/data/x", {"data": {"turn": 1}})
            between.judge = judge
            answer = client.write("secret/data/x", {"data": {"turn": 2}})
            between.judge = lambda *_: "pass"
            return answer, truth.client().read("secret/data/x")
        finally:
            first.close()
            truth.close()


@pytest.mark.fault("F7")
def test_a_swallowed_answer_to_commit_is_found_out(database: Postgres, tmp_path: Path) -> None:
    answer, truth = _write_with(database, "swallowed", tmp_path, _at_first_commit("swallow"))
    assert (answer.status, truth.data["data"]) == (200, {"turn": 2})


@pytest.mark.fault("F7")
def test_a_commit_that_never_arrived_is_said_not_to_be_stored(database: Postgres, tmp_path: Path) -> None:
    answer, truth = _write_with(database, "dropped", tmp_path, _at_first_commit("cut"))
    assert (answer.status, truth.data["data"]) == (503, {"turn": 1})
    assert "was not stored" in answer.text


@pytest.mark.control
@pytest.mark.fault("F7")
def test_a_node_that_takes_silence_for_success_is_found(database: Postgres, tmp_path: Path) -> None:
    answer, truth = _write_with(database, "trusted", tmp_path, _at_first_commit("cut"), entry=(*CARELESS, "trusting"))
    assert (answer.status, truth.data["data"]) == (200, {"turn": 1})


@pytest.mark.fault("F27")
def test_a_node_cut_off_from_the_database_answers_nothing_from_memory(database: Postgres, tmp_path: Path) -> None:
    database.database("alone")
    with proxy(database.port) as between:
        with nodes(tmp_path, [database.at("alone", between.port)]) as [server]:
            client = server.client()
            client.write("secret/data/x", {"data": {"turn": 1}})
            assert client.read("secret/data/x").status == 200
            between.blackhole()
            began = time.monotonic()
            assert client.read("secret/data/x").status == 503
            assert time.monotonic() - began < 10
            assert client.read("sys/health").status == 474
            assert client.read("sys/health?haunhealthycode=299").status == 299
            assert client.read("sys/seal-status").json["sealed"] is False
            assert client.write("secret/data/x", {"data": {"turn": 2}}).status == 503
            between.flow()
            began = time.monotonic()
            until(lambda: client.read("secret/data/x").status == 200, 5)
            until(lambda: client.write("secret/data/x", {"data": {"turn": 3}}).status == 200, 5)
            assert client.read("sys/health").status == 200


def _scrub(server: Server) -> tuple[int, str]:
    words = [sys.executable, "-m", "strongroom", "operator", "scrub", f"-config={server.config}"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    return done.returncode, done.stdout


@pytest.mark.fault("F21")
def test_whoever_edits_the_database_is_found_at_the_read_and_by_a_scrub(database: Postgres, tmp_path: Path) -> None:
    database.database("edited")
    with nodes(tmp_path, [database.at("edited")]) as [server]:
        client = server.client()
        for number in range(5):
            assert client.write(f"secret/data/edited/{number}", {"data": {"number": number}}).status == 200
        assert _scrub(server)[0] == 0
        longest = "(SELECT key FROM strongroom_entries ORDER BY length(key) DESC LIMIT 1)"
        database.sql(f"UPDATE strongroom_entries SET value = set_byte(value, 40, get_byte(value, 40) # 1) WHERE key = {longest}", "edited")
        server.terminate()
        server.start()
        replies = [server.client().read(f"secret/data/edited/{number}") for number in range(5)]
        assert sorted(reply.status for reply in replies) == [200] * 4 + [500]
        assert "storage_tampered" in next(reply.text for reply in replies if reply.status == 500)
        assert _scrub(server)[0] == 2
        database.sql(f"DELETE FROM strongroom_entries WHERE key = {longest}", "edited")
        code, said = _scrub(server)
        assert code == 2
        assert "1 rows are missing" in said


def test_a_node_on_a_database_that_may_lose_answers_does_not_start(tmp_path: Path) -> None:
    with postgres(fsync="off") as unsafe:
        server = node(tmp_path, unsafe.url)
        server.spawn()
        assert server.process is not None
        assert server.process.wait(20) != 0
        assert "fsync = off" in server.output()
        assert "Traceback" not in server.output()


def test_a_node_that_starts_before_its_database_serves_once_that_is_there(tmp_path: Path) -> None:
    with postgres() as late:
        url = late.database("late")
        with nodes(tmp_path, [url]) as [server]:
            server.terminate()
            late.stop()
            server.start(503)
            refused = server.client("").read("secret/data/x")
            assert refused.status == 503
            assert str(late.port) not in refused.text, "where the database is concerns no stranger"
            assert any("the database does not answer" in line and str(late.port) in line for line in server.output().splitlines())
            late.start()
            until(lambda: server.client().read("sys/health").status == 200, 5)


@pytest.mark.fault("F30")
def test_nodes_restarted_one_after_the_other_fail_nobody_who_tries_twice(tmp_path: Path) -> None:
    url = fresh_database()
    with nodes(tmp_path, [url, url]) as pair:
        failed: list[str] = []
        served = [0]
        done = threading.Event()

        def ask(number: int) -> None:
            clients = [each.client() for each in pair]
            while not done.is_set():
                replies = []
                for each in (clients[number % 2], clients[1 - number % 2]):
                    try:
                        replies.append(each.write(f"secret/data/rolling/{number}", {"data": {}}).status)
                    except ConnectionError:
                        replies.append(0)
                    if replies[-1] == 200:
                        served[0] += 1
                        break
                else:
                    failed.append(str(replies))

        threads = [threading.Thread(target=ask, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        for each in pair:
            time.sleep(0.5)
            assert each.terminate() == 0
            each.start()
        time.sleep(0.5)
        done.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert served[0] > 50
