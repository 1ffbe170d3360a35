"""From an exchange to its answer: every message is answered once, and a repeated read never differs from a read decided anew."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.api import vault
from strongroom.barrier.cache import Cache
from strongroom.core.audit.broker import Broker
from strongroom.core.committed import Committed
from strongroom.core.group import perform
from strongroom.core.request import Operation, Peer
from strongroom.core.work import Work
from strongroom.server.dispatch import Dispatch
from strongroom.server.framing import Head, KnownHeads
from strongroom.server.http import Exchange, HttpProtocol
from strongroom.server.repeats import Repeats
from strongroom.testing.room import FakeClock
from tests.core.audit.kit import Memory, device
from tests.server.loop_kit import House, on_loop, room

PEER = Peer("127.0.0.1", 1)


class Wire:
    """A connection that keeps what was sent."""

    closed = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, _exchange: Exchange, data: bytes, _close: bool) -> None:
        self.sent.append(data)


class Desk:
    """A dispatcher over a house. A head that comes again is the same object, as it is on a connection; `repeated` counts such answers."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.repeats = Repeats(house.core, house.committer)
        self.dispatch = Dispatch(house.committer.submit, self.repeats)
        self.heads = KnownHeads()
        self.repeated = 0

    def head(self, verb: bytes, target: bytes, headers: dict[bytes, bytes], length: int) -> Head:
        sent = repr((verb, target, headers, length)).encode()
        known = self.heads.young.get(sent)
        if known is None:
            known = Head(verb, target, headers, length)
            self.heads.know(sent, known)
        return known

    async def ask(self, verb: str, target: str, body: object = None, token: str | None = None, **headers: str) -> tuple[int, Any]:
        """One exchange; its status and its parsed body."""
        wire = Wire()
        sent = {b"x-vault-token": (self.house.room.token if token is None else token).encode("latin-1")}
        sent |= {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        raw = b"" if body is None else msgspec.json.encode(body)
        head = self.head(verb.encode(), target.encode(), sent, len(raw))
        kept = head.answer
        self.dispatch(Exchange(cast(HttpProtocol, wire), head, raw, PEER))
        self.repeated += kept is not None and head.answer is kept
        await self.house.committer.idle()
        assert len(wire.sent) == 1
        answer, _, text = wire.sent[0].partition(b"\r\n\r\n")
        length = next((line for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:")), b": 0")
        assert int(length.partition(b":")[2]) == len(text)
        return int(answer.split(b" ")[1]), msgspec.json.decode(text) if text else None


def test_every_message_is_answered() -> None:
    async def scene(house: House) -> None:
        desk = Desk(house)
        assert (await desk.ask("POST", "/v1/probe/count/x", {"n": 2}))[1]["data"] == {"n": 2}
        assert (await desk.ask("GET", "/v1/probe/count/x"))[1]["data"] == {"n": 2}
        for verb, target, status in (
            ("GET", "/v1/probe/../x", 400),
            ("GET", "/v1/probe//x", 400),
            ("BREW", "/v1/probe/x", 405),
            ("GET", "/v1/probe/nothing", 404),
            ("GET", "/elsewhere", 404),
            ("GET", "/", 404),
            ("GET", "/v1", 404),
        ):
            assert (await desk.ask(verb, target))[0] == status, target
        assert await desk.ask("GET", "/v1/probe/count/x", token="nobody") == (
            403,
            {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]},
        )
        assert house.reports == []

    on_loop("asyncio", room(), scene)


@pytest.mark.parametrize("target", ["/v1/probe/unrenderable", "/v1/probe/raise/value", "/v1/probe/raise/exit", "/v1/probe/raise/memory"])
def test_a_bug_is_a_500_that_names_its_request(target: str) -> None:
    """T15.3."""

    async def scene(house: House) -> None:
        desk = Desk(house)
        status, body = await desk.ask("GET", target)
        assert status == 500
        assert body["errors"][0] == "internal error"
        assert body["errors"][1].startswith("request id ")
        assert len(house.reports) == 1
        assert (await desk.ask("GET", "/v1/probe/count/x"))[0] == 200

    on_loop("asyncio", room(), scene)


# ---- repeated reads

POLICY = 'path "secret/*" { capabilities = ["read", "list"] }'
FILTERING = """
path "secret/metadata/*" { capabilities = ["list"] list_scan_response_keys_filter_path = "secret/data/{{ .key }}" }
path "secret/data/a" { capabilities = ["read"] }"""
STEPS = st.lists(
    st.sampled_from(
        (
            "read read read write delete undelete destroy purge deny allow revoke advance tune read-v1 write-v1 delete-v1 remount"
            " list list write-b purge-b filter"
        ).split()
    ),
    min_size=3,
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_a_repeated_read_is_what_a_read_decided_anew_would_be(steps: list[str]) -> None:
    made = room()
    made.write("sys/mounts/plain", {"type": "kv"})
    made.write("sys/policies/acl/p", {"policy": POLICY + ' path "plain/*" { capabilities = ["read"] }'})
    holder = {"token": made.create_token("p", ttl="100s", explicit_max_ttl="1h")}

    async def scene(house: House) -> None:
        desk = Desk(house)

        async def same(target: str, verb: str = "GET") -> None:
            for _ in range(4):
                status, body = await desk.ask(verb, target, token=holder["token"])
                request = vault.decode(verb.encode(), target.encode(), {b"x-vault-token": holder["token"].encode()}, b"", PEER)
                work = perform(made.core, Work(request, lambda _work: None), lambda _error, _call: None)
                anew = vault.answer(request, work.response, work.error, work.mount_type)
                assert status == anew.status
                expected = msgspec.json.decode(anew.body)
                assert {**body, "request_id": ""} == {**expected, "request_id": ""}

        async def do(verb: str, target: str, body: object = None) -> None:
            await desk.ask(verb, target, body)

        deeds: dict[str, tuple[str, str, object]] = {
            "delete": ("DELETE", "/v1/secret/data/a", None),
            "undelete": ("POST", "/v1/secret/undelete/a", {"versions": [1, 2, 3]}),
            "destroy": ("PUT", "/v1/secret/destroy/a", {"versions": [1]}),
            "purge": ("DELETE", "/v1/secret/metadata/a", None),
            "deny": ("POST", "/v1/sys/policies/acl/p", {"policy": 'path "x" { capabilities = ["read"] }'}),
            "allow": ("POST", "/v1/sys/policies/acl/p", {"policy": POLICY + ' path "plain/*" { capabilities = ["read"] }'}),
            "tune": ("POST", "/v1/sys/mounts/plain/tune", {"default_lease_ttl": "77s"}),
            "delete-v1": ("DELETE", "/v1/plain/a", None),
            "filter": ("POST", "/v1/sys/policies/acl/p", {"policy": FILTERING}),
            "write-b": ("POST", "/v1/secret/data/b", {"data": {}}),
            "purge-b": ("DELETE", "/v1/secret/metadata/b", None),
            "remount": ("POST", "/v1/sys/remount", {"from": "plain", "to": "other"}),
        }
        reads = {
            "read": [("GET", "/v1/secret/data/a")],
            "read-v1": [("GET", "/v1/plain/a")],
            "list": [("GET", "/v1/secret/metadata?list=true"), ("LIST", "/v1/secret/metadata/")],
        }
        for number, step in enumerate(steps):
            if step in reads:
                for verb, target in reads[step]:
                    await same(target, verb)
            elif step == "write":
                await do("POST", "/v1/secret/data/a", {"data": {"n": number}})
            elif step == "write-v1":
                await do("POST", "/v1/plain/a", {"n": number})
            elif step == "revoke":
                await do("POST", "/v1/auth/token/revoke", {"token": holder["token"]})
                await same("/v1/secret/data/a")
                holder["token"] = made.create_token("p", ttl="100s")
            elif step == "advance":
                made.clock.advance(60)
            else:
                await do(*deeds[step])
        await same("/v1/secret/data/a")
        await same("/v1/plain/a")
        await do(*deeds["allow"])
        await do("POST", "/v1/secret/data/a", {"data": {"n": "last"}})
        holder["token"] = made.create_token("p", ttl="100s")
        before = desk.repeated
        await same("/v1/secret/data/a")
        assert desk.repeated >= before + 2, "at most the first two are decided"
        before = desk.repeated
        await same("/v1/secret/metadata/", "LIST")
        assert desk.repeated >= before + 2, "and so are lists"
        assert house.reports == []

    on_loop("asyncio", made, scene)


def test_control_an_entry_that_claimed_to_stand_would_answer_with_what_was_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search above can find what it looks for."""
    made = room()
    made.write("secret/data/a", {"data": {"k": "old"}})

    async def scene(house: House) -> None:
        desk = Desk(house)
        for _ in range(3):
            await desk.ask("GET", "/v1/secret/data/a")
        monkeypatch.setattr(Cache, "_drop", lambda cache, key: cache.rows.pop(key, None))
        await desk.ask("POST", "/v1/secret/data/a", {"data": {"k": "new"}})
        assert (await desk.ask("GET", "/v1/secret/data/a"))[1]["data"]["data"] == {"k": "old"}

    on_loop("asyncio", made, scene)


def test_control_a_directory_that_claimed_to_stand_would_answer_without_a_name_that_came(monkeypatch: pytest.MonkeyPatch) -> None:
    made = room()
    made.write("secret/data/a", {"data": {}})

    async def scene(house: House) -> None:
        desk = Desk(house)
        for _ in range(3):
            await desk.ask("LIST", "/v1/secret/metadata/")
        assert desk.repeated == 1
        monkeypatch.setattr(Committed, "_note", lambda _committed, _keys: None)
        await desk.ask("POST", "/v1/secret/data/b", {"data": {}})
        assert (await desk.ask("LIST", "/v1/secret/metadata/"))[1]["data"] == {"keys": ["a"]}

    on_loop("asyncio", made, scene)


def test_a_list_whose_directory_changes_while_it_is_answered_is_not_kept() -> None:
    made = room()
    made.write("secret/data/a", {"data": {}})

    async def scene(house: House) -> None:
        desk = Desk(house)
        headers = {b"x-vault-token": made.token.encode()}
        await desk.ask("LIST", "/v1/secret/metadata/")
        head = desk.head(b"LIST", b"/v1/secret/metadata/", headers, 0)
        desk.dispatch(Exchange(cast(HttpProtocol, Wire()), head, b"", PEER))
        made.write("secret/data/b", {"data": {}})  # commits at once, before the list's answer leaves
        await house.committer.idle()
        assert head.known and head.answer is None
        assert (await desk.ask("LIST", "/v1/secret/metadata/"))[1]["data"] == {"keys": ["a", "b"]}

    on_loop("asyncio", made, scene)


def test_a_row_that_is_written_while_its_read_is_answered_is_not_kept() -> None:
    """The read was decided on the version before; the row now says that it is deleted."""
    made = room()
    made.write("secret/data/a", {"data": {"k": "v"}})

    async def scene(house: House) -> None:
        desk = Desk(house)
        wire = Wire()
        headers = {b"x-vault-token": made.token.encode()}
        await desk.ask("GET", "/v1/secret/data/a")
        desk.dispatch(Exchange(cast(HttpProtocol, wire), desk.head(b"GET", b"/v1/secret/data/a", headers, 0), b"", PEER))
        made.request(Operation.DELETE, "secret/data/a")  # commits at once, before the read's answer leaves
        await house.committer.idle()
        assert b" 200 " in wire.sent[0]
        assert (await desk.ask("GET", "/v1/secret/data/a"))[0] == 404

    on_loop("asyncio", made, scene)


def test_repeated_reads_are_recorded_with_the_headers_that_are_asked_for() -> None:
    sink = Memory()
    broker = Broker(FakeClock(), "test")
    broker.enable(device(sink))
    made = room(broker=broker)
    made.write("secret/data/a", {"data": {"k": "v"}})

    async def scene(house: House) -> None:
        desk = Desk(house)
        before = len(sink.lines)
        for _ in range(3):
            assert (await desk.ask("GET", "/v1/secret/data/a", x_trace="t1"))[0] == 200
        assert len(sink.lines) == before + 6
        assert desk.repeated == 1
        broker.request_headers = {"x-trace": False}
        for _ in range(2):
            assert (await desk.ask("GET", "/v1/secret/data/a", x_trace="t1"))[0] == 200
            assert sink.lines[-2]["request"]["headers"] == {"x-trace": ["t1"]}
        sink.failing = True
        assert (await desk.ask("GET", "/v1/secret/data/a", x_trace="t1"))[0] == 500

    on_loop("asyncio", made, scene)
