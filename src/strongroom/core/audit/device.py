"""One audit device in one worker: its lines of this tick, its stream, and what happens when it fails.

Rules of this file:
- Lines are buffered, then written in one write. A device took them all or missed them all.
- A device that missed lines goes on in a new stream whose head says how many, and after which line. Lines that arrive after the deadline
  did arrive: the stream goes on behind them.
- The name of a text under the device's key is the same in every worker and for as long as the device exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property, partial
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from strongroom.core.audit.chain import Head, Owner, Position, Stream, read_link
from strongroom.core.audit.format import Formatter, Options
from strongroom.core.audit.mask import encode
from strongroom.core.audit.sink import DEADLINE, Late, Sink, Worker
from strongroom.errors import InvalidRequest

_REFUSED: Final = {
    "log_raw": "log_raw is not supported: it would put secrets into the log in the clear",
    "prefix": "prefix is not supported: a chosen first line has been used to make a script of an audit file",
}
_BOOLEANS: Final = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False, "": False}


class DeviceEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is stored about a device. `path` ends in "/"; `uuid` never changes and its HMAC key is derived from it."""

    path: str
    kind: str
    uuid: str
    description: str = ""
    options: dict[str, str] = {}
    local: bool = False


def read_options(options: Mapping[str, str]) -> Options:
    """The options that concern the format. Raises InvalidRequest for those we do not take."""
    for name, reason in _REFUSED.items():
        if _boolean(options, name, False) if name == "log_raw" else options.get(name):
            raise InvalidRequest(reason)
    if (chosen := options.get("format", "json")) != "json":
        raise InvalidRequest(f"format {chosen!r} is not supported: entries are JSON lines; leave it out or say json")
    return Options(_boolean(options, "hmac_accessor", True), _boolean(options, "elide_list_responses", False))


def _boolean(options: Mapping[str, str], name: str, default: bool) -> bool:
    value = str(options.get(name, default)).lower()
    if value not in _BOOLEANS:
        raise InvalidRequest(f"{name} must be true or false")
    return _BOOLEANS[value]


class _Unsure(NamedTuple):
    """A block whose fate is not known yet, and where the stream stands if it arrives."""

    outcome: Future[None]
    seq: int
    chain: bytes
    lines: list[bytes]


class Device:
    """See the rules above. `key` is the device's HMAC key."""

    def __init__(self, entry: DeviceEntry, key: bytes, sink: Sink, deadline: float = DEADLINE) -> None:
        self.entry = entry
        self.path = entry.path
        self.format = Formatter(entry.uuid, key, read_options(entry.options))
        self.sink = sink
        self.lines: list[bytes] = []
        self.failures = 0
        self.last_failure = ""
        self.missed = 0
        self._owner: Owner | None = None
        self._part = 0
        self._previous: Position | None = None
        self._stream: Stream | None = None
        self._unsure: _Unsure | None = None
        self._opening: Future[tuple[bytes, bytes]] | None = None
        self._deadline = deadline

    @cached_property
    def _worker(self) -> Worker:
        return Worker(self._deadline)

    @property
    def position(self) -> Position | None:
        """The last line that was taken in this process; None when its stream has none yet."""
        return self._stream.position if self._stream is not None and self._stream.seq >= 0 else None

    def start(self, owner: Owner, time: bytes) -> None:
        """Open the sink and write the head, which is the probe. Raises OSError."""
        self._owner = owner
        self._write([], time)
        self._await()

    def reopen(self, time: bytes) -> bool:
        """Close and open again, as after logrotate; the chain goes on in a new stream."""
        with suppress(Late):
            self._settle()
        self._leave()
        return self.flush(time)

    def flush(self, time: bytes) -> bool:
        """Write the buffered lines. False: the device did not take them in time."""
        return self.begin(time) and (self._unsure is None or self.finish())

    def begin(self, time: bytes) -> bool:
        """Hand the buffered lines to the sink, so that several devices write at one time. False: it takes none now."""
        lines, self.lines = self.lines, []
        try:
            self._settle()
            self._write(lines, time)
        except OSError as failure:
            self._failed(failure)
            self.missed += len(lines)
            self._leave()
            return False
        return True

    def finish(self) -> bool:
        """Wait for what was handed over. False: the device did not take it in time; what becomes of it is asked later."""
        try:
            self._await()
        except OSError as failure:
            self._failed(failure)
            return False
        return True

    def _failed(self, failure: OSError) -> None:
        self.failures += 1
        self.last_failure = str(failure)

    def close(self) -> None:
        """Let go of the sink and its thread. A call that is stuck keeps its file until it ends."""
        self._leave()
        if "_worker" not in self.__dict__:
            self.sink.close()
        else:
            with suppress(Late):
                self._worker.submit(self.sink.close)
            self._worker.stop()

    def _settle(self) -> None:
        """What became of the block that was late. Raises Late while nobody knows."""
        unsure, stream = self._unsure, self._stream
        if unsure is None:
            return
        if not unsure.outcome.done():
            raise Late(unsure.outcome)
        self._unsure = None
        if unsure.outcome.exception() is not None:
            self.missed += len(unsure.lines)
        elif stream is not None:
            stream.accept(unsure.seq, unsure.chain)
        if self.missed:
            self._leave()

    def _leave(self) -> None:
        """The stream ends where it stands, and the next write begins another. Not while a block of it is on its way."""
        if self._unsure is None:
            self._previous = self.position or self._previous
            self._stream = None

    def _write(self, lines: list[bytes], time: bytes) -> None:
        bodies = lines
        if self._stream is None:
            bodies = [self._begin(time), *lines]
        stream = self._stream
        assert stream is not None
        if not bodies:
            return
        block, seq, chain = stream.seal(bodies)
        if self.sink.inline:
            self.sink.write(block)
            stream.accept(seq, chain)
            self.missed = 0
        else:
            self._unsure = _Unsure(self._worker.submit(partial(self.sink.write, block)), seq, chain, lines)

    def _await(self) -> None:
        """The block that is on its way arrives, or OSError."""
        unsure, stream = self._unsure, self._stream
        if unsure is not None and stream is not None:
            self._worker.wait(unsure.outcome)
            self._unsure = None
            stream.accept(unsure.seq, unsure.chain)
            self.missed = 0

    def _begin(self, time: bytes) -> bytes:
        """A new stream: the sink opened anew, and the head to write first."""
        assert self._owner is not None
        last, torn = self._open()
        link = read_link(last)
        self._part += 1
        self._stream = Stream(self._owner.stream(self._part))
        head = Head(
            time=time.decode(),
            owner=self._owner,
            part=self._part,
            previous=self._previous or (link.position if link is not None else None),
            missed=self.missed,
            torn=sha256(torn).hexdigest() if torn else "",
        )
        return encode(head)[:-1]

    def _open(self) -> tuple[bytes, bytes]:
        """Open the sink. One that may block is waited for at the start only; later it opens behind the scenes while lines are missed."""
        if self.sink.inline:
            return self.sink.open()
        if self._opening is None:
            self._opening = self._worker.submit(self.sink.open)
        if self._part and not self._opening.done():
            raise Late(self._opening)
        opening, self._opening = self._opening, None
        return self._worker.wait(opening)
