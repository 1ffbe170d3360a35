"""Two cores on one store, as two workers of a host have it: what one commits, the other goes by in its next call.

Each core has a store object of its own; only the word of `storage.newest` is shared. The controls take that word away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from strongroom.core.audit.broker import Broker
from strongroom.core.call import Call
from strongroom.core.core import Settings
from strongroom.core.envelope import encode
from strongroom.core.group import GroupRun
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import NotFound, PermissionDenied
from strongroom.storage.api import Feed
from strongroom.storage.newest import ALONE, Newest, stamp
from strongroom.storage.sqlite import SqliteStorage
from strongroom.testing.room import FakeClock, Strongroom


class Second(Strongroom):
    """Another process on the store of `first`."""

    def __init__(self, first: Strongroom, storage: SqliteStorage) -> None:
        self.clock, self.storage, self.token = first.clock, storage, first.token
        self.process = type(first.process)()
        self.faults = []
        self.audit = Broker(self.clock, "test", 1)
        self.seals = ()
        self._rest = (Settings(dev=True), self.process, first._rest[2])
        self.unseal_keys = first.unseal_keys
        self.core = self._boot()
        self.unseal()


class Pair:
    def __init__(self, directory: Path) -> None:
        self.newest = Newest()
        self.stores = [SqliteStorage(directory, newest=self.newest) for _ in range(2)]
        self.a = Strongroom(FakeClock(), self.stores[0])
        self.b: Strongroom = Second(self.a, self.stores[1])
        for core in (self.a.core, self.b.core):
            core.committed.share(self.newest)

    def deaf(self) -> None:
        """The control: the second one does not look at the word."""
        self.b.core.committed.newest = ALONE
        self.b.core.committed.standing = ALONE[0]
        self.b.core.committed._shared = False


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    for store in made.stores:
        store.close()


def put(room: Strongroom, name: str, value: Any) -> None:
    room.write(f"secret/data/{name}", {"data": {"value": value}})


def got(room: Strongroom, name: str) -> Any:
    return room.json(room.read(f"secret/data/{name}"))["data"]["value"]


def test_the_other_process_reads_what_was_just_written(pair: Pair) -> None:
    put(pair.a, "x", 0)
    for turn in range(1, 50):
        writer, reader = (pair.a, pair.b) if turn % 2 else (pair.b, pair.a)
        assert got(reader, "x") == turn - 1
        put(writer, "x", turn)
        assert got(reader, "x") == turn


def test_what_a_group_has_to_read_it_reads_in_its_own_transaction(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process committed meanwhile, both connections have lost their pages: each would read them again."""
    put(pair.b, "x", 0)
    put(pair.a, "x", 1)
    core, asked = pair.b.core, list[int]()
    run = GroupRun(core, core.storage.begin(core.committed.gsn, ()), raised)
    get_many = pair.stores[1].get_many

    def counted(keys: Sequence[bytes]) -> dict[bytes, bytes]:
        asked.append(len(keys))
        return get_many(keys)

    monkeypatch.setattr(pair.stores[1], "get_many", counted)
    data = {"data": {"value": 2}}
    request = Request(uuid4_text(), Operation.UPDATE, "secret/data/x", data, encode(data), Secret(pair.b.token), Peer())
    work = Work(request, lambda _work: None)
    run.admit(work)
    run.settle(run.apply(), run.end(wrote=True))
    assert work.error is None
    assert not asked
    assert got(pair.a, "x") == 2


def raised(error: BaseException, _call: Call | None) -> None:
    raise error


def test_control_without_the_word_the_other_process_reads_what_was(pair: Pair) -> None:
    put(pair.a, "x", 0)
    assert got(pair.b, "x") == 0
    pair.deaf()
    put(pair.a, "x", 1)
    assert got(pair.b, "x") == 0


def test_a_token_revoked_here_is_refused_there(pair: Pair) -> None:
    token = pair.a.create_token("root")
    assert pair.b.read("auth/token/lookup-self", token=token).data
    pair.a.write("auth/token/revoke", {"token": token})
    with pytest.raises(PermissionDenied):
        pair.b.read("auth/token/lookup-self", token=token)


def test_control_without_the_word_a_revoked_token_goes_on(pair: Pair) -> None:
    token = pair.a.create_token("root")
    assert pair.b.read("auth/token/lookup-self", token=token).data
    pair.deaf()
    pair.a.write("auth/token/revoke", {"token": token})
    assert pair.b.read("auth/token/lookup-self", token=token).data


def test_policies_mounts_and_directories_are_followed_too(pair: Pair) -> None:
    pair.a.write("sys/policies/acl/p", {"policy": 'path "kv/data/*" { capabilities = ["create", "update", "read", "list"] }'})
    token = pair.a.create_token("p")
    with pytest.raises(NotFound):
        pair.b.read("kv/data/x", token=token)
    pair.a.write("sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    pair.b.write("kv/data/x", {"data": {"value": 1}}, token=token)
    assert pair.a.list("kv/metadata") == pair.b.list("kv/metadata") == ["x"]
    pair.a.write("kv/data/y", {"data": {"value": 1}}, token=token)
    assert pair.b.list("kv/metadata") == ["x", "y"]
    pair.b.write("sys/policies/acl/p", {"policy": 'path "kv/data/*" { capabilities = ["deny"] }'})
    with pytest.raises(PermissionDenied):
        pair.a.read("kv/data/x", token=token)


def test_the_word_follows_the_store(pair: Pair) -> None:
    put(pair.a, "x", 0)
    group = pair.stores[1].begin(0, ())
    assert pair.newest.word[0] == stamp(group.feed.gsn)
    group.abandon()
    assert pair.newest.word[0] == stamp(pair.stores[0].changed(0).gsn)


def test_a_word_that_a_dead_process_left_odd_misleads_nobody(pair: Pair) -> None:
    put(pair.a, "x", 0)
    assert got(pair.b, "x") == 0
    newest = pair.stores[0].newest
    pair.stores[0].newest = None  # it commits and dies before it can say so
    pair.newest.moves(pair.a.core.committed.gsn)
    put(pair.a, "x", 1)
    pair.stores[0].newest = newest
    assert pair.newest.word[0] % 2 == 1
    assert got(pair.b, "x") == 1
    put(pair.b, "y", 0)
    assert pair.newest.word[0] == stamp(pair.b.core.committed.gsn), "who holds the lock puts it right"
    assert got(pair.a, "y") == 0


def test_a_read_that_another_commit_cut_in_two_is_done_again(pair: Pair) -> None:
    """The commit comes between the first row that a read takes from the store and the second."""
    put(pair.a, "x", 0)
    cut, kept = list[int](), pair.b.core.committed
    kept.forget(None, None)

    class Cutting:
        local, kind = True, "sqlite"

        def __getattr__(self, name: str) -> Any:
            return getattr(pair.stores[1], name)

        def get_many(self, keys: Any) -> Any:
            found = pair.stores[1].get_many(keys)
            if not cut:
                cut.append(1)
                put(pair.a, "x", 1)
            return found

    kept.storage = Cutting()
    reply = pair.b.request(Operation.READ, "secret/data/x")
    assert reply.error is None
    assert pair.b.json(reply.response)["data"]["value"] == 1  # type: ignore[arg-type]
    assert kept.gsn == pair.stores[1].changed(0).gsn


def test_a_state_that_never_stands_still_is_read_under_the_lock(pair: Pair) -> None:
    put(pair.a, "x", 7)
    attempts = list[bool]()

    class Restless:
        local, kind = True, "sqlite"

        def __getattr__(self, name: str) -> Any:
            return getattr(pair.stores[1], name)

        def changed(self, since: int) -> Feed:
            """Somebody has always just committed."""
            attempts.append(True)
            return Feed(since + 1, frozenset())

        def get_many(self, keys: Any) -> Any:
            return pair.stores[1].get_many(keys)

    kept = pair.b.core.committed
    kept.forget(None, None)
    kept.storage = Restless()
    pair.newest.moves(kept.gsn)
    assert got(pair.b, "x") == 7
    assert len(attempts) >= 3


def test_who_commits_alone_pays_one_comparison(tmp_path: Path) -> None:
    room = Strongroom(FakeClock(), SqliteStorage(tmp_path))
    committed, asked = room.core.committed, list[int]()
    put(room, "x", 1)

    class Watched:
        def __getattr__(self, name: str) -> Any:
            asked.append(1)
            return getattr(room.storage, name)

    got(room, "x")
    committed.storage = Watched()
    assert got(room, "x") == 1
    assert not asked
    room.storage.close()
