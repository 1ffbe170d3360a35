"""Reading one stanza: which of its keys mean something, what the environment puts in their place, and what to warn of.

Rules of this file: `STRONGROOM_<STANZA>_<KEY>` overrides a key of a stanza that occurs once, `STRONGROOM_<KEY>` a top-level one; an error
names line and key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from strongroom.core import hcl
from strongroom.core.fields import Fields, read_fields
from strongroom.errors import ConfigError, InvalidRequest

PREFIX = "STRONGROOM"


class Reader:
    """Reads one configuration: collects warnings, and knows the environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.warnings: list[str] = []
        self.environment = environment

    def members(self, where: str, body: hcl.Body, known: Iterable[str], ignored: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The attributes of a stanza that mean something."""
        found: dict[str, Any] = {}
        names = frozenset(known)
        for entry in body.entries:
            if entry.key in names:
                if entry.key in found:
                    raise entry.error(f"{hcl.shown(entry.key)} is given twice; keep one of them")
                found[entry.key] = hcl.plain(entry.value)
            elif entry.key in ignored:
                self.warn(f"{where}: the key {entry.key!r} has no meaning here and is ignored")
            else:
                raise entry.error(f"{where} has no key {hcl.shown(entry.key)}; check its spelling")
        return found

    def overridden(self, stanza: str, names: Iterable[str], members: dict[str, Any]) -> dict[str, Any]:
        """The members of a stanza that occurs once, under those that the environment gives."""
        prefix = f"{PREFIX}_{stanza}_".upper() if stanza else f"{PREFIX}_"
        given = {name: self.environment.get(prefix + name.upper()) for name in names}
        return members | {name: value for name, value in given.items() if value is not None}

    def warn(self, text: str) -> None:
        """Say it once."""
        if text not in self.warnings:
            self.warnings.append(text)


def read(where: str, fields: Fields, members: dict[str, Any]) -> Any:
    """Make the struct of a stanza's members. Raises ConfigError naming the stanza and each wrong field."""
    try:
        return read_fields(fields, members, "field {!r} takes {}")
    except InvalidRequest as error:
        raise ConfigError(f"{where}: {'; '.join(error.messages)}") from None


def text_of(entry: hcl.Entry, value: object) -> str:
    """A scalar as the text that an option takes. Raises HclError."""
    if isinstance(value, dict | list) or value is None:
        raise entry.error(f"{hcl.shown(entry.key)} takes a text, a number or true or false")
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
