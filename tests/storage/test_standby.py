"""What is taken from a standby: only what is certain to be the primary's, whatever the standby does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from strongroom.errors import ConfigError, StorageUnusable
from strongroom.storage.api import Below, Fetched, Scan, Wanted
from strongroom.storage.postgres.history import History
from strongroom.storage.postgres.standby import PATIENCE, Standby, nearby
from strongroom.storage.postgres.store import PostgresStorage
from tests.support.pgproxy import proxy
from tests.support.postgres import Postgres, postgres
from tests.support.waiting import until

AREA = bytes(16) + b"\x01"
A, B, C = (AREA + b"\0\1" + name for name in (b"a", b"b", b"c"))
ALL = Wanted(frozenset((A, B, C)))


class Copied:
    """A primary, its standby, and a store that reads from both."""

    def __init__(self, primary: Postgres, standby: Postgres, name: str) -> None:
        self.primary, self.standby, self.name = primary, standby, name
        self.store = PostgresStorage(primary.database(name), read_url=standby.at(name))

    @property
    def replica(self) -> Standby:
        assert self.store.replica is not None
        return self.store.replica

    def commit(self, *keys: bytes) -> int:
        """Write the number of the commit into these rows."""
        group = self.store.begin(0, [])
        group.apply(dict.fromkeys(keys, b"%d" % group.gsn), [])
        group.commit()
        return group.gsn

    def level(self) -> None:
        """Wait until the standby has what the primary has."""
        wanted = self.primary.sql("SELECT gsn FROM strongroom_store", self.name)
        until(lambda: self._at() == wanted)

    def _at(self) -> object:
        try:
            return self.standby.sql("SELECT gsn FROM strongroom_store", self.name)
        except psycopg.Error:
            return None  # it has not heard of the database yet

    def pause(self) -> None:
        self.level()
        self.standby.sql("SELECT pg_wal_replay_pause()")
        until(lambda: self.standby.sql("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])

    def resume(self) -> None:
        self.standby.sql("SELECT pg_wal_replay_resume()")

    def close(self) -> None:
        self.resume()
        self.replica.close()
        self.store.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Postgres, Postgres]]:
    with postgres(wal_level="replica") as primary:
        standby = Postgres(standby_of=primary)
        try:
            yield primary, standby.start()
        finally:
            standby.close()


@pytest.fixture
def copied(pair: tuple[Postgres, Postgres]) -> Iterator[Copied]:
    with closing(Copied(*pair, f"copy{next(_numbers)}")) as made:
        yield made


_numbers = itertools.count()


def values(fetched: Fetched) -> dict[bytes, bytes | None]:
    """What is certain of the rows."""
    return {key[-1:]: fetched.rows.get(key) for key in fetched.wanted.keys}


def test_a_level_standby_is_certain_of_everything_absent_rows_included(copied: Copied) -> None:
    gsn = copied.commit(A, B)
    copied.level()
    found = copied.replica.fetch(gsn, ALL)
    assert values(found) == {b"a": b"1", b"b": b"1", b"c": None}
    assert found.feed == (gsn, frozenset())


def test_a_standby_behind_is_certain_of_what_did_not_change_since(copied: Copied) -> None:
    """Whether this process made the later commits or heard of them."""
    copied.commit(A, B)
    copied.pause()
    own = copied.commit(B)
    assert values(copied.replica.fetch(own, ALL)) == {b"a": b"1", b"c": None}
    with closing(PostgresStorage(copied.primary.at(copied.name))) as other:
        group = other.begin(0, [])
        group.apply({C: b"c"}, [])
        group.commit()
    assert copied.store.changed(own).keys == frozenset((C,))
    assert values(copied.replica.fetch(group.gsn, ALL)) == {b"a": b"1"}


def test_a_standby_behind_is_certain_of_nothing_where_a_commit_since_is_not_known(copied: Copied) -> None:
    copied.commit(A, B)
    copied.pause()
    between, last = copied.commit(B), copied.commit(C)
    del copied.store.history._changes[between]
    assert copied.replica.fetch(last, ALL).wanted == Wanted()


def test_a_standby_ahead_is_certain_of_what_did_not_change_since(copied: Copied) -> None:
    first = copied.commit(A, B)
    copied.commit(B)
    copied.level()
    found = copied.replica.fetch(first, ALL)
    assert found.feed.gsn == first
    assert values(found) == {b"a": b"1", b"c": None}


def test_rows_of_the_very_commit_we_know_are_certain_on_a_standby_ahead(copied: Copied) -> None:
    copied.commit(A)
    second = copied.commit(B)
    copied.commit(C)
    copied.level()
    assert values(copied.replica.fetch(second, ALL)) == {b"a": b"1", b"b": b"2"}


def test_ranges_are_certain_as_rows_are(copied: Copied) -> None:
    first = copied.commit(A, B)
    copied.commit(B)
    copied.level()
    scans = [Scan(A, B, -1), Scan(B, C, -1)]
    found = copied.replica.fetch(first, Wanted(ranges=frozenset([*scans, Below(AREA, b"", -1)])))
    assert found.wanted.ranges == {scans[0]}
    assert found.scans[scans[0]] == [(A, b"1")]


def certain_of_another_history(copied: Copied) -> list[Wanted]:
    """Numbers agree and ids do not: of one that is ahead of our commit, at it, and behind it."""
    with closing(Copied(copied.primary, copied.standby, copied.name + "other")) as other:
        for _ in range(3):
            copied.commit(A)
            other.commit(A, B)
        copied.commit(A)
        other.level()
        with closing(Standby(other.standby.at(other.name), copied.store.history)) as stranger:
            return [stranger.fetch(gsn, ALL).wanted for gsn in (2, 3, 4)]


def test_another_history_is_certain_of_nothing(copied: Copied) -> None:
    assert certain_of_another_history(copied) == [Wanted()] * 3


def test_control_whoever_compares_numbers_alone_takes_rows_of_another_history(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "knows", lambda self, commit: commit.gsn in self._changes)
    assert all(certain_of_another_history(copied))


def test_commits_that_are_forgotten_are_not_known(copied: Copied) -> None:
    gsn = copied.commit(A)
    copied.level()
    copied.store.history._changes.clear()
    assert copied.replica.fetch(gsn, ALL).wanted == Wanted()


def test_a_standby_that_hangs_is_left_after_a_moment(copied: Copied) -> None:
    gsn = copied.commit(A)
    copied.level()
    with proxy(copied.standby.port) as between:
        with closing(Standby(copied.standby.at(copied.name, between.port), copied.store.history)) as made:
            made.fetch(gsn, ALL)
            between.blackhole()
            began = time.monotonic()
            with pytest.raises(StorageUnusable):
                made.fetch(gsn, ALL)
            assert time.monotonic() - began < PATIENCE + 1
            between.flow()


def test_an_address_that_cannot_be_read_is_told_by_its_key_and_not_quoted() -> None:
    with pytest.raises(ConfigError, match="read_url") as caught:
        nearby("host=db password='hunter2 x")
    assert "hunter2" not in str(caught.value)


def test_of_several_hosts_a_standby_is_taken_first_unless_the_address_says_otherwise() -> None:
    assert "target_session_attrs=prefer-standby" in nearby("postgres://one,two/x")
    assert "target_session_attrs=any" in nearby("postgres://one,two/x?target_session_attrs=any")
