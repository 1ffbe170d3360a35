"""The login: which role, with which secret id, from where.

Rules of this file:
- A role id that does not exist, a secret id that does not, one that is over or used up and one from elsewhere answer the same 400, after
  the same look-ups; a locked role id answers 403 whether or not it exists and the secret id is right.
- A use of a counted secret id is a charge: it is durable before the answer, whatever the answer is.
- A role that was narrowed narrows the secret ids that it has: what they say of networks counts within what it says now.
- Keyed hashes suffice where a secret has 256 random bits; nothing slow is done here.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from strongroom.auth.approle.fields import Fields
from strongroom.auth.approle.model import UNKNOWN, Role, SecretId, canonical_role_id
from strongroom.auth.approle.roles import Roles
from strongroom.auth.approle.secret_ids import SecretIds
from strongroom.core.engine import login
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, prolonged
from strongroom.core.token.terms import lets_in, shared
from strongroom.errors import InvalidRequest, PermissionDenied

INVALID = "invalid role or secret ID"
NO_ROLE = "there is no such role id"


class LoginBody(msgspec.Struct, frozen=True):
    """What a service proves itself with."""

    role_id: Annotated[str, "The role id."] = ""
    secret_id: Annotated[str, "The secret id."] = ""


class AppRole(Roles, Fields, SecretIds, kind="approle", family="auth"):
    """Log in with a role id and a secret id, as services do."""

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        if not body.role_id:
            raise InvalidRequest("missing role_id")
        try:
            role_id = canonical_role_id(body.role_id)
        except InvalidRequest:  # no role has such an id
            raise InvalidRequest(INVALID, reason=NO_ROLE) from None
        name, role = self.by_role_id(role_id) or ("", UNKNOWN)
        place = self.place(role, body.secret_id)
        found = self.secret_id(place)
        lockout = self.lockout(role_id, known=role is not UNKNOWN)
        lockout.check()
        if role.bind_secret_id:
            if not body.secret_id:
                raise InvalidRequest("missing secret_id")
            if found is None:
                lockout.failed()
                raise InvalidRequest(INVALID, reason=NO_ROLE if role is UNKNOWN else "the role has no such secret id, or it is over")
            self.use(place, found)
        else:
            found = None
        self._check_place(role, found)
        lockout.succeeded()
        return Response(grant=self._granted(name, role, role_id, found))

    def _check_place(self, role: Role, found: SecretId | None) -> None:
        """Raises InvalidRequest where a login may not come from this address; that is no guess and is not counted."""
        address = self.call.request.peer.address
        for networks in (role.secret_id_bound_cidrs, found.cidr_list if found is not None else ()):
            if not lets_in(networks, address):
                raise InvalidRequest(INVALID, reason="the role's or the secret id's networks do not have this address")

    def _granted(self, name: str, role: Role, role_id: str, found: SecretId | None) -> Grant:
        """What the login hands out. Raises PermissionDenied where its token could not be used from here."""
        parameters = role.token
        check_peer(parameters, self.call.request.peer)
        if found is not None and found.token_bound_cidrs:
            parameters = msgspec.structs.replace(parameters, bound_cidrs=shared(parameters.bound_cidrs, found.token_bound_cidrs))
            if not parameters.bound_cidrs:
                raise PermissionDenied(reason="the role's and the secret id's networks for tokens have none in common")
            check_peer(parameters, self.call.request.peer)
        metadata = {**found.metadata, "role_name": name} if found is not None else {"role_name": name}
        internal = {"role": name, "key": role.key.hex()}
        return granted(parameters, self.call, Alias(role_id, metadata), "", internal, rests_on=(f"role/{name}",))

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still be the one that was logged in to; its policies at login stay."""
        name = grant.internal.get("role", "")
        role = self.roles.get(name)
        if role is None or role.key.hex() != grant.internal.get("key"):
            raise InvalidRequest("the role does not exist any more, not renewing")
        return prolonged(role.token, grant)
