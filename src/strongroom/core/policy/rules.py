"""What a policy says: its text becomes frozen rules, one per `path` block.

Rules of this file:
- Parsing is strict: an unknown key, a repeated key, a wrong type or an unknown capability is a 400 that names the line.
- A policy name is canonical or refused; `root` and `response-wrapping` are flags of tokens, not names anybody can assign.
- Nothing is decided here; core/policy/acl.py compiles the rules of several policies into one answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

import msgspec

from strongroom.clock import SECOND, parse_rfc3339
from strongroom.core.hcl import MAX_NODES, Block, Body, Entry, Value, parse, plain, shown
from strongroom.core.policy.templates import Template, parse_template
from strongroom.errors import InvalidRequest
from strongroom.types import parse_duration

CAPABILITIES: Final = frozenset({"create", "read", "update", "patch", "delete", "list", "scan", "sudo", "deny", "recover", "subscribe"})
"""`recover` and `subscribe` are Vault's; kept and shown, and no operation asks for them: `subscribe_event_types` narrows nothing."""

SHORTHANDS: Final[Mapping[str, frozenset[str]]] = {
    "deny": frozenset({"deny"}),
    "read": frozenset({"read", "list"}),
    "write": frozenset({"create", "read", "update", "delete", "list"}),
    "sudo": frozenset({"create", "read", "update", "delete", "list", "sudo"}),
}
"""The old `policy = "…"` in place of capabilities."""

UNASSIGNABLE: Final = frozenset({"root", "response-wrapping"})

MAX_NAME: Final = 256
"""Characters of a policy name; it is a path segment in `sys/policies/acl/`."""

_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.:/@ -]*[a-z0-9_.:@-])?", re.ASCII)

_HOLE: Final = re.compile(r"\{\{ ?\.(path|key) ?\}\}")
_BRACES: Final = re.compile(r"\{\{|\}\}")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One `path` block. Durations in seconds, `expiration` in nanoseconds since the epoch; 0 = unset.

    The values of parameter maps are plain JSON values; an empty tuple means any value.
    """

    pattern: str
    template: Template | None = None
    capabilities: frozenset[str] = frozenset()
    allowed_parameters: Mapping[str, tuple[Any, ...]] = {}
    denied_parameters: Mapping[str, tuple[Any, ...]] = {}
    required_parameters: tuple[str, ...] = ()
    min_wrapping_ttl: int = 0
    max_wrapping_ttl: int = 0
    pagination_limit: int = 0
    expiration: int = 0
    comment: str = ""
    mfa_methods: tuple[str, ...] = ()
    subscribe_event_types: tuple[str, ...] = ()
    list_scan_response_keys_filter_path: str = ""


class Policy(msgspec.Struct, frozen=True):
    """A parsed policy. `namespace` ("" or "team/") goes before every pattern; `expiration` ends all of it at once."""

    name: str
    text: str
    rules: tuple[Rule, ...]
    namespace: str = ""
    expiration: int = 0


def policy_name(text: str) -> str:
    """The canonical form of a policy name: ASCII letters in lower case. Anything else is refused, never repaired."""
    name = text.lower() if text.isascii() else ""
    segments = name.split("/")
    if len(name) > MAX_NAME or not _NAME.fullmatch(name) or not {"", ".", ".."}.isdisjoint(segments):
        raise InvalidRequest(
            "a policy name has ASCII letters, digits and - _ . : / @ or inner spaces, "
            f"begins with a letter, digit or _ and is at most {MAX_NAME} long; choose another"
        )
    return name


def assignable_policies(names: Iterable[str] | str) -> tuple[str, ...]:
    """The names somebody may be given: canonical, sorted, each once. One text is a list with commas, as Vault's clients send it."""
    return tuple(sorted(policies_in_order(names.split(",") if isinstance(names, str) else names)))


def policies_in_order(names: Iterable[str]) -> tuple[str, ...]:
    """The names somebody may be given: canonical, each once, in the order in which they were written. Blank ones say nothing."""
    found = tuple(dict.fromkeys(policy_name(item) for name in names if (item := name.strip(" "))))
    if not UNASSIGNABLE.isdisjoint(found):
        raise InvalidRequest("the policies root and response-wrapping cannot be assigned; leave them out")
    return found


def parse_policy(name: str, text: str, namespace: str = "", expiration: int = 0, most: int = MAX_NODES) -> Policy:
    """Read a policy of at most so many entries. Raises InvalidRequest, with line and column wherever there is one."""
    body = parse(text, most)
    for entry in body.entries:
        if entry.key not in ("name", "path"):
            raise entry.error(f"unknown key {shown(entry.key)} in a policy; it has path blocks only")
    rules = tuple(_rule(block) for block in body.blocks("path", labels=1))
    return Policy(name, text, rules, namespace, expiration)


def _rule(block: Block) -> Rule:
    pattern = block.labels[0].removeprefix("/")
    if "+*" in pattern:
        raise block.error("'+*' in a path means nothing; write '+' for one segment or '*' at the end")
    try:
        template = parse_template(pattern)
    except InvalidRequest as error:
        raise block.error(str(error)) from error
    entries = block.body.unique()
    fields: dict[str, Any] = {}
    for key, entry in entries.items():
        if key not in _READERS:
            raise entry.error(f"unknown key {shown(key)} in a path block; known are {', '.join(sorted(_READERS))}")
        if entry.labels:
            raise entry.error(f"{shown(key)} takes no labels")
        fields[key] = _READERS[key](entry)
    fields["capabilities"] = _combined(fields.pop("policy", frozenset()) | fields.get("capabilities", frozenset()))
    rule = Rule(pattern=pattern, template=template, **fields)
    if 0 < rule.max_wrapping_ttl < rule.min_wrapping_ttl:
        raise block.error("max_wrapping_ttl is less than min_wrapping_ttl, so no request could pass")
    return rule


def _combined(capabilities: frozenset[str]) -> frozenset[str]:
    return SHORTHANDS["deny"] if "deny" in capabilities else capabilities


# Readers of the keys of a path block: an entry in, the field of Rule out.


def _texts(entry: Entry) -> tuple[str, ...]:
    values = entry.value if isinstance(entry.value, tuple) else (entry.value,)
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) != len(values):
        raise entry.error(f"{entry.key} must be a list of texts")
    return texts


def _text(entry: Entry) -> str:
    if not isinstance(entry.value, str):
        raise entry.error(f"{entry.key} must be a text")
    return entry.value


def _capabilities(entry: Entry) -> frozenset[str]:
    found = frozenset(_texts(entry))
    if not found <= CAPABILITIES:
        raise entry.error(f"unknown capability; known are {', '.join(sorted(CAPABILITIES))}")
    return found


def _shorthand(entry: Entry) -> frozenset[str]:
    found = SHORTHANDS.get(_text(entry))
    if found is None:
        raise entry.error(f"policy must be one of {', '.join(SHORTHANDS)}; or use capabilities")
    return found


def _parameters(entry: Entry) -> dict[str, tuple[Any, ...]]:
    bodies = entry.value if isinstance(entry.value, tuple) else (entry.value,)
    found: dict[str, tuple[Any, ...]] = {}
    for body in bodies:
        if not isinstance(body, Body):
            raise entry.error(f'{entry.key} must be an object such as {{ "name" = ["value", "prefix*"] }}')
        for name, inner in body.unique().items():
            lowered = name.lower()
            if lowered in found:
                raise inner.error(f"{shown(name)} is given twice; letter case does not matter")
            found[lowered] = _values(inner)
    return found


def _values(entry: Entry) -> tuple[Any, ...]:
    value: Value = entry.value
    if entry.labels or not isinstance(value, tuple):
        raise entry.error(f"{shown(entry.key)} must be a list of values; an empty list means any value")
    return tuple(plain(item) for item in value)


def _required(entry: Entry) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.lower() for text in _texts(entry)))


def _duration(entry: Entry) -> int:
    try:
        seconds = parse_duration(entry.value)
    except ValueError as error:
        raise entry.error(f"{entry.key}: {error}") from error
    if seconds < 0 or (seconds == 0 and entry.value not in (0, "", "0", "0s")):
        raise entry.error(f"{entry.key} must be at least one second, or 0 for no limit")
    return seconds


def _count(entry: Entry) -> int:
    if type(entry.value) is not int or not 0 <= entry.value < 1 << 31:
        raise entry.error(f"{entry.key} must be a whole number, 0 for no limit")
    return entry.value


def _instant(entry: Entry) -> int:
    value = entry.value
    try:
        if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
            return max(parse_rfc3339(value), 1)
        if isinstance(value, str | int | Decimal) and not isinstance(value, bool) and 0 < int(value) < 1 << 33:
            return int(value) * SECOND
    except ValueError:
        pass
    raise entry.error(f"{entry.key} must be a time such as 2026-01-31T12:00:00Z")


def _keys_filter(entry: Entry) -> str:
    """Holes `{{ .path }}` and `{{ .key }}` in their one spelling, so that filling them in is a replacement."""
    text = _HOLE.sub(r"{{.\1}}", _text(entry))
    if {"{{", "}}"} & set(_BRACES.findall(text.replace("{{.path}}", "").replace("{{.key}}", ""))):
        raise entry.error(f"{entry.key} knows {{{{ .path }}}} and {{{{ .key }}}} only")
    return text


def _control_group(entry: Entry) -> NoReturn:
    raise entry.error("control_group is not supported: nothing would wait for the approvals, so the rule would grant at once; remove it")


_READERS: Final[Mapping[str, Callable[[Entry], object]]] = {
    "capabilities": _capabilities,
    "policy": _shorthand,
    "allowed_parameters": _parameters,
    "denied_parameters": _parameters,
    "required_parameters": _required,
    "min_wrapping_ttl": _duration,
    "max_wrapping_ttl": _duration,
    "pagination_limit": _count,
    "expiration": _instant,
    "comment": _text,
    "mfa_methods": _texts,
    "subscribe_event_types": _texts,
    "list_scan_response_keys_filter_path": _keys_filter,
    "control_group": _control_group,
}
