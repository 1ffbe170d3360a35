"""Password hashes wait in a short queue: a flood of logins is told to come back, and everybody else is served."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from strongroom.auth import userpass
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.crypto.ids import uuid4_text
from strongroom.crypto.passwords import WrongPassword
from strongroom.errors import Unavailable
from strongroom.server.committer import Committer
from strongroom.server.slow import HASHING
from strongroom.testing import Strongroom


def login(number: int) -> Request:
    return Request(
        uuid4_text(), Operation.UPDATE, f"auth/userpass/login/user{number}", {"password": "x"}, b"", Secret(""), Peer("127.0.0.1", 1)
    )


def test_a_flood_of_logins_is_bounded_and_reads_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Strongroom()
    room.write("sys/auth/userpass", {"type": "userpass"})
    gate = threading.Event()

    def slow(_hashed: str, _password: str) -> None:
        gate.wait(10)
        raise WrongPassword

    monkeypatch.setattr(userpass, "verify_password", slow)

    async def flood() -> tuple[list[Work], list[Work]]:
        loop = asyncio.get_running_loop()
        committer = Committer(room.core, loop, lambda error, _call: print(error))
        answers: list[Work] = []
        refused = asyncio.Event()

        def answered(work: Work) -> None:
            answers.append(work)
            if len(answers) == 36:
                refused.set()

        for number in range(HASHING.most + 36):
            committer.submit(Work(login(number), answered))
        reads: asyncio.Future[Any] = loop.create_future()
        read = Request(uuid4_text(), Operation.READ, "auth/token/lookup-self", {}, b"", Secret(room.token), Peer("127.0.0.1", 1))
        await asyncio.wait_for(refused.wait(), 5)
        early = list(answers)
        committer.submit(Work(read, reads.set_result))
        served = await asyncio.wait_for(reads, 5)
        assert served.error is None, "a read is answered while hashes wait"
        gate.set()
        await committer.idle()
        await asyncio.sleep(0)
        committer.close()
        return early, answers

    early, answers = asyncio.run(flood())
    assert len(early) == 36
    assert all(isinstance(work.error, Unavailable) for work in early)
    assert len(answers) == HASHING.most + 36
    assert {str(work.error) for work in answers[36:]} == {"invalid username or password"}
