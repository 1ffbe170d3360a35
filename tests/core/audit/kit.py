"""What the audit tests share: calls as `resolve` makes them, and a sink whose failures are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from strongroom.core.audit.broker import Broker
from strongroom.core.audit.device import Device, DeviceEntry
from strongroom.core.call import Call, Decision
from strongroom.core.mount import Mount, MountConfig
from strongroom.core.policy.acl import Acl
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Json, Response
from strongroom.core.secret import Secret
from strongroom.core.token.entry import Token, TokenEntry
from strongroom.sinks.file import File
from strongroom.testing.room import FakeClock

TOKEN = "srs_" + "t" * 49
ACCESSOR = "a-random-accessor"
UUID = "00000000-0000-4000-8000-000000000001"
KEY = bytes(range(32))


class Memory:
    """A sink that keeps what it took, and fails when told to."""

    def __init__(self, place: str = "memory") -> None:
        self.place = place
        self.inline = True
        self.taken = b""
        self.failing = False
        self.opened = 0

    def open(self) -> tuple[bytes, bytes]:
        if self.failing:
            raise OSError("told to fail")
        self.opened += 1
        return b"", b""

    def write(self, block: bytes) -> None:
        if self.failing:
            raise OSError("told to fail")
        self.taken += block

    def close(self) -> None:
        """Nothing to let go of."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was written, without heads."""
        return [line for line in map(msgspec.json.decode, self.taken.splitlines()) if line["type"] != "stream"]


def device(sink: Any, uuid: str = UUID, path: str = "memory/", **options: str) -> Device:
    """A device over a sink."""
    return Device(DeviceEntry(path, "file", uuid, options=options), KEY, sink, deadline=0.2)


def broker(*devices: Device, clock: FakeClock | None = None, slot: int = 0, boot: str = "boot") -> Broker:
    """A broker with these devices."""
    made = Broker(clock or FakeClock(), "node", slot, boot)
    for one in devices:
        made.enable(one)
    return made


def file_broker(path: Path, clock: FakeClock | None = None, boot: str = "boot") -> Broker:
    """A broker with one file."""
    return broker(device(File(str(path))), clock=clock, boot=boot)


def token(**fields: Any) -> Token:
    """A service token with the policies `default` and `app`."""
    given = {"accessor": ACCESSOR, "policies": ("default", "app"), "path": "auth/approle/login", "metadata": {"role_name": "app"}, **fields}
    return Token(Secret(TOKEN), b"d" * 32, TokenEntry(**given), Acl(()))


def mount(**config: Any) -> Mount:
    """A KV mount."""
    return Mount(bytes(16), "secret/", "kv", "secrets", "kv_1234", config=MountConfig(**config))


def call(
    path: str = "secret/data/app",
    raw: bytes = b"",
    operation: Operation = Operation.READ,
    *,
    data: Mapping[str, Any] | None = None,
    caller: Token | None = None,
    credential: str = TOKEN,
    where: Mount | None = None,
    decision: Decision | None = None,
    **request: Any,
) -> Call:
    """A call as `resolve` makes it."""
    made = Request("id-1", operation, path, data or {}, raw, Secret(credential), request.pop("peer", Peer("10.1.2.3", 4711)), **request)
    nothing: Any = None
    return Call(made, operation, nothing, caller, where, None, (), decision)


def exchange(audit: Broker, number: int = 0) -> None:
    """One read, both lines, flushed."""
    asked = call(f"secret/data/{number}", caller=token(), where=mount(), decision=Decision(False, ("app",)))
    audit.request(asked)
    audit.response(asked, Response(data=Json(b'{"data":{"password":"hunter2"}}')))
    audit.flush()
