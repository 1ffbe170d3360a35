"""What a role, a database or an administrator sets does not change what a session of ours does; see `storage/postgres/entry.py`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from strongroom.errors import OutcomeUnknown, StorageUnsafe, StorageUnusable
from strongroom.storage.api import INDEX_KEY, Scan, Wanted
from strongroom.storage.postgres import entry
from strongroom.storage.postgres.link import Link
from strongroom.storage.postgres.store import PostgresStorage
from tests.support.pgproxy import Link as Proxied
from tests.support.pgproxy import proxy
from tests.support.postgres import Postgres, postgres
from tests.support.server import free_port
from tests.support.waiting import until

KEY = b"\xff\x00" * 8 + b"\x01\x00\x01k"
ROLE = "ordinary"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        made.sql(f"CREATE ROLE {ROLE} LOGIN")
        made.sql("CREATE ROLE other LOGIN")
        yield made


@contextmanager
def stored(url: str) -> Iterator[PostgresStorage]:
    made = PostgresStorage(url)
    try:
        yield made
    finally:
        made.close()


def use(url: str) -> None:
    """Write, read it back under the lock and without, and list."""
    with stored(url) as made:
        for value in (b"1", b"2"):
            group = made.begin(0, [])
            group.apply({KEY: value, INDEX_KEY: b"i"}, [])
            group.commit()
            group = made.begin(0, [KEY])
            assert group.entries == {KEY: value, INDEX_KEY: b"i"}
            group.abandon()
            assert made.fetch(0, Wanted(frozenset([KEY]), frozenset([Scan(KEY, KEY + b"\0", -1)]))).rows == {KEY: value}


@contextmanager
def role_with(server: Postgres, **settings: str) -> Iterator[None]:
    for name, value in settings.items():
        server.sql(f"ALTER ROLE {ROLE} SET {name} = {value}")
    try:
        yield
    finally:
        server.sql(f"ALTER ROLE {ROLE} RESET ALL")


SETTINGS = [
    ("standard_conforming_strings", "off"),
    ("client_encoding", "'SQL_ASCII'"),
    ("client_encoding", "'LATIN1'"),
    ("client_min_messages", "debug5"),
    ("bytea_output", "escape"),
    ("default_transaction_isolation", "serializable"),
    ("lock_timeout", "'1ms'"),
    ("idle_session_timeout", "'1s'"),
    ("session_replication_role", "replica"),
    ("search_path", "pg_catalog, public"),
    ("extra_float_digits", "-15"),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_what_a_role_sets_for_its_sessions_changes_nothing(server: Postgres, name: str, value: str) -> None:
    address = server.database("settings", ROLE)
    with role_with(server, **{name: value}):
        use(address)


@pytest.mark.parametrize("name", ["standard_conforming_strings", "client_encoding", "client_min_messages"])
def test_control_with_sessions_as_the_role_has_them_it_would(server: Postgres, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(entry, "SESSION", {key: value for key, value in entry.SESSION.items() if key != name})
    monkeypatch.setattr(entry, "REQUIRED", {})
    address = server.database("unsettled", ROLE)
    with role_with(server, **{name: dict(reversed(SETTINGS))[name]}), pytest.raises((StorageUnusable, OutcomeUnknown, AssertionError)):
        use(address)


def test_a_setting_that_cannot_be_read_is_refused(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the client's encoding made names into something else: what is not found is not taken for good."""
    monkeypatch.setattr(entry, "REQUIRED", {"fsyncs": (("on",), "nobody knows")})
    with stored(server.database("unread", ROLE)) as made, pytest.raises(StorageUnsafe, match="fsyncs = None"):
        made.check()


WAITING = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def _commit_alone() -> None:
    """Commit where no standby confirms and somebody ends the wait for it; the role wants to hear of errors only."""

    def cancel() -> None:
        until(lambda: made.sql(f"SELECT pg_cancel_backend(pid) {WAITING}"))

    with postgres(wal_level="replica") as made:
        made.sql(f"CREATE ROLE {ROLE} LOGIN")
        address = made.database("alone", ROLE)
        made.sql(f"ALTER ROLE {ROLE} SET client_min_messages = 'error'")
        use(address)
        made.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
        made.sql("SELECT pg_reload_conf()")
        with stored(address) as store:
            group = store.begin(0, [])
            group.apply({KEY: b"3"}, [])
            impatient = threading.Thread(target=cancel)
            impatient.start()
            try:
                group.commit()
            finally:
                impatient.join()


@pytest.mark.fault("F6")
def test_that_no_standby_confirmed_a_commit_is_heard_whatever_the_role_wants_to_hear() -> None:
    with pytest.raises(OutcomeUnknown):
        _commit_alone()


@pytest.mark.control
@pytest.mark.fault("F6")
def test_control_a_session_that_hears_of_errors_only_takes_such_a_commit_for_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "SESSION", {**entry.SESSION, "client_min_messages": "error"})
    monkeypatch.setattr(entry, "REQUIRED", {})
    _commit_alone()


# -- names ----------------------------------------------------------------------------------------------------------------

HOSTILE = """
CREATE FUNCTION {place}.gotcha() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'gotcha'; END$$;
CREATE FUNCTION {place}.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT {place}.gotcha()::text';
CREATE FUNCTION {place}.concat(name, text, text) RETURNS text LANGUAGE sql AS 'SELECT {place}.gotcha()::text';
CREATE FUNCTION {place}.same(oid, regclass) RETURNS boolean LANGUAGE sql AS 'SELECT {place}.gotcha()';
CREATE FUNCTION {place}.same(oid, integer) RETURNS boolean LANGUAGE sql AS 'SELECT {place}.gotcha()';
CREATE OPERATOR {place}.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = {place}.same);
CREATE OPERATOR {place}.= (LEFTARG = oid, RIGHTARG = integer, FUNCTION = {place}.same);
CREATE FUNCTION {place}.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT {place}.gotcha()';
CREATE FUNCTION {place}.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT {place}.gotcha()::text';
CREATE FUNCTION {place}.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS 'SELECT {place}.gotcha()';
CREATE FUNCTION {place}.same(bytea, bytea) RETURNS boolean LANGUAGE sql AS 'SELECT {place}.gotcha()';
CREATE OPERATOR {place}.= (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = {place}.same);
"""
"""What somebody who may create in a schema of our path would like us to call: some fit better than the system's own, some come first."""


@pytest.mark.parametrize("path", ["public", "hostile, pg_catalog, public"])
def test_functions_of_others_are_not_called(server: Postgres, path: str) -> None:
    address = server.database("names", ROLE)
    server.sql("CREATE SCHEMA hostile", "names")
    for place in ("hostile", "public"):
        server.sql(HOSTILE.format(place=place), "names")
    server.sql("GRANT USAGE ON SCHEMA hostile TO PUBLIC", "names")
    server.sql("GRANT CREATE ON SCHEMA public TO PUBLIC", "names")
    if path != "public":
        use(address)  # the tables are in public, where hostile has none
    with role_with(server, search_path=path):
        with stored(address) as made:
            made.check()
            made._put_out()
        use(address)
        with psycopg.connect(address) as bare, pytest.raises(psycopg.Error, match="gotcha"):  # the control
            bare.execute("SELECT unnest(ARRAY['a'])")


def test_tables_are_found_where_they_are_though_a_schema_before_came_into_being(server: Postgres) -> None:
    address = server.database("later", ROLE)
    use(address)
    server.sql(f"CREATE SCHEMA {ROLE} AUTHORIZATION {ROLE}", "later")
    use(address)
    assert server.sql("SELECT count(*) FROM pg_class WHERE relname = 'strongroom_store'", "later") == [(1,)]


@pytest.mark.parametrize(("path", "said"), [("nowhere", "finds no schema"), ("pg_catalog", "finds no schema"), ("taken", "lacks rights")])
def test_a_role_that_cannot_make_its_tables_is_told_why(server: Postgres, path: str, said: str) -> None:
    address = server.database("poor", ROLE)
    server.sql("CREATE SCHEMA taken", "poor")
    server.sql("GRANT USAGE ON SCHEMA taken TO PUBLIC", "poor")
    with role_with(server, search_path=path), stored(address) as made, pytest.raises(StorageUnusable, match=said):
        made.check()


def test_who_else_could_interfere_is_said_at_start(server: Postgres) -> None:
    address = server.database("advised", ROLE)
    with stored(address) as made:
        assert made.check() == []
    server.sql("GRANT CONNECT ON DATABASE advised TO PUBLIC", "advised")
    server.sql("ALTER TABLE strongroom_changes OWNER TO other", "advised")
    server.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON strongroom_changes TO {ROLE}", "advised")
    with stored(address) as made:
        assert [text.split(";")[0] for text in made.check()] == [
            "every role of the server may connect to this database and could hold up its writes",
            "tables of the database belong to another role, which can change what they do",
        ]


# -- idle connections -------------------------------------------------------------------------------------------------------


def _use_after_the_server_ended_all_sessions(server: Postgres, name: str) -> None:
    with stored(server.database(name, ROLE)) as made:
        for _ in range(2):
            group = made.begin(0, [])
            group.apply({KEY: b"1"}, [])
            group.commit()
            gsn = made.changed(0).gsn
            sessions = f"FROM pg_stat_activity WHERE datname = '{name}' AND usename = '{ROLE}'"
            server.sql(f"SELECT pg_terminate_backend(pid) {sessions}")
            until(lambda: server.sql(f"SELECT count(*) {sessions}") == [(0,)])  # noqa: B023
        assert made.changed(0).gsn == gsn
        made.begin(0, []).abandon()


def test_nobody_fails_for_a_connection_that_was_closed_while_idle(server: Postgres) -> None:
    """As by a restart, a failover, or a proxy that closes what is idle."""
    _use_after_the_server_ended_all_sessions(server, "idle")


def test_control_a_store_that_does_not_look_fails_once(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Link, "stale", False)
    with pytest.raises(StorageUnusable):
        _use_after_the_server_ended_all_sessions(server, "looked")


def test_a_replacement_whose_commit_was_not_answered_is_not_said_to_have_failed(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    server.database("halfway", ROLE)

    def judge(link: Proxied, _number: int, frame: bytes) -> str:
        return "swallow" if link.is_commit(frame) and getattr(link, "copied", False) else "pass"

    def watch(link: Proxied, number: int, frame: bytes) -> str:
        if frame[:1] == b"d":
            link.copied = True  # type: ignore[attr-defined]
        return judge(link, number, frame)

    monkeypatch.setattr("strongroom.storage.postgres.whole.PATIENCE", 1.0)
    with proxy(server.port) as between, stored(server.at("halfway", between.port, ROLE)) as made:
        use(server.at("halfway", user=ROLE))
        between.judge = watch
        with pytest.raises(StorageUnusable, match="all of the old rows or all of the new"):
            made.replace([[(KEY, b"new")]], 9, 0)
        with stored(server.at("halfway", user=ROLE)) as truth:
            assert truth.get_many([KEY]) == {KEY: b"new"}


# -- poolers ----------------------------------------------------------------------------------------------------------------

POOLER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pooler(server: Postgres, mode: str, directory: Path) -> Iterator[int]:
    """A PgBouncer before a server; its port."""
    assert POOLER is not None
    port = free_port()
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user={ROLE}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = {mode}\n"
    )
    settings.chmod(0o644)
    account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    with settings.open() as given:
        process = subprocess.Popen([POOLER, "/dev/stdin"], stdin=given, stderr=subprocess.DEVNULL, user=account)
    try:
        until(lambda: _answers(server.at("pooled", port, ROLE)))
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.Error:
        return False
    return True


@pytest.mark.skipif(POOLER is None, reason="pgbouncer is not installed")
@pytest.mark.parametrize("mode", ["session", "transaction", "statement"])
def test_a_real_pooler_is_refused_in_every_mode_and_its_sessions_are_left_as_they_were(server: Postgres, tmp_path: Path, mode: str) -> None:
    server.database("pooled", ROLE)
    with pooler(server, mode, tmp_path) as port:
        address = server.at("pooled", port, ROLE)
        with stored(address) as made, pytest.raises(StorageUnsafe, match="a connection pooler stands before"):
            made.check()
        with psycopg.connect(address, autocommit=True) as bare:
            assert bare.execute("SHOW search_path").fetchone() == ('"$user", public',)
            assert bare.execute("SHOW statement_timeout").fetchone() == ("0",)
