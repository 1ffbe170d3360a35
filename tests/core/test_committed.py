"""Decrypted directories: what is amended after a commit is what reading anew would give."""

from __future__ import annotations

import random
from collections.abc import Collection

import pytest

from strongroom.barrier.barrier import Keys
from strongroom.barrier.directory import Directory
from strongroom.core import committed
from strongroom.core.call import Pause
from strongroom.core.group import perform
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.errors import StorageUnusable
from strongroom.storage.api import Child
from strongroom.testing import Strongroom

NAMES = ("a", "b", "a/b", "a/b/c", "a-", "a/c/d", "b/a", "c/c/c/c")


@pytest.mark.parametrize("long", [0, 3])
def test_a_directory_that_is_amended_is_the_one_that_would_be_read(monkeypatch: pytest.MonkeyPatch, long: int) -> None:
    monkeypatch.setattr(committed, "LONG", long)
    room, chance = Strongroom(), random.Random("strongroom")
    for _ in range(300):
        name = chance.choice(NAMES)
        if chance.random() < 0.5:
            room.write(f"secret/data/{name}", {"data": {}})
        else:
            room.delete(f"secret/metadata/{name}")
        if chance.random() < 0.7:
            seen = {folder: names(room, folder) for folder in ("", "a", "a/b", "b", "c/c")}
            room.core.committed.forget(None, None)
            assert seen == {folder: names(room, folder) for folder in seen}


def names(room: Strongroom, folder: str) -> object:
    asked = room.request(Operation.LIST, f"secret/metadata/{folder}" if folder else "secret/metadata")
    return None if asked.response is None else room.json(asked.response)["keys"]


def test_a_long_directory_is_decrypted_once_however_often_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed, "LONG", 50)
    room = Strongroom()
    for each in range(60):
        room.write(f"secret/data/n{each:02}", {"data": {}})
    decrypted: list[bytes] = []
    real = committed.decrypted_names

    def counted(keys: Keys, prefix: bytes, children: list[Child]) -> list[str]:
        decrypted.append(prefix)
        return real(keys, prefix, children)

    monkeypatch.setattr(committed, "decrypted_names", counted)
    for each in range(10):
        room.write(f"secret/data/m{each}", {"data": {}})
        assert len(room.list("secret/metadata")) == 61 + each
    assert len(decrypted) == 1
    room.write("secret/data/x", {"data": {}})
    room.write("secret/data/y", {"data": {}})
    assert len(room.list("secret/metadata")) == 72
    assert len(decrypted) == 1
    for each in range(committed.MOST_AMENDED + 1):
        room.write(f"secret/data/z{each}", {"data": {}})
    assert len(room.list("secret/metadata")) == 73 + committed.MOST_AMENDED
    assert len(decrypted) == 2, "of which much changed is read anew"


def test_a_store_that_cannot_be_read_just_then_is_read_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed, "LONG", 0)
    room = Strongroom()
    room.write("secret/data/a", {"data": {}})
    room.list("secret/metadata")

    def refuse(_self: object, _prefix: bytes, _directory: Directory, _children: Collection[bytes]) -> Directory:
        raise StorageUnusable("told to fail")

    room.write("secret/data/b", {"data": {}})
    with monkeypatch.context() as failing:
        failing.setattr(committed.Committed, "_looked_at", refuse)
        with pytest.raises(StorageUnusable):
            room.list("secret/metadata")
    assert room.list("secret/metadata") == ["a", "b"]


@pytest.mark.parametrize("page", [1, 3, 1_000])
def test_a_directory_that_changes_while_it_is_read_in_pages_is_what_it_is_in_the_end(monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(committed, "PAGE", page)
    room, chance = Strongroom(), random.Random("strongroom")
    present = {f"n{each}" for each in range(12)}
    for name in present:
        room.write(f"secret/data/{name}", {"data": {}})
    for _ in range(60):
        room.core.committed.forget(None, None)
        work, runs = Work(request(room, "secret/metadata/"), lambda _work: None), 0
        while True:
            try:
                work.run(room.core, None)
                break
            except Pause as pause:
                work.remembered[pause.key] = pause.state
                runs += 1
                name = f"n{chance.randrange(20)}"
                if chance.random() < 0.5:
                    room.write(f"secret/data/{name}", {"data": {}})
                    present.add(name)
                elif len(present) > 8:
                    room.delete(f"secret/metadata/{name}")
                    present.discard(name)
        assert work.response is not None
        assert room.json(work.response) == {"keys": sorted(present)}
        assert (runs > 0) == (page < 1_000)
        assert room.list("secret/metadata") == sorted(present), "and so it is kept"


def test_control_what_changed_on_pages_that_were_read_is_not_seen_without_the_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed, "PAGE", 1)
    monkeypatch.setattr(committed.Committed, "_note", lambda _self, _keys: None)
    room = Strongroom()
    for name in "abc":
        room.write(f"secret/data/{name}", {"data": {}})
    with pytest.raises(AssertionError):
        for gone in "abc":
            room.core.committed.forget(None, None)
            work = Work(request(room, "secret/metadata/"), lambda _work: None)
            for _ in range(2):
                with pytest.raises(Pause) as paused:
                    work.run(room.core, None)
                work.remembered[paused.value.key] = paused.value.state
            room.delete(f"secret/metadata/{gone}")
            perform(room.core, work, lambda _error, _call: None)
            assert work.response is not None
            assert gone not in room.json(work.response)["keys"]
            room.write(f"secret/data/{gone}", {"data": {}})


def test_a_directory_that_changes_too_much_while_it_is_read_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed, "PAGE", 1)
    room = Strongroom()
    for each in range(3):
        room.write(f"secret/data/a{each}", {"data": {}})
    room.core.committed.forget(None, None)
    work = Work(request(room, "secret/metadata/"), lambda _work: None)
    with pytest.raises(Pause) as paused:
        work.run(room.core, None)
    for each in range(committed.MOST_AMENDED + 1):
        room.write(f"secret/data/b{each}", {"data": {}})
    work.run(room.core, None)
    assert isinstance(paused.value.state, committed.Draft)
    assert work.response is not None
    assert len(room.json(work.response)["keys"]) == 4 + committed.MOST_AMENDED


def request(room: Strongroom, path: str) -> Request:
    return Request("id", Operation.LIST, path, {}, b"", Secret(room.token), Peer())
