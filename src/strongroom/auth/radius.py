"""radius: people who log in with the name and password that a RADIUS server knows.

Rules of this file:
- Names are canonical before anybody is asked; the server is asked by the canonical name. Locked names are not passed on.
- Reject and challenge are wrong passwords and count; no answer is none and does not. All refusals say the same.
- A password is passed on and forgotten. Renewing would mean keeping it, so tokens are not renewable: log in again.
- Policies: those of the mount, and those of the user, or of unregistered users for who is not among the users here.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from strongroom.core.configuration import Configuration
from strongroom.core.destinations import check_destination
from strongroom.core.engine import Engine, delete, login
from strongroom.core.entries import Entries
from strongroom.core.forms import POLICIES, Duration, HiddenText, NameList, body_of, merged
from strongroom.core.lockout import canonical_name, unlock
from strongroom.core.policy.rules import policies_in_order
from strongroom.core.response import Alias, Response
from strongroom.core.token.parameters import TokenParameters, check_peer, granted, with_policies
from strongroom.errors import InvalidRequest
from strongroom.outbound.radius import ACCEPT, MAX_VALUE, Server, ask
from strongroom.outbound.url import checked_host

NOT_CONFIGURED: Final = "radius backend not configured"
DENIED: Final = "access denied by the authentication server"

MAX_TIMEOUT: Final = 60
"""Seconds; somebody waits for a login."""
SHORT_SECRET: Final = 16
"""Characters. One recorded exchange lets a shorter secret be guessed at leisure (RFC 2865, 3)."""
GUESSED: Final = f"a secret of fewer than {SHORT_SECRET} characters can be guessed from one recorded login; use a long random one"
IDENTIFIER: Final = "strongroom"
"""What is sent as NAS-Identifier where none is configured: a request must have one, or an address (RFC 2865, 4.1)."""


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The server, and what its users' tokens are made by."""

    host: Annotated[str, "The RADIUS server."] = ""
    port: Annotated[int, "Its port for authentication (UDP)."] = 1812
    secret: Annotated[HiddenText, "The secret shared with it; never shown."] = ""
    unregistered_user_policies: Annotated[NameList, "Policies of those who are not among the users here."] = ()
    dial_timeout: Annotated[Duration, "How long its name may take to be looked up."] = 10
    read_timeout: Annotated[Duration, "How long its answer may take, repeated questions included."] = 10
    nas_port: Annotated[int, "The NAS-Port of requests."] = 10
    nas_identifier: Annotated[str, "The NAS-Identifier of requests."] = ""
    token: TokenParameters = TokenParameters()

    def __repr__(self) -> str:
        return f"Config({self.host}, {self.port})"

    @property
    def server(self) -> Server:
        """Whom to ask."""
        return Server(
            self.host,
            self.port,
            self.secret.encode(),
            self.nas_port,
            self.nas_identifier or IDENTIFIER,
            self.dial_timeout,
            self.read_timeout,
        )


ConfigBody: Final = body_of(Config)


def changed_config(before: Config | None, body: msgspec.Struct) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    start = before or Config()
    after = merged(start, body, {"unregistered_user_policies": policies_in_order})
    for name in ("host", "secret"):
        if not getattr(after, name):
            raise InvalidRequest(f"config parameter `{name}` cannot be empty")
    checked_host(f"[{after.host}]" if ":" in after.host else after.host)
    if not 0 < after.port < 65_536:
        raise InvalidRequest("port is a number from 1 to 65535")
    if not 0 <= after.nas_port < 1 << 32:
        raise InvalidRequest("nas_port is a number from 0 to 4294967295")
    if len(after.nas_identifier.encode()) > MAX_VALUE:
        raise InvalidRequest(f"nas_identifier has at most {MAX_VALUE} bytes")
    moved = (after.host, after.port) != (start.host, start.port)
    check_destination("secret", start, body, moved=moved, by="host or port")
    for name in ("dial_timeout", "read_timeout"):
        if not 0 < getattr(after, name) <= MAX_TIMEOUT:
            raise InvalidRequest(f"{name} is a duration from 1s to {MAX_TIMEOUT}s")
    return after


class User(msgspec.Struct, frozen=True):
    """A registered user."""

    policies: Annotated[NameList, "Policies of the user, beside those of the mount."] = ()


class LoginBody(msgspec.Struct, frozen=True):
    """What a person proves himself with."""

    username: Annotated[str, "The name, where it is not in the path."] = ""
    password: Annotated[str, "The password, or password and passcode as the server wants them."] = ""


class Radius(Engine, kind="radius", family="auth"):
    """Log in with a name and password that a RADIUS server knows."""

    config = Configuration(
        Config,
        changed=changed_config,
        missing=NOT_CONFIGURED,
        read_warnings=lambda config: (GUESSED,) if len(config.secret) < SHORT_SECRET else (),
        says={"read": "Show the configuration; never the secret.", "write": "Configure the server, or change what is given."},
    )
    users = Entries(
        User,
        pattern="users/{name}",
        noun="user",
        name=canonical_name,
        changed=lambda _before, body: merged(User(), body, POLICIES),
        ends="user",
        deletes=False,
        says={
            "list": "List the registered users.",
            "read": "Show a registered user's policies.",
            "write": "Register a user, or give one other policies; without any he has none of his own.",
        },
    )

    @delete("users/{name}")
    def delete_user(self, name: str) -> None:
        """Forget a registered user, and end the tokens of that name; it may log in again as an unregistered one."""
        name = canonical_name(name)
        self.users.remove(name)
        unlock(self.call.transaction, self.mount, name)

    # -- login --------------------------------------------------------------------------------------------------

    @login("login/{urlusername}", body=LoginBody)
    def log_in(self, name: str, body: LoginBody) -> Response:
        """Log in."""
        if body.username and canonical_name(body.username) != canonical_name(name):
            raise InvalidRequest("the names in path and body differ; leave one out")
        return self._logged_in(canonical_name(name), body.password)

    @login("login", body=LoginBody)
    def log_in_by_body(self, body: LoginBody) -> Response:
        """Log in with the name in the body."""
        if not body.username:
            raise InvalidRequest("username cannot be empty")
        return self._logged_in(canonical_name(body.username), body.password)

    def _logged_in(self, name: str, password: str) -> Response:
        config = self.config.known()
        if not password:
            raise InvalidRequest("password cannot be empty")
        check_peer(config.token, self.call.request.peer)
        user = self.users.get(name)
        lockout = self.lockout(name, known=user is not None)
        lockout.check()
        outbound, server = self.outbound, config.server
        if self.call.outside("radius", server, name, password, fn=lambda: ask(outbound, server, name, password)) != ACCEPT:
            lockout.failed()
            raise InvalidRequest(DENIED)
        lockout.succeeded()
        return self._welcome(config, name, user.policies if user is not None else config.unregistered_user_policies)

    def _welcome(self, config: Config, name: str, policies: tuple[str, ...]) -> Response:
        parameters = with_policies(config.token, policies)
        alias = Alias(name, {"username": name, "policies": ",".join(policies)})
        path, rests_on = f"login/{name}", (f"user/{name}",)
        grant = granted(parameters, self.call, alias, name, {"username": name}, rests_on=rests_on, path=path)
        return Response(grant=msgspec.structs.replace(grant, renewable=False))
