"""Routes are declared on methods: which one a path finds, and what is documented of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from strongroom.core.engine import CLASSES, Engine, ListBody, delete, keys_response, list_, login, paged, patch, read, scan, write
from strongroom.core.mounts import new_mount
from strongroom.core.openapi import path_item
from strongroom.core.request import Operation
from strongroom.core.response import Response
from strongroom.errors import NotFound


class SizeBody(msgspec.Struct, frozen=True):
    size: int = 0


class Paths(Engine, kind="paths"):
    """Paths of every shape."""

    @read("config")
    def config(self) -> Response | None:
        """Literal."""

    @read("{name}")
    def named(self, name: str) -> Response | None:
        """One hole."""

    @read("{path...}")
    def any(self, path: str) -> Response | None:
        """One or more segments."""

    @read("a/{x}/c")
    def middle(self, x: str) -> Response | None:
        """A hole in the middle."""

    @read("a/{x}/{y}")
    def two(self, x: str, y: str) -> Response | None:
        """Two holes."""

    @read("m/{path...}")
    def rest(self, path: str) -> Response | None:
        """An open end."""

    @read("m/{path...}/tune")
    def tune(self, path: str) -> Response | None:
        """Text behind an open end."""

    @list_("l/")
    @scan("l/")
    def names(self) -> Response | None:
        """Names."""

    @write("w/{name}", body=SizeBody, exists="there", sudo=True)
    def put(self, name: str, body: SizeBody) -> Response | None:
        """Write."""

    @patch("w/{name}", writes=False)
    def change(self, name: str) -> Response | None:
        """Change."""

    @delete("w/{name}")
    def drop(self, name: str) -> Response | None:
        """Drop."""

    @login("login/{name}")
    def enter(self, name: str) -> Response | None:
        """Log in."""

    @read("re.gex/(x)+")
    def literal(self) -> Response | None:
        """What looks like an expression is text."""


def found(operation: Operation, path: str) -> tuple[str, tuple[str, ...]] | None:
    match = Paths.router.find(operation, path)
    return None if match is None else (match[0].name, match[1])


@pytest.mark.parametrize(
    ("path", "name", "args"),
    [
        ("config", "config", ()),
        ("configs", "named", ("configs",)),
        ("x/y/z", "any", ("x/y/z",)),
        ("a/b/c", "middle", ("b",)),
        ("a/b/d", "two", ("b", "d")),
        ("a/b/c/d", "any", ("a/b/c/d",)),
        ("m/x", "rest", ("x",)),
        ("m/x/tune", "tune", ("x",)),
        ("m/x/y/tune", "tune", ("x/y",)),
        ("m/tune", "rest", ("tune",)),
        ("re.gex/(x)+", "literal", ()),
        ("re-gex/x", "any", ("re-gex/x",)),
        ("a\nb", "named", ("a\nb",)),
    ],
)
def test_the_most_definite_pattern_answers(path: str, name: str, args: tuple[str, ...]) -> None:
    assert found(Operation.READ, path) == (name, args)


def test_only_declared_operations_are_found() -> None:
    assert Paths.router.operations("w/x") == {Operation.READ, Operation.CREATE, Operation.UPDATE, Operation.PATCH, Operation.DELETE}
    assert Paths.router.operations("l/") == {Operation.LIST, Operation.SCAN, Operation.READ}
    assert found(Operation.LIST, "l") is None
    assert found(Operation.READ, "") is None
    assert found(Operation.UPDATE, "w/") is None
    assert all(found(Operation.HELP, route.pattern) is None for route in Paths.router.routes)


def test_what_writes_is_told_by_the_verb_unless_said() -> None:
    writes = {route.name: route.writes for route in Paths.router.routes}
    assert writes["put"]
    assert writes["drop"]
    assert writes["enter"]
    assert not writes["change"]
    assert not writes["config"]
    assert next(route for route in Paths.router.routes if route.name == "enter").public


def test_what_is_declared_is_documented() -> None:
    route = next(route for route in Paths.router.routes if route.name == "put")
    item = path_item(route, new_mount("p/", "paths", "secrets"))
    assert item["x-vault-sudo"]
    assert [parameter["name"] for parameter in item["parameters"]] == ["name"]
    schema: dict[str, Any] = item["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["size"]["type"] == "integer"
    assert item["post"]["summary"] == "Write."


def test_an_empty_list_is_not_found() -> None:
    with pytest.raises(NotFound):
        keys_response([])
    assert keys_response(["a", "b"], {"a": 1, "z": 2}).data == {"keys": ["a", "b"], "key_info": {"a": 1}}


def test_a_body_of_an_unreadable_type_is_an_error_at_import() -> None:
    class Odd(msgspec.Struct):
        when: set[int]

    with pytest.raises(TypeError, match="no reader"):

        class Wrong(Engine, kind="wrong"):
            """Wrong."""

            @write("a", body=Odd)
            def a(self, body: Odd) -> None:
                """A."""

    assert ("secrets", "wrong", "") not in CLASSES


@pytest.mark.parametrize(
    ("after", "limit", "shown"), [("", -1, ["a", "b", "c"]), ("", 0, ["a", "b", "c"]), ("a", 1, ["b"]), ("b", 9, ["c"]), ("c", -1, [])]
)
def test_a_page_is_what_comes_after_and_no_more_than_asked_for(after: str, limit: int, shown: list[str]) -> None:
    assert paged(["a", "b", "c"], ListBody(after, limit)) == shown
