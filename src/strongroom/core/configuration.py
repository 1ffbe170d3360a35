"""What auth methods keep, with its routes from one declaration. Here: the one row that says how a mount works.

    class Example(Engine, kind="example", family="auth"):
        config = Configuration(Config, changed=changed_config, missing="the mount is not configured")

    self.config.known()

Rules of this file:
- `changed` is pure: the row after a write, of the row before and the body. Who needs more declares the route to write himself.
- A read tells what the row's declaration says (core/forms.py), or what `told` makes of it; never a secret.
- Where something stands by default, there is something to read before anything was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, overload

import msgspec

from strongroom.core.engine import Engine, delete, read, write
from strongroom.core.forms import Row, body_of, hidden, members
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest, NotFound

Warnings = tuple[str, ...]


class Kept(msgspec.Struct, Generic[Row], frozen=True, eq=False):
    """What a configuration and entries have in common: a type of row, and how it is written and told."""

    row: type[Row]
    body: type[msgspec.Struct] | None = None
    """What it is written with; the row's own form where none is given."""
    changed: Callable[[Row | None, Any], Row] | None = None
    """The row after a write. Without it there is no route to write."""
    told: Callable[[Row], dict[str, Any]] | None = None
    """The members of a read."""
    old: tuple[str, ...] = ()
    """Token parameters that are told by their old names, too."""
    missing: str = ""
    """What is said where something needs a row that is not there; {} is its name."""
    says: Mapping[str, str] = {}
    """Help of single routes, by list, read, write, delete."""

    def written_with(self) -> type[msgspec.Struct]:
        """The body of a write."""
        return self.body if self.body is not None else body_of(self.row)

    def find(self, engine: Engine, key: str) -> Row | None:
        """The row at a key."""
        return engine.store.get(key, self.row) if hidden(self.row) else engine.store.settings(key, self.row)

    def members(self, row: Row) -> dict[str, Any]:
        """What a read tells of a row."""
        return members(row, self.old) if self.told is None else self.told(row)

    def after(self, before: Row | None, body: msgspec.Struct) -> Row:
        """The row after a write. Raises InvalidRequest."""
        assert self.changed is not None
        return self.changed(before, body)


def answer(warnings: Warnings) -> Response | None:
    """Of a write: nothing, or what whoever wrote should know."""
    return Response(warnings=warnings) if warnings else None


def install(owner: type, name: str, says: str, routes: list[Callable[[Any], Any]], function: Callable[..., Any]) -> None:
    """Make a function a class's own, with its routes. Raises TypeError where the class has one of that name."""
    if name in vars(owner):
        raise TypeError(f"{owner.__name__}.{name} is declared twice: leave out the one or the other")
    function.__name__, function.__doc__ = name, says
    for route in routes:
        route(function)
    setattr(owner, name, function)


class Configuration(Kept[Row], frozen=True, eq=False, kw_only=True):
    """One row of a mount. Put into a class as an attribute, it gives the class its routes and is the row of the mount at hand."""

    pattern: str = "config"
    also: tuple[str, ...] = ()
    """More patterns for the same."""
    key: str = ""
    """Where the row lies; at the pattern's own path where none is given."""
    default: Row | None = None
    """What stands where nothing was written; without one, a read is 404. Where there is a `missing` it is told, and nothing works by it."""
    creates: bool = True
    """The first write is a create, and every later one an update; else all are updates."""
    deletes: bool = False
    warnings: Callable[[Row], Warnings] | None = None
    """What whoever writes should know, and whoever reads."""
    read_warnings: Callable[[Row], Warnings] | None = None

    def __set_name__(self, owner: type[Engine], name: str) -> None:
        patterns = (self.pattern, *self.also)
        says = {"read": "Show the configuration.", "write": "Configure the method, or change what is given."} | dict(self.says)
        exists = f"{name}_exists" if self.creates else ""
        install(owner, f"read_{name}", says["read"], [read(each) for each in patterns], lambda engine: self.of(engine).read())
        if self.creates:
            install(owner, exists, "", [], lambda engine: self.of(engine).exists())
        if self.changed is not None:
            routes = [write(each, body=self.written_with(), exists=exists) for each in patterns]
            install(owner, f"write_{name}", says["write"], routes, lambda engine, body: self.of(engine).write(body))
        if self.deletes:
            install(owner, f"delete_{name}", says["delete"], [delete(each) for each in patterns], lambda engine: self.of(engine).delete())

    def of(self, engine: Engine) -> MountConfiguration[Row]:
        """That of a mount, in one call."""
        return MountConfiguration(engine, self)

    @overload
    def __get__(self, engine: None, owner: type) -> Configuration[Row]: ...
    @overload
    def __get__(self, engine: Engine, owner: type) -> MountConfiguration[Row]: ...
    def __get__(self, engine: Engine | None, owner: type) -> Configuration[Row] | MountConfiguration[Row]:
        return self if engine is None else self.of(engine)


class MountConfiguration(Generic[Row]):
    """The configuration of a mount, in one call."""

    __slots__ = ("engine", "kept")

    def __init__(self, engine: Engine, kept: Configuration[Row]) -> None:
        self.engine = engine
        self.kept = kept

    @property
    def key(self) -> str:
        """Where the row lies."""
        return self.kept.key or self.kept.pattern

    def get(self) -> Row | None:
        """The row, where one was written."""
        return self.kept.find(self.engine, self.key)

    def exists(self) -> bool:
        """Whether one was written."""
        return self.engine.store.exists(self.key)

    def known(self) -> Row:
        """The row, or what stands where none was written. Raises InvalidRequest where nothing does."""
        found = self.get() or (None if self.kept.missing else self.kept.default)
        if found is None:
            raise InvalidRequest(self.kept.missing)
        return found

    def put(self, row: Row) -> None:
        """Stage the row."""
        self.engine.store.put(self.key, row)

    def read(self) -> Response:
        """The answer to a read. Raises NotFound."""
        kept, row = self.kept, self.get() or self.kept.default
        if row is None:
            raise NotFound
        return Response(data=kept.members(row), warnings=kept.read_warnings(row) if kept.read_warnings is not None else ())

    def write(self, body: msgspec.Struct) -> Response | None:
        """Change the row, and the answer to that. Raises InvalidRequest."""
        row = self.kept.after(self.get() or self.kept.default, body)
        self.put(row)
        return answer(self.kept.warnings(row)) if self.kept.warnings is not None else None

    def delete(self) -> None:
        """Stage that there is no row."""
        self.engine.store.delete(self.key)
