"""What the PostgreSQL store promises beyond the contract: refusals, fencing, lost answers, deadlines."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from strongroom.errors import ConfigError, OutcomeUnknown, StorageUnsafe, StorageUnusable
from strongroom.storage.api import INDEX_KEY, Below, Feed, Scan, Wanted
from strongroom.storage.postgres import link, schema, store
from strongroom.storage.postgres.link import conninfo
from strongroom.storage.postgres.store import PostgresStorage
from tests.conftest import PROFILE
from tests.support.pgproxy import Link, Proxy, proxy
from tests.support.postgres import Postgres, fresh_database, postgres
from tests.support.waiting import tried, until

A, B = bytes(16) + b"\x01\x00\x01a", bytes(16) + b"\x01\x00\x01b"
ROUNDS = 50 if PROFILE == "long" else 2


_opened: list[PostgresStorage] = []


def opened(url: str, **options: Any) -> PostgresStorage:
    """A store that is closed when the test ends."""
    _opened.append(PostgresStorage(url, **options))
    return _opened[-1]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def commit(made: PostgresStorage) -> int:
    group = made.begin(0, [])
    group.apply({A: b"%d" % group.gsn}, [])
    group.commit()
    return group.gsn


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


@pytest.fixture
def url() -> str:
    return fresh_database()


# -- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("data_sync_retry", "on"),
        ("zero_damaged_pages", "on"),
        ("ignore_checksum_failure", "on"),
        ("default_transaction_read_only", "on"),
    ],
)
def test_a_server_that_could_lose_answers_is_refused(setting: str, value: str) -> None:
    with postgres(None, **{setting: value}) as made:
        with pytest.raises(StorageUnusable, match=f"{setting}|cannot be reached"):
            opened(made.url).check()


def test_a_lower_synchronous_commit_is_raised_and_a_higher_one_left(server: Postgres) -> None:
    for given, wanted in (("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"), ("remote_apply", "remote_apply")):
        address = server.database("commits")
        server.sql(f"ALTER DATABASE commits SET synchronous_commit = '{given}'")
        made = opened(address)
        made.check()
        with made._read() as link:
            assert link.execute("SHOW synchronous_commit").fetchone() == (wanted,)


def test_a_database_in_another_encoding_is_refused(server: Postgres) -> None:
    server.sql("DROP DATABASE IF EXISTS latin")
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(StorageUnsafe, match="server_encoding = LATIN1"):
        opened(server.at("latin")).check()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE strongroom_entries SET UNLOGGED", "not logged"),
        ("ALTER TABLE strongroom_entries ENABLE ROW LEVEL SECURITY", "row security"),
        ("GRANT SELECT ON strongroom_changes TO PUBLIC", "open to PUBLIC"),
        ("CREATE RULE r AS ON DELETE TO strongroom_entries DO INSTEAD NOTHING", "triggers or rules"),
        ("DROP TABLE strongroom_nodes", "missing"),
        ("UPDATE strongroom_store SET format = 2", "format 2"),
        ("CREATE TABLE more () INHERITS (strongroom_entries)", "entries is not a plain table"),
        ("ALTER TABLE strongroom_changes DROP CONSTRAINT strongroom_changes_pkey", "changes lacks its primary key"),
        ("ALTER TABLE strongroom_store ALTER gsn TYPE numeric", "store lacks its primary key or a column"),
        ("ALTER TABLE strongroom_entries ALTER value DROP NOT NULL", "entries lacks its primary key or a column, NOT NULL"),
        ("ALTER TABLE strongroom_entries RENAME value TO content", "entries lacks its primary key or a column"),
        ("DELETE FROM strongroom_store", "counts the commits is missing"),
    ],
)
def test_tables_that_were_changed_are_refused(server: Postgres, change: str, said: str) -> None:
    address = server.database("changed")
    made = opened(address)
    commit(made)
    made.close()
    server.sql(change, "changed")
    with pytest.raises(StorageUnusable, match=said):
        opened(address).check()


def test_a_role_without_rights_is_refused(server: Postgres) -> None:
    address = server.database("rights")
    opened(address).check()
    server.sql("DROP ROLE IF EXISTS reader")
    server.sql("CREATE ROLE reader LOGIN")
    server.sql("GRANT CONNECT ON DATABASE rights TO reader")
    server.sql("GRANT SELECT ON strongroom_store, strongroom_entries, strongroom_changes, strongroom_nodes TO reader", "rights")
    with pytest.raises(StorageUnsafe, match="cannot be read and written"):
        opened(server.at("rights", user="reader")).check()


def test_a_pooler_is_refused_and_a_tcp_proxy_is_not(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler tells clients a process number of its own, since their session has no one process."""
    server.database("pooled")
    with proxy(server.port) as between:
        opened(server.at("pooled", between.port)).check()
        monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", property(lambda self: 1))
        with pytest.raises(StorageUnsafe, match="pooler"):
            opened(server.at("pooled", between.port)).check()


def test_an_address_that_cannot_be_read_is_not_quoted() -> None:
    with pytest.raises(ConfigError) as caught:
        conninfo("host=db password='hunter2 x")
    assert "hunter2" not in str(caught.value)


def test_what_an_address_says_comes_before_our_defaults() -> None:
    said = conninfo("postgres://db/x?connect_timeout=9")
    assert "connect_timeout=9" in said
    assert "target_session_attrs=read-write" in said


# -- fencing ------------------------------------------------------------------------------------------------------------


@pytest.mark.fault("F6")
def test_a_server_that_is_behind_is_refused_by_number(server: Postgres) -> None:
    made = opened(server.database("behind"))
    for _ in range(3):
        commit(made)
    server.sql("UPDATE strongroom_store SET gsn = 2; DELETE FROM strongroom_changes WHERE gsn > 2", "behind")
    for attempt in (lambda: made.changed(0), lambda: made.begin(0, []), lambda: made.get_many([A])):
        with pytest.raises(StorageUnusable, match="at commit 2, and 3 was seen"):
            attempt()


@pytest.mark.fault("F6")
def test_a_server_with_another_history_is_refused_though_it_is_ahead(server: Postgres) -> None:
    made, other = opened(server.database("forked")), opened(server.at("forked"))
    commit(made)
    server.sql("UPDATE strongroom_changes SET group_id = '\\x00'", "forked")
    commit(other)
    made._reader.drop()
    with pytest.raises(StorageUnusable, match="another commit 1 than"):
        made.changed(0)


@pytest.mark.parametrize(("restored", "commits"), [(2, 4), (3, 2), (5, 0), (5, 3)])
def test_a_database_that_was_restored_beneath_a_connection_is_refused(server: Postgres, restored: int, commits: int) -> None:
    """Nobody connects anew: a node that was paused meanwhile would take what it remembers for the present, and write on top of it."""
    made, other = opened(server.database("restored")), opened(server.at("restored"))
    for _ in range(5):
        commit(made)
    assert made.changed(5) == Feed(5, frozenset())
    other.replace([[(A, b"restored")]], restored, 0)
    for _ in range(commits):
        commit(other)
    assert made._reader._link is not None and made._writer._link is not None
    for attempt in (lambda: made.changed(5), lambda: made.begin(5, []), lambda: made.get_many([A])):
        with pytest.raises(StorageUnusable, match="another commit 5 than"):
            attempt()


def test_who_restored_a_database_and_who_comes_later_go_on_with_it(server: Postgres) -> None:
    made, later = opened(server.database("restored")), opened(server.at("restored"))
    for _ in range(5):
        commit(made)
    made.replace([[(A, b"restored")]], 3, 0)
    assert made.changed(3) == later.changed(3) == Feed(3, frozenset())
    assert commit(made) == 4
    assert later.changed(3) == Feed(4, frozenset({A}))


def test_a_feed_that_does_not_begin_where_it_was_asked_for_says_that_everything_may_have_changed(server: Postgres) -> None:
    made = opened(server.database("begins"))
    for _ in range(3):
        commit(made)
    assert made.changed(1) == Feed(3, frozenset({A}))
    server.sql("DELETE FROM strongroom_changes WHERE gsn = 1", "begins")
    assert made.changed(1) == Feed(3, None)


@pytest.mark.fault("F6")
def test_a_standby_is_refused_and_a_promoted_one_taken_and_its_former_primary_refused() -> None:
    with postgres(wal_level="replica", hot_standby="on") as primary:
        address = primary.database("moved")
        made = opened(address)
        commit(made)
        standby = Postgres(standby_of=primary)
        try:
            standby.start()
            only = opened(f"{standby.at('moved')}?target_session_attrs=any")
            with pytest.raises(StorageUnusable, match="standby in recovery"):
                only.changed(0)
            follow = opened(f"postgres://strongroom@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/moved")
            before = commit(follow)
            assert follow.changed(0).gsn == before
            _await_standby(standby, before)
            primary.crash()
            standby.promote()
            assert tried(lambda: commit(follow), StorageUnusable) == before + 1
            standby.stop()
            primary.start()
            with pytest.raises(StorageUnusable, match=r"timeline 1, and 2 was seen"):
                tried(lambda: follow.changed(0), StorageUnusable, seconds=0.6)
        finally:
            standby.close()


def _await_standby(standby: Postgres, gsn: int) -> None:
    until(lambda: standby.sql("SELECT gsn FROM strongroom_store", "moved") == [(gsn,)])


# -- one instant --------------------------------------------------------------------------------------------------------


def test_feed_rows_and_ranges_are_of_one_instant(url: str) -> None:
    made, writer = opened(url), opened(url)
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = made.fetch(0, Wanted(frozenset([A]), frozenset([Scan(A, B, -1), Below(A[:17], b"", -1)])))
            gsn = found.feed.gsn
            if gsn and (found.rows != {A: b"%d" % gsn} or found.scans != {Scan(A, B, -1): [(A, b"%d" % gsn)]}):
                wrong.append(found)

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(60):
        commit(writer)
    done.set()
    thread.join()
    assert wrong == []


def test_groups_of_two_stores_take_turns_and_see_each_other(url: str) -> None:
    stores = [opened(url), opened(url)]

    def count(made: PostgresStorage) -> None:
        for _ in range(40):
            group = made.begin_with(0, Wanted(frozenset([A])))
            group.apply({A: b"%d" % (int(group.entries.get(A, b"0")) + 1)}, [])
            group.commit()

    threads = [threading.Thread(target=count, args=[made]) for made in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].get_many([A]) == {A: b"80"}


def test_without_the_lock_two_groups_collide_and_one_fails(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the lock, and the second line behind it: the count refuses a group that others overtook."""
    monkeypatch.setattr(schema, "TAKE_LOCK", "SELECT 1")
    one, two = opened(url), opened(url)
    first, second = one.begin(0, []), two.begin(0, [])
    first.commit()
    with pytest.raises(StorageUnusable, match="cannot be written"):
        second.commit()
    assert two.changed(0) == Feed(1, frozenset())


def installations(server: Postgres, name: str) -> list[str]:
    """Addresses of two installations in schemas of one database."""
    server.database(name)
    for schema_name in ("one", "two"):
        server.sql(f"CREATE SCHEMA {schema_name} AUTHORIZATION strongroom", name)
    return [f"{server.at(name)}?options=-csearch_path%3D{schema_name}" for schema_name in ("one", "two")]


def test_installations_in_two_schemas_of_one_database_do_not_wait_for_each_other(server: Postgres) -> None:
    one, two = (opened(url) for url in installations(server, "schemas"))
    group = one.begin(0, [])
    group.apply({A: b"1"}, [])
    began = time.monotonic()
    assert [commit(two), commit(two)] == [1, 2]
    assert time.monotonic() - began < 1
    two._put_out()
    group.commit()
    assert (one.changed(0).gsn, two.changed(0).gsn) == (1, 2)


def test_control_with_one_lock_for_the_database_they_do(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "TAKE_LOCK", schema.TAKE_MAKE_TABLES)
    one, two = (opened(url) for url in installations(server, "together"))
    commit(two)
    group = one.begin(0, [])
    in_vain(two)
    group.abandon()


OPENING = schema.opening


def _opening_of_before(since: int, keys: Iterable[bytes]) -> str:
    """In threads named so, that of a program which queues on the other lock."""
    text = OPENING(since, keys)
    return text.replace(schema.TAKE_LOCK, schema.TAKE_MAKE_TABLES) if threading.current_thread().name == "before" else text


@pytest.mark.parametrize("names", [("before", "now"), ("now", "before", "before", "now")])
def test_nodes_of_an_upgrade_that_queue_on_two_locks_lose_tries_and_no_commit(
    url: str, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(schema, "opening", _opening_of_before)
    stored: dict[int, int] = {}

    def count(number: int, made: PostgresStorage) -> None:
        done = 0
        for _ in range(40):
            with suppress(StorageUnusable):
                group = made.begin_with(0, Wanted(frozenset([A])))
                group.apply({A: b"%d" % (int(group.entries.get(A, b"0")) + 1)}, [])
                group.commit()
                done += 1
        stored[number] = done

    threads = [threading.Thread(target=count, args=[number, opened(url)], name=name) for number, name in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    truth = opened(url)
    assert truth.get_many([A]) == {A: b"%d" % sum(stored.values())}
    assert truth.changed(0).gsn == sum(stored.values())
    assert min(stored.values()) > 0


def test_control_without_the_count_both_would_commit(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails then is the row of the change that two groups want to be: the third line."""
    monkeypatch.setattr(schema, "TAKE_LOCK", "SELECT 1")
    monkeypatch.setattr(schema, "ADVANCE", "UPDATE strongroom_store SET gsn = %(gsn)s, group_id = %(id)s, min_epoch = %(epoch)s")
    monkeypatch.setattr(schema, "RECORD", f"{schema.RECORD} ON CONFLICT DO NOTHING")
    first, second = (opened(url).begin_with(0, Wanted(frozenset([A]))) for _ in range(2))
    for group in (first, second):
        group.apply({A: b"1"}, [])
        group.commit()
    assert opened(url).changed(0).gsn == 1


# -- what networks and servers do -----------------------------------------------------------------------------------------


def _cut_at(number: int, action: str) -> object:
    """Act at the n-th message of the commit of a group: behind begin, lock and reading."""

    def judge(link: Link, frame: int, content: bytes) -> str:
        started = getattr(link, "started", 0)
        if not started and b"INSERT INTO strongroom_entries" in content:
            link.started = started = frame  # type: ignore[attr-defined]
        return action if started and frame == started + number else "pass"

    return judge


@pytest.mark.fault("F7")
@pytest.mark.parametrize("action", ["cut", "swallow"])
def test_a_commit_that_is_cut_anywhere_is_told_as_it_is(server: Postgres, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    monkeypatch.setattr(link.Link, "patience", 1.0)  # behind one of the messages nothing is heard but silence
    server.database("cut")
    outcomes: set[str] = set()
    with proxy(server.port) as between:
        made, truth = opened(server.at("cut", between.port)), opened(server.at("cut"))
        for number in list(range(20)) * ROUNDS:
            between.judge = _cut_at(number, action)  # type: ignore[assignment]
            outcomes.add(_tried(made, truth))
            between.judge = lambda *_: "pass"
            made._writer.drop()
        assert outcomes >= ({"stored", "unknown, not stored"} if action == "cut" else {"unknown, stored"})


def _tried(made: PostgresStorage, truth: PostgresStorage) -> str:
    """Commit a value and hold what was said of it against what is there."""
    value = os.urandom(8)
    group = tried(lambda: made.begin(0, []), StorageUnusable)
    group.apply({A: value, INDEX_KEY: b"i"}, [])
    try:
        group.commit()
        said = "stored"
    except OutcomeUnknown as error:
        there = made.outcome(error.group_id) is not None
        said = "unknown, stored" if there else "unknown, not stored"
    except StorageUnusable:
        said = "not stored"
    assert (truth.get_many([A]) == {A: value}) == (said in {"stored", "unknown, stored"}), said
    return said


@pytest.mark.fault("F7")
def test_the_outcome_waits_for_a_commit_that_is_still_under_way(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looked without the lock would say "not stored" of a group that is stored a moment later."""
    made, asker = opened(url), opened(url)
    group = made.begin(0, [])
    group.apply({A: b"1"}, [])
    late = threading.Timer(0.3, group.commit)
    late.start()
    assert asker.outcome(group.id) == 1
    late.join()
    monkeypatch.setattr(schema, "TAKE_LOCK", "SELECT 1")
    group = made.begin(0, [])
    late = threading.Timer(0.3, group.commit)
    late.start()
    assert asker.outcome(group.id) is None
    late.join()


@pytest.mark.fault("F8")
def test_a_black_hole_ends_in_an_error_and_passes(server: Postgres) -> None:
    server.database("hole")
    with proxy(server.port) as between:
        made = opened(server.at("hole", between.port))
        commit(made)
        between.blackhole()
        for attempt in (lambda: made.get_many([A]), lambda: made.begin(0, [])):
            began = time.monotonic()
            with pytest.raises(StorageUnusable):
                attempt()
            assert time.monotonic() - began < 10
        between.flow()
        began = time.monotonic()
        tried(lambda: commit(made), StorageUnusable)
        assert time.monotonic() - began < 5


def test_a_holder_that_stalls_is_put_out(url: str) -> None:
    stalled, other = opened(url), opened(url)
    group = stalled.begin(0, [])
    began = time.monotonic()
    commit(other)
    assert 1 < time.monotonic() - began < 4
    with pytest.raises(OutcomeUnknown):
        group.commit()
    assert other.outcome(group.id) is None
    assert other.changed(0).gsn == 1


@contextmanager
def halfway(made: PostgresStorage) -> Iterator[None]:
    """A store whose flight breaks off: it has written and has the lock, and neither COMMIT nor the end of its connection is heard of."""
    group, link = made.begin(0, []), made._writer.get()
    with suppress(psycopg.Error), link.pipeline():
        link.ask(schema.PUT, [[B], [b"halfway"]])
        link.pgconn.send_flush_request()
        link.pgconn.flush()
        yield
    group.abandon()


def in_vain(made: PostgresStorage) -> None:
    """Wait for the lock for half a second."""
    made._writer.get().execute("SET statement_timeout = '500ms'")
    with pytest.raises(StorageUnusable, match="too long"):
        commit(made)


@pytest.mark.fault("F8")
def test_a_holder_whose_flight_breaks_off_is_put_out_by_who_waits(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stalled, other = opened(url), opened(url)
    monkeypatch.setattr(store, "STALLED_SECONDS", 0.3)
    commit(other)
    with halfway(stalled):
        in_vain(other)
        commit(other)
        assert other.get_many([B]) == {}


@pytest.mark.control
@pytest.mark.fault("F8")
def test_control_such_a_holder_would_keep_the_lock(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stalled, other = opened(url), opened(url)
    monkeypatch.setattr(schema, "PUT_OUT", "SELECT 1, 'nobody', %s > 0")
    commit(other)
    with halfway(stalled):
        in_vain(other)
        in_vain(other)


def test_a_copy_that_takes_long_is_not_put_out(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    copying, other = opened(url), opened(url)
    monkeypatch.setattr(store, "STALLED_SECONDS", 0.0)
    commit(other)

    def pages() -> Iterator[list[tuple[bytes, bytes]]]:
        yield [(A, b"copied")]
        in_vain(other)
        yield [(B, b"copied")]

    copying.replace(pages(), 5, 0)
    assert copying.get_many([A, B]) == {A: b"copied", B: b"copied"}


def test_a_commit_that_no_standby_confirmed_is_not_stored_for_sure() -> None:
    """The server gives up waiting for its standby, commits alone and only warns: that is no answer to stand by."""
    with postgres(wal_level="replica") as made:
        kept = opened(made.database("alone"))
        commit(kept)
        made.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
        made.sql("SELECT pg_reload_conf()")
        kept._writer.drop()
        group = kept.begin(0, [])
        with pytest.raises(OutcomeUnknown):
            group.commit()


def test_a_database_that_is_gone_is_not_tried_for_each_request(url: str) -> None:
    now = [0.0]
    tries: list[int] = []
    made = opened(url, now=lambda: now[0])

    def fail() -> object:
        tries.append(1)
        raise StorageUnusable("gone")

    made._reader._connect = fail  # type: ignore[assignment]
    for _ in range(10):
        with pytest.raises(StorageUnusable, match="gone"):
            made.changed(0)
    assert len(tries) == 1
    now[0] += 2 * store.OUTCOME_PAUSE
    with pytest.raises(StorageUnusable):
        made.changed(0)
    assert len(tries) == 2


def test_a_store_is_not_used_over_a_fork(url: str) -> None:
    made = opened(url)
    commit(made)
    made._process = os.getpid() + 1
    with pytest.raises(StorageUnusable, match="fork"):
        made.changed(0)
    made._process = os.getpid()


def test_a_proxy_that_only_delays_changes_nothing(server: Postgres) -> None:
    server.database("slow")
    between: Proxy
    with proxy(server.port) as between:
        between.delay = 0.01
        made = opened(server.at("slow", between.port))
        assert commit(made) == 1
