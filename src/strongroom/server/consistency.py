"""How new the state is that a request is answered from: `X-Vault-Index`, and answers that may be a little old.

Rules of this file:
- Every answer says how new its state was: an index, which is the number of a commit with a code that only this installation can make.
  Whoever sends one back is not answered from an older state. One that nobody gave out, or that the database lost, is refused, not ignored.
- Normally a request waits until the worker is level with the primary as of its arrival. Where the configuration allows for staleness a
  reading request does not wait as long as the worker was level that short a time ago; its answer then has an `Age` (RFC 9111, 5.1).
- Writing requests, requests with a newer index and those that ask for the active node always wait.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable

from strongroom.core.core import Core
from strongroom.crypto.errors import InvalidSignature
from strongroom.errors import InvalidRequest, StateNotPresent, StrongroomError
from strongroom.server.annotated import AnnotatedExchange
from strongroom.server.dispatch import Dispatch
from strongroom.server.follower import Follower, Gate
from strongroom.server.http import Exchange

INDEX = b"x-vault-index"
INCONSISTENT = b"x-vault-inconsistent"
FORWARD = b"x-vault-forward"
READS = frozenset((b"GET", b"HEAD", b"LIST", b"SCAN"))
WAYS = frozenset((b"fail", b"forward-active-node"))
"""What a client may want done where a state is not there. Both mean the same here: before anybody is refused the primary is asked."""
LABEL = b"consistency index"
MAX_INDEXES = 4
"""Vault's Go client keeps one a cluster and sends two at most."""
PURPOSE = "it takes what an answer of this server had in X-Vault-Index"


class IndexedExchange(AnnotatedExchange, kw_only=True):
    """An exchange whose answer says how new it is. `needed` is the commit that it may not be older than, `age` its age in seconds."""

    line: Callable[[], bytes]
    needed: int = 0
    age: float = 0.0

    def added(self) -> bytes:
        """The index of the state that is here now, and the age where it may be old."""
        return self.line() + (b"Age: %d\r\n" % math.ceil(self.age) if self.age else b"")


class Indexes:
    """Makes indexes and reads them: base64 of `v1:cluster:commit:commit:code`, which is the form that Vault's clients compare."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._made: tuple[int, object, bytes] = (0, None, b"")

    def line(self) -> bytes:
        """The header line of the state that is here; nothing while sealed, since the code wants a key."""
        held, gsn = self._core.barrier.held, self._core.committed.gsn
        if held is None:
            return b""
        if self._made[0] != gsn or self._made[1] is not held:
            text = f"v1:{held.installation.cluster_id}:{gsn}:{gsn}"
            cooked = base64.b64encode(f"{text}:{held.mac(LABEL).hex(text.encode())}".encode())
            self._made = (gsn, held, b"X-Vault-Index: %b\r\n" % cooked)
        return self._made[2]

    def needed(self, header: bytes) -> int:
        """The newest commit that a header names. Raises InvalidRequest."""
        held = self._core.barrier.held
        if held is None:
            return 0
        values = [value.strip() for value in header.split(b",")]
        if len(values) > MAX_INDEXES:
            raise InvalidRequest(f"X-Vault-Index: there are more than {MAX_INDEXES}; send the newest one")
        return max(self._commit(value) for value in values)

    def check(self, header: bytes) -> None:
        """For a store that is read where it is, so that every answer is of now. Raises InvalidRequest and StateNotPresent."""
        needed, committed = self.needed(header), self._core.committed
        if needed > committed.gsn:
            committed.follow()
            if needed > committed.gsn:
                raise StateNotPresent

    def _commit(self, value: bytes) -> int:
        text, _, code = self._cooked(value).rpartition(b":")
        try:
            self._core.barrier.keys.mac(LABEL).verify(text, bytes.fromhex(code.decode("ascii")))
        except (InvalidSignature, ValueError):
            raise InvalidRequest(f"X-Vault-Index: this installation did not give it out; {PURPOSE}") from None
        return int(text.rpartition(b":")[2])

    def _cooked(self, value: bytes) -> bytes:
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error:
            raise InvalidRequest(f"X-Vault-Index: it is not base64; {PURPOSE}") from None


class Consistency:
    """The way in of a node of several: what is asked of the state is read here, held back by the gate, and checked behind it."""

    def __init__(self, core: Core, follower: Follower, dispatch: Dispatch, max_staleness: float) -> None:
        self._committed = core.committed
        self._follower = follower
        self._dispatch = dispatch
        self._max_staleness = max_staleness
        self._indexes = Indexes(core)
        self._gate = Gate(follower, self)

    def take(self, exchange: Exchange) -> None:
        """Take in one exchange of a connection."""
        asked = IndexedExchange(exchange.connection, exchange.head, exchange.body, exchange.peer, inner=exchange, line=self._indexes.line)
        headers = exchange.head.headers
        if INDEX in headers or INCONSISTENT in headers or FORWARD in headers:
            try:
                asked.needed = self._needed(headers)
            except StrongroomError as error:
                self._dispatch.refuse(asked, error)
                return
        if self._max_staleness and self._may_be_old(asked):
            self._follower.after(_nothing)  # whoever comes next finds a newer state
            self._dispatch(asked)
        else:
            self._gate(asked)

    def _needed(self, headers: dict[bytes, bytes]) -> int:
        if headers.get(INCONSISTENT, b"fail").lower() not in WAYS:
            raise InvalidRequest("X-Vault-Inconsistent takes fail or forward-active-node")
        if headers.get(FORWARD, b"active-node").lower() != b"active-node":
            raise InvalidRequest("X-Vault-Forward takes active-node")
        return self._indexes.needed(headers[INDEX]) if INDEX in headers else 0

    def _may_be_old(self, exchange: IndexedExchange) -> bool:
        exchange.age = self._follower.age
        if (
            exchange.age <= self._max_staleness
            and exchange.verb in READS
            and exchange.needed <= self._committed.gsn
            and FORWARD not in exchange.head.headers
        ):
            return True
        exchange.age = 0.0
        return False

    def __call__(self, exchange: Exchange) -> None:
        """Behind the gate: the worker is level with the primary."""
        if isinstance(exchange, IndexedExchange) and exchange.needed > self._committed.gsn:
            self._dispatch.refuse(exchange, StateNotPresent())
        else:
            self._dispatch(exchange)

    def refuse(self, exchange: Exchange, error: StrongroomError) -> None:
        """The primary could not be asked."""
        self._dispatch.refuse(exchange, error)


def _nothing() -> None:
    """The question is asked for its own sake."""
