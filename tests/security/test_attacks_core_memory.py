"""What a reader of one large secret can have a worker keep: its masked lines are a megabyte, and he chooses in how many ways he asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.core.audit import format as lines
from strongroom.core.call import Decision
from strongroom.core.response import Json, Response
from strongroom.memo import Budget, Memo
from tests.core.audit.kit import Memory, broker, call, device, mount, token
from tests.support.http import Client
from tests.support.server import Server, serving

MIB = 1 << 20
WAYS, BOUND = 250, 160 * MIB
MANY = {"data": {f"k{each}": str(each) for each in range(9_900)}}


def test_a_large_secret_read_in_many_ways_costs_a_bounded_room(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as (server, root):
        assert grown(server, root) < BOUND
        for _ in range(4):
            assert root.read("secret/data/small").data["data"] == {"a": "b"}


def test_control_without_a_bound_it_is_more(tmp_path: Path) -> None:
    with serving(tmp_path / "server", entry=("-m", "tests.support.hoarding_server")) as (server, root):
        assert grown(server, root) > BOUND


def grown(server: Server, root: Client) -> int:
    """Bytes of memory that two hundred heads for one secret add."""
    assert root.write("secret/data/large", MANY).status == 200
    root.write("secret/data/small", {"data": {"a": "b"}})
    before = server.resident()
    for way in range(WAYS):
        for _ in range(3):
            assert root.read("secret/data/large", X_Way=str(way)).status == 200
    return server.resident() - before


@pytest.mark.parametrize("most", [64 << 20, 40_000], ids=["the bound", "a small one"])
def test_masked_texts_are_kept_within_one_bound_for_all_rows(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(lines, "_BUDGET", Budget(most))
    sink = Memory()
    audit = broker(device(sink))
    rows: list[Memo[Any, bytes]] = [Memo() for _ in range(20)]
    for masks in [*rows, *rows]:
        asked = call(caller=token(), where=mount(), decision=Decision(False, ("app",)))
        audit.response(asked, Response(data=Json(msgspec.json.encode({str(each): str(each) for each in range(100)}), masks)))
    audit.flush()
    sizes = [len(text) for masks in rows for text in masks.values()]
    assert sum(sizes) <= most
    assert len(sizes) == 20 if most > MIB else 0 < len(sizes) < 20
    shown = [line["response"]["data"] for line in sink.lines]
    assert len(shown) == 40
    assert all(each == shown[0] for each in shown)
