"""The store's log is copied ahead by a worker: one copy at a time, beside everything else, and never after the store is closed."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path

import pytest

from strongroom.errors import StorageUnusable
from strongroom.server.copying import Copying
from strongroom.server.logs import Log
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.sqlite import SqliteStorage

KEY = bytes(16) + b"\x01\0\x01k"


def long_log(directory: Path) -> SqliteStorage:
    store = SqliteStorage(directory, checkpoint_pages=40)
    while not store.log_is_long:
        group = store.begin(0, [])
        group.apply({KEY: bytes(2_000)}, [])
        group.commit()
    return store


def test_a_long_log_is_copied_once_on_a_thread_and_whoever_ends_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = long_log(tmp_path)
    copy, threads, go = store.copy_ahead, list[int](), threading.Event()

    def slowly() -> None:
        threads.append(threading.get_ident())
        assert go.wait(10)
        copy()

    monkeypatch.setattr(store, "copy_ahead", slowly)

    async def scene() -> None:
        copying = Copying(store, Log(stream=io.StringIO()))
        for _ in range(5):
            copying.look()
            await asyncio.sleep(0)
        ending = asyncio.ensure_future(copying.end())
        await asyncio.sleep(0)
        assert not ending.done()
        go.set()
        await ending
        copying.look()
        await copying.end()

    asyncio.run(scene())
    assert len(threads) == 1, "copied, it is not long any more"
    assert threads[0] != threading.get_ident()
    store.close()


def test_what_goes_wrong_is_logged_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, said = long_log(tmp_path), io.StringIO()
    errors = [StorageUnusable("the disk is tired"), ValueError("a bug")]

    def failing() -> None:
        raise errors.pop(0)

    monkeypatch.setattr(store, "copy_ahead", failing)

    async def scene() -> None:
        copying = Copying(store, Log(stream=said))
        for _ in range(2):
            copying.look()
            await copying.end()

    asyncio.run(scene())
    assert not errors
    assert "the disk is tired" in said.getvalue()
    assert "ValueError" in said.getvalue()
    assert "a bug" not in said.getvalue()
    store.close()


def test_other_stores_have_no_log() -> None:
    async def scene() -> None:
        copying = Copying(MemoryStorage(), Log(stream=io.StringIO()))
        copying.look()
        await copying.end()

    asyncio.run(scene())
