"""What people are told about paths: `?help=1`, where a path leads nowhere, and which members of a body had no effect."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from strongroom.core.engine import Engine, Route
from strongroom.core.mount import Mount
from strongroom.core.openapi import path_item
from strongroom.core.response import Bare, Response
from strongroom.errors import NotFound, several


def no_handler(path: str) -> NotFound:
    """What is said of a path that leads nowhere; clients look for the first words."""
    return NotFound(f'no handler for route "{path}". route entry not found.')


def warned(response: Response, ignored: Collection[str], replaced: Collection[str]) -> Response:
    """An answer that names the members which had no effect, in Go's way of writing a list."""
    warnings = [*response.warnings]
    if ignored:
        warnings.append(f"Endpoint ignored these unrecognized parameters: [{' '.join(sorted(ignored))}]")
    if replaced:
        names = " ".join(sorted(replaced))
        warnings.append(f"Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [{names}]")
    return msgspec.structs.replace(response, warnings=tuple(warnings))


def help_response(engine: type[Engine], mount: Mount, relative: str) -> Response:
    """`?help=1`: what is declared about a path, or about the whole engine at its root. Raises NotFound."""
    routes = engine.router.routes if not relative.strip("/") else [route for route in engine.router.routes if route.match(relative)]
    if not routes:
        raise NotFound(several("unsupported path"))
    text = _of_route(routes[0], relative) if relative.strip("/") else _of_engine(engine)
    document = {"openapi": "3.0.2", "paths": {f"/{mount.path}{route.pattern}": path_item(route, mount) for route in routes}}
    return Response(bare=Bare(msgspec.json.encode({"help": text, "see_also": None, "openapi": document})))


def _of_engine(engine: type[Engine]) -> str:
    paths = "\n".join(f"    {route.pattern}\n        {route.summary}\n" for route in engine.router.routes)
    return f"## DESCRIPTION\n\n{engine.help}\n\n## PATHS\n\n{paths}"


def _of_route(route: Route, relative: str) -> str:
    fields = route.fields.table if route.fields else ()
    names = "".join(f"    {field.name} ({field.kind.__name__})\n        {field.description}\n" for field in fields)
    return f"Request:        {relative}\nMatching Route: ^{route.pattern}$\n\n{route.summary}\n\n## PARAMETERS\n\n{names}"
