"""radius: people who log in with the name and password that a RADIUS server knows.

Rules of this file:
- Names are canonical before anybody is asked; the server is asked by the canonical name. Locked names are not passed on.
- Reject and challenge are wrong passwords and count; no answer is none and does not. All refusals say the same.
- A password is passed on and forgotten. Renewing would mean keeping it, so tokens are not renewable: log in again.
- Policies: those of the mount, and those of the user, or of unregistered users for who is not among the users here.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.destinations import check_destination
from strongroom.core.engine import Engine, ListBody, delete, list_, listed, login, read, write
from strongroom.core.fields import Names, Seconds, given
from strongroom.core.lockout import canonical_name, unlock
from strongroom.core.logins import end_logins
from strongroom.core.policy.rules import assignable_policies
from strongroom.core.request import Alias, Response
from strongroom.core.token.parameters import TokenBody, TokenParameters, changed, check_peer, granted, shown, with_policies
from strongroom.errors import InvalidRequest, NotFound
from strongroom.outbound.radius import ACCEPT, MAX_VALUE, Server, ask
from strongroom.outbound.url import checked_host

NOT_CONFIGURED: Final = "radius backend not configured"
DENIED: Final = "access denied by the authentication server"

MAX_TIMEOUT: Final = 60
"""Seconds; somebody waits for a login."""
SHORT_SECRET: Final = 16
"""Characters. One recorded exchange lets a shorter secret be guessed at leisure (RFC 2865, 3)."""
IDENTIFIER: Final = "strongroom"
"""What is sent as NAS-Identifier where none is configured: a request must have one, or an address (RFC 2865, 4.1)."""


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The server, and what its users' tokens are made by. Timeouts in seconds."""

    host: str = ""
    port: int = 1812
    secret: str = ""
    unregistered_user_policies: tuple[str, ...] = ()
    dial_timeout: int = 10
    read_timeout: int = 10
    nas_port: int = 10
    nas_identifier: str = ""
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


class ConfigBody(TokenBody, frozen=True, kw_only=True):
    """What the method is configured with."""

    host: Annotated[str | UnsetType, "The RADIUS server."] = UNSET
    port: Annotated[int | UnsetType, "Its port for authentication (UDP)."] = UNSET
    secret: Annotated[str | UnsetType, "The secret shared with it; never shown."] = UNSET
    unregistered_user_policies: Annotated[Names | UnsetType, "Policies of those who are not among the users here."] = UNSET
    dial_timeout: Annotated[Seconds | UnsetType, "How long its name may take to be looked up."] = UNSET
    read_timeout: Annotated[Seconds | UnsetType, "How long its answer may take, repeated questions included."] = UNSET
    nas_port: Annotated[int | UnsetType, "The NAS-Port of requests."] = UNSET
    nas_identifier: Annotated[str | UnsetType, "The NAS-Identifier of requests."] = UNSET


_OWN: Final = ("host", "port", "secret", "unregistered_user_policies", "dial_timeout", "read_timeout", "nas_port", "nas_identifier")


class User(msgspec.Struct, frozen=True):
    """A registered user."""

    policies: tuple[str, ...] = ()


class UserBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a user is written with."""

    policies: Annotated[Names | UnsetType, "Policies of the user, beside those of the mount."] = UNSET


class LoginBody(msgspec.Struct, frozen=True):
    """What a person proves himself with."""

    username: Annotated[str, "The name, where it is not in the path."] = ""
    password: Annotated[str, "The password, or password and passcode as the server wants them."] = ""


class Radius(Engine, kind="radius", family="auth"):
    """Log in with a name and password that a RADIUS server knows."""

    # -- configuration ------------------------------------------------------------------------------------------

    @read("config")
    def read_config(self) -> Response:
        """Show the configuration; never the secret."""
        config = self._config()
        if config is None:
            raise NotFound
        members: dict[str, Any] = {name: getattr(config, name) for name in _OWN if name != "secret"}
        return Response(data=members | shown(config.token))

    def config_exists(self) -> bool:
        """Whether a write changes a configuration rather than makes one."""
        return self.store.exists("config")

    @write("config", body=ConfigBody, exists="config_exists")
    def write_config(self, body: ConfigBody) -> Response | None:
        """Configure the server, or change what is given."""
        config = changed_config(self._config() or Config(), body)
        self.store.put("config", config)
        if len(config.secret) < SHORT_SECRET:
            said = f"a secret of fewer than {SHORT_SECRET} characters can be guessed from one recorded login; use a long random one"
            return Response(warnings=(said,))
        return None

    def _config(self) -> Config | None:
        return self.store.get("config", Config)

    # -- users --------------------------------------------------------------------------------------------------

    @list_("users/", body=ListBody)
    def list_users(self, body: ListBody) -> Response:
        """List the registered users."""
        return listed(self.store, "users", body)

    @read("users/{name}")
    def read_user(self, name: str) -> Response:
        """Show a registered user's policies."""
        user = self._user(canonical_name(name))
        if user is None:
            raise NotFound
        return Response(data={"policies": user.policies})

    def user_exists(self, name: str) -> bool:
        """Whether a write to the user changes it rather than makes it."""
        return self._user(canonical_name(name)) is not None

    @write("users/{name}", body=UserBody, exists="user_exists")
    def write_user(self, name: str, body: UserBody) -> None:
        """Register a user, or change the policies of one."""
        name = canonical_name(name)
        before = self._user(name) or User()
        self.store.put(f"users/{name}", before if body.policies is UNSET else User(assignable_policies(body.policies)))

    @delete("users/{name}")
    def delete_user(self, name: str) -> None:
        """Forget a registered user, and end the tokens of that name; it may log in again as an unregistered one."""
        name = canonical_name(name)
        self.store.delete(f"users/{name}")
        unlock(self.call.transaction, self.mount, name)
        end_logins(self.call.transaction, self.mount, f"user/{name}")

    def _user(self, name: str) -> User | None:
        return self.store.settings(f"users/{name}", User)

    # -- login --------------------------------------------------------------------------------------------------

    @login("login/{name}", body=LoginBody)
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
        config = self._config()
        if config is None:
            raise InvalidRequest(NOT_CONFIGURED)
        if not password:
            raise InvalidRequest("password cannot be empty")
        check_peer(config.token, self.call.request.peer)
        user = self._user(name)
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


def changed_config(before: Config, body: ConfigBody) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    fields = given(body, _OWN)
    if "unregistered_user_policies" in fields:
        fields["unregistered_user_policies"] = assignable_policies(fields["unregistered_user_policies"])
    after = msgspec.structs.replace(before, **fields, token=changed(before.token, body))
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
    moved = (after.host, after.port) != (before.host, before.port)
    check_destination("secret", before=before.secret, sent=body.secret, moved=moved, by="host or port")
    for name in ("dial_timeout", "read_timeout"):
        if not 0 < getattr(after, name) <= MAX_TIMEOUT:
            raise InvalidRequest(f"{name} is a duration from 1s to {MAX_TIMEOUT}s")
    return after
