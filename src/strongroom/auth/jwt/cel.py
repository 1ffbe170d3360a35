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
from strongroom.core.engine import login, patch, write
from strongroom.core.entries import Entries
from strongroom.core.fields import given
from strongroom.core.forms import NameList, SignedDuration, body_of, members, merged
from strongroom.core.names import role_name
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted
from strongroom.errors import InvalidRequest


class CelRole(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role."""

    program: Program
    message: Annotated[str, "What is said to whom the program refuses with false."] = ""
    clock_skew_leeway: Annotated[SignedDuration, "How far clocks may differ; 0 = 60 s, -1 = not at all."] = 0
    expiration_leeway: Annotated[SignedDuration, "How long a token without exp is good; 0 = 150 s, -1 = not at all."] = 0
    not_before_leeway: Annotated[SignedDuration, "How long before exp a token without nbf was good; 0 = 150 s."] = 0
    bound_audiences: Annotated[NameList, "The token's aud must name one of these."] = ()


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is written with beside its form: the program as it is sent."""

    cel_program: Annotated[dict[str, Any] | UnsetType, "An expression, and variables with name and expression."] = UNSET


CelRoleBody = body_of(CelRole, Written)


def shown_role(role: CelRole) -> dict[str, Any]:
    """The members of a read, but for the name."""
    return {"cel_program": msgspec.to_builtins(role.program), **members(role)}


class Cel(Login):
    """CEL roles and their logins."""

    cel_roles = Entries(
        CelRole,
        pattern="cel/role/{name}",
        folder="cel",
        noun="CEL role",
        told=shown_role,
        named="name",
        missing='role "{}" could not be found',
        ends="cel",
    )

    @write("cel/role/{name}", body=CelRoleBody)
    def write_cel_role(self, name: str, body: msgspec.Struct) -> Response:
        """Create a CEL role, or replace one."""
        program = given(body).get("cel_program")
        if program is None:
            raise InvalidRequest("missing required field 'cel_program'")
        return self._store_cel(role_name(name), CelRole(program=conditions.program(program)), body)

    @patch("cel/role/{name}", body=CelRoleBody)
    def patch_cel_role(self, name: str, body: msgspec.Struct) -> Response:
        """Change what is given of a CEL role."""
        role = self.cel_roles.get(role_name(name))
        if role is None:
            raise InvalidRequest("Unable to fetch cel role entry to patch")
        program = given(body).get("cel_program")
        if program is not None:
            role = msgspec.structs.replace(role, program=conditions.program(program))
        return self._store_cel(role_name(name), role, body)

    def _store_cel(self, name: str, start: CelRole, body: msgspec.Struct) -> Response:
        role = merged(start, body)
        if max(role.clock_skew_leeway, role.expiration_leeway, role.not_before_leeway) > MAX_LEEWAY:
            raise InvalidRequest(f"a leeway has at most {MAX_LEEWAY} seconds")
        self.cel_roles.put(name, role)
        return self.cel_roles.read(name)

    # -- login --------------------------------------------------------------------------------------------------

    @login("cel/login", body=LoginBody)
    def cel_login(self, body: LoginBody) -> Response:
        """Log in with a token that an issuer signed, under a CEL role."""
        config = self.config.known()
        name = self.asked_role(config, body.role)
        role = self.cel_roles.known(name)
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
        if self.cel_roles.get(grant.internal["cel"]) is None:
            raise InvalidRequest("the role does not exist any more, not renewing")
        return grant
