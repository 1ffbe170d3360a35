"""A collector over HTTP: each block of lines is one POST.

Rules of this file:
- The collector took the lines if it says 2xx, and only then. Anything else, a redirect too, is a failure of the device.
- https verifies the collector's certificate, against `ca_file` where it is named; http is for this host only.
- A credential is best read from `bearer_token_file`, which is read at each POST, so that it may be replaced under the running server. One
  in `headers`, where OpenBao has it, is taken too: `GET sys/audit` does not show these.
- POSTs that follow each other share a connection (outbound/session.py); each is waited for. A collector nearby costs a millisecond a block,
  one across a continent what the way there and back takes, and everybody's answers wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import msgspec

from strongroom.core.audit.sink import DEADLINE, Sink, require_declared
from strongroom.errors import InvalidRequest, StrongroomError
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.session import Session
from strongroom.outbound.url import parse_url

LINES: Final = "application/x-ndjson"
ANSWER: Final = 16 << 10
"""Bytes of an answer; only its status counts."""
_OWN: Final = frozenset(("host", "content-length", "content-type", "transfer-encoding"))


class Collector:
    """Lines to a URL."""

    inline = False

    def __init__(self, uri: str, headers: Mapping[str, str], ca_file: str, token_file: str, outbound: Outbound) -> None:
        self.place = uri
        self._session = Session(outbound, uri, reach=Reach.CONFIGURED, plaintext=uri.startswith("http:"))
        self._headers = {**headers, "Content-Type": LINES}
        self._ca_file, self._token_file = ca_file, token_file

    def open(self) -> tuple[bytes, bytes]:
        self._session.close()
        return b"", b""

    def write(self, block: bytes) -> None:
        try:
            answer = self._session.request(
                "POST",
                self._headers | self._credential(),
                block,
                ca_pem=Path(self._ca_file).read_text() if self._ca_file else "",
                timeout=DEADLINE,
                limit=ANSWER,
            )
        except StrongroomError as error:
            raise OSError("; ".join(error.messages)) from None
        if not 200 <= answer.status < 300:
            raise OSError(f"the collector answered {answer.status}")

    def _credential(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {Path(self._token_file).read_text().strip()}"} if self._token_file else {}

    def close(self) -> None:
        self._session.close()


def make(options: Mapping[str, str], _slot: int, directory: str, outbound: Outbound) -> Sink:
    """The sink of `uri`, with `headers` as a JSON object."""
    require_declared("http", directory)
    uri = options.get("uri") or options.get("address", "")
    if not uri:
        raise InvalidRequest("uri is required: where to POST to")
    where = parse_url(uri, plaintext=True)
    if where.scheme != "https" and not _is_here(where.host):
        raise InvalidRequest("uri begins with https://; http:// is for a collector on this host")
    headers, token_file = _headers(options.get("headers", "")), options.get("bearer_token_file", "")
    if token_file and any(name.lower() == "authorization" for name in headers):
        raise InvalidRequest("bearer_token_file and an Authorization header are two credentials; keep one")
    return Collector(uri, headers, options.get("ca_file", ""), token_file, outbound)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _headers(text: str) -> dict[str, str]:
    """Header names and values; a value may be a list of one, as Vault has it."""
    try:
        given = msgspec.json.decode(text, type=dict[str, str | list[str]]) if text else {}
    except msgspec.MsgspecError:
        raise InvalidRequest('headers is a JSON object such as {"X-Source": "strongroom"}') from None
    found = {name: value if isinstance(value, str) else ", ".join(value) for name, value in given.items()}
    if owned := sorted(name for name in found if name.lower() in _OWN):
        raise InvalidRequest(f"{', '.join(owned)} cannot be set here")
    return found
