"""A whole strongroom in memory, driven call by call without sockets, threads or waiting.

Rules of this file: the real core, barrier and audit on the real in-memory store; only the clock is false and the caller is root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any

import msgspec

from strongroom.barrier.seal import Seal
from strongroom.core.audit.broker import Broker
from strongroom.core.audit.devices import Declared
from strongroom.core.call import Call
from strongroom.core.core import Core, Settings
from strongroom.core.envelope import encode
from strongroom.core.group import perform, transact
from strongroom.core.mirror import patiently
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Auth, Response
from strongroom.core.sealing.bootstrap import secret_mount
from strongroom.core.sealing.unsealing import InitParameters, initialise, submit
from strongroom.core.secret import Secret
from strongroom.core.work import Timer, Work, next_due
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import StorageTampered
from strongroom.outbound.client import Outbound
from strongroom.server.logs import Log
from strongroom.storage.api import Storage
from strongroom.storage.memory import MemoryStorage
from strongroom.sys.lifecycle import PUBLIC

Keys = list[str]
START = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z."""


class FakeClock:
    """Time that stands still until it is moved."""

    def __init__(self, now: int = START) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> int:
        """Wall clock in ns."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += int(seconds * 1_000_000_000)
        self._monotonic += seconds


class QuietProcess:
    """A process port that remembers what it was asked."""

    alone = True

    def __init__(self) -> None:
        self.log = Log(stream=StringIO())
        self.asked: list[str] = []
        self.core: Core | None = None
        self.declared: tuple[Declared, ...] = ()
        self._actions: list[Callable[[], None]] = []

    def seal_others(self) -> bool:
        """There are none."""
        return True

    def seal(self, then: Callable[[], None] | None = None) -> None:
        """Seal once the call is answered."""
        self.asked.append("seal")
        if self.core is not None:
            self.core.barrier.seal()
        if then is not None:
            self._actions.append(then)

    def unsealed(self) -> None:
        """Audit devices are loaded; there is nothing else to start."""
        self.asked.append("unsealed")
        if self.core is not None:
            self.core.devices.load(self.declared)

    def reload(self) -> None:
        """Nothing to reload."""
        self.asked.append("reload")

    def metrics(self) -> bytes:
        """No metrics."""
        return b""

    def after_answer(self, action: Callable[[], None]) -> None:
        """Once the call is answered."""
        self._actions.append(action)

    def answered(self) -> None:
        """A call was answered: do what waited for it."""
        while self._actions:
            self._actions.pop(0)()


def _raise(error: BaseException, _call: Call | None) -> None:
    if not isinstance(error, StorageTampered):  # which is an alarm beside the caller's error, not a bug
        raise error


class Strongroom:
    """An unsealed server and its root token. With `seals` it opens by itself, and the shares are recovery keys.

    Every verb takes a path without `/v1/`, raises what the server would answer as an error, and returns the Response.
    """

    def __init__(
        self,
        clock: FakeClock | None = None,
        storage: Storage | None = None,
        settings: Settings | None = None,
        broker: Broker | None = None,
        outbound: Outbound | None = None,
        secret_shares: int = 1,
        secret_threshold: int = 1,
        seals: tuple[Seal, ...] = (),
    ) -> None:
        self.clock = clock or FakeClock()
        self.storage = storage or MemoryStorage()
        self.process = QuietProcess()
        self.faults: list[BaseException] = []
        """Exceptions of timers that are bugs; the timers were set again."""
        self.audit = broker or Broker(self.clock, "test")
        self._rest = (settings or Settings(dev=True), self.process, outbound or Outbound())
        self.seals = seals
        self.core = self._boot()
        asked = (0, 0, secret_shares, secret_threshold) if seals else (secret_shares, secret_threshold)
        made = initialise(self.core, InitParameters(*asked))
        self.unseal_keys = [share.hex() for share in made.recovery_keys or made.keys]
        self.token = made.root_token.reveal()
        self.unseal()
        self.transact(lambda call: secret_mount(self.core, call))

    def _boot(self) -> Core:
        core = Core(self.storage, self.clock, self.audit, *self._rest)
        core.sealing.seals = self.seals
        core.public.update(PUBLIC)
        self.process.core = core
        return core

    def restart(self) -> None:
        """Kill the server and start another one on the same store: nothing that was in memory is left, and it is sealed."""
        self.core = self._boot()

    def unseal(self) -> None:
        """Give as many key shares as it takes."""
        for key in self.unseal_keys:
            if self.core.barrier.sealed:
                submit(self.core, key)

    def transact(self, change: Callable[[Call], Any]) -> Any:
        """Make a change beside all routes."""
        return transact(self.core, change, _raise)

    def request(
        self,
        operation: Operation,
        path: str,
        data: Mapping[str, Any] | None = None,
        *,
        token: str | None = None,
        peer: Peer | None = None,
        wrap_ttl: int = 0,
    ) -> Work:
        """One request, whatever comes of it."""
        raw = encode(data) if data is not None else b""
        request = Request(
            id=uuid4_text(),
            operation=operation,
            path=path + "/" if operation in (Operation.LIST, Operation.SCAN) and not path.endswith("/") else path,
            data=data or {},
            raw=raw,
            credential=Secret(self.token if token is None else token),
            peer=peer or Peer("127.0.0.1", 40_000),
            wrap_ttl=wrap_ttl,
        )
        work = perform(self.core, Work(request, lambda _work: None), _raise)
        self.process.answered()
        return work

    def ask(self, operation: Operation, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """One request that is expected to succeed; its error is raised. Then timers that have come are run."""
        work = self.request(operation, path, data, **options)
        self.run_due()
        if work.error is not None:
            raise work.error
        assert work.response is not None
        return work.response

    def read(self, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """GET."""
        return self.ask(Operation.READ, path, data, **options)

    def write(self, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """POST or PUT."""
        return self.ask(Operation.UPDATE, path, data or {}, **options)

    def patch(self, path: str, data: Mapping[str, Any], **options: Any) -> Response:
        """PATCH with a merge patch."""
        return self.ask(Operation.PATCH, path, data, **options)

    def delete(self, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """DELETE."""
        return self.ask(Operation.DELETE, path, data, **options)

    def list(self, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Keys:
        """LIST; the names."""
        return self.names(Operation.LIST, path, data, **options)

    def scan(self, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Keys:
        """SCAN; the names."""
        return self.names(Operation.SCAN, path, data, **options)

    def names(self, operation: Operation, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Keys:
        """The `keys` of a LIST or SCAN; none where there are none."""
        found = self.ask(operation, path, data, **options).data
        return list(found["keys"]) if isinstance(found, Mapping) else []

    def login(self, path: str, data: Mapping[str, Any] | None = None, **options: Any) -> Auth:
        """A write that answers with a token."""
        auth = self.write(path, data, token="", **options).auth
        assert auth is not None
        return auth

    def create_token(self, *policies: str, **fields: Any) -> str:
        """A token with these policies."""
        auth = self.write("auth/token/create", {"policies": list(policies), **fields}).auth
        assert auth is not None
        return auth.client_token.reveal()

    def json(self, response: Response) -> Any:
        """The `data` of an answer, parsed."""
        from strongroom.core.envelope import data_text

        return msgspec.json.decode(data_text(response.data))

    def _faulty(self, error: BaseException, _call: Call | None) -> None:
        if not isinstance(error, Exception):
            raise error  # the end of the process, as a test plays it
        self.faults.append(error)

    def run_due(self, limit: int = 200) -> int:
        """Run timers that have come, as long as they set more; how many ran."""
        ran = 0
        while ran < limit and not self.core.barrier.sealed:
            due, _ = patiently(lambda: next_due(self.core, self.clock.now(), 50, _raise))
            if not due:
                break
            for key, row in due:
                perform(self.core, Timer(key, row, lambda _work: None), self._faulty)
                ran += 1
        return ran

    def advance(self, seconds: float) -> int:
        """Let time pass and run what became due."""
        self.clock.advance(seconds)
        return self.run_due()
