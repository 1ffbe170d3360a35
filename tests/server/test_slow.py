"""Slow things beside the loop: hashes do not wait for other hosts, no mount takes all threads, and nobody's answer is not worked out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from strongroom.core.call import Call, Raised, Rerun
from strongroom.core.engine import Engine, read
from strongroom.core.mount import Mount
from strongroom.core.mounts import new_mount
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Response
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.errors import Unavailable
from strongroom.server import slow
from strongroom.server.slow import OUTSIDE, Bounds, Slow, source_of
from strongroom.testing import Strongroom
from tests.server.loop_kit import House, on_loop

SMALL = Bounds(threads=4, share=2, most=8, patience=30)


class Asked(Work):
    """A work of a mount, whose caller may hang up."""

    __slots__ = ("hung_up",)

    def __init__(self, mount: bytes = b"m", address: str = "") -> None:
        request = Request("id", Operation.UPDATE, "x", {}, b"", Secret(""), Peer(address))
        super().__init__(request, lambda _work: None)
        self.call = Call(request, Operation.UPDATE, None, mount=Mount(mount, "x/", "probe", "secrets", "x"))  # type: ignore[arg-type]
        self.hung_up = False

    @property
    def gone(self) -> bool:
        return self.hung_up


class Scene:
    """Threads, their line, and functions that wait for a gate."""

    def __init__(self, bounds: Bounds = SMALL) -> None:
        self.gate = threading.Event()
        self.begun: list[str] = []
        self.outcomes: dict[str, object] = {}
        self.slow = Slow("test", bounds, asyncio.get_running_loop(), self._finished)

    def _finished(self, _work: Work, rerun: Rerun, outcome: object) -> None:
        self.outcomes[rerun.key[0]] = outcome

    def take(self, name: str, mount: bytes = b"m", address: str = "") -> Asked:
        work = Asked(mount, address)

        def wait() -> str:
            self.begun.append(name)
            self.gate.wait(10)
            return name

        self.slow.take(work, Rerun((name,), wait))
        return work

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(100_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise TimeoutError

    async def ends(self) -> None:
        self.gate.set()
        await self.until(lambda: self.slow.held == 0)
        self.slow.close()


def play(scene: Callable[[Scene], Awaitable[None]], bounds: Bounds = SMALL) -> Scene:
    async def run() -> Scene:
        made = Scene(bounds)
        try:
            await scene(made)
        finally:
            await made.ends()
        return made

    return asyncio.run(run())


def test_a_mount_gets_its_share_of_the_threads_and_others_the_rest() -> None:
    async def scene(made: Scene) -> None:
        for number in range(5):
            made.take(f"dead{number}", b"dead")
        made.take("alive", b"alive")
        await made.until(lambda: "alive" in made.begun)
        assert sorted(made.begun) == ["alive", "dead0", "dead1"]

    made = play(scene)
    assert [name for name in made.begun if name != "alive"] == [f"dead{number}" for number in range(5)], "the line keeps its order"
    assert len(made.outcomes) == 6


def test_without_shares_one_mount_would_take_them_all() -> None:
    """The control of the test above."""

    async def scene(made: Scene) -> None:
        for number in range(5):
            made.take(f"dead{number}", b"dead")
        made.take("alive", b"alive")
        await made.until(lambda: len(made.begun) == 4)
        assert "alive" not in made.begun

    play(scene, SMALL._replace(share=4))


def test_the_line_is_bounded() -> None:
    async def scene(made: Scene) -> None:
        for number in range(SMALL.most):
            assert made.slow.has_room(Asked())
            made.take(str(number))
        assert not made.slow.has_room(Asked())

    play(scene)


def test_one_source_does_not_lock_out_another() -> None:
    """A flood from one address fills the line; whoever else comes takes its last place, and is served next."""

    async def scene(made: Scene) -> None:
        for number in range(SMALL.most):
            made.take(f"flood{number}", address="192.0.2.1")
        assert not made.slow.has_room(Asked(address="192.0.2.1"))
        assert made.slow.has_room(Asked(address="192.0.2.2"))
        made.take("other", address="192.0.2.2")
        assert made.slow.held == SMALL.most

    made = play(scene)
    assert made.begun.index("other") <= SMALL.share + 1
    sent_away = [name for name, outcome in made.outcomes.items() if isinstance(outcome, Raised)]
    assert sent_away == [f"flood{SMALL.most - 1}"]


def test_without_turns_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: all come from one source."""
    monkeypatch.setattr(slow, "source_of", lambda _work: "")

    async def scene(made: Scene) -> None:
        for number in range(SMALL.most):
            made.take(f"flood{number}", address="192.0.2.1")
        assert not made.slow.has_room(Asked(address="192.0.2.2"))

    play(scene)


def test_sources_take_turns() -> None:
    async def scene(made: Scene) -> None:
        made.take("first", address="running")
        for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
            made.take(name, address=name[0])

    made = play(scene, SMALL._replace(threads=1, share=1, most=20))
    assert [name for name in made.begun if name != "first"] == ["a1", "b1", "c1", "a2", "b2", "a3"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "", True),
    ],
)
def test_a_machine_is_one_source(one: str, other: str, same: bool) -> None:
    assert (source_of(Asked(address=one)) == source_of(Asked(address=other))) is same


def test_what_nobody_waits_for_is_not_begun() -> None:
    async def scene(made: Scene) -> None:
        for number in range(3):
            work = made.take(str(number))
        work.hung_up = True

    made = play(scene)
    assert sorted(made.begun) == ["0", "1"]
    assert isinstance(made.outcomes["2"], Raised)
    assert isinstance(made.outcomes["2"].error, Unavailable)


def test_what_waited_too_long_is_not_begun() -> None:
    async def scene(made: Scene) -> None:
        for number in range(3):
            made.take(str(number))
        await asyncio.sleep(0.02)

    made = play(scene, SMALL._replace(patience=0.01))
    assert sorted(made.begun) == ["0", "1"]
    assert isinstance(made.outcomes["2"], Raised)
    assert isinstance(made.outcomes["2"].error, Unavailable), "503, which tells the caller to come back"


GATE = threading.Event()


class Waiter(Engine, kind="waiter"):
    """Waits for another host, or for a processor."""

    @read("outside/{name}")
    def elsewhere(self, name: str) -> Response:
        """Ask a host that does not answer yet."""
        return Response(data={"said": self.call.outside("ask", name, fn=lambda: GATE.wait(10))})

    @read("here/{name}")
    def here(self, name: str) -> Response:
        """Work something out."""
        return Response(data={"said": self.call.once("work", name, fn=lambda: name)})


def mounted(room: Strongroom, path: str, call: Call) -> None:
    room.core.mounts.add(call.transaction, new_mount(path, "waiter", "secrets"))


def test_hashes_do_not_wait_for_other_hosts() -> None:
    made = Strongroom()
    for number in range(3):
        made.transact(partial(mounted, made, f"w{number}/"))

    async def scene(house: House) -> None:
        works = [house.work(Operation.READ, f"w{number % 3}/outside/{number}") for number in range(OUTSIDE.most)]
        waiting = house.send(*works)
        late = await house.ask(Operation.READ, "w0/outside/late")
        assert isinstance(late.error, Unavailable), "the line is full"
        assert await house.read("w0/here/tea") == {"said": "tea"}
        assert not waiting.done()
        GATE.set()
        assert all(work.response is not None for work in await waiting)

    on_loop("asyncio", made, scene)
