"""Filling a store: over HTTP for thousands of keys, in the process itself for a million."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.servers import ENTRY
from strongroom.clock import SECOND, SystemClock
from strongroom.core.audit.broker import Broker
from strongroom.core.core import Core, Settings
from strongroom.core.group import GroupRun
from strongroom.core.policy.acl import ROOT_ACL
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.sealing.unsealing import submit
from strongroom.core.secret import Secret
from strongroom.core.token.entry import Token, TokenEntry
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


def fill_in_process(store: Path, unseal_key: str, keys: int) -> None:
    """Write `app0` … into a store that no server has open."""
    raw = json.dumps({"data": ENTRY}).encode()
    _write(store, unseal_key, SystemClock(), ((f"kv/data/app{number}", {"data": ENTRY}, raw) for number in range(keys)))


def lease_in_process(store: Path, unseal_key: str, leases: int, ttl: str, made_ago: int = 0) -> None:
    """Make tokens, each with a lease and a timer, in a store that no server has open; as if they had been made so many seconds ago."""
    body = {"ttl": ttl, "policies": ["default"], "no_parent": True}
    raw = json.dumps(body).encode()
    clock = SystemClock(wall=lambda: time.time_ns() - made_ago * SECOND)
    _write(store, unseal_key, clock, (("auth/token/create", body, raw) for _ in range(leases)))


def _write(store: Path, unseal_key: str, clock: SystemClock, bodies: Iterator[tuple[str, dict[str, Any], bytes]]) -> None:
    """Send these through the same core that serves, many to a commit."""
    storage = SqliteStorage(store)
    core = Core(storage, clock, Broker(clock, "bench"), Settings(), QuietProcess(), Outbound())
    submit(core, unseal_key)
    token = Secret("")
    root = Token(token, b"", TokenEntry(accessor="", policies=("root",), path=""), ROOT_ACL)
    core.tokens.authenticate = lambda *_: root  # type: ignore[method-assign]
    while some := list(itertools.islice(bodies, GROUP)):
        run = GroupRun(core, storage.begin(core.committed.gsn, ()), _raise)
        for path, data, raw in some:
            run.admit(Work(Request(path, Operation.UPDATE, path, data, raw, token, Peer()), lambda _work: None))
        assert all(work.error is None for work in run.works), run.works[0].error
        assert run.apply()
        run.settle(True, run.end(True))
    storage.close()


GROUP = 500
"""Calls to a commit."""


def _raise(error: BaseException, _call: object) -> None:
    raise error
