"""T4.1 and T4.4 over the wire: a path has one reading, and policy and storage have the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http import Client, Reply
from tests.support.server import Server, serving

WATCHED = ("-m", "tests.support.watched_server")
VERBS = "GET POST PUT PATCH DELETE LIST SCAN HEAD".split()

SPELLINGS: tuple[bytes, ...] = (
    b"a/b", b"a/../b", b"a/./b", b"a//b", b"a/b/", b"a/b//", b"./a", b"../a", b"..", b".", b"a/..", b"a/...", b"a/.b",
    b"%2e%2e/a", b"a/%2e%2e/b", b"a/%2E./b", b"%252e%252e/a", b"a/%252e/b", b"a%2fb", b"a%2Fb", b"a%252Fb", b"a%5cb", b"a\\b", b"..\\a",
    b"a;x/b", b"a;/../b", b"a%3bx/b", b"a%00b", b"a%0ab", b"a%09b", b"%ef%bb%bfa", b"%e2%80%8ba", b"%c0%ae%c0%ae/a", b"%c0%afa",
    b"%ff", b"%e0%80%af", b"a%20b", b" a", b"a+b", b"%", b"%zz", b"%4", b"a#b", b"A/B", b"%41/b", b"caf%c3%a9", b"cafe%cc%81", b"~a",
    b"a*", b"+/b", b"data/a", b"..%2fsecret", b"a%2e%2e/b", b"%u002e/a", b"\xc3\xa9",
)  # fmt: skip

PARTS = ("data", "metadata", "subkeys", "destroy", "delete", "undelete", "detailed-metadata")


class Watched:
    """A server whose policy checks and storage names can be read."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server, self.client = server, client
        self.names: set[str] = set()
        self._at = (server.directory / "seen").stat().st_size

    def ask(self, verb: str, path: bytes) -> tuple[Reply, list[str], list[str]]:
        """The answer, the paths that the policy saw, and the names that storage used."""
        body = {"data": {"x": 1}, "options": {}, "versions": [1]} if verb in ("POST", "PUT", "PATCH") else None
        reply = self.client.ask(verb, path, body, content_type="application/merge-patch+json")
        with (self.server.directory / "seen").open("rb") as file:
            file.seek(self._at)
            lines = [json.loads(line) for line in file]
            self._at = file.tell()
        return reply, [path for what, path in lines if what == "acl"], [path for what, path in lines if what == "storage"]

    def disagreements(self, parts: tuple[str, ...] = PARTS) -> Iterator[str]:
        """Requests after which policy and storage speak of different things."""
        for spelling in SPELLINGS:
            for verb in VERBS:
                for part in parts:
                    reply, seen, used = self.ask(verb, b"secret/" + part.encode() + b"/" + spelling)
                    self.names |= set(used)
                    allowed = {path.partition("/")[2].partition("/")[2] for path in seen}
                    if reply.status >= 500 or not set(used) <= {name.rstrip("/") for name in allowed} | allowed:
                        yield f"{verb} {spelling!r} of {part}: {reply.status}, policy saw {seen}, storage used {used}"


def watched(server: Server, client: Client) -> Watched:
    rules = 'path "secret/*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "scan"] }'
    assert client.write("sys/policies/acl/all", {"policy": rules}).status == 204
    token = client.write("auth/token/create", {"policies": ["all"]}).json["auth"]["client_token"]
    (server.directory / "seen").touch()
    return Watched(server, server.client(token))


def test_policy_and_storage_see_the_same_string_or_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, entry=WATCHED) as (server, client):
        watch = watched(server, client)
        found = list(watch.disagreements())
        assert not found, "\n".join(found[:20])
        names = watch.names
        assert {"a/b", "a b", "A/B", "a;x/b", "café", "a+b", "a/.b", "a/...", "~a", "a*", "+/b", "data/a"} <= names
        assert not [name for name in names if "%" in name or ".." in name.split("/") or "." in name.split("/") or "\\" in name]


def test_a_storage_that_spells_names_its_own_way_is_found(tmp_path: Path) -> None:
    """The negative control: storage folds the case of what the policy has judged."""
    with serving(tmp_path, entry=(*WATCHED, "careless")) as (server, client):
        assert any("b'A/B'" in found for found in watched(server, client).disagreements(("data",)))


# -- T4.4 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(live: Server) -> Client:
    """A token that may do everything to secret/data/app/* and nothing else."""
    root = live.client()
    rules = 'path "secret/data/app/*" { capabilities = ["create", "read", "update", "patch", "delete"] }'
    assert root.write("sys/policies/acl/app-data", {"policy": rules}).status == 204
    assert root.write("secret/data/app/x", {"data": {"n": 1}}).status == 200
    assert root.write("secret/data/other", {"data": {"n": 1}}).status == 200
    return live.client(root.write("auth/token/create", {"policies": ["app-data"]}).json["auth"]["client_token"])


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("DELETE", "secret/metadata/app/x"), ("POST", "secret/destroy/app/x"), ("PUT", "secret/delete/app/x"),
        ("POST", "secret/undelete/app/x"), ("POST", "secret/metadata/app/x"), ("GET", "secret/metadata/app/x"),
        ("GET", "secret/data/app/../other"), ("DELETE", "secret/data/app/../other"), ("GET", "secret/data/app/%2e%2e/other"),
        ("DELETE", "secret/data/app/..%2fother"), ("POST", "secret/data/app/..;/other"), ("DELETE", "secret/data/other"),
        ("DELETE", "secret/data/app/../../metadata/app/x"), ("DELETE", "secret/data/app//../../metadata/app/x"),
        ("LIST", "secret/metadata/app"), ("SCAN", "secret/metadata"), ("GET", "secret/metadata/app?list=true"),
    ],
)  # fmt: skip
def test_rights_to_data_are_not_rights_to_metadata(live: Server, limited: Client, verb: str, path: str) -> None:
    root = live.client()
    before = [root.read(f"secret/metadata/{name}").data for name in ("app/x", "other")]
    reply = limited.ask(verb, path, {"versions": [1]} if verb in ("POST", "PUT") else None)
    if "..;" in path:
        assert reply.status == 400 or reply.json["data"] is not None, "a name of its own"
        return
    assert reply.status in (400, 403), reply
    assert [root.read(f"secret/metadata/{name}").data for name in ("app/x", "other")] == before


def test_the_same_token_may_what_its_policy_says(limited: Client) -> None:
    """The control: it is a good token."""
    assert limited.read("secret/data/app/x").status == 200
    assert limited.read("secret/data/other").status == 403
