"""sys/audit, sys/audit-hash and config/auditing: who records what happens here.

Rules of this file:
- A request adds a device only where the configuration says so, or in development; its files lie below `audit_directory`. What makes a
  log file dangerous, a chosen first line and execute permission, does not exist (core/audit/device.py, sinks/file.py).
- A device is tried, outside the lock, before it is stored; it is in use once the answer is out.
- Headers that carry credentials are only ever written masked.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from strongroom.core import areas
from strongroom.core.audit.broker import audit_hash
from strongroom.core.audit.device import DeviceEntry, read_options
from strongroom.core.audit.devices import HeadersEntry, device_path, headers, make_sink
from strongroom.core.engine import delete, read, write
from strongroom.core.fields import Texts
from strongroom.core.mounts import mount_path
from strongroom.core.response import Response
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest
from strongroom.sys.routes import Routes

NOT_HERE = (
    "audit devices stand in the server's configuration; to add them by request, set "
    "unsafe_allow_api_audit_creation and audit_directory there"
)
MASKED_ALWAYS = frozenset(("x-vault-token", "authorization", "proxy-authorization", "cookie", "x-vault-mfa"))

_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)


class DeviceBody(msgspec.Struct, frozen=True):
    """What adding a device takes."""

    type: Annotated[str, "kind of the device; by request only file"] = ""
    description: Annotated[str, "text for people"] = ""
    options: Annotated[Texts, "options of the kind, such as file_path"] = Texts()
    local: Annotated[bool, "kept and shown"] = False


class InputBody(msgspec.Struct, frozen=True):
    """What is to be hashed."""

    input: Annotated[str, "text whose hash to look for in a log"] = ""


class HeaderBody(msgspec.Struct, frozen=True):
    """How a header is written."""

    hmac: Annotated[bool, "whether its value is masked"] = False


class AuditRoutes(Routes):
    """Audit devices and the headers they write."""

    @read("audit", sudo=True)
    def read_devices(self) -> Response:
        """List the audit devices."""
        return Response(data={entry.path: _shown(entry) for entry in self.core.devices.all(self.call.transaction)}, mirror=True)

    @write("audit/{path...}", body=DeviceBody, sudo=True)
    def enable_device(self, path: str, body: DeviceBody) -> None:
        """Add an audit device."""
        settings = self.core.settings
        if not (settings.dev or (settings.unsafe_allow_api_audit_creation and settings.audit_directory)):
            raise InvalidRequest(NOT_HERE)
        options = dict(body.options)
        read_options(options)
        entry = DeviceEntry(mount_path(path), body.type, uuid4_text(), body.description, options, body.local)
        self._check_free(entry)
        self.call.once("audit device", entry.path, entry.kind, *sorted(options.items()), fn=lambda: self._try(entry))
        self.call.transaction.view(areas.AUDIT).put("device/" + entry.path.rstrip("/"), entry)

    def _check_free(self, entry: DeviceEntry) -> None:
        """Raises InvalidRequest where the path or the place is taken."""
        directory = self.core.settings.audit_directory
        place = make_sink(entry.kind, entry.options, self.core.outbound, 0, directory).place
        for other in self.core.devices.all(self.call.transaction):
            if other.path.startswith(entry.path) or entry.path.startswith(other.path):
                raise InvalidRequest("path already in use: invalid configuration")
            if place != "discard" and make_sink(other.kind, other.options, self.core.outbound).place == place:
                raise InvalidRequest(f"audit device {other.path} already writes to {place}; choose another place")

    def _try(self, entry: DeviceEntry) -> None:
        """Open what the device will write to, and let go of it again. Raises InvalidRequest."""
        sink = make_sink(entry.kind, entry.options, self.core.outbound, self.core.audit.slot, self.core.settings.audit_directory)
        try:
            sink.open()
        except OSError as failure:
            raise InvalidRequest(f"audit device {entry.path} takes no lines: {failure}") from None
        finally:
            sink.close()

    @delete("audit/{path...}", sudo=True)
    def disable_device(self, path: str) -> None:
        """Remove an audit device; nothing happens where there is none."""
        wanted = device_path(path)
        if any(entry.path == wanted for entry in self.core.devices.declared):
            raise InvalidRequest(f"audit device {wanted} stands in the server's configuration; remove it there")
        self.call.transaction.view(areas.AUDIT).delete("device/" + wanted.rstrip("/"))

    @write("audit-hash/{path...}", body=InputBody, writes=False)
    def hash_input(self, path: str, body: InputBody) -> Response:
        """Hash a text as a device does, to look for it in its log."""
        if not body.input:
            raise InvalidRequest('the "input" parameter is empty')
        device = self.core.audit.device(device_path(path))
        if device is None:
            raise InvalidRequest(f'unknown audit backend "{device_path(path)}"')
        return Response(data={"hash": audit_hash(device, body.input)}, mirror=True)

    # -- headers --------------------------------------------------------------------------------------------------

    @read("config/auditing/request-headers", sudo=True)
    def read_audited_headers(self) -> Response:
        """List the request headers that audit writes."""
        found = headers(self.call.transaction)
        return Response(data={"headers": {name: {"hmac": masked} for name, masked in sorted(found.items())}}, mirror=True)

    @read("config/auditing/request-headers/{header}", sudo=True)
    def read_audited_header(self, header: str) -> Response:
        """Say how a request header is written."""
        found = headers(self.call.transaction)
        if header.lower() not in found:
            raise InvalidRequest("Could not find header in config")
        data: dict[str, Any] = {header: {"hmac": found[header.lower()]}}
        return Response(data=data, mirror=True)

    @write("config/auditing/request-headers/{header}", body=HeaderBody, sudo=True)
    def write_audited_header(self, header: str, body: HeaderBody) -> None:
        """Have a request header written, masked or not."""
        name = header.lower()
        if not _HEADER.fullmatch(name):
            raise InvalidRequest("this is not the name of a header")
        if name in MASKED_ALWAYS and not body.hmac:
            raise InvalidRequest(f"{name} carries a credential: it is written masked or not at all; send hmac=true")
        self._put({**headers(self.call.transaction), name: body.hmac})

    @delete("config/auditing/request-headers/{header}", sudo=True)
    def delete_audited_header(self, header: str) -> None:
        """Have a request header not written."""
        found = headers(self.call.transaction)
        if header.lower() in found:
            self._put({name: masked for name, masked in found.items() if name != header.lower()})

    def _put(self, found: dict[str, bool]) -> None:
        self.call.transaction.view(areas.AUDIT).put("headers", HeadersEntry(found))


HIDDEN = frozenset(("headers",))
"""Options that may carry a credential, of a device of the configuration."""


def _shown(entry: DeviceEntry) -> dict[str, Any]:
    return {
        "type": entry.kind,
        "description": entry.description,
        "options": {name: "(not shown)" if name in HIDDEN else value for name, value in entry.options.items()},
        "local": entry.local,
        "path": entry.path,
    }
