"""An answer as `-format=json` and `-format=yaml` print it: Vault's members in Vault's order, whatever else the server sent.

Rules of this file:
- Pure. What a script reads with jq, or compares as text, is the same with either command line and either server.
- Members that Vault leaves out when they are empty are left out; objects inside `data` are sorted, as Go sorts its maps.
- An answer without an envelope, as of sys/leader, is all `data`.
"""

from __future__ import annotations

from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.values import Json, Object

_AUTH: Object = {
    "client_token": "",
    "accessor": "",
    "policies": None,
    "token_policies": None,
    "identity_policies": None,
    "metadata": None,
    "orphan": False,
    "entity_id": "",
    "lease_duration": 0,
    "renewable": False,
    "mfa_requirement": None,
}
_WRAP: Object = {"token": "", "accessor": "", "ttl": 0, "creation_time": "", "creation_path": "", "wrapped_accessor": ""}


def shown(answer: Answer) -> Object:
    """The whole answer."""
    body = answer.body
    result: Object = {
        "request_id": body.get("request_id", ""),
        "lease_id": body.get("lease_id", ""),
        "lease_duration": body.get("lease_duration", 0),
        "renewable": body.get("renewable", False),
        "data": _sorted(answer.data) or body.get("data"),
        "warnings": body.get("warnings"),
    }
    for name, members in (("auth", _AUTH), ("wrap_info", _WRAP)):
        if held := values.mapping(body.get(name)):
            result[name] = {member: _sorted(held.get(member, missing)) for member, missing in members.items()}
    return result | values.without_empty({"mount_type": body.get("mount_type")})


def _sorted(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
