"""What a rule lets through of a LIST or SCAN: how many names, and which.

Rules of this file: it runs around every engine's listing, so that no engine has to know of it, nor can forget it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from strongroom.core.call import Call
from strongroom.core.gathering import gathered
from strongroom.core.policy.acl import Acl, clamp_limit
from strongroom.core.request import Operation
from strongroom.core.response import Response
from strongroom.errors import NotFound

JUDGED_AT_ONCE: Final = 500
"""Names that are held against the rules in one run of a call: about 5 ms of a worker."""


def asked(acl: Acl, operation: Operation, path: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a listing, with a limit that keeps to the rule's; negative = all. Raises InvalidRequest.

    Where names will be hidden the engine is asked for all: a page is cut from what may be shown, or it could end the listing too early.
    """
    ceiling = acl.list_limit(path)
    if not ceiling and "limit" not in data:
        return data
    limit = clamp_limit(data.get("limit"), ceiling)
    return {**data, "limit": -1 if acl.hides(operation, path) else limit or -1}


def shown(call: Call, acl: Acl, response: Response) -> Response:
    """The answer without the names that the rule hides or that are too many. Raises NotFound where none is left, Pause where many are."""
    data, path = response.data, call.request.path
    if not isinstance(data, Mapping) or not isinstance(data.get("keys"), list):
        return response
    names: list[str] = data["keys"]
    kept = _visible(call, acl, names) if len(names) > JUDGED_AT_ONCE else acl.visible(call.operation, path, names)
    limit = clamp_limit(call.request.data.get("limit"), acl.list_limit(path))
    if limit:
        kept = kept[:limit]
    if kept == names:
        return response
    if not kept:
        raise NotFound
    changed: dict[str, Any] = {**data, "keys": kept}
    if isinstance(data.get("key_info"), Mapping):
        changed["key_info"] = {name: data["key_info"][name] for name in kept if name in data["key_info"]}
    return msgspec.structs.replace(response, data=changed)


def _visible(call: Call, acl: Acl, names: list[str]) -> list[str]:
    """Those names that may be shown, as they are when the first share is judged; each was judged by the rules that still stand."""

    def share(place: tuple[list[str], int]) -> tuple[list[str], tuple[list[str], int] | None]:
        all_names, start = place
        end = start + JUDGED_AT_ONCE
        visible = acl.visible(call.operation, call.request.path, all_names[start:end])
        return visible, (all_names, end) if end < len(all_names) else None

    return gathered(call, ("shown", acl), (names, 0), share) if acl.hides(call.operation, call.request.path) else names
