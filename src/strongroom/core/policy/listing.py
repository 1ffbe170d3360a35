"""What a rule lets through of a LIST or SCAN: how many names, and which.

Rules of this file: it runs around every engine's listing, so that no engine has to know of it, nor can forget it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from strongroom.core.policy.acl import Acl, clamp_limit
from strongroom.core.request import Operation, Response
from strongroom.errors import NotFound


def asked(acl: Acl, operation: Operation, path: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a listing, with a limit that keeps to the rule's; negative = all. Raises InvalidRequest.

    Where names will be hidden the engine is asked for all: a page is cut from what may be shown, or it could end the listing too early.
    """
    ceiling = acl.list_limit(path)
    if not ceiling and "limit" not in data:
        return data
    limit = clamp_limit(data.get("limit"), ceiling)
    return {**data, "limit": -1 if acl.hides(operation, path) else limit or -1}


def shown(acl: Acl, operation: Operation, path: str, sent: Mapping[str, Any], response: Response) -> Response:
    """The answer without the names that the rule hides or that are too many. Raises NotFound where none is left."""
    data = response.data
    if not isinstance(data, Mapping) or not isinstance(data.get("keys"), list):
        return response
    names: list[str] = data["keys"]
    kept = acl.visible(operation, path, names)
    limit = clamp_limit(sent.get("limit"), acl.list_limit(path))
    if limit:
        kept = kept[:limit]
    if len(kept) == len(names):
        return response
    if not kept:
        raise NotFound
    changed: dict[str, Any] = {**data, "keys": kept}
    if isinstance(data.get("key_info"), Mapping):
        changed["key_info"] = {name: data["key_info"][name] for name in kept if name in data["key_info"]}
    return msgspec.structs.replace(response, data=changed)
