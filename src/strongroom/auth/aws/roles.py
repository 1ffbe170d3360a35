"""Roles: which principals get which policies.

Rules of this file:
- What may stand together is a table: which fields need which type of login, with Vault's sentences for those that do not have it.
- A role is bound to something, and a bound principal names its account.
- Where unique ids are resolved (the default), a bound ARN means whoever had that name when the role was written: IAM is asked then.
  A user or role that is deleted and made anew, perhaps by somebody else, is not the one that was meant.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from strongroom.auth.aws.arn import Principal, check_bound, parse_arn
from strongroom.auth.aws.config import REGION, Client, Settings
from strongroom.auth.aws.services import Iam, Known
from strongroom.core.configuration import answer
from strongroom.core.engine import write
from strongroom.core.entries import Entries
from strongroom.core.fields import given
from strongroom.core.forms import NameList, body_of, members, merged
from strongroom.core.glob import fits_any
from strongroom.core.names import role_name
from strongroom.core.response import Response
from strongroom.core.token.parameters import TokenParameters
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest, Unavailable

IAM: Final = "iam"
EC2: Final = "ec2"
INSTANCE: Final = "ec2_instance"

NOBODY: Final = (
    "nobody gets this role: it is for EC2 instances, which take AWS's EC2 API to verify, and that is not asked; "
    "make a role of auth_type iam that is bound to the instances' IAM role with bound_iam_principal_arn"
)

MAX_PRINCIPALS: Final = 64
"""ARNs that one role is bound to: each is a question to IAM when the role is written."""


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A role, by the names of the API."""

    role_id: str
    auth_type: Annotated[str, "iam or ec2; stays as it is first written."] = IAM
    bound_ami_id: Annotated[NameList, "ec2 or inferred: images."] = ()
    bound_account_id: Annotated[NameList, "ec2 or inferred: accounts."] = ()
    bound_ec2_instance_id: Annotated[NameList, "ec2 or inferred: instances."] = ()
    bound_iam_principal_arn: Annotated[NameList, "ARNs of users and roles, * at the end for all that begin so."] = ()
    bound_iam_principal_id: tuple[str, ...] = ()
    bound_iam_role_arn: Annotated[NameList, "ec2 or inferred: roles of instances."] = ()
    bound_iam_instance_profile_arn: Annotated[NameList, "ec2 or inferred: instance profiles."] = ()
    bound_region: Annotated[NameList, "ec2: regions."] = ()
    bound_subnet_id: Annotated[NameList, "ec2 or inferred: subnets."] = ()
    bound_vpc_id: Annotated[NameList, "ec2 or inferred: networks."] = ()
    inferred_entity_type: Annotated[str, "ec2_instance: take sessions for instances; kept, such logins are refused."] = ""
    inferred_aws_region: Annotated[str, "Where instances are looked for."] = ""
    resolve_aws_unique_ids: Annotated[bool, "Bind to the unique ids that the ARNs have now, which needs IAM."] = True
    role_tag: Annotated[str, "ec2: the key of the tag that narrows an instance's rights."] = ""
    allow_instance_migration: Annotated[bool, "ec2: an instance that moved may log in again."] = False
    disallow_reauthentication: Annotated[bool, "ec2: an instance logs in once."] = False
    token: TokenParameters = TokenParameters()

    def binds(self, unique_id: str, canonical: str, full: str) -> bool:
        """Whether a principal is bound; `full` is its ARN with its path, "" where nobody asked for it."""
        if unique_id in self.bound_iam_principal_id:
            return True
        if not self.resolve_aws_unique_ids and canonical in self.bound_iam_principal_arn:
            return True
        return bool(full) and fits_any(full, self.wildcards)

    @property
    def wildcards(self) -> list[str]:
        """Bound ARNs that end in `*`."""
        return [arn for arn in self.bound_iam_principal_arn if arn.endswith("*")]


_EC2_OR_INFERRED: Final = f"specified {{}} but not specifying ec2 auth_type or inferring {INSTANCE}"
_ONLY: Final = {
    "bound_account_id": _EC2_OR_INFERRED,
    "bound_ami_id": _EC2_OR_INFERRED,
    "bound_iam_instance_profile_arn": _EC2_OR_INFERRED,
    "bound_ec2_instance_id": _EC2_OR_INFERRED,
    "bound_iam_role_arn": _EC2_OR_INFERRED,
    "bound_vpc_id": _EC2_OR_INFERRED,
    "bound_subnet_id": _EC2_OR_INFERRED,
    "bound_region": "specified {} but not specifying ec2 auth_type",
    "bound_iam_principal_arn": "specified {} but not specifying iam auth_type",
}
"""What a role can be bound to, and what to say where its type does not have it."""

_EC2_ONLY: Final = {
    "disallow_reauthentication": "specified disallow_reauthentication when not using ec2 auth type",
    "allow_instance_migration": "specified allow_instance_migration when not using ec2 auth type",
    "role_tag": "tried to enable role_tag when not using ec2 auth method",
}
MAX_TAG_KEY: Final = 127
"""Characters of a tag's key that EC2 takes."""

RoleBody: Final = body_of(Role)


def shown_role(role: Role) -> dict[str, Any]:
    """The members of a read; two of them are the server's own. Of the lists one is null where it is empty, as in Vault."""
    own = {"role_id": role.role_id, "bound_iam_principal_id": role.bound_iam_principal_id}
    instances = {"bound_ec2_instance_id": role.bound_ec2_instance_id or None}
    return own | members(role, ("policies", "ttl", "max_ttl", "period")) | instances


class Roles(Settings):
    """The routes."""

    roles = Entries(
        Role, pattern="role/{role}", told=shown_role, missing="entry for role {} not found", ends="role", lists=("role/", "roles/")
    )

    @write("role/{role}", body=RoleBody, exists="role_exists")
    def write_role(self, role: str, body: msgspec.Struct) -> Response | None:
        """Create a role, or change what is given of one."""
        name, sent = role_name(role), given(body)
        before = self.roles.get(name)
        _check_change(before, sent)
        after = merged(before or Role(role_id=uuid4_text()), body)
        _check(after, sent)
        self.roles.put(name, self._resolved(after, "bound_iam_principal_arn" in sent))
        return answer(self._warnings(after))

    def _warnings(self, role: Role) -> tuple[str, ...]:
        limits = (("ttl", role.token.ttl, self.default_ttl), ("max ttl", role.token.max_ttl, self.max_ttl))
        said = "Given {0} of {1} seconds greater than current mount/system default of {2} seconds; {0} will be capped at login time"
        capped = tuple(said.format(name, given, limit) for name, given, limit in limits if 0 < limit < given)
        return (*capped, NOBODY) if role.auth_type == EC2 or role.inferred_entity_type else capped

    def _resolved(self, role: Role, anew: bool) -> Role:
        """The role bound to unique ids, where it is to be. Raises InvalidRequest and Unavailable."""
        ids = () if anew else role.bound_iam_principal_id
        if role.resolve_aws_unique_ids and not ids:
            plain = [arn for arn in role.bound_iam_principal_arn if not arn.endswith("*")]
            ids = tuple(self._unique_id(arn) for arn in plain)
        return msgspec.structs.replace(role, bound_iam_principal_id=ids)

    def _unique_id(self, arn: str) -> str:
        principal = parse_arn(arn)
        try:
            known = self.know(principal)
        except InvalidRequest as error:
            raise InvalidRequest(f"unable to resolve ARN {arn} to internal ID: {error}") from None
        except Unavailable as error:
            raise Unavailable(f"unable to resolve ARN {arn} to internal ID: {error}") from None
        if parse_arn(known.arn) != principal:
            raise InvalidRequest(f"unable to resolve ARN {arn} to internal ID: the credentials in config/client are of another account")
        return known.unique_id

    def know(self, principal: Principal) -> Known:
        """What IAM knows of a principal. Raises InvalidRequest and Unavailable."""
        client, assumed = self.client.get() or Client(), self.assumed.get(principal.account)
        asking = Iam(self.outbound, self.clock, client, assumed)
        return self.call.outside("principal", principal, client, assumed, fn=lambda: asking.know(principal))


def _check_change(before: Role | None, given: dict[str, Any]) -> None:
    """Raises InvalidRequest for what cannot change."""
    auth_type = given.get("auth_type", before.auth_type if before is not None else IAM)
    if auth_type not in (IAM, EC2):
        raise InvalidRequest("unrecognized auth_type: it is iam or ec2")
    if before is not None and auth_type != before.auth_type:
        raise InvalidRequest("changing auth_type on a role is not allowed")
    if before is not None and before.resolve_aws_unique_ids and given.get("resolve_aws_unique_ids") is False:
        raise InvalidRequest("changing resolve_aws_unique_ids from true to false is not allowed")


def _check(role: Role, given: dict[str, Any]) -> None:
    """Raises InvalidRequest."""
    _check_inferred(role)
    allowed = {_EC2_OR_INFERRED: role.auth_type == EC2 or role.inferred_entity_type}
    bound = [name for name in _ONLY if getattr(role, name)]
    for name in bound:
        if not allowed.get(_ONLY[name], role.auth_type == (IAM if name == "bound_iam_principal_arn" else EC2)):
            raise InvalidRequest(_ONLY[name].format(name))
    if not bound:
        raise InvalidRequest("at least one bound parameter should be specified on the role")
    for name, sentence in _EC2_ONLY.items():
        if name in given and role.auth_type != EC2:
            raise InvalidRequest(sentence)
    if role.allow_instance_migration and role.disallow_reauthentication:
        raise InvalidRequest("cannot specify both disallow_reauthentication=true and allow_instance_migration=true")
    if len(role.role_tag) > MAX_TAG_KEY:
        raise InvalidRequest(f"length of role tag exceeds the EC2 key limit of {MAX_TAG_KEY} characters")
    if len(role.bound_iam_principal_arn) > MAX_PRINCIPALS:
        raise InvalidRequest(f"a role is bound to at most {MAX_PRINCIPALS} principals; use * at the end of an ARN")
    for arn in role.bound_iam_principal_arn:
        check_bound(arn)


def _check_inferred(role: Role) -> None:
    kind, region = role.inferred_entity_type, role.inferred_aws_region
    if kind and role.auth_type != IAM:
        raise InvalidRequest("specified inferred_entity_type but didn't allow iam auth_type")
    if kind and kind != INSTANCE:
        raise InvalidRequest(f"specified invalid inferred_entity_type: it is {INSTANCE}")
    if kind and not region:
        raise InvalidRequest("specified inferred_entity_type but not inferred_aws_region")
    if region and not kind:
        raise InvalidRequest("specified inferred_aws_region but not inferred_entity_type")
    if region and not REGION.fullmatch(region):
        raise InvalidRequest("'inferred_aws_region' is a region such as eu-west-1")
