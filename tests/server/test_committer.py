"""The committer on real loops: what commits together, when answers leave, and that nothing stops it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.barrier.scrub import scrub
from strongroom.core import committed
from strongroom.core.audit.broker import Broker
from strongroom.core.group import MAX_GROUP_BYTES, GroupRun
from strongroom.core.request import Operation
from strongroom.core.work import Work
from strongroom.errors import AuditFailed, InternalError, OutcomeUnknown, StorageUnusable, Unavailable
from strongroom.server import committer as module
from strongroom.server.slow import HASHING, OUTSIDE
from strongroom.storage.sqlite import SqliteStorage
from strongroom.testing.room import FakeClock
from tests.core.audit.kit import Memory, device
from tests.server.loop_kit import LOOPS, RAISES, Faulty, FaultyGroup, House, here, on_loop, room

UPDATE, READ, DELETE, LIST = Operation.UPDATE, Operation.READ, Operation.DELETE, Operation.LIST

Scene = Callable[[House], Coroutine[Any, Any, None]]


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("uses", [0, 5])
def test_a_long_list_gives_way_to_everybody_else(loop: str, monkeypatch: pytest.MonkeyPatch, uses: int) -> None:
    """Whether it is read outside a group, or in one because its token counts its uses."""
    monkeypatch.setattr(committed, "PAGE", 2)
    made = room()
    for number in range(40):
        made.write(f"secret/data/n{number:02}", {"data": {}})
    made.core.committed.forget(None, None)
    made.write("sys/policies/acl/p", {"policy": 'path "secret/*" { capabilities = ["list"] }'})
    token = made.create_token("p", num_uses=uses)

    async def scene(house: House) -> None:
        order: list[str] = []

        async def one(name: str, work: Work) -> None:
            await house.send(work)
            assert work.error is None
            order.append(name)

        listing = house.work(LIST, "secret/metadata/", token=token)
        await asyncio.gather(one("list", listing), *(one("read", house.work(READ, "secret/data/n00")) for _ in range(5)))
        assert order == ["read"] * 5 + ["list"]
        assert listing.response is not None
        assert made.json(listing.response) == {"keys": [f"n{number:02}" for number in range(40)]}
        assert not house.committer.busy

    on_loop(loop, made, scene)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_writes_that_arrive_together_commit_together(loop: str, kind: str, tmp_path: Path) -> None:
    store = Faulty(SqliteStorage(tmp_path) if kind == "sqlite" else None)

    async def scene(house: House) -> None:
        before = store.commits
        works = [house.work(UPDATE, f"probe/count/{number % 7}") for number in range(64)]
        answered = await house.send(*works)
        assert answered == works, "answers come in the order of the requests"
        assert all(work.error is None for work in works)
        assert store.commits - before <= 2  # the first write begins a group of its own while the others arrive
        assert sum([(await house.read(f"probe/count/{name}"))["n"] for name in range(7)]) == 64
        assert house.reports == []

    on_loop(loop, room(store), scene)
    store.close()


def test_a_group_takes_no_more_than_its_share(loop: str) -> None:
    store = Faulty()

    async def scene(house: House) -> None:
        before = store.commits
        await house.send(*[house.work(UPDATE, "probe/count/x") for _ in range(300)])
        assert store.commits - before >= 5
        assert await house.read("probe/count/x") == {"n": 300}

    on_loop(loop, room(store), scene)


def test_a_caller_reads_what_it_wrote(loop: str) -> None:
    async def scene(house: House) -> None:
        async def client(name: str) -> None:
            for number in range(1, 15):
                assert (await house.ask(UPDATE, f"probe/count/{name}")).error is None
                assert await house.read(f"probe/count/{name}") == {"n": number}
            assert name in (await house.ask(LIST, "probe/count")).response.data["keys"]  # type: ignore[union-attr,index]
            assert (await house.ask(DELETE, f"probe/count/{name}")).error is None
            listed = (await house.ask(LIST, "probe/count")).response
            assert listed is not None
            assert listed.data is None or name not in listed.data["keys"]  # type: ignore[index]
            assert await house.read(f"probe/count/{name}") == {"n": 0}

        await asyncio.gather(*[client(f"c{number}") for number in range(6)])

    on_loop(loop, room(), scene)


def test_a_read_that_stages_runs_in_a_group(loop: str) -> None:
    async def scene(house: House) -> None:
        assert await house.read("probe/staging/s") == {"n": 1}
        assert await house.read("probe/staging/s") == {"n": 2}
        assert house.committer.groups == 2
        assert await house.read("probe/count/s") == {"n": 2}
        assert house.committer.groups == 2

    on_loop(loop, room(), scene)


@pytest.mark.parametrize("verb", [READ, UPDATE])
def test_whatever_a_handler_raises_is_one_answer(loop: str, verb: Operation) -> None:
    async def scene(house: House) -> None:
        kinds = list(RAISES)
        works = [house.work(verb, f"probe/raise/{kind}") for kind in kinds]
        beside = [house.work(UPDATE, "probe/count/beside") for _ in kinds]
        await house.send(*[work for pair in zip(works, beside, strict=True) for work in pair])
        assert [work.error.status for work in works if work.error] == [400] + [500] * (len(kinds) - 1)
        assert all(work.error is None for work in beside)
        assert [type(error) for error in house.reports] == [type(RAISES[kind]()) for kind in kinds[1:]]
        assert await house.read("probe/count/beside") == {"n": len(kinds)}
        for kind in kinds if verb is UPDATE else ():
            assert await house.read(f"probe/stands/effect/{kind}") == {"stands": False}
            assert await house.read(f"probe/stands/charge/{kind}") == {"stands": True}, "charges commit whatever was raised"

    on_loop(loop, room(), scene)


def test_slow_results_are_worked_out_beside_the_loop(loop: str) -> None:
    async def scene(house: House) -> None:
        assert await house.read("probe/slow/tea") == {"said": "worked out tea"}
        work = await house.ask(UPDATE, "probe/slow/tea")
        assert work.response is not None
        assert work.response.data == {"said": "worked out tea", "n": 1}
        for kind, status in (("bad", 400), ("value", 500), ("exit", 500)):
            for verb in (READ, UPDATE):
                failed = await house.ask(verb, f"probe/slow/{kind}")
                assert failed.error is not None
                assert failed.error.status == status
        assert (await house.ask(READ, "probe/endless")).error is not None

    on_loop(loop, room(), scene)


def test_a_call_that_comes_back_starts_from_nothing() -> None:
    """Charges of the attempt that left the group are gone: only the last attempt counts."""
    made = room()

    async def scene(house: House) -> None:
        first = house.work(UPDATE, "probe/slow/x")
        seen: list[bool] = []
        answer = house.send(first)
        while not first.remembered:
            await asyncio.sleep(0)
            stored = made.core.transaction(None).view(made.core.mounts.table(made.core.transaction(None)).by_path["probe/"].uuid)
            if not first.remembered:
                seen.append(stored.exists("charge/slow-x"))
        await answer
        assert not any(seen)
        assert await house.read("probe/stands/charge/slow-x") == {"stands": True}

    on_loop("asyncio", made, scene)


def test_idle_waits_for_slow_reads_too(loop: str) -> None:
    async def scene(house: House) -> None:
        answered = house.send(house.work(READ, "probe/slow/x"))
        assert house.committer.busy
        await asyncio.wait_for(house.committer.idle(), 10)
        assert answered.done()

    on_loop(loop, room(), scene)


# ---- a store that fails


@pytest.mark.parametrize("error", [StorageUnusable("gone"), ValueError("a driver's bug"), OutcomeUnknown(b"x")])
@pytest.mark.parametrize("step", ["begin_error", "apply_error", "commit_error"])
def test_nothing_of_a_group_that_failed_is_seen(loop: str, step: str, error: Exception) -> None:
    store = Faulty()

    async def scene(house: House) -> None:
        await house.ask(UPDATE, "probe/count/x")
        await house.read("probe/count/x")
        setattr(store, step, error)
        store.outcome_error = StorageUnusable("gone")
        works = [house.work(UPDATE, "probe/count/x") for _ in range(5)] + [house.work(UPDATE, "probe/raise/bad")]
        await house.send(*works)
        expected = {500} if step == "apply_error" and isinstance(error, ValueError) else {503}
        assert {work.error.status for work in works if work.error} == expected
        assert all(work.error for work in works), "a charge that did not commit is not answered as if it had"
        assert await house.read("probe/count/x") == {"n": 1}
        setattr(store, step, None)
        assert (await house.ask(UPDATE, "probe/count/x")).error is None
        assert await house.read("probe/count/x") == {"n": 2}
        assert await house.read("probe/stands/charge/bad") == {"stands": False}

    on_loop(loop, room(store), scene)


def test_a_lost_answer_to_commit_is_looked_up(loop: str) -> None:
    store = Faulty()

    async def scene(house: House) -> None:
        store.commit_error, store.commit_first = OutcomeUnknown(b"x"), True
        assert (await house.ask(UPDATE, "probe/count/x")).error is None, "it was found stored"
        store.outcome_error = StorageUnusable("gone")
        unknown = await house.ask(UPDATE, "probe/count/x")
        assert isinstance(unknown.error, OutcomeUnknown)
        store.commit_error = store.outcome_error = None
        assert await house.read("probe/count/x") == {"n": 2}, "whatever became of it, readers see what is stored"
        assert (await house.ask(UPDATE, "probe/count/x")).error is None
        assert await house.read("probe/count/x") == {"n": 3}

    on_loop(loop, room(store), scene)


# ---- audit


def audited(*sinks: Memory) -> Broker:
    broker = Broker(FakeClock(), "test")
    for number, sink in enumerate(sinks):
        broker.enable(device(sink, f"00000000-0000-4000-8000-00000000000{number}", f"m{number}/"))
    return broker


def test_an_answer_leaves_after_its_lines(loop: str) -> None:
    sink = Memory()

    async def scene(house: House) -> None:
        works = [house.work(UPDATE, "probe/count/x"), house.work(READ, "probe/count/y"), house.work(READ, "probe/raise/bad")]
        seen: dict[str, int] = {}
        answered = house.send(*works)
        finished = works[0].done
        for work in works:
            work.done = lambda done: (seen.update({done.request.id: _lines(sink, done.request.id)}), finished(done))[0]
        await answered
        assert list(seen.values()) == [2, 2, 2]

    on_loop(loop, room(broker=audited(sink)), scene)


def _lines(sink: Memory, request_id: str) -> int:
    return sum(line["request"]["id"] == request_id for line in sink.lines)


def test_without_a_request_line_nothing_commits(loop: str) -> None:
    sink = Memory()

    async def scene(house: House) -> None:
        sink.failing = True
        works = [house.work(UPDATE, "probe/count/x"), house.work(UPDATE, "probe/raise/bad"), house.work(READ, "probe/count/x")]
        denied = house.work(READ, "probe/count/x", token="nobody")
        await house.send(*works, denied)
        assert [type(work.error) for work in (*works, denied)] == [AuditFailed] * 4
        sink.failing = False
        assert await house.read("probe/count/x") == {"n": 0}
        assert await house.read("probe/stands/charge/bad") == {"stands": False}

    on_loop(loop, room(broker=audited(sink)), scene)


def test_a_request_line_that_another_flush_lost_is_missed(loop: str) -> None:
    """The reads of the tick flush while a group is still taking calls in: what they lose is lost for the group too."""
    sink = Memory()
    made = room(broker=audited(sink))

    async def scene(house: House) -> None:
        write, lookup = house.work(UPDATE, "probe/count/x"), house.work(READ, "probe/count/x")
        answered = house.send(write, lookup)
        sink.failing = True
        with pytest.raises(AuditFailed):
            house.core.audit.flush()  # as a checkpoint would
        sink.failing = False
        await answered
        assert isinstance(lookup.error, AuditFailed)

    on_loop(loop, made, scene)


def test_a_response_line_that_is_lost_is_said(loop: str) -> None:
    sink = Memory()
    store = Faulty()

    async def scene(house: House) -> None:
        plain = house.core.audit.response

        def response(*arguments: Any) -> None:
            sink.failing = True
            plain(*arguments)

        stored, refused = house.work(UPDATE, "probe/count/x"), house.work(UPDATE, "probe/raise/bad")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(house.core.audit, "response", response)
            await house.send(stored, refused)
        sink.failing = False
        assert isinstance(stored.error, AuditFailed)
        assert "internal error" in stored.error.messages[0]
        assert "stored" in stored.error.messages[0]
        assert stored.response is None
        assert isinstance(refused.error, AuditFailed)
        assert await house.read("probe/count/x") == {"n": 1}

    on_loop(loop, room(store, broker=audited(sink)), scene)


@pytest.mark.parametrize("step", ["request", "response"])
@pytest.mark.parametrize("verb", [READ, UPDATE])
def test_a_line_that_cannot_be_made_gives_no_answer(loop: str, step: str, verb: Operation) -> None:
    async def scene(house: House) -> None:
        def broken(*_arguments: Any) -> None:
            raise TypeError("a bug in a format")

        setattr(house.core.audit, step, broken)
        work = await house.ask(verb, "probe/count/x")
        delattr(house.core.audit, step)
        assert work.error is not None
        assert work.error.status == 500
        assert work.response is None
        assert any(isinstance(error, TypeError) for error in house.reports)
        assert await house.read("probe/count/x") == {"n": 1 if (verb, step) == (UPDATE, "response") else 0}

    on_loop(loop, room(broker=audited(Memory())), scene)


# ---- bounds and ends


def test_too_many_waiting_are_told_to_come_back(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARKED", 10)

    async def scene(house: House) -> None:
        works = [house.work(UPDATE, "probe/count/x") for _ in range(30)]
        await house.send(*works)
        refused = [work for work in works if work.error is not None]
        assert {type(work.error) for work in refused} == {Unavailable}
        assert await house.read("probe/count/x") == {"n": 30 - len(refused)}
        assert len(refused) >= 15

    on_loop(loop, room(), scene)


def test_a_broken_connection_keeps_nobody_waiting(loop: str) -> None:
    async def scene(house: House) -> None:
        def broken(_work: object) -> None:
            raise ConnectionError

        for verb in (READ, UPDATE):
            bad, good = house.work(verb, "probe/count/x"), house.work(verb, "probe/count/x")
            answered = house.send(bad, good)
            finished = bad.done

            def last(work: Work, finished: Callable[[Work], None] = finished) -> None:
                finished(work)
                broken(work)

            bad.done = last
            await answered
        assert [type(error) for error in house.reports] == [ConnectionError, ConnectionError]
        house.committer.on_commit = broken
        assert (await house.ask(UPDATE, "probe/count/x")).error is None
        house.committer.on_commit = lambda _run: None
        house.committer.after_answers(lambda: broken(None))
        assert await house.read("probe/count/x") == {"n": 3}

    on_loop(loop, room(), scene)


def test_a_closed_committer_refuses_and_leaves_no_thread(loop: str) -> None:
    before = threading.active_count()

    async def scene(house: House) -> None:
        await house.ask(UPDATE, "probe/count/x")
        await house.read("probe/slow/x")
        house.committer.close()
        for path in ("probe/count/x", "probe/slow/y"):
            assert isinstance((await house.ask(UPDATE, path)).error, Unavailable)

    on_loop(loop, room(), scene)
    assert threading.active_count() <= before + HASHING.threads + OUTSIDE.threads  # the pool's idle threads end on their own


def test_sealed_is_an_answer(loop: str) -> None:
    made = room()

    async def scene(house: House) -> None:
        queued = house.work(UPDATE, "probe/count/x")
        answered = house.send(queued)
        made.core.barrier.seal()
        await answered
        assert queued.error is not None
        assert queued.error.status == 503
        assert (await house.ask(READ, "probe/count/x")).error.status == 503  # type: ignore[union-attr]
        assert house.reports == []

    on_loop(loop, made, scene)


@pytest.mark.parametrize(
    "path", ["count/x", "staging/x", "raise/bad", "raise/value", "raise/exit", "slow/x", "slow/value", "endless", "none"]
)
@pytest.mark.parametrize("verb", [READ, UPDATE, DELETE])
def test_with_and_without_a_loop_the_answer_is_the_same(verb: Operation, path: str) -> None:
    alone = here(room(), verb, f"probe/{path}")
    answers = []

    async def scene(house: House) -> None:
        answers.append(await house.ask(verb, f"probe/{path}"))

    on_loop("asyncio", room(), scene)
    assert type(answers[0].error) is type(alone.error)
    assert (answers[0].response and answers[0].response.data) == (alone.response and alone.response.data)
    assert not isinstance(alone.error, InternalError) or alone.error.messages == ("internal error",)


def test_until_a_commit_is_known_every_row_of_it_reads_as_before(loop: str) -> None:
    """The store has the new rows while the loop does not know yet: a reader must not see one of them new and another one old."""
    store = Faulty()
    made = room(store)

    async def scene(house: House) -> None:
        for name in ("a", "b"):
            await house.ask(UPDATE, f"probe/count/{name}")
        house.core.committed.forget(None, None)
        await house.read("probe/count/a")  # one row is cached, the other is not
        committed, go_on = threading.Event(), threading.Event()
        plain = FaultyGroup.commit

        def slow(group: FaultyGroup) -> None:
            plain(group)
            committed.set()
            assert go_on.wait(10)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FaultyGroup, "commit", slow)
            answered = house.send(*[house.work(UPDATE, f"probe/count/{name}") for name in ("a", "b")])
            await asyncio.to_thread(committed.wait, 10)
            seen = [await house.read(f"probe/count/{name}") for name in ("a", "b", "a")]
            go_on.set()
            await answered
        assert seen == [{"n": 1}] * 3
        assert [await house.read(f"probe/count/{name}") for name in ("a", "b")] == [{"n": 2}] * 2

    on_loop(loop, made, scene)


def test_a_group_takes_no_more_bytes_than_its_share() -> None:
    run = GroupRun(room().core, Faulty().begin(0, ()), lambda _error, _call: None)
    assert not run.full
    run.size = MAX_GROUP_BYTES
    assert run.full


@pytest.mark.parametrize("where", ["asyncio", "uvloop", "alone"])
def test_what_an_answer_that_was_not_given_issued_is_taken_back(where: str) -> None:
    sink = Memory()
    made = room(broker=audited(sink))
    kept = made.create_token("default", ttl="1h")
    made.clock.advance(1)
    before = set(made.list("auth/token/accessors"))
    plain = made.core.audit.response

    def response(*arguments: Any) -> None:
        sink.failing = True
        plain(*arguments)

    asked = ("auth/token/create", made.token), ("auth/token/renew-self", kept), ("auth/token/lookup-self", kept)

    async def scene(house: House) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(house.core.audit, "response", response)
            await house.send(*[house.work(UPDATE, path, {"policies": "default"}, token) for path, token in asked])
            sink.failing = False
        await house.committer.idle()

    if where == "alone":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(made.core.audit, "response", response)
            for path, token in asked:
                made.request(UPDATE, path, {"policies": "default"}, token=token)
                sink.failing = False
    else:
        on_loop(where, made, scene)
    made.run_due()
    assert set(made.list("auth/token/accessors")) == before
    assert made.read("auth/token/lookup-self", token=kept).data


def test_a_report_that_fails_stops_nothing(loop: str) -> None:
    async def scene(house: House) -> None:
        def full(_error: BaseException, _call: object) -> None:
            raise OSError("the disk with the log is full")

        deaf = House(house.room)
        deaf.committer.close()
        deaf.committer = module.Committer(house.core, asyncio.get_running_loop(), full)
        works = [deaf.work(verb, "probe/raise/value") for verb in (READ, UPDATE, READ, UPDATE)]
        await deaf.send(*works)
        assert [work.error.status for work in works if work.error] == [500] * 4
        assert (await deaf.ask(UPDATE, "probe/count/x")).error is None
        deaf.committer.close()

    on_loop(loop, room(), scene)


class Panic(BaseException):
    """As a native library raises it: no Exception."""


@pytest.mark.parametrize("step", ["begin_error", "apply_error", "commit_error"])
def test_a_panic_below_leaves_no_lock_taken(loop: str, step: str) -> None:
    store = Faulty()

    async def scene(house: House) -> None:
        setattr(store, step, Panic())
        assert (await house.ask(UPDATE, "probe/count/x")).error.status >= 500  # type: ignore[union-attr]
        setattr(store, step, None)
        assert (await house.ask(UPDATE, "probe/count/x")).error is None
        assert await house.read("probe/count/x") == {"n": 1}
        assert [type(error) for error in house.reports] == [Panic]

    on_loop(loop, room(store), scene)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "", "begin_error", "apply_error", "commit_error", "lost", "unknown"]),
            st.lists(st.sampled_from(["count/a", "count/b", "raise/bad", "slow/x", "staging/a", "drop/a", "at/t"]), max_size=8),
        ),
        max_size=6,
    )
)
def test_whatever_fails_and_when_the_store_adds_up_and_readers_see_what_it_holds(groups: list[tuple[str, list[str]]]) -> None:
    store = Faulty()
    made = room(store)
    counted = {"a": 0, "b": 0, "slow": 0}

    async def scene(house: House) -> None:
        for fault, paths in groups:
            if fault in ("lost", "unknown"):
                store.commit_error, store.commit_first = OutcomeUnknown(b"x"), True
                store.outcome_error = StorageUnusable("gone") if fault == "unknown" else None
            elif fault:
                setattr(store, fault, StorageUnusable("gone"))
            works = [house.work(_verb(path), f"probe/{path.replace('drop', 'count')}") for path in paths]
            if works:
                await asyncio.wait_for(house.send(*works), 20)
            store.begin_error = store.apply_error = store.commit_error = store.outcome_error = None
            store.commit_first = False
            for work in works:
                if isinstance(work.error, OutcomeUnknown) or work.error is None:
                    _count(work, counted)
            for name, number in counted.items():
                assert await house.read(f"probe/count/{name}") == {"n": number}
        assert house.reports == []

    on_loop("asyncio", made, scene)
    assert scrub(made.core.barrier).clean
    made.core.committed.forget(None, None)
    for name, number in counted.items():
        assert made.read(f"probe/count/{name}").data == {"n": number}


def _verb(path: str) -> Operation:
    return {"drop/a": DELETE, "staging/a": READ}.get(path, UPDATE)


def _count(work: Work, counted: dict[str, int]) -> None:
    path = work.request.path
    if work.request.operation is DELETE:
        counted["a"] = 0
        return
    name = {"probe/count/b": "b", "probe/slow/x": "slow"}.get(path, "a")
    if path not in ("probe/raise/bad", "probe/at/t"):
        counted[name] += 1
