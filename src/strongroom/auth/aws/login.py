"""The login: who signed, whether the role is for him, what he gets.

Rules of this file:
- The form of what was handed over and the role, where one is named, are checked before AWS is asked; nothing of the caller's choosing makes
  the server ask twice.
- AWS is asked outside the store's lock. The call then runs again from the start, so role and configuration are the ones of now.
- Failed logins are 400 as in Vault, except from a network that the role is not for. AWS not answering is 503.
- Nothing is kept of an answer: the next login asks again.
"""

from __future__ import annotations

import msgspec

from strongroom.auth.aws.arn import Principal, parse_arn
from strongroom.auth.aws.config import Client
from strongroom.auth.aws.lists import Lists
from strongroom.auth.aws.proof import LoginBody, read_proof
from strongroom.auth.aws.roles import IAM, Role
from strongroom.auth.aws.services import Caller, caller_identity
from strongroom.core.engine import login
from strongroom.core.names import role_name
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, prolonged
from strongroom.errors import InvalidRequest

NO_EC2 = (
    "logins of the ec2 type are not supported here: verifying an instance takes AWS's EC2 API; "
    "have instances log in by their IAM role (type iam), which proves more"
)
NO_INFERENCE = (
    "the role infers EC2 instances, which is not supported here: finding an instance takes AWS's EC2 API; "
    "bind the role to IAM principals with bound_iam_principal_arn"
)


class Aws(Lists, kind="aws", family="auth"):
    """Log in as an IAM user or role."""

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        _check_type(body)
        name = role_name(body.role) if body.role else ""
        role = self._allowed(name) if name else None
        proof = read_proof(body, self.client.get() or Client(), self.clock.now())
        caller = self.call.outside("caller", proof, fn=lambda: caller_identity(self.outbound, proof))
        principal = parse_arn(caller.arn)
        if caller.account != principal.account:
            raise InvalidRequest("error parsing STS response: the account is not that of the ARN")
        name = name or role_name(principal.name)
        role = role or self._allowed(name)
        return Response(grant=self._granted(name, role, caller, principal, self._check_bound(name, role, caller, principal)))

    def _allowed(self, name: str) -> Role:
        """A role that this login may be for. Raises InvalidRequest and PermissionDenied."""
        role = self.roles.known(name)
        if role.auth_type != IAM:
            raise InvalidRequest(f"auth method iam not allowed for role {name}")
        if role.inferred_entity_type:
            raise InvalidRequest(NO_INFERENCE)
        check_peer(role.token, self.call.request.peer)
        return role

    def _check_bound(self, name: str, role: Role, caller: Caller, principal: Principal) -> str:
        """The caller's ARN with its path, where it took that to find him bound. Raises InvalidRequest and Unavailable."""
        unique_id = _unique_id(caller)
        if role.binds(unique_id, principal.canonical, ""):
            return ""
        if role.wildcards:
            known = self.know(principal)
            if known.unique_id == unique_id and role.binds(unique_id, principal.canonical, known.arn):
                return known.arn
        raise InvalidRequest(f'IAM Principal "{caller.arn}" does not belong to the role "{name}"')

    def _granted(self, name: str, role: Role, caller: Caller, principal: Principal, full: str) -> Grant:
        identity, unique_id = self.identity.known(), _unique_id(caller)
        available = {
            "client_arn": caller.arn,
            "canonical_arn": principal.canonical,
            "client_user_id": unique_id,
            "auth_type": IAM,
            "account_id": principal.account,
            "inferred_entity_type": "",
            "inferred_entity_id": "",
            "inferred_aws_region": "",
            "inferred_hostname": "",
        }
        aliases = {"role_id": role.role_id, "unique_id": unique_id, "canonical_arn": principal.canonical, "full_arn": caller.arn}
        alias = Alias(aliases[identity.iam_alias], {field: available[field] for field in identity.iam_metadata})
        internal = {"role": name, "unique_id": unique_id, "canonical_arn": principal.canonical, "full_arn": full}
        grant = granted(role.token, self.call, alias, principal.name, internal, rests_on=(f"role/{name}",))
        return msgspec.structs.replace(grant, metadata={"role_id": role.role_id, **alias.metadata})

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still be bound to the principal; the policies of the login stay. A role that was deleted took the token with it."""
        kept = grant.internal
        role = self.roles.renewed(kept.get("role", ""))
        if not role.binds(kept.get("unique_id", ""), kept.get("canonical_arn", ""), kept.get("full_arn", "")):
            raise InvalidRequest("the role is no longer bound to the principal, not renewing")
        return prolonged(role.token, grant)


def _check_type(body: LoginBody) -> None:
    """Raises InvalidRequest unless everything for a login of the iam type, and nothing else, is there."""
    ec2 = (body.pkcs7, body.identity, body.signature)
    iam = (body.iam_http_request_method, body.iam_request_url, body.iam_request_body, body.iam_request_headers)
    if any(ec2) and any(iam):
        raise InvalidRequest("supplied auth values for both ec2 and iam auth types")
    if any(ec2):
        raise InvalidRequest(NO_EC2)
    if not any(iam):
        raise InvalidRequest("didn't supply required authentication values")


def _unique_id(caller: Caller) -> str:
    """The id of the user or role; an assumed role's session stands behind it."""
    return caller.user_id.partition(":")[0]
