"""T26.1 on the real server: a database administrator swaps, copies, deletes, replays and edits rows, or puts a whole database back.

The reads are the real server's; that a bound index, versions and boot rows hold in every detail is tests/barrier/test_tampering.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.core import areas
from strongroom.storage.api import INDEX_KEY
from tests.support import offline
from tests.support.http import Client, Reply
from tests.support.rows import Rows, edit_rows, read_rows, written_by
from tests.support.server import Server, serving

pytestmark = pytest.mark.fault("F21")

UNBOUND = ("-m", "tests.support.unbound_server")
STRONG = 'path "secret/*" { capabilities = ["read", "list", "update", "delete"] }'
WEAK = 'path "secret/data/nothing" { capabilities = ["read"] }'


def put(client: Client, name: str, value: str) -> Callable[[], None]:
    def write() -> None:
        reply = client.write(f"secret/data/{name}", {"data": {"value": value}})
        assert reply.status == 200, reply

    return write


def only(rows: Rows) -> bytes:
    assert len(rows) == 1
    return next(iter(rows))


def head_and_kept(rows: Rows) -> tuple[bytes, bytes]:
    """A write of a second version: the secret's row (a name, kind 1) and the row of the version before."""
    names = [key for key in rows if key[16] == 1]
    others = [key for key in rows if key[16] != 1]
    assert len(names) == len(others) == 1
    return names[0], others[0]


def tampered(reply: Reply) -> bool:
    return reply.status == 500 and "storage_tampered" in reply.text


class Victim:
    """A server with something of each kind, and which rows they are."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        store = server.store
        self.one = only(written_by(store, put(client, "one", "the first")))
        self.two = only(written_by(store, put(client, "two", "the second")))
        put(client, "v", "version 1")()
        _, self.v1 = head_and_kept(written_by(store, put(client, "v", "version 2")))
        _, self.v2 = head_and_kept(written_by(store, put(client, "v", "version 3")))
        put(client, "w", "version 1")()
        _, self.w1 = head_and_kept(written_by(store, put(client, "w", "version 2")))
        self.gone = only(written_by(store, put(client, "gone", "to be removed")))
        self.old = only(written_by(store, put(client, "old", "yesterday")))
        self.yesterday = read_rows(store)[self.old]
        put(client, "old", "today")()
        put(client, "untouched", "as it was")()
        self.weak = only(written_by(store, lambda: client.write("sys/policies/acl/weak", {"policy": WEAK}), areas.POLICIES))
        self.strong = only(written_by(store, lambda: client.write("sys/policies/acl/strong", {"policy": STRONG}), areas.POLICIES))
        self.tokens: dict[str, str] = {}
        for name, policy in (("weak", "weak"), ("edited", "strong"), ("strong", "strong")):
            rows = self._token(client, name, policy)
            if name == "edited":
                self.edited = {key: record[:-1] + bytes([record[-1] ^ 1]) for key, record in rows.items()}

    def _token(self, client: Client, name: str, policy: str) -> Rows:
        def make() -> None:
            reply = client.write("auth/token/create", {"policies": [policy], "no_default_policy": True})
            self.tokens[name] = reply.json["auth"]["client_token"]

        return written_by(self.server.store, make, areas.TOKENS)

    def ask(self, token: str, path: str) -> Reply:
        with self.server.client(self.tokens[token]) as client:
            return client.read(path)


def test_rows_that_were_swapped_copied_deleted_replayed_or_edited(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, client):
        victim = Victim(server, client)
        server.terminate()
        stored = read_rows(server.store)
        assert victim.edited
        edit_rows(
            server.store,
            {
                victim.one: stored[victim.two],
                victim.two: stored[victim.one],
                victim.v1: stored[victim.v2],
                victim.v2: stored[victim.v1],
                victim.weak: stored[victim.strong],
                victim.old: victim.yesterday,
                **victim.edited,
            },
            (victim.gone, victim.w1),
        )
        report = offline.scrub(server)
        named = {finding.row for finding in report.findings}
        assert {key.hex() for key in (victim.one, victim.two, victim.v1, victim.v2, victim.weak, *victim.edited)} <= named
        assert any("2 rows are missing" in finding.text for finding in report.findings)
        told = offline.command(server, "operator", "scrub")
        assert told.returncode == 2
        assert "2 rows are missing" in told.stdout

        server.start()
        with server.client() as root:
            assert tampered(root.read("secret/data/one"))
            assert tampered(root.read("secret/data/two"))
            assert tampered(root.read("secret/data/v?version=1"))
            assert tampered(root.read("secret/data/v?version=2"))
            assert root.read("secret/data/v").data["data"] == {"value": "version 3"}
            assert tampered(root.read("secret/data/w?version=1")), "a deleted version is not 'not found'"
            assert tampered(root.read("sys/policies/acl/weak"))
            assert root.read("secret/data/gone").status in (404, 500)
            assert root.read("secret/data/untouched").data["data"] == {"value": "as it was"}
        for path in ("secret/data/untouched", "sys/policies/acl/strong"):
            assert tampered(victim.ask("weak", path)), "a stronger policy's row in place of its own gives no rights"
            assert tampered(victim.ask("edited", path)), "an edited token is nobody's"
        assert victim.ask("strong", "secret/data/untouched").status == 200, "the control: who was left alone is served"
        with server.client() as root:
            metrics = root.read("sys/metrics?format=prometheus").text
        alarms = float(next(line.split()[1] for line in metrics.splitlines() if line.startswith("strongroom_storage_tampered_total ")))
        assert alarms == server.output().count("storage_tampered") >= 10
        assert server.audit.read_text().count('"error":"storage_tampered') >= alarms


def test_a_replayed_row_and_an_old_index_are_found(tmp_path: Path) -> None:
    """One object put back whole reads as it was yesterday: scrub finds it, and with yesterday's index nothing commits any more."""
    with serving(tmp_path) as (server, client):
        old = only(written_by(server.store, put(client, "old", "yesterday")))
        rows = read_rows(server.store)
        put(client, "old", "today")()
        server.terminate()
        edit_rows(server.store, {old: rows[old]})
        report = offline.scrub(server)
        assert "some are not what was written last" in offline.texts(report)
        edit_rows(server.store, {INDEX_KEY: rows[INDEX_KEY]})
        assert not offline.scrub(server).clean
        server.start(503)


def test_a_database_of_yesterday_does_not_unseal(tmp_path: Path) -> None:
    """Rolled back as a whole it is in itself consistent; the audit log, which lies elsewhere, remembers a newer state."""
    with serving(tmp_path) as (server, client):
        put(client, "kept", "yesterday")()
        server.terminate()
        shutil.copytree(server.store, tmp_path / "yesterday")
        server.start()
        with server.client() as root:
            put(root, "kept", "today")()
        server.terminate()
        assert offline.scrub(server).clean
        shutil.copytree(server.store, tmp_path / "today")

        shutil.rmtree(server.store)
        shutil.copytree(tmp_path / "yesterday", server.store)
        assert offline.scrub(server).clean, "the control: by itself it cannot be seen"
        server.start(503)
        with server.client() as root:
            assert root.read("secret/data/kept").status == 503
            assert "recorded outside of it" in server.output()
            assert root.write("sys/unseal", {"key": server.recovery_key}).status == 400
            accepted = root.write("sys/unseal", {"key": server.recovery_key, "accept_rollback": True})
            assert (accepted.status, accepted.json["sealed"]) == (200, False), "whoever restores a snapshot on purpose says so"
            assert root.read("secret/data/kept").data["data"] == {"value": "yesterday"}
        server.terminate()
        server.start(200)
        server.terminate()

        shutil.rmtree(server.store)
        shutil.copytree(tmp_path / "today", server.store)
        server.start(200)
        with server.client() as root:
            assert root.read("secret/data/kept").data["data"] == {"value": "today"}


@pytest.mark.control
def test_without_binding_a_record_to_its_row_a_swap_is_another_objects_data(tmp_path: Path) -> None:
    """The negative control: the same swap, records bound to nothing."""
    with serving(tmp_path, entry=UNBOUND) as (server, client):
        one = only(written_by(server.store, put(client, "one", "the first")))
        two = only(written_by(server.store, put(client, "two", "the second")))
        server.terminate()
        stored = read_rows(server.store)
        edit_rows(server.store, {one: stored[two], two: stored[one]})
        server.start()
        with server.client() as root:
            assert root.read("secret/data/one").data["data"] == {"value": "the second"}
