"""Plain HTTP to a server, for what other clients send: exactly these bytes of method, path, headers and body."""

from __future__ import annotations

from typing import Any, NamedTuple

import requests

from tests.conformance.server import Running


class Answer(NamedTuple):
    """Status, headers, and the JSON of a body (None where it is empty)."""

    status: int
    headers: Any
    body: Any


class Http:
    """A client with a token, or with the header that is given in its place."""

    def __init__(self, server: Running, token: str | None = None) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # neither a proxy nor a bundle of the machine's
        self._session.verify = str(server.ca) if server.ca else True
        self._address = server.address
        self.token = server.root_token if token is None else token

    def __call__(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request; `path` as it stands behind /v1/."""
        sent = {"X-Vault-Request": "true", **({"X-Vault-Token": self.token} if self.token else {}), **(headers or {})}
        answer = self._session.request(method, f"{self._address}/v1/{path}", json=body, headers=sent, allow_redirects=False)
        return Answer(answer.status_code, answer.headers, answer.json() if answer.content else None)

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()
