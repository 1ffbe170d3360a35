"""OpenAPI 3 of the routes, from their declarations.

Rules of this file:
- Whatever a route does not declare is not documented, so the declaration is the place to say it.
- Every field says what audit does with its texts, `x-audit`: clear, hmac or drop. What nobody said is hmac.
- A document for a caller shows the routes that its policies reach; for a stranger, those that need no token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from strongroom.core.engine import Engine, Route
from strongroom.core.fields import SCHEMAS, Field
from strongroom.core.mount import Mount
from strongroom.core.policy.acl import Acl
from strongroom.core.request import Operation

_METHODS = {
    Operation.READ: "get",
    Operation.LIST: "get",
    Operation.SCAN: "get",
    Operation.UPDATE: "post",
    Operation.PATCH: "patch",
    Operation.DELETE: "delete",
}
_BESIDE = re.compile(r"[^A-Za-z0-9]+", re.ASCII)
_BODIES = (Operation.UPDATE, Operation.PATCH)

_ENVELOPE: Final = {
    "request_id": ("string", "clear"),
    "lease_id": ("string", "clear"),
    "renewable": ("boolean", "clear"),
    "lease_duration": ("integer", "clear"),
    "data": ("object", "hmac"),
    "wrap_info": ("object", "hmac"),
    "warnings": ("array", "clear"),
    "auth": ("object", "hmac"),
}
SCHEMAS_SHARED: Final[dict[str, Any]] = {
    "Envelope": {
        "type": "object",
        "properties": {
            name: {"type": kind, "nullable": True, "x-audit": audit, **({"items": {"type": "string"}} if kind == "array" else {})}
            for name, (kind, audit) in _ENVELOPE.items()
        },
    },
    "Errors": {
        "type": "object",
        "required": ["errors"],
        "properties": {"errors": {"type": "array", "items": {"type": "string"}, "x-audit": "clear"}},
    },
}


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


_REFUSALS: Final = {"400": "the request cannot be right", "403": "permission denied"}


def path_item(route: Route, mount: Mount) -> dict[str, Any]:
    """The OpenAPI path item of one route."""
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "x-audit": "clear"} for name in route.holes]
    item: dict[str, Any] = {"description": route.summary}
    if parameters:
        item["parameters"] = parameters
    if route.sudo:
        item["x-vault-sudo"] = True
    if route.public:
        item["x-vault-unauthenticated"] = True
    for operation in route.operations:
        if operation in _METHODS:
            item[_METHODS[operation]] = _operation(route, operation, mount)
    return item


def _operation(route: Route, operation: Operation, mount: Mount) -> dict[str, Any]:
    segments = f"{operation}/{mount.path}{route.pattern}".split("/")
    described: dict[str, Any] = {
        "summary": route.summary,
        "operationId": "-".join(_BESIDE.sub("_", segment).strip("_") for segment in segments if segment),
        "tags": [mount.family],
        "responses": {
            "200": _answer("OK", "Envelope"),
            **({} if operation in (Operation.READ, Operation.LIST, Operation.SCAN) else {"204": {"description": "done, nothing to say"}}),
            **{status: _answer(text, "Errors") for status, text in _REFUSALS.items()},
        },
    }
    query: list[dict[str, Any]] = []
    if operation in (Operation.LIST, Operation.SCAN):
        flag = "list" if operation is Operation.LIST else "scan"
        schema = {"type": "string", "enum": ["true"]}
        query.append({"name": flag, "in": "query", "required": True, "schema": schema, "x-audit": "clear"})
    if route.fields is not None:
        properties = {field.name: _property(field, mount) for field in route.fields.table}
        if operation in _BODIES:
            described["requestBody"] = _body(properties, [field.name for field in route.fields.table if field.required])
        else:
            query += [{"name": name, "in": "query", "schema": {"type": "string"}, "x-audit": "hmac"} for name in properties]
    if query:
        described["parameters"] = query
    return described


def _property(field: Field, mount: Mount) -> dict[str, Any]:
    described = {"description": field.description} if field.description else {}
    clear = field.name in mount.config.audit_non_hmac_request_keys
    return {**SCHEMAS[field.kind], **described, "x-audit": "clear" if clear else "hmac"}


def _body(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return {"content": {"application/json": {"schema": schema}}}


def _reachable(route: Route, mount: Mount, acl: Acl | None) -> bool:
    """Whether a route is shown to somebody with these rights; None = a stranger."""
    if route.public:
        return True
    return acl is not None and acl.may_reach(mount.path + route.pattern.partition("{")[0])


def document(mounts: Iterable[tuple[Mount, type[Engine]]], version: str, acl: Acl | None, generic: bool = False) -> dict[str, Any]:
    """The document of the routes at the given mounts that `acl` reaches. `generic`: mount paths are parameters."""
    paths: dict[str, Any] = {}
    for mount, engine in mounts:
        shown = [route for route in engine.router.routes if _reachable(route, mount, acl)]
        if acl is None and mount.config.listing_visibility != "unauth" and mount.family != "system":
            continue
        at = mount.path
        if generic and mount.family != "system":
            at = f"{'auth/' if mount.family == 'auth' else ''}{{{mount.kind}_mount_path}}/"
        for route in shown:
            path = f"/{at}{route.pattern.replace('...}', '}')}"
            paths.setdefault(path, {}).update(path_item(route, mount))
    return {
        "openapi": "3.0.2",
        "info": {
            "title": "strongroom",
            "description": "HTTP API that gives you full access to strongroom. All API routes are prefixed with `/v1/`.",
            "version": version,
            "license": {"name": "Apache-2.0"},
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": SCHEMAS_SHARED},
    }
