"""A question shared by all that wait, sent after they came; what fails is told to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from strongroom.core.mirror import Mirror
from strongroom.errors import StorageUnusable
from strongroom.server.follower import INTERVAL, Follower
from strongroom.storage.api import Wanted
from strongroom.testing.room import Strongroom
from tests.support.remote import RemoteMemory

ROW = bytes(15) + b"\x09\x01\x00\x01a"


def followed(test: Callable[[RemoteMemory, Follower], Awaitable[None]]) -> list[BaseException]:
    """Run a test with a follower of a fresh store; what was reported."""
    store = RemoteMemory()
    room = Strongroom(storage=store)
    reported: list[BaseException] = []

    async def run() -> None:
        follower = Follower(room.core, asyncio.get_running_loop(), lambda error, _call: reported.append(error))
        follower.start()
        try:
            await test(store, follower)
        finally:
            follower.stop()

    asyncio.run(run())
    return reported


def asked(follower: Follower, wanted: Wanted = Wanted()) -> asyncio.Future[int]:  # noqa: B008 — frozen
    """Done with the number of the question that answered."""
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    follower.after(lambda: answered.set_result(follower.questions), wanted)
    return answered


def test_all_that_wait_share_a_question_and_who_comes_later_gets_the_next() -> None:
    async def test(_store: RemoteMemory, follower: Follower) -> None:
        first = [asked(follower) for _ in range(50)]
        while not follower._under_way:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0)
        later = asked(follower)
        assert {await each for each in first} == {1}
        assert await later == 2

    assert followed(test) == []


def test_what_is_wanted_is_there_when_the_action_runs() -> None:
    async def test(store: RemoteMemory, follower: Follower) -> None:
        group = store.begin(0, [])
        group.apply({ROW: b"1"}, [])
        group.commit()
        await asked(follower, Wanted(frozenset([ROW])))
        assert isinstance(follower.mirror, Mirror)
        assert follower.mirror.entry(ROW).record == b"1"

    assert followed(test) == []


def test_questions_keep_their_distance() -> None:
    async def test(_store: RemoteMemory, follower: Follower) -> None:
        loop = asyncio.get_running_loop()
        await asked(follower)
        began, before = loop.time(), follower.questions
        while loop.time() - began < 0.05:
            await asked(follower)
        assert follower.questions - before <= (loop.time() - began) / INTERVAL + 1

    assert followed(test) == []


def test_a_store_that_does_not_answer_is_told_to_all_and_its_return_once() -> None:
    async def test(store: RemoteMemory, follower: Follower) -> None:
        heard: list[str] = []
        follower.lost = lambda error: heard.append(error.messages[0])
        follower.recovered = lambda: heard.append("back")
        store.gone = True
        for _ in range(3):
            await asked(follower)
            assert isinstance(follower.error, StorageUnusable)
        store.gone = False
        for _ in range(3):
            await asked(follower)
            assert follower.error is None
        assert heard == ["gone", "back"]

    assert followed(test) == []


def _fail() -> None:
    raise ValueError


def test_an_action_that_fails_keeps_nobody_waiting() -> None:
    async def test(_store: RemoteMemory, follower: Follower) -> None:
        follower.after(_fail)
        assert await asked(follower) == 1

    assert [type(error) for error in followed(test)] == [ValueError]
