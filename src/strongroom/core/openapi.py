"""OpenAPI 3 of the routes, from their declarations.

Rules of this file: whatever a route does not declare is not documented, so the declaration is the place to say it. Every field carries
`x-audit`: what audit does with its value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from strongroom.core.engine import Engine, Route
from strongroom.core.fields import SCHEMAS
from strongroom.core.request import Mount, Operation

_METHODS = {
    Operation.READ: "get",
    Operation.LIST: "get",
    Operation.SCAN: "get",
    Operation.UPDATE: "post",
    Operation.PATCH: "patch",
    Operation.DELETE: "delete",
}


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
    name = f"{mount.path.strip('/').replace('/', '-')}-{route.name.replace('_', '-')}"
    described: dict[str, Any] = {
        "summary": route.summary,
        "operationId": name,
        "tags": [mount.family],
        "responses": {"200": {"description": "OK"}},
    }
    if operation in (Operation.LIST, Operation.SCAN):
        flag = "list" if operation is Operation.LIST else "scan"
        described["parameters"] = [{"name": flag, "in": "query", "required": True, "schema": {"type": "string", "enum": ["true"]}}]
    elif route.fields is not None:
        properties = {
            field.name: {**SCHEMAS[field.kind], **({"description": field.description} if field.description else {}), "x-audit": "hmac"}
            for field in route.fields.table
        }
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        required = [field.name for field in route.fields.table if field.required]
        if required:
            schema["required"] = required
        if operation in (Operation.UPDATE, Operation.PATCH):
            described["requestBody"] = {"content": {"application/json": {"schema": schema}}}
        else:
            described["parameters"] = [
                {"name": field, "in": "query", "schema": {"type": "string"}, "x-audit": "hmac"} for field in properties
            ]
    return described


def document(mounts: Iterable[tuple[Mount, type[Engine]]], version: str) -> dict[str, Any]:
    """The document of all routes at the given mounts."""
    paths: dict[str, Any] = {}
    for mount, engine in mounts:
        for route in engine.router.routes:
            item = path_item(route, mount)
            path = f"/{mount.path}{route.pattern.replace('...}', '}')}"
            paths.setdefault(path, {}).update(item)
    return {
        "openapi": "3.0.2",
        "info": {
            "title": "strongroom",
            "description": "HTTP API that gives you full access to strongroom. All API routes are prefixed with `/v1/`.",
            "version": version,
            "license": {"name": "Apache-2.0"},
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": {}},
    }
