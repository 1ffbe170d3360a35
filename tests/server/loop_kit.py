"""A core on a real event loop with a real committer, a store that fails when told to, and an engine whose handlers do what is asked."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import uvloop

from strongroom.barrier.view import decoder
from strongroom.core.call import Call
from strongroom.core.engine import Engine, delete, list_, read, write
from strongroom.core.group import perform
from strongroom.core.mounts import new_mount
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Response
from strongroom.core.secret import Secret
from strongroom.core.work import Work
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest, StrongroomError
from strongroom.server.committer import Committer
from strongroom.storage.api import Feed, Group, Storage
from strongroom.storage.memory import MemoryStorage
from strongroom.testing.room import Strongroom

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Number(msgspec.Struct, frozen=True):
    n: int


class NumberBody(msgspec.Struct, frozen=True):
    n: int = 1


class Tell(msgspec.Struct, frozen=True):
    """Payload of a timer."""

    name: str
    how: str = ""


RAISES: dict[str, Callable[[], BaseException]] = {
    "bad": lambda: InvalidRequest("no good"),
    "value": lambda: ValueError("srs_a_secret_in_an_exception"),
    "key": lambda: KeyError("k"),
    "memory": MemoryError,
    "recursion": RecursionError,
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "cancelled": asyncio.CancelledError,
    "stop": StopIteration,
    "group": lambda: BaseExceptionGroup("panics", [SystemExit(1)]),
}
"""What a handler can be told to raise."""


def told(kind: str) -> BaseException:
    """A new one of them."""
    return RAISES[kind]()


class Probe(Engine, kind="probe"):
    """Handlers that do what a test asks of them."""

    @read("count/{name}")
    def count(self, name: str) -> Response:
        """The number of a counter."""
        found = self.store.get(f"count/{name}", Number)
        return Response(data={"n": found.n if found else 0})

    @list_("count/")
    def counters(self) -> Response | None:
        """The counters."""
        names = self.store.list("count")
        return Response(data={"keys": names}) if names else None

    @write("count/{name}", body=NumberBody)
    def add(self, name: str, body: NumberBody) -> Response:
        """Add to a counter; answers what it came to."""
        before = self.store.get(f"count/{name}", Number)
        after = Number((before.n if before else 0) + body.n)
        self.store.put(f"count/{name}", after)
        return Response(data={"n": after.n})

    @delete("count/{name}")
    def drop(self, name: str) -> None:
        """Remove a counter."""
        self.store.delete(f"count/{name}")

    @read("staging/{name}")
    def staging(self, name: str) -> Response:
        """A read that stages."""
        return self.add(name, NumberBody())

    @read("raise/{kind}")
    def raising(self, kind: str) -> Response:
        """Raise."""
        raise told(kind)

    @write("raise/{kind}")
    def charging(self, kind: str) -> Response:
        """Stage an effect and a charge, then raise."""
        self.store.put(f"effect/{kind}", Number(1))
        self.store.charge().put(f"charge/{kind}", Number(1))
        raise told(kind)

    @read("stands/{name...}")
    def stands(self, name: str) -> Response:
        """Whether there is such a row."""
        return Response(data={"stands": self.store.exists(name)})

    @read("slow/{kind}")
    def slow_read(self, kind: str) -> Response:
        """A read that needs something slow, which may raise."""
        return Response(data={"said": self.call.once("slow", kind, fn=lambda: _slow(kind))})

    @write("slow/{kind}")
    def slow_write(self, kind: str) -> Response:
        """A write that charges, then needs something slow."""
        self.store.charge().put(f"charge/slow-{kind}", Number(1))
        said = self.call.once("slow", kind, fn=lambda: _slow(kind))
        return Response(data={"said": said, **(self.add("slow", NumberBody()).data or {})})  # type: ignore[dict-item]

    @read("endless")
    def endless(self) -> Response:
        """A call that always wants another result."""
        self.call.once("endless", uuid4_text(), fn=lambda: 1)
        return Response()

    @read("unrenderable")
    def unrenderable(self) -> Response:
        """An answer that no codec can write."""
        return Response(data={"what": object()})

    @write("at/{name}", body=NumberBody)
    def at(self, name: str, body: NumberBody) -> None:
        """Set a timer `n` seconds from now."""
        name, _, how = name.partition(":")
        self.store.at(self.clock.now() + body.n * 1_000_000_000, "tell", Tell(name, how))

    def due(self, job: str, payload: bytes) -> None:
        """Count the timer, or raise."""
        tell = decoder(Tell).decode(payload)
        self.store.put("count/partly", Number(1))
        if tell.how in RAISES:
            raise told(tell.how)
        if tell.how == "slow":
            self.call.once("slow", tell.name, fn=lambda: _slow(tell.name))
        self.store.delete("count/partly")
        self.add(tell.name, NumberBody())


def _slow(kind: str) -> str:
    if kind in RAISES:
        raise told(kind)
    time.sleep(0.001)
    return f"worked out {kind}"


class Faulty:
    """A store over another that fails where it is told to."""

    local = True

    def __init__(self, inner: Storage | None = None) -> None:
        self.inner = inner or MemoryStorage()
        self.kind = self.inner.kind
        self.begin_error: BaseException | None = None
        self.apply_error: BaseException | None = None
        self.commit_error: BaseException | None = None
        self.commit_first = False
        """The commit happens, and then its answer is lost."""
        self.outcome_error: StrongroomError | None = None
        self.commits = 0
        self.open = 0

    def get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return self.inner.get_many(keys)

    def children(self, prefix: bytes, after: bytes, limit: int) -> Any:
        return self.inner.children(prefix, after, limit)

    def scan(self, start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return self.inner.scan(start, stop, limit)

    def changed(self, since: int) -> Feed:
        return self.inner.changed(since)

    def begin(self, since: int, keys: Sequence[bytes]) -> Group:
        if self.begin_error is not None:
            raise self.begin_error
        self.open += 1
        return FaultyGroup(self, self.inner.begin(since, keys))

    def try_begin(self, since: int) -> Group | None:
        if self.begin_error is not None:
            raise self.begin_error
        group = self.inner.try_begin(since)
        if group is None:
            return None
        self.open += 1
        return FaultyGroup(self, group)

    def outcome(self, group_id: bytes) -> int | None:
        if self.outcome_error is not None:
            raise self.outcome_error
        return self.inner.outcome(group_id)

    def close(self) -> None:
        self.inner.close()


class FaultyGroup:
    """A group of a Faulty store."""

    def __init__(self, store: Faulty, inner: Group) -> None:
        self._store = store
        self._inner = inner
        self.id, self.gsn, self.min_epoch, self.feed, self.entries = inner.id, inner.gsn, inner.min_epoch, inner.feed, inner.entries

    def more(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return self._inner.more(keys)

    def apply(self, puts: Mapping[bytes, bytes], deletes: Collection[bytes]) -> None:
        if self._store.apply_error is not None:
            self._inner.apply(dict(list(puts.items())[:1]), ())  # half of it
            raise self._store.apply_error
        self._inner.apply(puts, deletes)

    def raise_min_epoch(self, epoch: int) -> None:
        self._inner.raise_min_epoch(epoch)

    def commit(self) -> None:
        error = self._store.commit_error
        if error is None or self._store.commit_first:
            self._inner.commit()
            self._store.commits += 1
        if error is not None:
            if isinstance(error, StrongroomError):  # a store's own errors end the group
                self._inner.abandon()
            raise error

    def abandon(self) -> None:
        self._inner.abandon()


class House:
    """A room, its committer on a running loop, and what was reported."""

    def __init__(self, room: Strongroom) -> None:
        self.room = room
        self.core = room.core
        self.reports: list[BaseException] = []
        self.committer = Committer(self.core, asyncio.get_running_loop(), lambda error, _call: self.reports.append(error))

    def work(self, operation: Operation, path: str, data: Mapping[str, Any] | None = None, token: str | None = None) -> Work:
        """A request, not yet taken in."""
        if operation in (Operation.LIST, Operation.SCAN) and not path.endswith("/"):
            path += "/"
        secret = Secret(self.room.token if token is None else token)
        return Work(
            Request(uuid4_text(), operation, path, data or {}, b"{}" if data else b"", secret, Peer("127.0.0.1", 1)), lambda _work: None
        )

    def send(self, *works: Work) -> asyncio.Future[list[Work]]:
        """Take works in at once; done when all are answered, in the order of their answers."""
        answered: list[Work] = []
        done: asyncio.Future[list[Work]] = asyncio.get_running_loop().create_future()

        def finished(work: Work) -> None:
            answered.append(work)
            if len(answered) == len(works):
                done.set_result(answered)

        for work in works:
            work.done = finished
        for work in works:
            self.committer.submit(work)
        return done

    async def ask(self, operation: Operation, path: str, data: Mapping[str, Any] | None = None, token: str | None = None) -> Work:
        """One request and its answer."""
        return (await asyncio.wait_for(self.send(self.work(operation, path, data, token)), 20))[0]

    async def read(self, path: str) -> Any:
        """The data of a read."""
        work = await self.ask(Operation.READ, path)
        assert work.error is None, work.error
        assert work.response is not None
        return work.response.data


def room(storage: Storage | None = None, **options: Any) -> Strongroom:
    """A strongroom with a probe at `probe/`."""
    made = Strongroom(storage=storage, **options)
    made.transact(lambda call: made.core.mounts.add(call.transaction, new_mount("probe/", "probe", "secrets")))
    return made


@contextlib.contextmanager
def closing(house: House) -> Iterator[House]:
    """Close the committer at the end."""
    try:
        yield house
    finally:
        house.committer.close()


def on_loop(loop: str, made: Strongroom, scene: Callable[[House], Coroutine[Any, Any, None]]) -> None:
    """Play a scene on one kind of loop; nothing may be left under way."""

    async def play() -> None:
        with closing(House(made)) as house:
            await asyncio.wait_for(scene(house), 30)
            await asyncio.wait_for(house.committer.idle(), 10)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(play())


def here(made: Strongroom, operation: Operation, path: str, data: Mapping[str, Any] | None = None) -> Work:
    """The same request without a loop."""
    request = Request(uuid4_text(), operation, path, data or {}, b"{}" if data else b"", Secret(made.token), Peer("127.0.0.1", 1))
    return perform(made.core, Work(request, lambda _work: None), lambda _error, _call: None)


def nothing(_call: Call) -> None:
    """A change that changes nothing."""
