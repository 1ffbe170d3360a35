"""Search filters (RFC 4515) as templates: compiled once, filled with what a user typed, encoded for the wire.

Rules of this file:
- A template is parsed before anything is put into it. A hole `{{.Name}}` becomes octets of one assertion value, which nobody parses
  again: no name of a user can add to a filter, and no escaping can be forgotten.
- Holes are the only thing taken over from Go's template language, in which Vault's clients write filters.
- Which holes there are is said when a template is compiled. Names of attributes have none but those that an administrator fills.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from strongroom.outbound.ldap import ber

MAX_FILTER: Final = 4_096
"""Characters of a filter; far above what anybody writes."""
MAX_DEPTH: Final = 16
"""Of nested filters."""

ATTRIBUTE_HOLES: Final = frozenset({"UserAttr"})
"""What may stand for an attribute's name: nothing that a stranger types."""

_ATTRIBUTE: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+)(?:;[A-Za-z0-9-]+)*", re.ASCII)
_RULE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+", re.ASCII)
_HOLE: Final = re.compile(r"\{\{\s{0,8}\.([A-Za-z]{1,40})\s{0,8}\}\}", re.ASCII)
_ITEM: Final = re.compile(r"(.*?)(:=|~=|>=|<=|=)(.*)", re.DOTALL)

_AND, _OR, _NOT, _PRESENT, _EXTENSIBLE, _SUBSTRINGS = 0xA0, 0xA1, 0xA2, 0x87, 0xA9, 0xA4
_COMPARISONS: Final = {"=": 0xA3, ">=": 0xA5, "<=": 0xA6, "~=": 0xA8}
_SETS: Final = {"&": _AND, "|": _OR}


class InvalidFilter(ValueError):
    """This text is not a filter, or asks for what is not there."""


class Hole(msgspec.Struct, frozen=True):
    """A place for one of the values."""

    name: str


Text = tuple[bytes | Hole, ...]
"""Octets and holes, to be joined."""


class Group(msgspec.Struct, frozen=True):
    """All, any or none of its members."""

    kind: int
    members: tuple[Filter, ...]


class Item(msgspec.Struct, frozen=True):
    """One assertion. `pieces` are (kind, text): a value has one, substrings have several, a presence has none."""

    kind: int
    attribute: Text
    pieces: tuple[tuple[int, Text], ...] = ()
    rule: str = ""
    with_dn: bool = False


Filter = Group | Item


def compile_filter(text: str, holes: frozenset[str]) -> Filter:
    """A template's filter. Raises InvalidFilter, also for a hole that is not one of `holes`."""
    text = text.strip()
    if len(text) > MAX_FILTER or "\0" in text:
        raise InvalidFilter(f"a filter has at most {MAX_FILTER} characters, and no NUL")
    found, end = _filter(text, 0, holes, MAX_DEPTH)
    if end != len(text):
        raise InvalidFilter("there is something behind the filter's closing parenthesis")
    return found


def encode_filter(found: Filter, values: Mapping[str, str]) -> bytes:
    """A filter for the wire. Raises InvalidFilter where a value that is used as an attribute's name is none."""
    if isinstance(found, Group):
        return ber.element(found.kind, *(encode_filter(member, values) for member in found.members))
    attribute = _filled(found.attribute, values)
    if found.attribute and not _ATTRIBUTE.fullmatch(attribute.decode()):
        raise InvalidFilter("the name of an attribute is made of letters, digits and -")
    if found.kind == _PRESENT:
        return ber.octets(attribute, _PRESENT)
    if found.kind == _EXTENSIBLE:
        return _extensible(found, attribute, values)
    pieces = [ber.octets(_filled(text, values), kind) for kind, text in found.pieces]
    assertion = ber.element(ber.SEQUENCE, *pieces) if found.kind == _SUBSTRINGS else pieces[0]
    return ber.element(found.kind, ber.octets(attribute), assertion)


def _extensible(found: Item, attribute: bytes, values: Mapping[str, str]) -> bytes:
    """matchingRule [1], type [2], matchValue [3], dnAttributes [4] (RFC 4511, 4.5.1.7.7)."""
    parts = [ber.octets(found.rule, 0x81)] if found.rule else []
    if attribute:
        parts.append(ber.octets(attribute, 0x82))
    parts.append(ber.octets(_filled(found.pieces[0][1], values), 0x83))
    if found.with_dn:
        parts.append(ber.boolean(True, 0x84))
    return ber.element(_EXTENSIBLE, *parts)


def _filled(text: Text, values: Mapping[str, str]) -> bytes:
    return b"".join(values[part.name].encode() if isinstance(part, Hole) else part for part in text)


# -- parsing --------------------------------------------------------------------------------------------------------


def _filter(text: str, at: int, holes: frozenset[str], depth: int) -> tuple[Filter, int]:
    """The filter at a place, and where it ends."""
    if depth == 0:
        raise InvalidFilter(f"filters lie at most {MAX_DEPTH} deep in each other")
    if not text.startswith("(", at):
        raise InvalidFilter("a filter begins with an opening parenthesis")
    at += 1
    mark = text[at : at + 1]
    if mark in _SETS or mark == "!":
        return _group(text, at + 1, mark, holes, depth)
    end = text.find(")", at)
    if end < 0:
        raise InvalidFilter("a filter ends with a closing parenthesis")
    return _item(text[at:end], holes), end + 1


def _group(text: str, at: int, mark: str, holes: frozenset[str], depth: int) -> tuple[Filter, int]:
    members = []
    while text.startswith("(", at):
        member, at = _filter(text, at, holes, depth - 1)
        members.append(member)
    if not text.startswith(")", at):
        raise InvalidFilter("behind & | and ! stand filters in parentheses, and then a closing one")
    if not members or (mark == "!" and len(members) != 1):
        raise InvalidFilter("& and | take one or more filters, ! takes one")
    return Group(_SETS.get(mark, _NOT), tuple(members)), at + 1


def _item(text: str, holes: frozenset[str]) -> Item:
    match = _ITEM.fullmatch(text)
    if match is None:
        raise InvalidFilter("an assertion is an attribute, one of = >= <= ~= :=, and a value")
    left, operator, value = match.groups()
    if operator == ":=":
        return _extensible_item(left, value, holes)
    attribute = _attribute(left, holes)
    if operator == "=" and value == "*":
        return Item(_PRESENT, attribute)
    parts = value.split("*")
    if len(parts) == 1:
        return Item(_COMPARISONS[operator], attribute, ((ber.OCTETS, _value(value, holes)),))
    if operator != "=":
        raise InvalidFilter("an asterisk in a value goes with = only; as itself it is written \\2a")
    kinds = [0x80, *[0x81] * (len(parts) - 2), 0x82]
    pieces = tuple((kind, _value(part, holes)) for kind, part in zip(kinds, parts, strict=True) if part)
    if not pieces:
        raise InvalidFilter("asterisks alone are no value")
    return Item(_SUBSTRINGS, attribute, pieces)


def _extensible_item(left: str, value: str, holes: frozenset[str]) -> Item:
    attribute, *rest = left.split(":")
    with_dn = bool(rest) and rest[0].lower() == "dn"
    rules = rest[1:] if with_dn else rest
    if len(rules) > 1 or not (attribute or rules) or not all(_RULE.fullmatch(rule) for rule in rules):
        raise InvalidFilter("in front of := stand an attribute, :dn, and the name of a matching rule, in this order")
    found = _attribute(attribute, holes) if attribute else ()
    return Item(_EXTENSIBLE, found, ((0x83, _value(value, holes)),), rules[0] if rules else "", with_dn)


def _attribute(text: str, holes: frozenset[str]) -> Text:
    found = _value(text, holes & ATTRIBUTE_HOLES)
    if not _ATTRIBUTE.fullmatch(_HOLE.sub("a", text)):
        raise InvalidFilter("the name of an attribute is made of letters, digits and -")
    return found


def _value(text: str, holes: frozenset[str]) -> Text:
    """Literal characters, octets written `\\2a`, and holes."""
    parts: list[bytes | Hole] = []
    at = 0
    while at < len(text):
        hole = _HOLE.match(text, at)
        if hole is not None:
            if hole[1] not in holes:
                raise InvalidFilter(f"what can be filled in here: {', '.join(f'{{{{.{name}}}}}' for name in sorted(holes)) or 'nothing'}")
            parts.append(Hole(hole[1]))
            at = hole.end()
        elif text[at] == "\\":
            if not re.fullmatch(r"[0-9A-Fa-f]{2}", text[at + 1 : at + 3]):
                raise InvalidFilter("behind a backslash stand two hexadecimal digits")
            parts.append(bytes.fromhex(text[at + 1 : at + 3]))
            at += 3
        elif text.startswith("{{", at) or text[at] == "(":
            raise InvalidFilter("an opening parenthesis in a value is written \\28, and {{ opens a value such as {{.Username}}")
        else:
            parts.append(text[at].encode())
            at += 1
    return tuple(parts)
