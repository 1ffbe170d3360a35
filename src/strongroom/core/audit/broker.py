"""Who did what: every call leaves a request line before it takes effect and a response line before it is answered.

Rules of this file:
- Once a device exists, nothing is answered that no device took. Without devices nothing is written and nothing fails.
- Lines are buffered by `request` and `response` and leave in one write a device at `flush`.
- The committer's loop calls everything here; only `Draft` and its signature go to the pool in between.

Formats: core/audit/format.py (lines), core/audit/mask.py (what is hidden), core/audit/chain.py (how a file proves itself),
core/audit/checkpoint.py (what binds it); core/audit/device.py is one device, core/audit/sink.py where its lines go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from strongroom.barrier.directory import Directory
from strongroom.clock import Clock
from strongroom.core.audit import checkpoint
from strongroom.core.audit.chain import Owner
from strongroom.core.audit.checkpoint import Checkpoint, Draft, IndexState, Last, Seen
from strongroom.core.audit.device import Device
from strongroom.core.audit.format import Repeated, timestamp
from strongroom.core.audit.mask import encode
from strongroom.core.call import Call
from strongroom.core.mount import Mount
from strongroom.core.response import Response
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import AuditFailed, InvalidRequest

Lines = tuple[tuple[Device, Repeated], ...]
"""What the lines of a repeated read have in common, with the devices that take them."""


def audit_hash(device: Device, text: str) -> str:
    """What stands for a text in this device's lines, so that auditors can search for it."""
    return device.format.mask.hash(text.encode())


class Broker:
    """The audit devices of one worker.

    `others`: the last lines of the node's other workers, for the checkpoint. `last`: the checkpoint that the next one follows.
    """

    def __init__(
        self,
        clock: Clock,
        node: str,
        slot: int = 0,
        boot: str = "",
        index: Callable[[], IndexState] = lambda: (0, "", 0),
        others: Callable[[], tuple[Seen, ...]] = tuple,
        last: Last = Last(),  # noqa: B008 — frozen
    ) -> None:
        self.devices: tuple[Device, ...] = ()
        self.last = last
        self._clock, self._node, self._slot, self._boot = clock, node, slot, boot
        self._index, self._others = index, others
        self._headers: Mapping[bytes, bool] = {}
        self._second, self._prefix, self._tick = -1, b"", b""
        self._uncovered = 0
        self._covered: dict[str, int] = {}
        self._since = clock.monotonic()
        self._drafting = False
        self.lost = 0
        """How many flushes no device took."""

    # --- devices ---

    @property
    def enabled(self) -> bool:
        """Whether there is any device."""
        return bool(self.devices)

    @property
    def slot(self) -> int:
        """Which of the node's workers this is."""
        return self._slot

    @property
    def failures(self) -> int:
        """How often a device did not take its lines."""
        return sum(device.failures for device in self.devices)

    @property
    def request_headers(self) -> Mapping[bytes, bool]:
        """The request headers that are written, by lower-case name; True = masked."""
        return self._headers

    @request_headers.setter
    def request_headers(self, headers: Mapping[str, bool]) -> None:
        self._headers = {name.lower().encode("latin-1"): masked for name, masked in headers.items()}
        for device in self.devices:
            device.format.headers = self._headers
        self.devices = (*self.devices,)  # another object: what was made for lines without these headers does not count any more

    def device(self, path: str) -> Device | None:
        """The device at a path."""
        return next((device for device in self.devices if device.path == path), None)

    def enable(self, device: Device) -> None:
        """Take a device into use once it has taken its first line. Raises InvalidRequest."""
        for other in self.devices:
            if other.path == device.path or other.sink.place == device.sink.place != "discard":
                raise InvalidRequest(f"audit device {other.path} already writes to {other.sink.place}: choose another path and place")
        device.format.headers = self._headers
        entry = device.entry
        try:
            kind = device.sink.place if device.sink.place == "stdout" else entry.kind  # all workers share it, which no file may be
            device.start(Owner(entry.uuid, kind, self._node, self._slot, self._boot), self._time())
        except OSError as failure:
            if entry.options.get("skip_test", "").lower() != "true":
                device.close()
                raise InvalidRequest(f"audit device {device.path} takes no lines: {failure}") from failure
        self.devices = (*self.devices, device)

    def disable(self, path: str) -> None:
        """Stop using a device; its lines of this tick are written first. None of that path: nothing happens."""
        for device in [device for device in self.devices if device.path == path]:
            device.flush(self._time())
            self.devices = tuple(other for other in self.devices if other is not device)
            device.close()

    def reopen(self) -> None:
        """Close and open every device, on SIGHUP. One that fails is tried again at its next line."""
        for device in self.devices:
            device.reopen(self._time())

    def close(self) -> None:
        """Let go of all devices. Those that are opened later write streams of another boot: these here have ended."""
        for device in self.devices:
            device.close()
        self.devices = ()
        self._boot = uuid4_text()

    # --- lines ---

    def request(self, call: Call, error: BaseException | None = None) -> None:
        """Buffer the request line: once a call, granted or denied, before any effect."""
        if not self.devices:
            return
        time = self._tick or self._begin_tick()
        self._uncovered += 1
        for device in self.devices:
            device.lines.append(device.format.request(call, error, time))

    def response(self, call: Call, response: Response | None, error: BaseException | None = None) -> None:
        """Buffer the response line."""
        if not self.devices:
            return
        time = self._tick or self._begin_tick()
        self._uncovered += 1
        for device in self.devices:
            device.lines.append(device.format.response(call, response, error, time))

    def ahead(self, mount: Mount | None, directory: Directory) -> bool:
        """Do a part of what the response line of a very long list will take; whether that was all."""
        done = [device.format.ahead(mount, directory) for device in self.devices]
        return all(done)

    def repeated(self, call: Call, response: Response) -> Lines | None:
        """For each device what later repetitions of this read have in common; None where its lines may differ every time."""
        if self._headers:
            return None
        return tuple((device, device.format.repeated(call, response)) for device in self.devices)

    def repeat(self, lines: Lines, request_id: bytes, place: bytes) -> None:
        """Buffer both lines of a repeated read."""
        time = self._tick or self._begin_tick()
        self._uncovered += 2
        for device, each in lines:
            device.lines += each.lines(time, request_id, place)

    def flush(self, since: int | None = None) -> None:
        """Write what is buffered, one write a device. Raises AuditFailed when there is a device and none took it.

        `since`: what `lost` was before the caller's first line. Somebody else's flush may have lost that line meanwhile; it raises too.
        """
        time, self._tick = self._time(), b""
        waiting = [device for device in self.devices if device.lines]
        if len(waiting) > 1:
            begun = [device.begin(time) for device in waiting]
            taken = [well and device.finish() for device, well in zip(waiting, begun, strict=True)]
        else:
            taken = [device.flush(time) for device in waiting]
        if taken and not any(taken):
            self.lost += 1
        elif since is None or since == self.lost:
            return
        raise AuditFailed("internal error: no audit device took the entry, so nothing is answered; the server's log names the devices")

    def _time(self) -> bytes:
        text, self._second, self._prefix = timestamp(self._clock.now(), self._second, self._prefix)
        return text

    def _begin_tick(self) -> bytes:
        """The lines between two flushes share the time of the first: formatting it for each would be a tenth of their cost."""
        self._tick = self._time()
        return self._tick

    # --- checkpoints ---

    def seen(self) -> tuple[Seen, ...]:
        """The last taken line of each stream of this worker."""
        standing = [(device.entry.uuid, device.position) for device in self.devices]
        return tuple(Seen(uuid, line.stream, line.seq, line.chain) for uuid, line in standing if line is not None)

    def checkpoint_due(self) -> bool:
        """Whether lines wait for a checkpoint long enough, or are many enough."""
        if self._drafting or not self.devices:
            return False
        uncovered = self._uncovered + sum(max(0, line.seq - self._covered.get(line.stream, -1)) for line in self._others())
        waited = self._clock.monotonic() - self._since
        return bool(uncovered) and waited >= (checkpoint.AT_MOST_EVERY if uncovered >= checkpoint.LINES else checkpoint.EVERY)

    def draft(self, final: bool = False) -> Draft:
        """What to sign, as the streams stand now. `final`: nothing follows, the node seals."""
        self._drafting, self._uncovered, self._since = True, 0, self._clock.monotonic()
        number, (gsn, sigma, count), others = self.last.number + 1, self._index(), self._others()
        self._covered = {line.stream: line.seq for line in others}
        content = Checkpoint(
            node=self._node,
            boot=self._boot,
            number=number,
            previous=self.last.digest,
            time=self._time().decode(),
            gsn=gsn,
            sigma=sigma,
            count=count,
            streams=(*self.seen(), *others),
            final=final,
        )
        return Draft(number, encode(content))

    def append(self, draft: Draft, signature: bytes | None) -> None:
        """Buffer the signed checkpoint for every device; None: it could not be signed, and the next one covers its lines."""
        self._drafting = False
        if signature is None:
            self._uncovered += 1
            return
        self.last = Last(draft.number, checkpoint.digest(draft.content))
        for device in self.devices:
            device.lines.append(checkpoint.body(draft, signature, self._time()))
