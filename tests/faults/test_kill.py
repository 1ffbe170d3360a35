"""F1: kill -9 under write load. Whatever was answered 2xx is there after the restart, whole; audit and index agree with what is stored."""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.rounds import rounds
from tests.support import offline
from tests.support.http import Client, Reply
from tests.support.server import Server, serving

pytestmark = pytest.mark.fault("F1")

CLIENTS = 4
CARELESS = ("-m", "tests.support.careless_server")
READY_SECONDS = 3.0


class Promise(NamedTuple):
    """A write that was answered 2xx, and how to ask whether it was kept."""

    what: str
    kept: Callable[[Client], bool]


def filled(seed: int) -> dict[str, str]:
    """Content that proves itself: half of one is seen."""
    text = random.Random(seed).randbytes(150 + seed % 700).hex()
    return {"text": text, "sum": hashlib.sha256(text.encode()).hexdigest()}


def whole(data: dict[str, str]) -> bool:
    return hashlib.sha256(data["text"].encode()).hexdigest() == data["sum"]


class Writer(threading.Thread):
    """One client that writes until the server is gone, and remembers what it was promised."""

    def __init__(self, server: Server, number: int, names: Iterator[int]) -> None:
        super().__init__(daemon=True)
        self.client = server.client()
        self.number = number
        self.promises: list[Promise] = []
        self.names = names
        self.version = 0
        self.refused: list[Reply] = []

    def run(self) -> None:
        steps = (self.new_secret, self.next_version, self.token, self.new_secret, self.envelope, self.forget)
        with contextlib.suppress(ConnectionError):
            while True:
                for step in steps:
                    step()

    def promised(self, reply: Reply, what: str, kept: Callable[[Client], bool]) -> None:
        if 200 <= reply.status < 300:
            self.promises.append(Promise(what, kept))
        else:
            self.refused.append(reply)

    def new_secret(self) -> None:
        name = next(self.names)
        wanted = filled(name)
        reply = self.client.write(f"secret/data/new/{name}", {"data": wanted, "options": {"cas": 0}})
        self.promised(reply, f"secret new/{name}", lambda client: client.read(f"secret/data/new/{name}").data["data"] == wanted)

    def next_version(self) -> None:
        path = f"one/{self.number}"
        wanted = filled(next(self.names))
        reply = self.client.write(f"secret/data/{path}", {"data": wanted, "options": {"cas": self.version}})
        if reply.status == 200:
            self.version = version = int(reply.data["version"])
            # Ten versions are kept: an older one may be gone, but the count never goes back.
            self.promised(reply, f"{path} version {version}", lambda client: _version_kept(client, path, version, wanted))
        else:
            self.refused.append(reply)

    def token(self) -> None:
        reply = self.client.write("auth/token/create", {"ttl": "1h", "policies": ["default"], "no_parent": True})
        made = reply.json["auth"] or {}
        token, accessor = made.get("client_token", ""), made.get("accessor", "")
        self.promised(reply, f"token {accessor}", lambda client: _token_kept(client, token, accessor))

    def envelope(self) -> None:
        wanted = filled(next(self.names))
        reply = self.client.write("sys/wrapping/wrap", wanted, X_Vault_Wrap_TTL="1h")
        token = (reply.json["wrap_info"] or {}).get("token", "")
        self.promised(reply, "envelope", lambda client: client.write("sys/wrapping/unwrap", token=token).json["data"] == wanted)

    def forget(self) -> None:
        name = next(self.names)
        self.client.write(f"secret/data/gone/{name}", {"data": filled(name)})
        reply = self.client.ask("DELETE", f"secret/metadata/gone/{name}")
        self.promised(reply, f"removal of {name}", lambda client: client.read(f"secret/data/gone/{name}").status == 404)


def _version_kept(client: Client, path: str, version: int, wanted: dict[str, str]) -> bool:
    newest = client.read(f"secret/metadata/{path}").data["current_version"]
    if newest < version:
        return False
    return bool(newest - version >= 10 or client.read(f"secret/data/{path}?version={version}").data["data"] == wanted)


def _token_kept(client: Client, token: str, accessor: str) -> bool:
    itself = client.read("auth/token/lookup-self", token=token)
    other = client.write("auth/token/lookup-accessor", {"accessor": accessor})
    return itself.status == other.status == 200 and itself.data["accessor"] == accessor


class Tally(NamedTuple):
    """What the rounds came to."""

    promises: list[Promise]
    refused: list[Reply]
    starts: list[float]

    @property
    def usual_start(self) -> float:
        """Restart and unseal, the middle one: the slowest says more about the neighbours on the machine."""
        return sorted(self.starts)[len(self.starts) // 2]


def kills(server: Server, count: int, seed: int) -> Tally:
    """Write, kill, start again, `count` times; the server runs at the end."""
    dice, promises, refused = random.Random(seed), list[Promise](), list[Reply]()
    names, starts = iter(range(1, 10_000_000)), list[float]()
    for turn in range(count):
        writers = [Writer(server, number, names) for number in range(CLIENTS * turn, CLIENTS * (turn + 1))]
        for writer in writers:
            writer.start()
        time.sleep(dice.uniform(0.01, 0.5))
        server.kill()
        for writer in writers:
            writer.join()
            promises += writer.promises
            refused += writer.refused
        starts.append(server.start())
    return Tally(promises, refused, starts)


def broken(server: Server, promises: list[Promise]) -> list[str]:
    """The promises that were not kept."""
    found = []
    with server.client() as client:
        for promise in promises:
            try:
                kept = promise.kept(client)
            except (KeyError, TypeError):
                kept = False  # an error instead of the answer
            if not kept:
                found.append(promise.what)
    return found


def partial(server: Server) -> list[str]:
    """Everything there is must be whole, promised or not."""
    found = []
    with server.client() as client:
        for folder in ("new", "one", "gone"):
            listed = client.ask("LIST", f"secret/metadata/{folder}")
            for name in listed.data["keys"] if listed.status == 200 else ():
                reply = client.read(f"secret/data/{folder}/{name}")
                if reply.status != 200 or not whole(reply.data["data"]):
                    found.append(f"{folder}/{name}: {reply.status}")
    return found


def examine(server: Server, tally: Tally, least: int) -> None:
    """What must hold after the rounds."""
    print(f"{len(tally.promises)} promises; starts: middle {tally.usual_start:.2f} s, slowest {max(tally.starts):.2f} s")
    assert tally.refused == []
    assert len(tally.promises) >= least
    assert broken(server, tally.promises) == []
    assert partial(server) == []
    server.kill()
    audit = offline.verify(server)
    assert audit.intact, offline.texts(audit)
    scrubbed = offline.scrub(server)
    assert scrubbed.clean, offline.texts(scrubbed)
    assert "unexpected exception" not in server.output()


def test_no_acknowledged_write_is_lost_in_30_kills(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, _):
        tally = kills(server, 30, seed=1)
        examine(server, tally, least=500)
        assert tally.usual_start <= READY_SECONDS


def test_no_acknowledged_write_of_several_workers_is_lost(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as (server, _):
        examine(server, kills(server, 8, seed=4), least=100)


@pytest.mark.long
def test_no_acknowledged_write_is_lost_in_300_kills(tmp_path: Path) -> None:
    for number in rounds("F1", "thirty kills", short=1, long=10):
        with serving(tmp_path / str(number)) as (server, _):
            tally = kills(server, 30, seed=100 + number)
            examine(server, tally, least=1_500)
            assert tally.usual_start <= READY_SECONDS


@pytest.mark.control
def test_a_server_that_answers_before_it_commits_is_found(tmp_path: Path) -> None:
    """The negative control: the same rounds, an answer 30 ms too early; as many of them as it takes, 40 at most."""
    with serving(tmp_path, entry=CARELESS) as (server, _):
        assert any(broken(server, kills(server, 4, seed=seed).promises) for seed in range(3, 13))


def test_what_proves_itself_shows_a_half() -> None:
    data: Any = filled(1)
    assert whole(data)
    assert not whole({**data, "text": data["text"][:-1]})
