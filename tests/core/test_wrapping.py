"""Response wrapping: an envelope opens once, for one caller, and says where it came from (T25.1)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from strongroom.core import areas
from strongroom.core.envelope import envelope
from strongroom.core.group import perform
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.core.wrapping import INVALID
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.server.committer import Committer
from strongroom.testing import Strongroom

READER = 'path "secret/*" { capabilities = ["create", "read", "update"] }\npath "sys/wrapping/*" { capabilities = ["update"] }'


@pytest.fixture
def room() -> Strongroom:
    room = Strongroom()
    room.write("sys/policies/acl/reader", {"policy": READER})
    return room


def wrapped(room: Strongroom, data: dict[str, Any] | None = None, ttl: int = 60) -> str:
    info = room.write("sys/wrapping/wrap", data or {"a": 1}, wrap_ttl=ttl).wrap
    assert info is not None
    return info.token.reveal()


def opened(room: Strongroom, token: str, **options: Any) -> bytes:
    bare = room.write("sys/wrapping/unwrap", token=token, **options).bare
    assert bare is not None
    return bare.body


def refusal(room: Strongroom, path: str, data: dict[str, Any], token: str) -> tuple[int, str]:
    error = room.request(Operation.UPDATE, f"sys/wrapping/{path}", data, token=token).error
    assert error is not None
    return error.status, str(error)


def test_what_was_wrapped_comes_back_as_it_would_have_been_sent(room: Strongroom) -> None:
    work = room.request(Operation.READ, "auth/token/lookup-self", wrap_ttl=60)
    plain = room.read("auth/token/lookup-self")
    assert work.response is not None and work.response.wrap is not None
    body = opened(room, work.response.wrap.token.reveal())
    assert body == envelope(plain, work.request.id, "token")
    answer = msgspec.json.decode(envelope(work.response, work.request.id))
    assert (answer["request_id"], answer["data"], answer["auth"]) == ("", None, None)
    info = answer["wrap_info"]
    assert (info["ttl"], info["creation_path"], info["creation_time"]) == (60, "auth/token/lookup-self", "2026-01-01T00:00:00Z")
    assert len(info["accessor"]) == 24


def test_a_wrapped_text_keeps_its_numbers_and_order(room: Strongroom) -> None:
    text = b'{"z":1.10,"a":9007199254740993,"e":1E400}'
    request = Request(uuid4_text(), Operation.UPDATE, "sys/wrapping/wrap", {"z": 1}, text, Secret(room.token), Peer(), wrap_ttl=60)

    def fail(error: BaseException, _call: object) -> None:
        raise error

    work = perform(room.core, Work(request, lambda _work: None), fail)
    assert work.response is not None and work.response.wrap is not None
    assert b'"data":' + text + b"," in opened(room, work.response.wrap.token.reveal())


def test_it_opens_as_the_callers_token_or_in_the_body(room: Strongroom) -> None:
    assert b'"a":1' in opened(room, wrapped(room))
    assert b'"a":1' in opened(room, room.token, data={"token": wrapped(room)})
    assert b'"a":1' in opened(room, room.create_token("a"), data={"token": wrapped(room)})
    both = wrapped(room)
    assert b'"a":1' in opened(room, both, data={"token": both})


def test_unknown_used_and_expired_look_the_same(room: Strongroom) -> None:
    used, expired = wrapped(room), wrapped(room, ttl=10)
    opened(room, used)
    room.clock.advance(10)
    other = room.create_token("a")
    for token in (used, expired, "unknown", other, "srs_" + "x" * 49):
        assert refusal(room, "unwrap", {}, token) == (400, INVALID)
        assert refusal(room, "unwrap", {"token": token}, room.token) == (400, INVALID)
        assert refusal(room, "lookup", {"token": token}, "") == (400, INVALID)
        assert refusal(room, "rewrap", {"token": token}, room.token) == (400, INVALID)
    room.read("auth/token/lookup-self", token=other)


def test_opening_from_the_body_takes_a_caller_with_the_right_to(room: Strongroom) -> None:
    token = wrapped(room)
    for who in ("", "unknown", room.create_token("a", no_default_policy=True)):
        assert refusal(room, "unwrap", {"token": token}, who) == (403, "permission denied")
    assert refusal(room, "unwrap", {}, "") == (403, "error validating wrapping token: token is empty")
    assert refusal(room, "unwrap", {"token": "unknown"}, "") == (400, "wrapping token is not valid or does not exist")
    counted = room.create_token("default", num_uses=1)
    opened(room, counted, data={"token": token})
    assert refusal(room, "unwrap", {"token": wrapped(room)}, counted) == (403, "permission denied")


def test_a_look_up_needs_no_token_and_leaves_it_closed(room: Strongroom) -> None:
    token = wrapped(room, ttl=77)
    room.advance(5)
    shown = {"creation_ttl": 77, "creation_time": "2026-01-01T00:00:00Z", "creation_path": "sys/wrapping/wrap"}
    for _ in range(3):
        assert room.json(room.write("sys/wrapping/lookup", {"token": token}, token="")) == shown
    assert room.json(room.read("sys/wrapping/lookup", token=token)) == shown
    opened(room, token)


def test_rewrapping_keeps_lifetime_origin_and_content(room: Strongroom) -> None:
    first = room.write("auth/token/create", {"policies": ["a"]}, wrap_ttl=90).wrap
    assert first is not None
    room.advance(60)
    second = room.write("sys/wrapping/rewrap", {"token": first.token.reveal()}).wrap
    assert second is not None
    assert (second.ttl, second.creation_path, second.wrapped_accessor) == (90, "auth/token/create", first.wrapped_accessor)
    assert refusal(room, "unwrap", {}, first.token.reveal()) == (400, INVALID)
    room.advance(60)
    assert b'"client_token":"srs_' in opened(room, second.token.reveal())


def test_who_opens_and_wraps_again_is_seen_by_the_path(room: Strongroom) -> None:
    token = room.read("auth/token/lookup-self", wrap_ttl=60).wrap
    assert token is not None
    stolen = msgspec.json.decode(opened(room, token.token.reveal()))["data"]
    again = wrapped(room, stolen)
    assert room.json(room.write("sys/wrapping/lookup", {"token": again}, token=""))["creation_path"] == "sys/wrapping/wrap"


def test_a_wrapped_token_names_its_accessor(room: Strongroom) -> None:
    info = room.write("auth/token/create", {"policies": ["a"]}, wrap_ttl=60).wrap
    assert info is not None
    auth = msgspec.json.decode(opened(room, info.token.reveal()))["auth"]
    assert auth["accessor"] == info.wrapped_accessor != ""
    room.read("auth/token/lookup-self", token=auth["client_token"])


@pytest.mark.parametrize(
    "path", ["secret/data/x", "auth/token/lookup-self", "sys/wrapping/wrap", "auth/token/renew-self", "auth/token/create"]
)
def test_a_wrapping_token_is_good_for_nothing_else(room: Strongroom, path: str) -> None:
    token = wrapped(room)
    for operation in (Operation.READ, Operation.UPDATE):
        error = room.request(operation, path, {"x": 1}, token=token, wrap_ttl=5).error
        assert isinstance(error, PermissionDenied)


def test_it_cannot_be_renewed_or_have_children(room: Strongroom) -> None:
    token = wrapped(room)
    with pytest.raises(InvalidRequest, match="not renewable"):
        room.write("auth/token/renew", {"token": token})
    found = room.json(room.write("auth/token/lookup", {"token": token}))
    assert (found["policies"], found["num_uses"], found["renewable"]) == (["response-wrapping"], 1, False)


def test_wrapping_needs_a_lifetime_and_has_a_ceiling(room: Strongroom) -> None:
    assert refusal(room, "wrap", {"a": 1}, room.token)[0] == 400
    info = room.write("sys/wrapping/wrap", {"a": 1}, wrap_ttl=10**8).wrap
    assert info is not None and info.ttl <= 2_764_800
    assert room.json(room.write("auth/token/lookup", {"token": info.token.reveal()}))["ttl"] == info.ttl


def test_nothing_is_left_of_an_opened_or_expired_envelope(room: Strongroom) -> None:
    def rows() -> int:
        return int(room.transact(lambda call: sum(len(call.transaction.view(a).digests(b"")) for a in (areas.WRAPPING, areas.TOKENS))))

    before = rows()
    token = wrapped(room)
    wrapped(room, ttl=5)
    opened(room, token)
    room.advance(6)
    assert rows() == before


def test_of_a_hundred_callers_at_once_one_gets_it(room: Strongroom) -> None:
    token = wrapped(room)

    async def race() -> list[Any]:
        loop = asyncio.get_running_loop()
        committer = Committer(room.core, loop, lambda error, _call: print(error))
        done: asyncio.Future[None] = loop.create_future()
        answers: list[Any] = []

        def taken(work: Any) -> None:
            answers.append(work)
            if len(answers) == 100:
                done.set_result(None)

        for number in range(100):
            own = number % 2 == 0
            request = Request(
                id=uuid4_text(),
                operation=Operation.UPDATE,
                path="sys/wrapping/unwrap",
                data={} if own else {"token": token},
                raw=b"",
                credential=Secret(token if own else room.token),
                peer=Peer("127.0.0.1", number),
            )
            committer.submit(Work(request, taken))
        await asyncio.wait_for(done, 10)
        await committer.idle()
        committer.close()
        return answers

    answers = asyncio.run(race())
    assert sum(work.error is None for work in answers) == 1
    assert {(work.error.status, str(work.error)) for work in answers if work.error is not None} == {(400, INVALID)}
