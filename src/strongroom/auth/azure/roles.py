"""What a role binds, and whom it is for. Pure functions of what was sent, what is stored, and what a token says.

Rules of this file: a role binds something. What only Azure's API could tell, the location of a machine, is stored and read back, and the
role takes nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from strongroom.auth.azure.resource import Resource
from strongroom.core.forms import NameList, members, merged, own
from strongroom.core.token.parameters import TokenParameters
from strongroom.errors import InvalidRequest

MAX_BOUND: Final = 256
"""Values of one bound."""


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role: what it binds."""

    bound_service_principal_ids: Annotated[NameList, "Object ids of service principals; * for any."] = ()
    bound_group_ids: Annotated[NameList, "Object ids of groups; * for any."] = ()
    bound_subscription_ids: Annotated[NameList, "Subscriptions of the resource that logs in."] = ()
    bound_resource_groups: Annotated[NameList, "Its resource groups."] = ()
    bound_locations: Annotated[NameList, "Its locations: no token says them, so a role that binds them takes nobody."] = ()
    bound_scale_sets: Annotated[NameList, "Its scale sets."] = ()
    token: TokenParameters = TokenParameters()


BOUNDS: Final = own(Role)
_BY_RESOURCE: Final = {
    "bound_subscription_ids": ("subscription_id", "subscription not authorized"),
    "bound_resource_groups": ("resource_group_name", "resource group not authorized"),
    "bound_scale_sets": ("vmss_name", "scale set not authorized"),
}


def changed_role(before: Role | None, body: msgspec.Struct) -> Role:
    """A role after a write. Raises InvalidRequest."""
    after = merged(before or Role(), body)
    if not any(getattr(after, name) for name in BOUNDS):
        raise InvalidRequest("must have at least one bound constraint when creating/updating a role")
    if any(len(getattr(after, name)) > MAX_BOUND for name in BOUNDS):
        raise InvalidRequest(f"a bound has at most {MAX_BOUND} values")
    if after.bound_service_principal_ids == after.bound_group_ids == ("*",):
        raise InvalidRequest("expected specific bound_group_ids or bound_service_principal_ids; both cannot be '*'")
    return after


def shown_role(role: Role) -> dict[str, Any]:
    """The members of a read: a bound that binds nothing is null, as in Vault."""
    return members(role, ("policies", "ttl", "max_ttl", "period", "num_uses")) | {name: getattr(role, name) or None for name in BOUNDS}


def check_role(role: Role, claims: Mapping[str, Any], resource: Resource | None) -> None:
    """The role is for whoever the claims are about. Raises InvalidRequest."""
    principals, groups = role.bound_service_principal_ids, role.bound_group_ids
    if principals and principals != ("*",) and claims["oid"] not in principals:
        raise InvalidRequest("service principal not authorized")
    if groups and groups != ("*",) and not set(token_groups(claims)).intersection(groups):
        raise InvalidRequest("groups not authorized")
    if role.bound_locations:
        raise InvalidRequest(
            "the role has bound_locations, which only Azure's compute API could confirm, and it is not asked; have the role bind "
            "subscriptions, resource groups or service principals instead"
        )
    for name, (attribute, sentence) in _BY_RESOURCE.items():
        bound = getattr(role, name)
        if not bound:
            continue
        if resource is None:
            raise InvalidRequest(
                f"the role has {name}, and the token does not say which resource it was issued to (xms_az_rid, xms_mirid); log in with the "
                "identity of the resource itself, or have the role bind the token's identity with bound_service_principal_ids"
            )
        if getattr(resource, attribute) not in {value.lower() for value in bound}:
            raise InvalidRequest(sentence)


def token_groups(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups that the token lists. Raises InvalidRequest."""
    groups = claims.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
        raise InvalidRequest("the token's groups are not a list of texts")
    return tuple(groups)
