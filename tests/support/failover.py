"""A PostgreSQL primary and a standby that takes its place, as an HA manager runs them.

Rules of this file:
- Both keep their ports for life, so an address that names both stays right.
- `synchronous`: while a standby follows, a commit waits for it; while none does, the primary commits alone, as Patroni has it by default.
- The former primary comes back as a new copy of the present one, unless a test starts it as it was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import psycopg

from tests.support.postgres import Postgres
from tests.support.waiting import until

FOLLOW_SECONDS = 30.0
SETTINGS = {"wal_level": "replica", "hot_standby": "on", "wal_keep_size": "64MB", "wal_retrieve_retry_interval": "100ms"}
FOLLOWS = """SELECT count(*) FROM pg_stat_replication
             WHERE state = 'streaming' AND sync_state IN ({states}) AND flush_lsn >= pg_current_wal_flush_lsn()"""


class Pair:
    """`primary` takes commits; `standby` follows it, or is the one that was primary before."""

    def __init__(self, *, synchronous: bool = True) -> None:
        self.synchronous = synchronous
        self.primary = Postgres()
        self.standby: Postgres
        self._all = [self.primary]

    def start(self) -> Pair:
        self.primary.start(**SETTINGS)
        self.standby = self._copied()
        return self

    def _copied(self, port: int = 0) -> Postgres:
        """A standby of the primary, level with it."""
        made = Postgres(standby_of=self.primary)
        self._all.append(made)
        made.port = port or made.port
        made.start(**SETTINGS)
        if self.synchronous:
            self._configure("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
        self.await_standby()
        return made

    def _configure(self, statement: str) -> None:
        self.primary.sql(statement)
        self.primary.sql("SELECT pg_reload_conf()")

    def await_standby(self) -> None:
        """Wait until the standby has everything that was committed before now, and commits wait for it."""
        statement = FOLLOWS.format(states="'quorum', 'sync'" if self.synchronous else "'async'")
        until(lambda: self.primary.sql(statement) != [(0,)], FOLLOW_SECONDS, "the standby does not follow", every=0.05)

    def address(self, database: str, port_of: Callable[[Postgres], int] = lambda server: server.port) -> str:
        """Both servers, as nodes are told; through proxies where `port_of` says so."""
        hosts = ",".join(f"127.0.0.1:{port_of(server)}" for server in (self.primary, self.standby))
        return f"postgres://strongroom@{hosts}/{database}"

    def fail_over(self) -> float:
        """The primary dies and the standby takes its place; the moment when it took commits."""
        self.primary.crash()
        return self.promote()

    def promote(self) -> float:
        """The standby takes the primary's place, dead or not."""
        self.primary, self.standby = self.standby, self.primary
        self.primary.promote()
        self._configure("ALTER SYSTEM RESET synchronous_standby_names")
        return time.monotonic()

    def rejoin(self) -> None:
        """The former primary follows, as a new copy at its old port."""
        port = self.standby.port
        self.standby.close()
        self.standby = self._copied(port)

    def close(self) -> None:
        for server in self._all:
            server.close()


@contextlib.contextmanager
def pair(*, synchronous: bool = True) -> Iterator[Pair]:
    """Two servers for the length of a test."""
    made = Pair(synchronous=synchronous)
    try:
        yield made.start()
    finally:
        made.close()


def newest(server: Postgres, database: str) -> int:
    """The number of its last commit; -1 where it does not answer."""
    with contextlib.suppress(psycopg.Error):
        return int(server.sql("SELECT gsn FROM strongroom_store", database)[0][0])
    return -1
