"""Which resource a token of Entra ID was issued to, by the resource ids that it carries.

    /subscriptions/<guid>/resourceGroups/<name>/providers/Microsoft.Compute/virtualMachines/<name>
                                                         …/virtualMachineScaleSets/<name>[/virtualMachines/<number>]

Rules of this file:
- `xms_az_rid` names the resource that asked for the token, `xms_mirid` the managed identity. A system's identity is its resource; one that
  a user made and assigned is not, and says nothing of where it is used.
- Resource ids count without case, as in Azure; what is kept is in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from strongroom.errors import InvalidRequest

MAX_ID = 1_024
"""Characters of a resource id."""

_ID = re.compile(
    r"/subscriptions/(?P<subscription>[0-9a-f-]{1,64})/resourcegroups/(?P<group>[a-z0-9._()-]{1,90})/providers/(?P<kind>[a-z0-9.]+/[a-z0-9]+)"
    r"/(?P<name>[a-z0-9._()-]{1,128})(?:/[a-z0-9._()/-]*)?",
    re.ASCII,
)
_IDENTITY = "microsoft.managedidentity/userassignedidentities"
_MACHINE, _SCALE_SET = "microsoft.compute/virtualmachines", "microsoft.compute/virtualmachinescalesets"


class Resource(NamedTuple):
    """A resource, all in lower case; blank where it is no machine or no member of a scale set."""

    id: str
    subscription_id: str
    resource_group_name: str
    vm_name: str
    vmss_name: str


def resource_of(claims: Mapping[str, Any]) -> Resource | None:
    """The resource a token was issued to; None where it does not say. Raises InvalidRequest for a claim that is no resource id."""
    text = claims.get("xms_az_rid", claims.get("xms_mirid"))
    if text is None:
        return None
    match = _ID.fullmatch(text.lower()) if isinstance(text, str) and text.isascii() and len(text) <= MAX_ID else None
    if match is None:
        raise InvalidRequest("the token's resource id is not that of a resource")
    kind, name = match["kind"], match["name"]
    if kind == _IDENTITY:
        return None
    return Resource(
        match[0],
        match["subscription"],
        match["group"],
        name if kind == _MACHINE else "",
        name if kind == _SCALE_SET else "",
    )
