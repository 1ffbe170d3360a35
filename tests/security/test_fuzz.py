"""T15.3: values of any type in any member of any route, with and without a token: an answer below 500 each, and a server that lives on."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.http import Client
from tests.support.server import Server, serving

FAULTY = ("-m", "tests.support.faulty_server")
TURNS = 150 if os.environ.get("STRONGROOM_TEST_PROFILE", "ci") == "long" else 6
SKIPPED = frozenset({"/sys/seal", "/auth/token/revoke-self", "/sys/step-down"})

TEXTS = (
    "", " ", "x", "root", "default", "secret/", "../x", "a/b", "*", "+", "{{identity.entity.id}}", "-1", "0", "1h", "1e999", "9" * 40,
    "true", "null", "\u0000", "\u202e", "é", "e\u0301", "\U0001f511", "x" * 5_000, "%s%n", "'; DROP TABLE entries; --", "<b>", "=1+1",
    "\r\nX: y", "Ａ", "İ", "MTIzNA==", "hmac-sha256:00", 'path "*" { capabilities = ["sudo"] }', 'path "a" {', "{", "[]",
    "2026-01-01T00:00:00Z", "::1/128", "10.0.0.0/33",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, 1e300, True, False)


class Fuzz:
    """Random requests to every route that a server describes."""

    def __init__(self, client: Client, seed: int) -> None:
        self.client = client
        self.dice = random.Random(seed)
        paths = client.read("sys/internal/specs/openapi").json["paths"]
        self.operations = [
            (verb, path, item[verb]) for path, item in paths.items() for verb in ("get", "post", "patch", "delete") if verb in item
        ]

    def value(self, depth: int = 0) -> Any:
        kind = self.dice.randrange(6 if depth < 3 else 3)
        if kind == 0:
            return self.dice.choice(NUMBERS)
        if kind == 1:
            return None
        if kind == 2 or kind == 3:
            return self.dice.choice(TEXTS)
        size = self.dice.randrange(4)
        if kind == 4:
            return [self.value(depth + 1) for _ in range(size)]
        return {self.dice.choice(TEXTS): self.value(depth + 1) for _ in range(size)}

    def members(self, operation: dict[str, Any]) -> list[str]:
        content = operation.get("requestBody", {}).get("content", {})
        return list(next(iter(content.values()))["schema"].get("properties", {})) if content else []

    def requests(self) -> Iterator[tuple[str, bytes, Any]]:
        for verb, path, operation in self.operations:
            if path in SKIPPED:
                continue
            for _ in range(TURNS):
                filled = re.sub(r"\{[^}]+\}", lambda _: quote(self.dice.choice(TEXTS[2:]), safe=""), path).lstrip("/").encode()
                members = self.members(operation)
                if verb in ("post", "patch"):
                    yield verb.upper(), filled, {name: self.value() for name in members if self.dice.random() < 0.7}
                else:
                    query = b"&".join(
                        b"%b=%b" % (name.encode(), quote(str(self.value())).encode()) for name in ("list", "after", "limit", "version")
                    )
                    yield verb.upper(), filled + (b"?" + query if self.dice.random() < 0.3 else b""), None

    def run(self) -> list[str]:
        """The requests that were answered with a fault of the server's."""
        found = []
        for verb, path, body in self.requests():
            token = None if self.dice.random() < 0.9 else self.dice.choice(("", "x", "srs_x"))
            reply = self.client.ask(verb, path, body, token=token, content_type="application/merge-patch+json")
            if reply.status >= 500:
                found.append(f"{verb} {path[:80]!r} {str(body)[:300]}: {reply.status} {reply.text[:200]}")
        return found


def begun(server: Server, client: Client) -> Fuzz:
    for kind in ("userpass", "approle", "jwt", "azure", "gcp"):
        assert client.write(f"sys/auth/{kind}", {"type": kind}).status == 204
    assert client.write("sys/mounts/kv1", {"type": "kv"}).status == 204
    return Fuzz(client, seed=1)


def test_no_value_in_any_member_of_any_route_is_a_fault_of_the_servers(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, client):
        fuzz = begun(server, client)
        assert len(fuzz.operations) > 150
        found = fuzz.run()
        assert not found, f"{len(found)}:\n" + "\n".join(found[:10])
        assert server.running
        assert client.read("sys/health").status == 200
        assert "unexpected exception" not in server.output()


def test_a_route_that_raises_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: every route raises; each answer is a 500 with an id and nothing else, and the server lives on."""
    monkeypatch.setattr("tests.security.test_fuzz.TURNS", 1)
    with serving(tmp_path, entry=FAULTY) as (server, client):
        fuzz = begun(server, client)
        (server.directory / "fault").write_text("bug")
        found = fuzz.run()
        assert len(found) > 50
        assert all("500" in each and "internal error" in each and "request id" in each for each in found)
        (server.directory / "fault").write_text("")
        assert client.read("sys/mounts").status == 200
