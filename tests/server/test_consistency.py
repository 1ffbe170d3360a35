"""The index of the embedded store, which needs none: one that is sent is held to all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from strongroom.errors import InvalidRequest, StateNotPresent
from strongroom.server.consistency import Indexes
from strongroom.testing import Strongroom
from tests.support.server import serving


def index_at(room: Strongroom, gsn: int) -> bytes:
    """The index that this installation gives out at a commit."""
    committed = room.core.committed
    before, committed.gsn = committed.gsn, gsn
    try:
        return Indexes(room.core).line().split()[1]
    finally:
        committed.gsn = before


def test_what_was_committed_is_there_and_what_was_not_is_told() -> None:
    room = Strongroom()
    indexes, newest = Indexes(room.core), room.core.committed.gsn
    indexes.check(index_at(room, newest))
    indexes.check(index_at(room, 1) + b", " + index_at(room, newest))
    with pytest.raises(StateNotPresent):
        indexes.check(index_at(room, 1) + b", " + index_at(room, newest + 1))


def test_another_installation_s_index_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="did not give it out"):
        Indexes(Strongroom().core).check(index_at(Strongroom(), 1))


def test_a_sealed_server_gives_none_and_looks_at_none() -> None:
    room = Strongroom()
    indexes = Indexes(room.core)
    assert indexes.line()
    room.core.barrier.seal()
    assert indexes.line() == b""
    indexes.check(b"!")


def test_the_line_follows_the_state() -> None:
    room = Strongroom()
    indexes = Indexes(room.core)
    first = indexes.line()
    assert indexes.line() is first
    room.write("sys/policies/acl/x", {"policy": 'path "a" { capabilities = ["read"] }'})
    assert indexes.line() != first


def test_a_server_on_the_embedded_store_does_not_ignore_it(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, root):
        for _ in range(3):  # also where the read is a repeated one
            assert root.read("sys/mounts", X_Vault_Index="!").status == 400
