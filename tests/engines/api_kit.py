"""Requests as they come off the wire and answers as they go out, without sockets: what a client of the engine sees."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from strongroom.api.vault import answer, decode
from strongroom.core import areas
from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.envelope import encode
from strongroom.core.group import perform
from strongroom.core.mounts import new_mount
from strongroom.core.policy.policies import PolicyEntry
from strongroom.core.request import Peer
from strongroom.core.response import Grant
from strongroom.core.work import Work
from strongroom.errors import StrongroomError
from strongroom.testing.room import Strongroom

_exact = msgspec.json.Decoder(float_hook=Decimal)


class Reply(NamedTuple):
    """Status, raw body and parsed body; numbers are exact."""

    status: int
    text: bytes
    body: Any

    @property
    def data(self) -> Any:
        """The `data` member."""
        return self.body["data"]

    @property
    def errors(self) -> list[str]:
        """The error texts."""
        return list(self.body["errors"])


class Api:
    """A strongroom with a `secret/` mount of KV version 2 and a `plain/` mount of version 1."""

    def __init__(self) -> None:
        self.room = Strongroom()
        self.room.transact(lambda call: self.core.mounts.add(call.transaction, new_mount("plain/", "kv", "secrets")))

    @property
    def core(self) -> Core:
        """The core below."""
        return self.room.core

    def send(self, verb: str, target: str, body: object = None, *, token: str = "", headers: dict[bytes, bytes] | None = None) -> Reply:
        """One request; `body` is bytes as they are, or what becomes JSON."""
        raw = body if isinstance(body, bytes) else b"" if body is None else encode(body)
        sent = {b"x-vault-token": (token or self.room.token).encode(), **(headers or {})}
        if verb == "PATCH":
            sent.setdefault(b"content-type", b"application/merge-patch+json")
        try:
            request = decode(verb.encode(), b"/v1/" + target.encode(), sent, raw, Peer("127.0.0.1", 40_000))
        except StrongroomError as error:
            return _reply(answer(None, None, error))
        work = perform(self.core, Work(request, lambda _work: None), _raise)
        self.room.run_due()
        return _reply(answer(request, work.response, work.error))

    def get(self, target: str, **options: Any) -> Reply:
        """GET."""
        return self.send("GET", target, **options)

    def post(self, target: str, body: object = None, **options: Any) -> Reply:
        """POST."""
        return self.send("POST", target, body, **options)

    def put(self, path: str, data: object, **options: object) -> Reply:
        """Write a version of `secret/<path>`."""
        return self.post(f"secret/data/{path}", {"data": data, "options": options})

    def token(self, *policies: str, kind: str = "") -> str:
        """A token with these policies."""

        def issue(call: Call) -> str:
            grant = Grant(policies=policies, no_default_policy=True, token_type=kind, ttl=3_600)
            return self.core.tokens.issue(call.transaction, grant, "auth/token/create", None).client_token.reveal()

        return str(self.room.transact(issue))

    def policy(self, name: str, text: str) -> None:
        """Store a policy."""
        self.room.transact(lambda call: call.transaction.view(areas.POLICIES).put(f"acl/{name}", PolicyEntry(text)))


def _reply(message: Any) -> Reply:
    return Reply(message.status, message.body, _exact.decode(message.body) if message.body else None)


def _raise(error: BaseException, _call: Call | None) -> None:
    raise error
