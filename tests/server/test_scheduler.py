"""Timers on a real loop with a false clock: each runs once, a failing one comes back later and later, and nothing spins or stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from strongroom.barrier.view import DUE, QUEUE_AREA
from strongroom.clock import SECOND
from strongroom.core.request import Operation
from strongroom.core.work import next_due
from strongroom.errors import StorageUnusable
from strongroom.server import scheduler as module
from strongroom.server.scheduler import Scheduler
from strongroom.testing.room import Strongroom
from tests.server.loop_kit import LOOPS, Faulty, House, on_loop, room

UPDATE = Operation.UPDATE


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Watched(Scheduler):
    """Counts its looks, and notes for how long it would sleep."""

    looks = 0
    sleeps: list[float]

    def _look(self) -> None:
        self.looks += 1
        super()._look()

    def _wake(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        super()._wake(seconds)


def play(loop: str, made: Strongroom, scene: Callable[[House, Watched], Coroutine[Any, Any, None]]) -> None:
    made.run_due()

    async def with_scheduler(house: House) -> None:
        scheduler = Watched(house.core, house.committer, asyncio.get_running_loop(), lambda error, _call: house.reports.append(error))
        scheduler.sleeps = []
        house.committer.on_commit = scheduler.heard
        scheduler.start()
        await settle(house)
        try:
            await scene(house, scheduler)
        finally:
            scheduler.stop()

    on_loop(loop, made, with_scheduler)


async def settle(house: House) -> None:
    """Let what is due happen, without waiting for anything that is not."""
    for _ in range(60):
        await asyncio.sleep(0)
        await house.committer.idle()


async def wake(house: House, scheduler: Watched) -> None:
    """As the alarm would."""
    scheduler._wake(0.0)
    await settle(house)


async def count(house: House, name: str) -> int:
    return int((await house.read(f"probe/count/{name}"))["n"])


def test_a_timer_runs_once_when_its_time_has_come(loop: str) -> None:
    made = room()

    async def scene(house: House, scheduler: Watched) -> None:
        for _ in range(5):
            assert (await house.ask(UPDATE, "probe/at/t", {"n": 10})).error is None
        await settle(house)
        assert await count(house, "t") == 0
        made.clock.advance(10)
        await wake(house, scheduler)
        assert await count(house, "t") == 5
        made.clock.advance(100)
        await wake(house, scheduler)
        assert await count(house, "t") == 5
        assert house.reports == []

    play(loop, made, scene)


def test_more_timers_than_a_batch_all_run(loop: str) -> None:
    made = room()

    async def scene(house: House, scheduler: Watched) -> None:
        await house.send(*[house.work(UPDATE, "probe/at/t", {"n": 5}) for _ in range(3 * module.BATCH + 1)])
        made.clock.advance(5)
        await wake(house, scheduler)
        assert await count(house, "t") == 3 * module.BATCH + 1

    play(loop, made, scene)


def test_an_earlier_timer_moves_the_alarm(loop: str) -> None:
    made = room()

    async def scene(house: House, scheduler: Watched) -> None:
        for seconds in (1000, 50, 500, 20):
            await house.ask(UPDATE, "probe/at/t", {"n": seconds})
        await settle(house)
        assert [seconds for seconds in scheduler.sleeps if seconds not in (0.0, module.LONGEST_SLEEP)][-2:] == [50.0, 20.0]

    play(loop, made, scene)


def test_a_timer_of_now_runs_without_being_looked_for(loop: str) -> None:
    async def scene(house: House, _scheduler: Watched) -> None:
        await house.ask(UPDATE, "probe/at/t", {"n": 0})
        await settle(house)
        assert await count(house, "t") == 1

    play(loop, room(), scene)


@pytest.mark.parametrize("how", ["bad", "value", "memory", "exit"])
def test_a_failing_job_comes_back_later_and_later_and_is_never_given_up(loop: str, how: str) -> None:
    made = room()

    async def scene(house: House, scheduler: Watched) -> None:
        await house.ask(UPDATE, f"probe/at/t:{how}", {"n": 0})
        await settle(house)
        waits = []
        for _ in range(14):
            _, when = next_due(made.core, made.clock.now(), 10, _raise)
            waits.append((when - made.clock.now()) // SECOND)
            made.clock.advance(waits[-1])
            await wake(house, scheduler)
        assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300, 300]
        assert await count(house, "partly") == 0, "what a failing job staged is dropped"
        assert len(house.reports) == 15

    play(loop, made, scene)


def test_a_slow_job_leaves_the_group_and_comes_back(loop: str) -> None:
    async def scene(house: House, _scheduler: Watched) -> None:
        await house.ask(UPDATE, "probe/at/tea:slow", {"n": 0})
        await settle(house)
        assert await count(house, "tea") == 1

    play(loop, room(), scene)


@pytest.mark.parametrize("step", ["begin_error", "apply_error", "commit_error"])
def test_a_store_that_fails_is_asked_again_after_a_pause(loop: str, step: str) -> None:
    store = Faulty()
    made = room(store)

    async def scene(house: House, scheduler: Watched) -> None:
        await house.ask(UPDATE, "probe/at/t", {"n": 5})
        setattr(store, step, StorageUnusable("gone"))
        made.clock.advance(5)
        before = scheduler.looks
        await wake(house, scheduler)
        assert scheduler.looks - before <= 2, "no hot loop"
        assert scheduler.sleeps[-1] == module.RETRY
        assert len(house.reports) == 1
        setattr(store, step, None)
        await wake(house, scheduler)
        assert await count(house, "t") == 1

    play(loop, made, scene)


def test_a_store_that_cannot_be_read_is_asked_again(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = room()

    async def scene(house: House, scheduler: Watched) -> None:
        for error in (StorageUnusable("gone"), TypeError("a bug")):
            with monkeypatch.context() as patch:
                patch.setattr(made.storage, "scan", _raiser(error))
                await wake(house, scheduler)
            assert scheduler.sleeps[-1] == module.RETRY
            assert house.reports[-1] is error
        await house.ask(UPDATE, "probe/at/t", {"n": 0})
        await settle(house)
        assert await count(house, "t") == 1

    play(loop, made, scene)


def test_a_row_that_does_not_open_holds_up_no_other(loop: str) -> None:
    made = room()

    async def scene(house: House, scheduler: Watched) -> None:
        group = made.storage.begin(0, ())
        group.apply({QUEUE_AREA + DUE + number.to_bytes(8, "big") + bytes(8): b"not a record" for number in range(1, 80)}, ())
        made.storage._insert(group.staged)  # type: ignore[attr-defined]
        group.abandon()
        await house.ask(UPDATE, "probe/at/t", {"n": 0})
        await settle(house)
        assert await count(house, "t") == 1
        assert house.reports
        assert scheduler.sleeps[-1] > 0

    play(loop, made, scene)


def test_a_stopped_or_sealed_scheduler_starts_nothing(loop: str) -> None:
    made = room()

    async def scene(house: House, scheduler: Watched) -> None:
        scheduler.stop()
        await house.ask(UPDATE, "probe/at/t", {"n": 0})
        await wake(house, scheduler)
        assert await count(house, "t") == 0
        scheduler.start()
        await settle(house)
        assert await count(house, "t") == 1
        made.core.barrier.seal()
        await wake(house, scheduler)
        assert house.reports == []

    play(loop, made, scene)


def test_an_idle_scheduler_sleeps(loop: str) -> None:
    async def scene(house: House, scheduler: Watched) -> None:
        before = scheduler.looks
        for _ in range(20):
            await house.ask(UPDATE, "probe/count/x")
            await settle(house)
        assert scheduler.looks == before

    play(loop, room(), scene)


def _raise(error: BaseException, _call: object) -> None:
    raise error


def _raiser(error: Exception) -> Callable[..., Any]:
    def fail(*_arguments: object) -> None:
        raise error

    return fail
