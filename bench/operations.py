"""What is measured: each operation as a request, with the goal that it has against the bare responder.

Rules of this file: data; how it is sent and counted is load.py's, on which server is matrix.py's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from bench.load import Target
from bench.servers import ENTRY, LISTED, Running, approle_login, call

BENCH_KEYS = 10_000
"""Secrets that hits and writes are spread over: as many as a worker remembers reads of."""
WARM_UP = 6
"""Reads of each key, on average, before reads are measured: all but one key in 400 are then known to the server."""
MANY = 100_000
"""Secrets of a store in which reads over all of them miss what a worker remembers."""

WRITE_BODY = json.dumps({"data": ENTRY})
TOKEN_BODY = '{"ttl":"1h","policies":["bench-0"]}'


class Operation(NamedTuple):
    """A request to be sent to a server that holds so many secrets; `goal` is for 64 connections, plain, one worker, the embedded store."""

    title: str
    goal: str
    target: Callable[[Running, int], Target]
    warm: bool = False
    """Read everything a few times before it counts."""
    least: int = 0
    """Secrets without which it means nothing."""


def _keys(secrets: int) -> int:
    return min(secrets, BENCH_KEYS)


def _listed(server: Running, _secrets: int) -> Target:
    return Target(server.url, "/v1/kv/metadata/many?list=true", "GET", server.token)  # wrk refuses to send LIST


OPERATIONS = {
    "read": Operation("KV v2 read", "≤ 2.5", lambda s, n: Target(s.url, "/v1/kv/data/app%d", "GET", s.token, keys=_keys(n)), warm=True),
    "miss": Operation("KV v2 read, not in memory", "", lambda s, n: Target(s.url, "/v1/kv/data/app%d", "GET", s.token, keys=n), least=MANY),
    "policy": Operation(
        "KV v2 read, policy of 50 rules", "", lambda s, n: Target(s.url, "/v1/kv/data/app%d", "GET", s.strict, keys=_keys(n)), warm=True
    ),
    "list": Operation(f"list of {LISTED:,}", "", _listed),
    "write": Operation(
        "KV v2 write, durable", "≤ 8", lambda s, n: Target(s.url, "/v1/kv/data/app%d", "POST", s.token, WRITE_BODY, _keys(n))
    ),
    "token": Operation("token create, durable", "≤ 10", lambda s, _: Target(s.url, "/v1/auth/token/create", "POST", s.token, TOKEN_BODY)),
    "approle": Operation(
        "approle login, durable", "≤ 11", lambda s, _: Target(s.url, "/v1/auth/bench/login", "POST", body=approle_login(s))
    ),
}


def over_tls(server: Running, target: Target) -> Target:
    """The same request through the TLS listener."""
    return target._replace(url=server.tls_url)


def fill_list(server: Running) -> None:
    """The folder that is listed."""
    for number in range(LISTED):
        call(server.url, "POST", f"kv/data/many/secret{number}", server.token, {"data": {"n": number}})
