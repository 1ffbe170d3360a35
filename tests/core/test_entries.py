"""Configurations and entries: routes, rows and rules come from one declaration; a whole small auth method shows it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from strongroom.core.configuration import Configuration
from strongroom.core.engine import CLASSES, Engine, delete, login, write
from strongroom.core.entries import Entries
from strongroom.core.forms import HiddenText, NameList, body_of, merged
from strongroom.core.lockout import canonical_name
from strongroom.core.mounts import Ttls
from strongroom.core.names import role_name
from strongroom.core.request import Operation
from strongroom.core.response import NO_DATA, Alias, Grant, Response
from strongroom.core.token.parameters import TokenParameters, granted, renewed
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.testing import Strongroom


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    host: Annotated[str, "A host."] = ""
    password: Annotated[HiddenText, "Its password; never told."] = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    most: Annotated[int, "How many."] = 5


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    badges: Annotated[NameList, "Numbers."] = ()
    token: TokenParameters = TokenParameters()


class Guest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    who: str = ""
    host: Annotated[str, "Who invited him."] = ""


def changed_config(before: Config | None, body: msgspec.Struct) -> Config:
    after = merged(before or Config(), body)
    if not after.host:
        raise InvalidRequest("host is required")
    return after


def changed_role(before: Role | None, body: msgspec.Struct) -> Role:
    after = merged(before or Role(), body)
    if not after.badges:
        raise InvalidRequest("badges are required")
    return after


def long_lived(role: Role, ttls: Ttls) -> tuple[str, ...]:
    return ("longer than the mount's",) if role.token.max_ttl > ttls.max else ()


class LoginBody(msgspec.Struct, frozen=True):
    role: str = ""
    badge: str = ""


class Badge(Engine, kind="test-badge", family="auth"):
    """Log in with a badge."""

    config = Configuration(
        Config,
        changed=changed_config,
        missing="the mount is not configured",
        deletes=True,
        warnings=lambda config: ("no password",) if not config.password else (),
        says={"delete": "Forget the configuration."},
    )
    limits_config = Configuration(
        Limits,
        pattern="config/limits",
        also=("config/bounds",),
        key="limits",
        changed=lambda before, body: merged(before or Limits(), body),
        default=Limits(),
        creates=False,
        read_warnings=lambda limits: ("many",) if limits.most > 9 else (),
    )
    roles = Entries(
        Role,
        changed=changed_role,
        missing='role "{}" could not be found',
        old=("ttl",),
        warnings=long_lived,
        ends="role",
        lists=("role/", "roles/"),
    )
    guests = Entries(
        Guest,
        pattern="guests/{who}",
        noun="guest",
        folder="visitors",
        name=canonical_name,
        changed=lambda before, body: merged(before or Guest(), body),
        ends="",
        locks=True,
        absent=NO_DATA,
        named="who",
        spelled=True,
    )

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        name = role_name(body.role)
        self.config.known()
        role = self.roles.known(name)
        if body.badge not in role.badges:
            raise InvalidRequest("invalid badge")
        return Response(grant=granted(role.token, self.call, Alias(body.badge), body.badge, {"role": name}, rests_on=(f"role/{name}",)))

    def renew_login(self, grant: Grant) -> Grant:
        return renewed(self.roles.renewed(grant.internal["role"]).token, grant)


@pytest.fixture
def room() -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/badge", {"type": "test-badge"})
    return room


def data(room: Strongroom, path: str) -> dict[str, Any]:
    found: dict[str, Any] = room.json(room.read(f"auth/badge/{path}"))
    return found


def policies(room: Strongroom, capability: str, path: str) -> str:
    room.write("sys/policies/acl/one", {"policy": f'path "auth/badge/{path}" {{ capabilities = ["{capability}"] }}'})
    return room.create_token("one")


def test_a_configuration_is_merged_told_and_its_secret_is_not(room: Strongroom) -> None:
    with pytest.raises(NotFound):
        room.read("auth/badge/config")
    assert room.write("auth/badge/config", {"host": "h"}).warnings == ("no password",)
    room.write("auth/badge/config", {"password": "p"})
    assert data(room, "config") == {"host": "h"}
    room.delete("auth/badge/config")
    with pytest.raises(NotFound):
        room.read("auth/badge/config")


def test_what_cannot_be_right_is_refused_and_changes_nothing(room: Strongroom) -> None:
    with pytest.raises(InvalidRequest, match="host is required"):
        room.write("auth/badge/config", {"password": "p"})
    with pytest.raises(NotFound):
        room.read("auth/badge/config")


def test_a_default_stands_until_something_was_written_under_any_of_the_patterns(room: Strongroom) -> None:
    assert data(room, "config/limits") == {"most": 5}
    room.write("auth/badge/config/bounds", {"most": "10"})
    assert room.read("auth/badge/config/limits").warnings == ("many",)
    assert data(room, "config/bounds") == {"most": 10}


def test_the_first_write_is_a_create_where_that_is_told_apart(room: Strongroom) -> None:
    updater = policies(room, "update", "config*")
    with pytest.raises(PermissionDenied):
        room.write("auth/badge/config", {"host": "h"}, token=updater)
    room.write("auth/badge/config", {"host": "h"})
    room.write("auth/badge/config", {"host": "g"}, token=updater)
    room.write("auth/badge/config/limits", {"most": 1}, token=updater)


def test_entries_are_listed_read_written_and_deleted(room: Strongroom) -> None:
    assert room.write("auth/badge/role/Guards", {"badges": "17", "ttl": "10m"}).warnings == ()
    room.write("auth/badge/role/guards", {"token_policies": "p"})
    told = data(room, "role/GUARDS")
    assert (told["badges"], told["token_ttl"], told["ttl"], told["token_policies"]) == (["17"], 600, 600, ["p"])
    assert room.list("auth/badge/role") == room.list("auth/badge/roles") == ["guards"]
    room.delete("auth/badge/role/guards")
    with pytest.raises(NotFound):
        room.read("auth/badge/role/guards")
    room.delete("auth/badge/role/guards")  # is no error


def test_a_new_entry_is_a_create(room: Strongroom) -> None:
    creator = policies(room, "create", "role/*")
    room.write("auth/badge/role/a", {"badges": "1"}, token=creator)
    with pytest.raises(PermissionDenied):
        room.write("auth/badge/role/A", {"badges": "2"}, token=creator)


def test_names_that_are_none_are_refused(room: Strongroom) -> None:
    for operation in (Operation.READ, Operation.UPDATE, Operation.DELETE):
        work = room.request(operation, "auth/badge/role/a%b", {"badges": "1"})
        assert isinstance(work.error, InvalidRequest)


def test_warnings_know_how_long_the_mounts_tokens_live(room: Strongroom) -> None:
    room.write("sys/auth/badge/tune", {"max_lease_ttl": "1h"})
    assert room.write("auth/badge/role/a", {"badges": "1", "token_max_ttl": "2h"}).warnings == ("longer than the mount's",)
    assert room.write("auth/badge/role/a", {"token_max_ttl": "1h"}).warnings == ()


def test_entries_may_lie_elsewhere_say_their_name_and_be_missing(room: Strongroom) -> None:
    assert room.read("auth/badge/guests/ada").data == NO_DATA.data
    room.write("auth/badge/guests/Ada", {"host": "bob"})
    assert data(room, "guests/ada") == {"who": "Ada", "host": "bob"}
    assert room.list("auth/badge/guests") == ["ada"]


def test_a_login_stands_with_its_role(room: Strongroom) -> None:
    with pytest.raises(InvalidRequest, match="the mount is not configured"):
        room.login("auth/badge/login", {"role": "guards"})
    room.write("auth/badge/config", {"host": "h"})
    with pytest.raises(InvalidRequest, match='role "guards" could not be found'):
        room.login("auth/badge/login", {"role": "guards"})
    room.write("auth/badge/role/guards", {"badges": "17"})
    auth = room.login("auth/badge/login", {"role": "guards", "badge": "17"})
    token = auth.client_token.reveal()
    room.read("auth/token/lookup-self", token=token)
    room.delete("auth/badge/role/guards")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)


def test_a_route_is_declared_once() -> None:
    """Whoever writes a route himself leaves the declaration's out; the other way round one of both would silently win."""
    with pytest.raises((TypeError, RuntimeError)):

        class Twice(Engine, kind="test-twice", family="auth"):
            roles = Entries(Role, changed=changed_role, ends="role")

            @write("role/{name}", body=body_of(Role))
            def write_role(self, name: str, body: msgspec.Struct) -> None:
                """Write."""

    assert ("auth", "test-twice", "") not in CLASSES


def test_a_part_that_is_left_out_is_the_methods_own() -> None:
    class Own(Engine, kind="test-own", family="auth"):
        """Its own writes and deletes."""

        roles = Entries(Role, ends="role", deletes=False)

        @write("role/{name}", body=body_of(Role), exists="role_exists")
        def write_role(self, name: str, body: msgspec.Struct) -> None:
            """Write a role."""
            self.roles.put(role_name(name), merged(Role(badges=("own",)), body))

        @delete("role/{name}")
        def delete_role(self, name: str) -> None:
            """Delete a role."""
            self.roles.remove(role_name(name))

    room = Strongroom()
    room.write("sys/auth/own", {"type": "test-own"})
    room.write("auth/own/role/a", {})
    assert room.json(room.read("auth/own/role/a"))["badges"] == ["own"]
    room.delete("auth/own/role/a")
    with pytest.raises(NotFound):
        room.read("auth/own/role/a")
