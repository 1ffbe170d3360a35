"""Which audit devices there are: those of the configuration, and those that were added by the API.

Rules of this file:
- A device of the configuration must open when the barrier does, and no request removes it.
- Devices added by the API are rows; every worker follows the rows, once the answers of the tick that changed them are out. One of them
  that does not open counts as a device all the same: nothing is answered unrecorded because a disk was missing.
- A device's HMAC key is derived from its uuid; one of the configuration has its uuid by its path, so that its hashes stay the same.
- Sinks are found by name, `sinks/<kind>.py`.
- Rows: `device/<path>` → DeviceEntry, `headers` → HeadersEntry.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import msgspec

from strongroom.clock import Clock
from strongroom.core import areas
from strongroom.core.audit.broker import Broker
from strongroom.core.audit.device import Device, DeviceEntry
from strongroom.core.audit.sink import Sink
from strongroom.core.committed import Committed
from strongroom.core.mirror import patiently
from strongroom.core.ports import Process
from strongroom.core.transaction import Transaction
from strongroom.outbound.client import Outbound

Declared = tuple[str, str, str, Mapping[str, str]]
"""Kind, path, description and options, as the configuration has them."""


class HeadersEntry(msgspec.Struct, frozen=True):
    """The request headers that are written, by lower-case name; True = masked."""

    headers: dict[str, bool] = {}


class _Sinks(Protocol):
    def make(self, kind: str, options: Mapping[str, str], slot: int, directory: str, outbound: Outbound) -> Sink: ...


def make_sink(kind: str, options: Mapping[str, str], outbound: Outbound, slot: int = 0, directory: str = "") -> Sink:
    """The sink of a device in one worker. Raises InvalidRequest for kinds and options that cannot be."""
    return cast("_Sinks", importlib.import_module("strongroom.sinks")).make(kind, options, slot, directory, outbound)


def device_path(text: str) -> str:
    """How a device's path is written: with a slash at its end."""
    return text.strip("/") + "/"


def _stored(transaction: Transaction) -> list[DeviceEntry]:
    """The devices that were added by the API."""
    view = transaction.view(areas.AUDIT)
    found = (view.settings(name, DeviceEntry) for name in view.walk("device"))
    return [entry for entry in found if entry is not None]


def headers(transaction: Transaction) -> dict[str, bool]:
    """The request headers that are written."""
    entry = transaction.view(areas.AUDIT).settings("headers", HeadersEntry)
    return entry.headers if entry is not None else {}


class AuditDevices:
    """The devices of one worker: keeps its broker to what the configuration and the rows say."""

    def __init__(self, committed: Committed, broker: Broker, process: Process, clock: Clock, directory: str, outbound: Outbound) -> None:
        self.declared: tuple[DeviceEntry, ...] = ()
        self._committed = committed
        self._broker = broker
        self._clock = clock
        self._directory = directory
        self._outbound = outbound
        self._added: set[str] = set()
        self._process = process
        self._behind = False
        committed.cache.watch(areas.AUDIT, self._changed)

    def _changed(self, _key: bytes | None) -> None:
        self._behind = True
        self._process.after_answer(self.catch_up)

    def catch_up(self) -> None:
        """Follow rows that changed. Before the answer leaves that says so: whoever has it may rely on the next call being recorded."""
        if self._behind:
            self.follow()

    def load(self, declared: Iterable[Declared] = ()) -> None:
        """Take all devices into use, at unseal. Raises InvalidRequest where one of the configuration takes no lines."""
        installation = uuid.UUID(bytes=self._committed.barrier.keys.installation.id)
        self.declared = tuple(
            DeviceEntry(device_path(path), kind, str(uuid.uuid5(installation, device_path(path))), description, dict(options))
            for kind, path, description, options in declared
        )
        for entry in self.declared:
            if self._broker.device(entry.path) is None:
                self._broker.enable(self._device(entry, ""))
        self.follow()

    def all(self, transaction: Transaction) -> list[DeviceEntry]:
        """Every device, by path."""
        return sorted((*self.declared, *_stored(transaction)), key=lambda entry: entry.path)

    def follow(self) -> None:
        """Add and remove devices until those in use are those that there are rows for."""
        patiently(self._follow)

    def _follow(self) -> None:
        self._behind = False
        if self._committed.barrier.sealed:
            return
        transaction = Transaction(self._committed, None, self._clock.now())
        self._broker.request_headers = headers(transaction)
        wanted = {entry.uuid: entry for entry in _stored(transaction)}
        for device in self._broker.devices:
            if device.entry.uuid in self._added - wanted.keys():
                self._broker.disable(device.path)
        present = {device.entry.uuid for device in self._broker.devices}
        for entry in wanted.values():
            if entry.uuid not in present:
                tolerant = msgspec.structs.replace(entry, options={**entry.options, "skip_test": "true"})
                self._broker.enable(self._device(tolerant, self._directory))
        self._added = set(wanted)

    def _device(self, entry: DeviceEntry, directory: str) -> Device:
        key = self._committed.barrier.keys.purpose(b"audit:" + entry.uuid.encode())
        return Device(entry, key, make_sink(entry.kind, entry.options, self._outbound, self._broker.slot, directory))
