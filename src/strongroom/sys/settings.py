"""sys/config: settings that are changed while the server runs, and a look at those that are not.

Rules of this file: what the configuration says is shown without anything that could be a credential; headers that carry meaning for
clients of the API cannot be given another one.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from strongroom.barrier.view import View
from strongroom.core import areas
from strongroom.core.cors import STANDARD_HEADERS, Cors, cors
from strongroom.core.engine import delete, keys_response, list_, read, write
from strongroom.core.fields import Names
from strongroom.core.response import NO_DATA, Response
from strongroom.errors import InvalidRequest, NotFound, several
from strongroom.sys.routes import Routes

RELOADABLE = ("tls", "audit", "all")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}", re.ASCII)


class CorsBody(msgspec.Struct, frozen=True):
    """Who may call."""

    allowed_origins: Annotated[Names, 'origins such as https://ui.example.com, or "*" alone'] = Names()
    allowed_headers: Annotated[Names, "further request headers that they may send"] = Names()
    enable: Annotated[bool, "whether anybody may"] = True


class HeaderBody(msgspec.Struct, frozen=True):
    """What a header says."""

    values: Annotated[Names, "its values"] = Names()
    multivalue: Annotated[bool, "accepted; the answer to a read has both forms"] = False


class ShownBody(msgspec.Struct, frozen=True):
    """How to answer."""

    multivalue: Annotated[bool, "all values, not the first"] = False


class HeadersEntry(msgspec.Struct, frozen=True):
    """Headers of the console's answers, by lower-case name."""

    headers: dict[str, tuple[str, ...]] = {}


class SettingRoutes(Routes):
    """Settings."""

    # -- CORS -----------------------------------------------------------------------------------------------------

    @read("config/cors", sudo=True)
    def read_cors(self) -> Response:
        """Say which web pages may call the API."""
        found = cors(self.call.transaction)
        data: dict[str, Any] = {"enabled": found.enabled}
        if found.enabled:
            data |= {"allowed_origins": found.allowed_origins, "allowed_headers": (*STANDARD_HEADERS, *found.allowed_headers)}
        return Response(data=data, mirror=True)

    @write("config/cors", body=CorsBody, sudo=True)
    def write_cors(self, body: CorsBody) -> None:
        """Let web pages of other origins call the API."""
        if body.enable and not body.allowed_origins:
            raise InvalidRequest("at least one origin or the wildcard must be provided")
        if "*" in body.allowed_origins and len(body.allowed_origins) > 1:
            raise InvalidRequest("to allow all origins the '*' must be the only value for allowed_origins")
        if any(not _is_origin(origin) for origin in body.allowed_origins):
            raise InvalidRequest("an origin is written like https://ui.example.com or https://ui.example.com:8443")
        if any(not _HEADER.fullmatch(name) for name in body.allowed_headers):
            raise InvalidRequest("allowed_headers has a text that cannot be the name of a header")
        extra = tuple(name for name in body.allowed_headers if name.lower() not in {known.lower() for known in STANDARD_HEADERS})
        self._rows().put("cors", Cors(body.enable, tuple(body.allowed_origins), extra))

    @delete("config/cors", sudo=True)
    def delete_cors(self) -> None:
        """Let no web page of another origin call the API."""
        self._rows().delete("cors")

    # -- headers of the console -----------------------------------------------------------------------------------

    @list_("config/ui/headers/", sudo=True)
    def list_console_headers(self) -> Response:
        """List the headers that the console's answers have beside their own."""
        return keys_response(sorted(_canonical(name) for name in self._headers()))

    @read("config/ui/headers/{header}", body=ShownBody, sudo=True)
    def read_console_header(self, header: str, body: ShownBody) -> Response:
        """Read a header of the console's answers."""
        values = self._headers().get(header.lower())
        if values is None:
            raise NotFound
        return Response(data={"values": values} if body.multivalue else {"value": values[0] if values else ""})

    @write("config/ui/headers/{header}", body=HeaderBody, sudo=True)
    def write_console_header(self, header: str, body: HeaderBody) -> Response:
        """Have the console's answers carry a header."""
        name = header.lower()
        if not body.values:
            raise InvalidRequest("header and values must be specified")
        if not _HEADER.fullmatch(name) or any(not _VALUE.fullmatch(value) for value in body.values):
            raise InvalidRequest("a header has a name of letters, digits and '-', and at least one value of printable ASCII")
        if name.startswith("x-vault-"):
            raise InvalidRequest("X-Vault headers cannot be set")
        self._rows().put("ui-headers", HeadersEntry({**self._headers(), name: tuple(body.values)}))
        return NO_DATA

    @delete("config/ui/headers/{header}", sudo=True)
    def delete_console_header(self, header: str) -> None:
        """Have the console's answers not carry a header."""
        left = {name: values for name, values in self._headers().items() if name != header.lower()}
        if left != self._headers():
            self._rows().put("ui-headers", HeadersEntry(left))

    def _headers(self) -> dict[str, tuple[str, ...]]:
        entry = self._rows().settings("ui-headers", HeadersEntry)
        return entry.headers if entry is not None else {}

    def _rows(self) -> View:
        return self.call.transaction.view(areas.SETTINGS)

    # -- the configuration ----------------------------------------------------------------------------------------

    @read("config/state/sanitized")
    def read_state(self) -> Response:
        """Show the configuration that the core runs with, without credentials."""
        return Response(data=msgspec.structs.asdict(self.core.settings))

    @write("config/reload/{subsystem}", writes=False)
    def reload_configuration(self, part: str) -> None:
        """Read certificates and the reloadable part of the configuration again; reopen audit files."""
        if part not in RELOADABLE:
            raise NotFound(several("unsupported path"))
        self.core.process.after_answer(self.core.process.reload)


def _canonical(name: str) -> str:
    """A header's name as it is usually written."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _is_origin(text: str) -> bool:
    if text == "*":
        return True
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    whole = text == f"{parts.scheme}://{parts.netloc}" and "@" not in text
    return whole and parts.scheme in ("http", "https") and bool(parts.hostname)
