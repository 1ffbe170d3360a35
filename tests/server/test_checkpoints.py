"""Checkpoints of a server that stops: one after the other, and the last one is the last."""

from __future__ import annotations

import asyncio
import contextlib
import io

import msgspec
import pytest

from strongroom.core.audit.broker import Broker
from strongroom.core.audit.checkpoint import Draft
from strongroom.crypto.signatures import DualSigner
from strongroom.server.checkpoints import Checkpoints
from strongroom.server.logs import Log
from strongroom.server.workers.siblings import Alone
from strongroom.testing import FakeClock
from tests.core.audit.kit import Memory, device

BEING_SIGNED = "one is being signed when the server stops"
LATE = "one comes due when the last one is being signed"


def written(scene: str) -> list[tuple[int, bool]]:
    """Number of each checkpoint that came of a scene, and whether it says that it is the last."""
    sink, broker = Memory(), Broker(FakeClock(), "test")
    broker.enable(device(sink))

    async def play() -> None:
        made = Checkpoints(broker, Alone(), asyncio.get_running_loop(), Log(stream=io.StringIO()), lambda: None)
        made.open(DualSigner.generate().to_bytes())
        both = made.write(), made.end(stopping=True)
        await asyncio.gather(*(both if scene == BEING_SIGNED else reversed(both)))

    asyncio.run(play())
    lines = [msgspec.json.decode(line) for line in sink.taken.splitlines()]
    signed = [line["checkpoint"] for line in lines if line["type"] == "checkpoint"]
    return [(each["number"], each.get("final", False)) for each in signed]


def test_the_last_one_waits_for_the_one_that_is_being_signed() -> None:
    assert written(BEING_SIGNED) == [(1, False), (2, True)]


def test_nothing_follows_the_last_one() -> None:
    assert written(LATE) == [(1, True)]


def test_control_without_turns_two_have_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "Lock", contextlib.nullcontext)
    assert [number for number, _ in written(BEING_SIGNED)] == [1, 1]


@pytest.mark.parametrize("fails", [True, False])  # False is the control: with nothing left to cover none is due
def test_one_that_could_not_be_signed_is_due_again(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    clock = FakeClock()
    broker = Broker(clock, "test")
    broker.enable(device(Memory()))

    def sign(_draft: Draft, _signer: DualSigner) -> bytes:
        if fails:
            raise RuntimeError("cannot start new thread")
        return b"signature"

    async def play() -> None:
        made = Checkpoints(broker, Alone(), asyncio.get_running_loop(), Log(stream=io.StringIO()), lambda: None)
        made.open(DualSigner.generate().to_bytes())
        with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
            await made.write()

    monkeypatch.setattr(Draft, "sign", sign)
    asyncio.run(play())
    clock.advance(3_600)
    assert broker.checkpoint_due() == fails
