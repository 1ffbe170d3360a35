"""CEL roles, as OpenBao has them: an expression over the claims says who gets what.

Rules of this file:
- The token is checked before, as for any role: signature, issuer, times, audiences. The program sees claims that are true.
- Roles of both sorts have names of their own: `cel/role/a` and `role/a` are two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.jwt import conditions
from strongroom.auth.jwt.conditions import Program
from strongroom.auth.jwt.login import Login, LoginBody
from strongroom.auth.jwt.roles import MAX_LEEWAY, leeway
from strongroom.clock import SECOND
from strongroom.core.engine import ListBody, delete, list_, listed, login, patch, read, write
from strongroom.core.fields import Names, Seconds, given
from strongroom.core.logins import end_logins
from strongroom.core.names import role_name
from strongroom.core.request import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted
from strongroom.errors import InvalidRequest, NotFound


class CelRole(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored role. Durations in seconds."""

    program: Program
    message: str = ""
    clock_skew_leeway: int = 0
    expiration_leeway: int = 0
    not_before_leeway: int = 0
    bound_audiences: tuple[str, ...] = ()


class CelRoleBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is written with."""

    cel_program: Annotated[dict[str, Any] | UnsetType, "An expression, and variables with name and expression."] = UNSET
    message: Annotated[str | UnsetType, "What is said to whom the program refuses with false."] = UNSET
    bound_audiences: Annotated[Names | UnsetType, "The token's aud must name one of these."] = UNSET
    clock_skew_leeway: Annotated[Seconds | UnsetType, "How far clocks may differ; 0 = 60 s, -1 = not at all."] = UNSET
    expiration_leeway: Annotated[Seconds | UnsetType, "How long a token without exp is good; 0 = 150 s, -1 = not at all."] = UNSET
    not_before_leeway: Annotated[Seconds | UnsetType, "How long before exp a token without nbf was good; 0 = 150 s."] = UNSET


_PLAIN = ("message", "bound_audiences", "clock_skew_leeway", "expiration_leeway", "not_before_leeway")


class Cel(Login):
    """CEL roles and their logins."""

    @list_("cel/role/", body=ListBody)
    def list_cel_roles(self, body: ListBody) -> Response:
        """List the CEL roles, in lower case."""
        return listed(self.store, "cel", body)

    @read("cel/role/{name}")
    def read_cel_role(self, name: str) -> Response:
        """Show a CEL role."""
        name = role_name(name)
        role = self._cel(name)
        if role is None:
            raise NotFound
        return _shown(name, role)

    @write("cel/role/{name}", body=CelRoleBody)
    def write_cel_role(self, name: str, body: CelRoleBody) -> Response:
        """Create a CEL role, or replace one."""
        if body.cel_program is UNSET:
            raise InvalidRequest("missing required field 'cel_program'")
        return self._store_cel(role_name(name), CelRole(program=conditions.program(body.cel_program)), body)

    @patch("cel/role/{name}", body=CelRoleBody)
    def patch_cel_role(self, name: str, body: CelRoleBody) -> Response:
        """Change what is given of a CEL role."""
        name = role_name(name)
        role = self._cel(name)
        if role is None:
            raise InvalidRequest("Unable to fetch cel role entry to patch")
        if body.cel_program is not UNSET:
            role = msgspec.structs.replace(role, program=conditions.program(body.cel_program))
        return self._store_cel(name, role, body)

    def _store_cel(self, name: str, start: CelRole, body: CelRoleBody) -> Response:
        fields = given(body, _PLAIN)
        role = msgspec.structs.replace(start, **fields)
        if max(role.clock_skew_leeway, role.expiration_leeway, role.not_before_leeway) > MAX_LEEWAY:
            raise InvalidRequest(f"a leeway has at most {MAX_LEEWAY} seconds")
        self.store.put(f"cel/{name}", role)
        return _shown(name, role)

    @delete("cel/role/{name}")
    def delete_cel_role(self, name: str) -> None:
        """Delete a CEL role; tokens of earlier logins end with it."""
        name = role_name(name)
        self.store.delete(f"cel/{name}")
        end_logins(self.call.transaction, self.mount, f"cel/{name}")

    def _cel(self, name: str) -> CelRole | None:
        return self.store.settings(f"cel/{name}", CelRole)

    # -- login --------------------------------------------------------------------------------------------------

    @login("cel/login", body=LoginBody)
    def cel_login(self, body: LoginBody) -> Response:
        """Log in with a token that an issuer signed, under a CEL role."""
        config = self.configuration()
        name = self.asked_role(config, body.role)
        role = self._cel(name)
        if role is None:
            raise InvalidRequest(f'role "{name}" could not be found')
        claims = self.verified(body.jwt, config)
        self.check_claims(claims, role.bound_audiences, leeway(role.clock_skew_leeway, role.expiration_leeway, role.not_before_leeway))
        now = datetime.fromtimestamp(self.clock.now() // SECOND, UTC)
        result = self.call.once("cel", body.jwt, role.program, fn=lambda: conditions.evaluated(role.program, claims, now))
        who, metadata, parameters = conditions.decided(name, result, role.message)
        check_peer(parameters, self.call.request.peer)
        alias = Alias(who, {**metadata, "role": name})
        return Response(grant=granted(parameters, self.call, alias, who, {"cel": name}, rests_on=(f"cel/{name}",)))

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still exist. What a program granted stays: without the token it cannot be asked again."""
        if "cel" not in grant.internal:
            return super().renew_login(grant)
        if self._cel(grant.internal["cel"]) is None:
            raise InvalidRequest("the role does not exist any more, not renewing")
        return grant


def _shown(name: str, role: CelRole) -> Response:
    members = {field: getattr(role, field) for field in _PLAIN}
    return Response(data={"name": name, "cel_program": msgspec.to_builtins(role.program), **members})
