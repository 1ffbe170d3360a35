"""What the tests of `sys/` share: an engine that hands out leases, and a way to ask as somebody with few rights."""

from __future__ import annotations

from typing import Any, ClassVar

from strongroom.core.engine import Engine, list_, login, read, write
from strongroom.core.mount import Mount
from strongroom.core.response import Grant, LeaseTerms, Response
from strongroom.errors import InvalidRequest
from tests.engines.api_kit import Api, Reply


class Lender(Engine, kind="lender"):
    """Lends secrets for a minute; takes them back unless `stuck`."""

    stuck: ClassVar[bool] = False
    returned: ClassVar[list[str]] = []
    tunings: ClassVar[list[str]] = []

    @read("creds/{name}", writes=True)
    def lend(self, name: str) -> Response:
        """Lend one."""
        return Response(data={"name": name}, terms=LeaseTerms(ttl=60, max_ttl=600, internal={"name": name}))

    @list_("many/")
    def many(self) -> Response:
        """A listing that knows nothing of limits."""
        return Response(data={"keys": ["a", "b", "c"], "key_info": {"a": {}, "b": {}, "c": {}}})

    def check_mount(self) -> None:
        if self.mount.options.get("refuse"):
            raise InvalidRequest("the option refuse is refused")

    def tuned(self, before: Mount) -> None:
        self.tunings.append(before.description)

    def revoke(self, terms: LeaseTerms) -> None:
        if self.stuck:
            raise InvalidRequest("stuck")
        self.returned.append(terms.internal["name"])


class Doorman(Engine, kind="doorman", family="auth"):
    """Lets everybody in."""

    @login("login/{name}")
    def enter(self, name: str) -> Response:
        """Come in."""
        return Response(grant=Grant(policies=("default",), display_name=name))

    @login("batch/{name}")
    def enter_briefly(self, name: str) -> Response:
        """Come in with a token that is not stored."""
        return Response(grant=Grant(policies=("default",), display_name=name, token_type="batch"))

    @write("open", writes=True)
    def open(self) -> None:
        """Something that needs rights."""


def house() -> Api:
    """An Api with a lender at `lend/` and a doorman at `auth/door/`, nothing remembered."""
    Lender.stuck = False
    Lender.returned.clear()
    Lender.tunings.clear()
    api = Api()
    assert api.post("sys/mounts/lend", {"type": "lender"}).status == 204
    assert api.post("sys/auth/door", {"type": "doorman"}).status == 204
    return api


def enter(api: Api, way: str = "auth/door/login/ann") -> str:
    """A token from the doorman."""
    reply = api.post(way)
    assert reply.status == 200, reply
    return str(reply.body["auth"]["client_token"])


def lend(api: Api, name: str = "x", **options: Any) -> str:
    """A lease of the lender."""
    reply = api.get(f"lend/creds/{name}", **options)
    assert reply.status == 200, reply
    return str(reply.body["lease_id"])


def allowed(api: Api, *rules: str) -> str:
    """A token whose one policy has these rules, each `path: capability …`."""
    text = ""
    for rule in rules:
        path, _, capabilities = rule.partition(":")
        listed = ", ".join(f'"{name}"' for name in capabilities.split())
        text += f'path "{path}" {{ capabilities = [{listed}] }}\n'
    api.policy("given", text)
    return api.token("given")


def refused(reply: Reply) -> bool:
    """Whether an answer is the one refusal."""
    return reply.status == 403 and b"permission denied" in reply.text
