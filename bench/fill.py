"""Filling a store: over HTTP for thousands of keys, in the process itself for a million."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from bench.servers import ENTRY
from strongroom.clock import SystemClock
from strongroom.core.audit.broker import Broker
from strongroom.core.core import Core, Settings
from strongroom.core.group import GroupRun
from strongroom.core.policy.acl import ROOT_ACL
from strongroom.core.request import Operation, Peer, Request, Secret, Token, TokenEntry
from strongroom.core.sealing.unsealing import submit
from strongroom.core.work import Work
from strongroom.outbound.client import Outbound
from strongroom.storage.sqlite import SqliteStorage
from strongroom.testing.room import QuietProcess


def fill_over_http(url: str, token: str, keys: int, connections: int = 64) -> None:
    """Write `app0` … once each."""
    asyncio.run(_each(url, token, keys, connections, "POST", json.dumps({"data": ENTRY})))


def warm_over_http(url: str, token: str, keys: int, connections: int = 64) -> None:
    """Read `app0` … once each, so that what is measured next is a read of a cached secret."""
    asyncio.run(_each(url, token, keys, connections, "GET", ""))


async def _each(url: str, token: str, keys: int, connections: int, method: str, body: str) -> None:
    host, _, port = url.partition("://")[2].partition(":")
    numbers = iter(range(keys))
    headers = f"Host: x\r\nX-Vault-Token: {token}\r\nContent-Length: {len(body)}"

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in numbers:
            writer.write(f"{method} /v1/kv/data/app{number} HTTP/1.1\r\n{headers}\r\n\r\n{body}".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = re.search(rb"[Cc]ontent-[Ll]ength: (\d+)", head)
            assert length
            await reader.readexactly(int(length[1]))
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))


def fill_in_process(store: Path, unseal_key: str, keys: int, group: int = 500) -> None:
    """Write `app0` … into a store that no server has open, through the same core, many to a commit."""
    clock = SystemClock()
    storage = SqliteStorage(store)
    core = Core(storage, clock, Broker(clock, "bench"), Settings(), QuietProcess(), Outbound())
    submit(core, unseal_key)
    raw = json.dumps({"data": ENTRY}).encode()
    token = Secret("")
    root = Token(token, b"", TokenEntry(accessor="", policies=("root",), path=""), ROOT_ACL)
    core.tokens.authenticate = lambda *_: root  # type: ignore[method-assign]
    for start in range(0, keys, group):
        run = GroupRun(core, storage.begin(core.committed.gsn, ()), _raise)
        for number in range(start, min(start + group, keys)):
            data = {"data": ENTRY}
            request = Request(str(number), Operation.UPDATE, f"kv/data/app{number}", data, raw, token, Peer())
            run.admit(Work(request, lambda _work: None))
        assert all(work.error is None for work in run.works), run.works[0].error
        assert run.apply()
        run.settle(True, run.end(True))
    storage.close()


def _raise(error: BaseException, _call: object) -> None:
    raise error
