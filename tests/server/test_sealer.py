"""One seal at a time, whoever asks for it; whatever goes wrong on the way, the keys are gone in the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine

import pytest

from strongroom.errors import InvalidRequest, StrongroomError, Unavailable
from strongroom.server.logs import Log
from strongroom.server.sealer import Sealer, Steps


class Quiet:
    """What a sealer asks of committer and dispatch: answers leave with the next turn of the loop, nothing else is under way."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def after_answers(self, action: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(action)

    async def idle(self) -> None:
        self.did.append("idle")

    def hold(self) -> None:
        self.did.append("hold")

    def release(self) -> None:
        self.did.append("release")


class Sealing:
    """A sealer, and what it did in which order."""

    def __init__(self, before: Exception | None = None) -> None:
        self.quiet = Quiet()
        self.did, self._fails = self.quiet.did, before
        self.tasks: list[asyncio.Task[None]] = []
        steps = Steps(self._before, lambda: self.did.append("wipe"), lambda: self.did.append("tell"))
        self.sealer = Sealer(self.quiet, self.quiet, self._spawn, steps, Log("error", "standard"))  # type: ignore[arg-type]  # see Quiet

    async def _before(self) -> None:
        if self._fails is not None:
            raise self._fails

    def _spawn(self, job: Coroutine[None, None, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(job))

    def put(self) -> None:
        self.did.append("put")

    async def end(self) -> None:
        """Wait for everything, as a worker does that is told to stop."""
        await asyncio.wait_for(self.sealer.ended(), 5)
        await asyncio.gather(*self.tasks, return_exceptions=True)


def test_what_comes_in_waits_and_others_hear_of_it_before_it_is_let_in() -> None:
    async def seal() -> list[str]:
        sealing = Sealing()
        sealing.sealer.seal(sealing.put)
        sealing.sealer.seal_by_order(lambda: sealing.did.append("said"))
        await sealing.end()
        return sealing.did

    assert asyncio.run(seal()) == ["hold", "idle", "wipe", "put", "tell", "said", "release"]


def test_who_asks_meanwhile_has_the_same_seal_and_nothing_else_is_put_in_place() -> None:
    async def seal() -> list[str]:
        sealing, puts = Sealing(), threading.Event()
        sealing.sealer.seal(lambda: sealing.did.append("put") if puts.wait(5) else None)
        for _ in range(3):
            sealing.sealer.seal()
            with pytest.raises(Unavailable, match="being sealed by another request"):
                sealing.sealer.seal(sealing.put)
            await asyncio.sleep(0)
        puts.set()
        await sealing.end()
        sealing.sealer.seal(sealing.put)
        await sealing.end()
        return sealing.did

    assert asyncio.run(seal()) == ["hold", "idle", "wipe", "put", "tell", "release"] * 2


@pytest.mark.parametrize(
    ("before", "put", "fails"),
    [(RuntimeError("the disk"), None, True), (None, InvalidRequest("it is none"), False), (None, OSError(5), True)],
)
def test_what_goes_wrong_keeps_no_key_and_nobody_out(before: Exception | None, put: Exception | None, fails: bool) -> None:
    async def seal() -> Sealing:
        sealing = Sealing(before)

        def putting() -> None:
            if put is not None:
                raise put

        sealing.sealer.seal(putting)
        sealing.sealer.seal_by_order(lambda: sealing.did.append("said"))
        await sealing.end()
        return sealing

    sealing = asyncio.run(seal())
    assert sealing.did[-4:] == ["wipe", "tell", "said", "release"]
    assert (sealing.tasks[0].exception() is not None) is fails


def test_what_follows_a_snapshot_follows_it_only_where_it_is_in_place() -> None:
    async def seal(put: Callable[[], None]) -> list[str]:
        sealing = Sealing()
        sealing.sealer.replaced = lambda: sealing.did.append("open")
        sealing.sealer.seal(put)
        await sealing.end()
        return sealing.did

    def refused() -> None:
        raise StrongroomError("not that one")

    assert "open" in asyncio.run(seal(lambda: None))
    assert "open" not in asyncio.run(seal(refused))
