"""Rows of an auth method that have names, such as roles, users and groups, with their routes from one declaration.

    class Example(Engine, kind="example", family="auth"):
        roles = Entries(Role, changed=changed_role, ends="role", missing='role "{}" could not be found')

    self.roles.known(role_name(body.role))

Rules of this file:
- Entries are listed, read, written and deleted. What logins rest on an entry ends with it (`ends`, core/logins.py).
- Who needs more than `changed` and `ends` say declares the route to write, or to delete, himself.
- An entry is kept under its name's one form. Everything that takes a name of a caller makes it canonical first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, overload

import msgspec

from strongroom.core.configuration import Kept, Warnings, answer, install
from strongroom.core.engine import Engine, ListBody, delete, list_, listed, read, write
from strongroom.core.forms import Row
from strongroom.core.lockout import unlock
from strongroom.core.logins import end_logins
from strongroom.core.mounts import Ttls
from strongroom.core.names import role_name
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest, NotFound


class Entries(Kept[Row], frozen=True, eq=False, kw_only=True):
    """Rows of a mount that have names. `pattern` has one hole, the name, at its end.

    Put into a class as an attribute, they give the class their routes and are those of the mount at hand.
    """

    pattern: str = "role/{name}"
    noun: str = "role"
    lists: tuple[str, ...] = ()
    """Where they are listed; below the pattern where nothing is given."""
    folder: str = ""
    """Below which name the rows lie; as in the pattern where none is given."""
    name: Callable[[str], str] = role_name
    """A name in its one form. Raises InvalidRequest."""
    ends: str
    """What logins rest on is this, "/" and the name; "" where none do."""
    locks: bool = False
    """Failed logins count under these names: one that is deleted is not locked any more."""
    deletes: bool = True
    warnings: Callable[[Row, Ttls], Warnings] | None = None
    """What whoever writes should know of the row, beside how long the mount's tokens live."""
    absent: Response | None = None
    """What a read of a name without a row answers; without one it is 404."""
    named: str = ""
    """The member of a read that repeats the name."""
    spelled: bool = False
    """Rows keep, in the field called as `named` says, how their name was written, and that is repeated."""

    def __set_name__(self, owner: type[Engine], _name: str) -> None:
        one, pattern = self.noun.lower().replace(" ", "_"), self.pattern
        says = {
            "list": f"List the {self.noun}s, in lower case.",
            "read": f"Show a {self.noun}.",
            "write": f"Create a {self.noun}, or change what is given of one.",
            "delete": f"Delete a {self.noun}; tokens of earlier logins end with it.",
        } | dict(self.says)
        lists = [list_(each, body=ListBody) for each in self.lists or (pattern[: pattern.rindex("{")],)]
        install(owner, f"list_{one}s", says["list"], lists, lambda engine, body: listed(engine.store, self.place, body))
        install(owner, f"read_{one}", says["read"], [read(pattern)], lambda engine, text: self.of(engine).read(text))
        install(owner, f"{one}_exists", "", [], lambda engine, text: self.of(engine).exists(text))
        if self.changed is not None:
            routes = [write(pattern, body=self.written_with(), exists=f"{one}_exists")]
            install(owner, f"write_{one}", says["write"], routes, lambda engine, text, body: self.of(engine).write(text, body))
        if self.deletes:
            install(owner, f"delete_{one}", says["delete"], [delete(pattern)], lambda engine, text: self.of(engine).delete(text))

    @property
    def place(self) -> str:
        """The path of the rows."""
        return self.folder or self.pattern[: self.pattern.rindex("/{")]

    def canonical(self, engine: Engine, text: str) -> str:
        """A caller's name in its one form. Raises InvalidRequest."""
        return self.name(text)

    def of(self, engine: Engine) -> MountEntries[Row]:
        """Those of a mount, in one call."""
        return MountEntries(engine, self)

    @overload
    def __get__(self, engine: None, owner: type) -> Entries[Row]: ...
    @overload
    def __get__(self, engine: Engine, owner: type) -> MountEntries[Row]: ...
    def __get__(self, engine: Engine | None, owner: type) -> Entries[Row] | MountEntries[Row]:
        return self if engine is None else self.of(engine)


class MountEntries(Generic[Row]):
    """The entries of a mount, in one call. `name` is a name in its one form, `text` what a caller sent."""

    __slots__ = ("engine", "kept")

    def __init__(self, engine: Engine, kept: Entries[Row]) -> None:
        self.engine = engine
        self.kept = kept

    def key(self, name: str) -> str:
        """Where an entry lies."""
        return f"{self.kept.place}/{name}"

    def canonical(self, text: str) -> str:
        """A caller's name in its one form. Raises InvalidRequest."""
        return self.kept.canonical(self.engine, text)

    def names(self) -> list[str]:
        """All names, in order."""
        return self.engine.store.list(self.kept.place)

    def get(self, name: str) -> Row | None:
        """An entry; None where there is none, and for no name."""
        return self.kept.find(self.engine, self.key(name)) if name else None

    def known(self, name: str) -> Row:
        """An entry that a login or a change needs. Raises InvalidRequest."""
        row = self.get(name)
        if row is None:
            raise InvalidRequest(self.kept.missing.format(name))
        return row

    def shown(self, text: str) -> Row:
        """An entry that is to be read. Raises NotFound."""
        row = self.get(self.canonical(text))
        if row is None:
            raise NotFound
        return row

    def renewed(self, name: str) -> Row:
        """An entry that a token goes on by. Raises InvalidRequest."""
        row = self.get(name)
        if row is None:
            raise InvalidRequest(f"the {self.kept.noun} does not exist any more, not renewing")
        return row

    def put(self, name: str, row: Row) -> None:
        """Stage an entry."""
        self.engine.store.put(self.key(name), row)

    def remove(self, name: str) -> None:
        """Stage the end of an entry, and of what logins rest on it."""
        self.engine.store.delete(self.key(name))
        if self.kept.ends:
            end_logins(self.engine.call.transaction, self.engine.mount, f"{self.kept.ends}/{name}")

    # -- what the routes do -----------------------------------------------------------------------------------------------------------

    def exists(self, text: str) -> bool:
        """Whether there is an entry of this name."""
        return self.engine.store.exists(self.key(self.canonical(text)))

    def read(self, text: str) -> Response:
        """The answer to a read. Raises NotFound."""
        kept, name = self.kept, self.canonical(text)
        if kept.absent is not None and self.get(name) is None:
            return kept.absent
        row = self.shown(name)
        shown = (kept.spelled and getattr(row, kept.named)) or name
        return Response(data={**({kept.named: shown} if kept.named else {}), **kept.members(row)})

    def write(self, text: str, body: msgspec.Struct) -> Response | None:
        """Make or change an entry, and the answer to that. Raises InvalidRequest."""
        name = self.canonical(text)
        row = self.kept.after(self.get(name), body)
        if self.kept.spelled:
            row = msgspec.structs.replace(row, **{self.kept.named: text})
        self.put(name, row)
        return self.written(row)

    def written(self, row: Row) -> Response | None:
        """The answer to a write that came to this row."""
        engine, warnings = self.engine, self.kept.warnings
        return answer(warnings(row, Ttls(engine.default_ttl, engine.max_ttl))) if warnings is not None else None

    def delete(self, text: str) -> None:
        """Remove an entry, where there is one."""
        name = self.canonical(text)
        if self.engine.store.exists(self.key(name)):
            self.remove(name)
        if self.kept.locks:
            unlock(self.engine.call.transaction, self.engine.mount, name)
