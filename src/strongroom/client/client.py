"""The Vault API over one connection: prepare a request, send it, judge the answer.

Rules of this file:
- Paths are API paths without `/v1/`; they are percent-encoded once, here.
- 5xx (but 501) and 412 are tried again with back-off; an answer that says the outcome is unknown never is.
- A redirect (307) is followed once, and never from https to http.
- A 404 that carries data or warnings is an answer, as every client of Vault reads it; other statuses from 400 up raise Refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from strongroom.client import address, values, wire
from strongroom.client.connection import Connection
from strongroom.client.errors import BadAnswer, Refused
from strongroom.client.settings import Settings
from strongroom.client.values import Json, Object

BACKOFF = (1.0, 1.5, 3.0, 5.0)
"""Seconds before each further try; the last one repeats. Vault's Go client waits 1 to 1.5 s at first."""

MERGE_PATCH = "application/merge-patch+json"
_DEFAULT_WRAP = "5m"
_GLANCE = 200
"""Bytes of an answer without JSON that are looked at for the one sentence that TLS servers have for clients without."""
_ENVELOPE = ("data", "auth", "wrap_info", "request_id", "lease_id", "errors")


class Prepared(NamedTuple):
    """A request before it becomes bytes. `headers` hold the token."""

    method: str
    path: str
    url: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None

    def __repr__(self) -> str:
        return f"Prepared({self.method} {self.url})"


class Answer(NamedTuple):
    """What the server said. `body` is empty for an answer without JSON; `content` is the bytes."""

    status: int
    headers: Mapping[str, str]
    body: Object
    content: bytes

    @property
    def data(self) -> Object:
        """The envelope's `data`, or an empty object; of an answer without an envelope, as of sys/health, all of it."""
        return values.mapping(self.body.get("data")) if any(name in self.body for name in _ENVELOPE) else self.body

    @property
    def auth(self) -> Object:
        """The envelope's `auth`, or an empty object."""
        return values.mapping(self.body.get("auth"))

    @property
    def wrap_info(self) -> Object:
        """The envelope's `wrap_info`, or an empty object."""
        return values.mapping(self.body.get("wrap_info"))

    @property
    def warnings(self) -> list[str]:
        """The envelope's warnings."""
        return values.texts(self.body.get("warnings"))

    @property
    def found(self) -> bool:
        """False for a 404, also for one that carries data."""
        return self.status != 404

    def __repr__(self) -> str:
        return f"Answer(status={self.status})"


class Client:
    """Talks to one server. `before` is called with each request about to be sent, save probes; it may raise to stop it."""

    def __init__(
        self, settings: Settings, before: Callable[[Prepared], None] | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.settings = settings
        self.address = address.parse(settings.address)
        self._connection = Connection(self.address, settings)
        self._before = before
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the client can still be used."""
        self._connection.close()

    def read(self, path: str, query: Mapping[str, str] | None = None, probe: bool = False) -> Answer:
        """GET. A missing thing gives an answer whose `found` is False only if it carries data, and Refused otherwise."""
        return self.request("GET", path, query=query, probe=probe)

    def follow(self, path: str, query: Mapping[str, str], take: Callable[[bytes], None]) -> None:
        """GET what goes on: each piece is handed over as it comes."""
        self.request("GET", path, query=query, take=take)

    def list(self, path: str) -> Answer:
        """GET with list=true, which passes through everything that drops unknown verbs."""
        return self.request("GET", path, query={"list": "true"})

    def write(self, path: str, body: Mapping[str, Json] | None = None) -> Answer:
        """PUT, with which Vault's own command line writes."""
        return self.request("PUT", path, body={} if body is None else body)

    def patch(self, path: str, body: Mapping[str, Json]) -> Answer:
        """PATCH with a JSON merge patch."""
        return self.request("PATCH", path, body=body)

    def delete(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """DELETE."""
        return self.request("DELETE", path, query=query)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Json] | bytes | None = None,
        query: Mapping[str, str] | None = None,
        token: str | None = None,
        accept: Collection[int] = (),
        probe: bool = False,
        take: Callable[[bytes], None] | None = None,
    ) -> Answer:
        """Send one request. `accept` names error statuses that are answers here; a probe is neither wrapped nor shown to `before`."""
        prepared = self.prepare(method, path, body=body, query=query, token=token, wrap=not probe)
        if self._before is not None and not probe:
            self._before(prepared)
        answer = self._with_retries(prepared) if take is None else self._once(prepared, take)
        if answer.status >= 400 and answer.status not in accept and not _is_answer(answer):
            token_sent = any(name == "X-Vault-Token" for name, _ in prepared.headers)
            raise Refused(method, prepared.url, answer.status, _messages(answer), token_sent)
        return answer

    def prepare(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Json] | bytes | None = None,
        query: Mapping[str, str] | None = None,
        token: str | None = None,
        wrap: bool = True,
    ) -> Prepared:
        """The request as it would be sent. Raises BadSettings."""
        target = f"{self.address.prefix}/v1/{wire.quote(path.lstrip('/'))}{wire.query((query or {}).items())}"
        content = body if body is None or isinstance(body, bytes) else values.encode(dict(body)).encode("utf-8", "surrogatepass")
        headers = [("X-Vault-Request", "true")]
        secret = self.settings.token if token is None else token
        kind = MERGE_PATCH if method == "PATCH" else "application/octet-stream" if isinstance(body, bytes) else "application/json"
        optional = (
            ("X-Vault-Token", secret),
            ("X-Vault-Namespace", self.settings.namespace),
            ("X-Vault-Wrap-TTL", self._wrap_ttl(method, path) if wrap else ""),
            ("Content-Type", kind if content is not None else ""),
        )
        headers += [(name, value) for name, value in optional if value]
        return Prepared(method, path, self.address.origin + target, target, (*headers, *self.settings.headers), content)

    def _wrap_ttl(self, method: str, path: str) -> str:
        if self.settings.wrap_ttl:
            return self.settings.wrap_ttl
        return _DEFAULT_WRAP if method in ("PUT", "POST") and path.strip("/") == "sys/wrapping/wrap" else ""

    def _with_retries(self, prepared: Prepared) -> Answer:
        answer = self._once(prepared)
        for attempt in range(self.settings.max_retries):
            if not _is_temporary(answer):
                break
            self._sleep(BACKOFF[min(attempt, len(BACKOFF) - 1)])
            answer = self._once(prepared)
        return answer

    def _once(self, prepared: Prepared, take: Callable[[bytes], None] | None = None) -> Answer:
        raw = _exchange(self._connection, prepared, take)
        if raw.status == 307:
            raw = self._follow(raw, prepared)
        return _parse(raw)

    def _follow(self, raw: wire.Raw, prepared: Prepared) -> wire.Raw:
        location = raw.headers.get("location", "")
        start = location.find("/v1/")
        target = location[start:] if start > 0 else ""
        if not target or not target.isascii() or not target.isprintable() or " " in target:
            raise BadAnswer("the server sent a redirect without a usable address; look at its api_addr")
        other = address.parse(location[:start])
        if self.address.scheme == "https" and other.scheme != "https":
            raise BadAnswer(f"the server redirects from https to {other.origin} without TLS, which is refused; correct its api_addr")
        connection = Connection(other, self.settings)
        try:
            return _exchange(connection, prepared._replace(target=other.prefix + target))
        finally:
            connection.close()


def _exchange(connection: Connection, prepared: Prepared, take: Callable[[bytes], None] | None = None) -> wire.Raw:
    headers = (("Host", connection.address.authority), *prepared.headers)
    return connection.exchange(wire.encode(prepared.method, prepared.target, headers, prepared.body), prepared.method == "HEAD", take)


def _parse(raw: wire.Raw) -> Answer:
    kind = raw.headers.get("content-type", "").partition(";")[0].strip()
    if not raw.body or kind != "application/json":
        return Answer(raw.status, raw.headers, {}, raw.body)
    try:
        body = values.decode(raw.body)
    except ValueError:
        raise BadAnswer("the server's answer says it is JSON and is not; is that a Vault server at this address?") from None
    return Answer(raw.status, raw.headers, values.mapping(body), raw.body)


def _is_temporary(answer: Answer) -> bool:
    if answer.status != 412 and not (answer.status >= 500 and answer.status != 501):
        return False
    return not any("outcome_unknown" in message for message in values.texts(answer.body.get("errors")))


def _is_answer(answer: Answer) -> bool:
    return answer.status == 404 and (isinstance(answer.body.get("data"), dict) or bool(answer.warnings))


def _messages(answer: Answer) -> list[str]:
    if b"HTTP request to an HTTPS server" in answer.content[:_GLANCE]:
        return ["this port speaks TLS: the address (-address, VAULT_ADDR) must begin with https://"]
    if answer.content and not answer.body:
        return ["the answer is not JSON: a proxy or another program may stand at this address"]
    return values.texts(answer.body.get("errors"))
