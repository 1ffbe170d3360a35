"""F9: the machine's clock is set forward, back, by years, or stands still. No token outlives its time, and none comes back to life."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from strongroom.clock import SECOND, SystemClock
from tests.support.http import Client
from tests.support.nodes import nodes
from tests.support.postgres import fresh_database
from tests.support.server import Server, serving
from tests.support.waiting import until

ENTRY = ("-m", "tests.support.clock_server")
HOUR, YEARS, TTL = 3_600, 10 * 365 * 24 * 3_600, 60


class Machine:
    """A server and the clocks of the machine that it runs on."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server, self.client = server, client

    def clocks(self, wall: int, steady: int = 0, *, stands_at: int | None = None) -> None:
        """Set both, as seconds beside the truth; the wall clock may stand still."""
        words = [wall, steady, *([] if stands_at is None else [stands_at])]
        new = self.server.directory / "clock.new"
        new.write_text(" ".join(str(word) for word in words))
        new.rename(self.server.directory / "clock")

    def token(self, **fields: object) -> str:
        made = self.client.write("auth/token/create", {"policies": ["default"], "ttl": TTL, **fields})
        assert made.status == 200, made
        return str(made.json["auth"]["client_token"])

    def until_it_says(self, text: str) -> None:
        """Read the server's log until a line has this in it."""
        until(lambda: text in self.server.output(), 10, self.server.output, every=0.05)

    def takes(self, token: str) -> bool:
        return self.client.read("auth/token/lookup-self", token=token).status == 200


@contextmanager
def machine(directory: Path) -> Iterator[Machine]:
    with serving(directory, entry=ENTRY) as (server, client):
        yield Machine(server, client)
        assert "Traceback" not in server.output()


@pytest.mark.fault("F9")
@pytest.mark.parametrize("back", [HOUR, YEARS])
def test_a_clock_that_is_set_back_prolongs_nothing(tmp_path: Path, back: int) -> None:
    with machine(tmp_path) as made:
        token, bounded = made.token(), made.token(explicit_max_ttl=TTL)
        made.clocks(-back)
        assert made.takes(token)
        assert made.client.write("auth/token/renew-self", {"increment": HOUR}, token=bounded).status == 200
        made.clocks(TTL - back, TTL - 5)
        assert made.takes(token), "it is not shortened either"
        made.clocks(TTL - back, TTL + 1)
        assert not made.takes(token)
        assert not made.takes(bounded)
        assert made.takes(made.token()), "new ones are made and work"


@pytest.mark.fault("F9")
@pytest.mark.parametrize("forward", [HOUR, YEARS])
def test_a_clock_that_is_set_forward_ends_what_is_over_and_nothing_comes_back(tmp_path: Path, forward: int) -> None:
    with machine(tmp_path) as made:
        token = made.token()
        made.clocks(forward)
        assert not made.takes(token)
        made.clocks(0)
        assert not made.takes(token)
        fresh = made.token()
        assert made.takes(fresh)
        made.clocks(TTL + 1, TTL + 1)
        assert not made.takes(fresh), "its time is counted all the same"


@pytest.mark.fault("F9")
def test_a_clock_that_stands_still_prolongs_nothing(tmp_path: Path) -> None:
    with machine(tmp_path) as made:
        token, now = made.token(), int(time.time())
        made.clocks(0, stands_at=now)
        assert made.takes(token)
        made.clocks(0, TTL + 1, stands_at=now)
        assert not made.takes(token)


@pytest.mark.control
@pytest.mark.fault("F9")
def test_control_by_the_wall_clock_alone_a_token_outlives_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAX", "wall")
    with machine(tmp_path) as made:
        token = made.token()
        made.clocks(TTL + 1 - HOUR, TTL + 1)
        assert made.takes(token)


@pytest.mark.fault("F9")
def test_a_clock_that_was_set_back_and_nodes_that_are_apart_are_told_of(tmp_path: Path) -> None:
    with nodes(tmp_path, [fresh_database()], entry=ENTRY) as (server,), server.client() as client:
        made = Machine(server, client)
        made.clocks(-HOUR)
        made.until_it_says("the machine's clock was set back")
        assert "not the database's" not in server.output()
        made.clocks(HOUR)
        made.until_it_says("this node's clock is not the database's")


@pytest.mark.fault("F9")
@pytest.mark.parametrize("rate", [1.0005, 1.0, 0.9995])
def test_what_ntp_slews_is_followed(rate: float) -> None:
    base, second = 1_790_000_000, 0
    clock = SystemClock(lambda: int((base + second * rate) * SECOND), lambda: second * SECOND)
    for second in range(86_400):
        assert abs(clock.now() - (base + second * rate) * SECOND) < SECOND / 10
