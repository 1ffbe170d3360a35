"""What strangers can do to the audit log: leave their line, and no more."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.support.server import Server

MANY = b'{"password":"guess","a":[' + b",".join([b'""'] * 9_900) + b"]}"
"""Thirty kilobytes of empty texts, each of which would stand in a line as eighty bytes."""


def last_request(server: Server) -> Any:
    return next(json.loads(line) for line in reversed(server.audit.read_text().splitlines()) if line.startswith('{"type":"request"'))


def test_a_stranger_cannot_fill_the_disk_with_what_stands_for_his_body(live: Server) -> None:
    stranger = live.client("")
    live.client(live.token).write("sys/auth/userpass", {"type": "userpass"})
    for path in ("secret/data/x", "auth/userpass/login/ann", "sys/mounts/x"):
        for token in (
            "",
            "srs_unknown",
            live.client(live.token).write("auth/token/create", {"policies": ["none"]}).json["auth"]["client_token"],
        ):
            before, began = live.audit.stat().st_size, time.perf_counter()
            assert stranger.ask("POST", path, MANY, token=token).status in (400, 403)
            assert live.audit.stat().st_size - before < 10_000
            assert time.perf_counter() - began < 1
    assert last_request(live)["request"]["data"].startswith("hmac-sha256:")


def test_what_somebody_with_the_right_to_it_writes_is_still_masked_text_by_text(live: Server) -> None:
    root = live.client(live.token)
    root.write("secret/data/many", {"data": {f"k{number}": "v" for number in range(1_000)}})
    last = last_request(live)
    assert set(last["request"]["data"]["data"]) == {f"k{number}" for number in range(1_000)}


def test_a_strangers_short_body_is_masked_text_by_text_too(live: Server) -> None:
    live.client("").ask("POST", "secret/data/x", {"data": {"a": "b"}})
    last = last_request(live)
    assert last["request"]["data"]["data"]["a"].startswith("hmac-sha256:")
