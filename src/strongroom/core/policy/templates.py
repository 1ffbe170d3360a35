"""Names of the caller in policy paths: `{{identity.entity.name}}` and its kin.

Rules of this file:
- A template is read once, when the policy is parsed; a value is put in as literal text of one segment and never read again.
- A value that could act as a wildcard, a separator, a relative segment or a template of its own is refused: then the rule cannot be
  rendered. What cannot be resolved cannot be rendered either. The two are told apart for the audit log only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from strongroom.errors import InvalidRequest

MAX_VALUE: Final = 256
"""Bytes of one inserted value; names are shorter, and a path has 1,024."""

REJECTED: Final = "template_value_rejected"
UNRESOLVED: Final = "template_unresolved"

_FORBIDDEN: Final = frozenset("+*/,\\{}%?#")


class AliasView(msgspec.Struct, frozen=True):
    """What a template may know of the alias with which the caller logged in."""

    id: str = ""
    name: str = ""
    metadata: Mapping[str, str] = {}
    custom_metadata: Mapping[str, str] = {}


class GroupView(msgspec.Struct, frozen=True):
    """What a template may know of a group the caller belongs to."""

    id: str
    name: str
    metadata: Mapping[str, str] = {}


class Identity(msgspec.Struct, frozen=True):
    """What a template may know of the caller. `aliases` holds, by mount accessor, only the alias that logged in there."""

    id: str = ""
    name: str = ""
    metadata: Mapping[str, str] = {}
    aliases: Mapping[str, AliasView] = {}
    groups: tuple[GroupView, ...] = ()


class Unusable(Exception):
    """A template that has no usable value for this caller; `reason` is REJECTED or UNRESOLVED."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Template(NamedTuple):
    """A path with holes: `literals` has one more item than `references`, and they alternate."""

    literals: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]

    def render(self, identity: Identity | None) -> str:
        """The path for this caller. Raises Unusable."""
        parts = [self.literals[0]]
        for reference, literal in zip(self.references, self.literals[1:], strict=True):
            parts += (_checked(_resolve(reference, identity)), literal)
        return "".join(parts)


def parse_template(path: str) -> Template | None:
    """Read the holes of a path; None where it has none. Raises InvalidRequest."""
    if "{{" not in path and "}}" not in path:
        return None
    head, *rest = path.split("{{")
    literals, references = [head], []
    for piece in rest:
        name, closing, literal = piece.partition("}}")
        if not closing:
            raise InvalidRequest("a template in a path is not closed; write {{identity.entity.id}}")
        references.append(_reference(name.strip(" \t")))
        literals.append(literal)
    if any("}}" in literal for literal in literals):
        raise InvalidRequest("a path has }} without {{ before it")
    return Template(tuple(literals), tuple(references))


def _reference(name: str) -> tuple[str, ...]:
    """Split a name at its dots; the last part of metadata keys and group names may contain dots itself."""
    match name.split("."):
        case ["identity", "entity", "id" | "name" as field]:
            return ("entity", field)
        case ["identity", "entity", "metadata", *key] if any(key):
            return ("entity", "metadata", ".".join(key))
        case ["identity", "entity", "aliases", accessor, "id" | "name" as field] if accessor:
            return ("alias", accessor, field)
        case ["identity", "entity", "aliases", accessor, "metadata" | "custom_metadata" as field, *key] if accessor and any(key):
            return ("alias", accessor, field, ".".join(key))
        case ["identity", "groups", "ids", group, "name"] if group:
            return ("group", "id", group, "name")
        case ["identity", "groups", "ids", group, "metadata", *key] if group and any(key):
            return ("group", "id", group, "metadata", ".".join(key))
        case ["identity", "groups", "names", *group, "id"] if any(group):
            return ("group", "name", ".".join(group), "id")
    raise InvalidRequest(
        "a template in a path names nothing that is known; known are identity.entity.{id,name,metadata.KEY,"
        "aliases.ACCESSOR.{id,name,metadata.KEY,custom_metadata.KEY}}, identity.groups.ids.ID.name, identity.groups.names.NAME.id"
    )


def _resolve(reference: tuple[str, ...], identity: Identity | None) -> str:
    if identity is None:
        raise Unusable(UNRESOLVED)
    source: Identity | AliasView | GroupView | None
    match reference:
        case ("entity", *fields):
            source = identity
        case ("alias", accessor, *fields):
            source = identity.aliases.get(accessor)
        case ("group", by, group, *fields):
            source = next((one for one in identity.groups if getattr(one, by) == group), None)
    value = None if source is None else getattr(source, fields[0])
    if len(fields) == 2 and value is not None:
        value = value.get(fields[1])
    if value is None:
        raise Unusable(UNRESOLVED)
    return str(value)


def _checked(value: str) -> str:
    usable = value.isprintable() and _FORBIDDEN.isdisjoint(value) and value not in ("", ".", "..")
    if not usable or len(value.encode()) > MAX_VALUE:
        raise Unusable(REJECTED)
    return value
