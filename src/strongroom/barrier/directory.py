"""The names below one prefix, decrypted, and what is made of all of them again and again.

Rules of this file:
- A directory never changes. When a name below it comes or goes another one takes its place, and `stands` turns false for good.
- What is made of all names (their JSON text, what audit writes of them) is kept with them, is never older than they are, and goes with
  them. A form that knows how is carried over to the next directory: else one name that comes costs as much as all that were there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

MOST_FORMS: Final = 4
"""Forms kept of one directory: there is one for each audit device, of about eighty bytes a name."""


class Edit(NamedTuple):
    """A name that came to its place, or went from it."""

    at: int
    name: str
    came: bool


class Form(Protocol):
    """Something made of all names in their order."""

    def amended(self, edits: Sequence[Edit]) -> Form:
        """The same of the names after these edits, one after another."""


class Directory:
    """Names in order; a child that is both a value and a folder stands in it twice. `stands`: it is what a reader would be given now."""

    __slots__ = ("_text", "forms", "names", "stands")

    def __init__(self, names: list[str], forms: dict[Any, Form] | None = None) -> None:
        self.names = names
        self.forms: dict[Any, Form] = {} if forms is None else forms
        self.stands = False
        self._text = b""

    @property
    def text(self) -> bytes:
        """The answer that lists all names."""
        if not self._text:
            self._text = b'{"keys":%b}' % msgspec.json.encode(self.names)
        return self._text

    def amended(self, changes: Iterable[tuple[str, bool]]) -> Directory:
        """The directory in which each of these names is there, or is not."""
        names = self.names.copy()
        edits = []
        for name, there in changes:
            at = bisect_left(names, name)
            if there == (names[at : at + 1] == [name]):
                continue
            if there:
                names.insert(at, name)
            else:
                del names[at]
            edits.append(Edit(at, name, there))
        return Directory(names, {key: form.amended(edits) for key, form in self.forms.items()})

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"Directory({len(self.names)} names)"
