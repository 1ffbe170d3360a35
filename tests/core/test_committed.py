"""Decrypted directories: what is amended after a commit is what reading anew would give."""

from __future__ import annotations

import random

import pytest

from strongroom.barrier.barrier import Keys
from strongroom.core import committed
from strongroom.core.request import Operation
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
    assert len(decrypted) == 2, "what nobody asked for in between is not amended"


def test_a_store_that_cannot_be_read_just_then_is_read_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committed, "LONG", 0)
    room = Strongroom()
    room.write("secret/data/a", {"data": {}})
    room.list("secret/metadata")

    def refuse(_self: object, _prefix: bytes, _names: list[str], _children: set[bytes]) -> list[str]:
        raise StorageUnusable("told to fail")

    with monkeypatch.context() as failing:
        failing.setattr(committed.Committed, "_amended", refuse)
        room.write("secret/data/b", {"data": {}})
    assert room.list("secret/metadata") == ["a", "b"]
