"""From the rules of several policies to one rule per pattern.

Rules of this file:
- The same pattern in several policies is one rule: capabilities add up, `deny` wins and takes the rest with it, parameter lists are
  joined, limits take the smaller value that is set.
- A rule that cannot be rendered for this caller grants nothing, and is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from strongroom.core.policy.rules import Policy, Rule
from strongroom.core.policy.templates import REJECTED, Identity, Unusable

_DENY: Final = frozenset({"deny"})


class Dropped(NamedTuple):
    """A rule that could not be rendered for this caller; `reason` as in core/policy/templates.py. Holds no value."""

    policy: str
    pattern: str
    reason: str


def rendered(policy: Policy, rule: Rule, identity: Identity | None, dropped: list[Dropped]) -> Rule | None:
    """A rule with a template, with its full pattern for this caller.

    A denial whose value was refused still denies, for everything below the text before the value: a name with a `/` in it must not
    open what the policy closes.
    """
    assert rule.template is not None
    try:
        pattern = rule.template.render(identity)
    except Unusable as unusable:
        dropped.append(Dropped(policy.name, rule.pattern, unusable.reason))
        if unusable.reason != REJECTED or "deny" not in rule.capabilities:
            return None
        pattern = rule.template.literals[0] + "*"
    return _changed(rule, pattern=policy.namespace + pattern, template=None)


def placed(policy: Policy, rule: Rule) -> Rule:
    """A rule without a template, with its full pattern."""
    return _changed(rule, pattern=policy.namespace + rule.pattern) if policy.namespace else rule


def _changed(rule: Rule, **changes: Any) -> Rule:
    return Rule(**({name: getattr(rule, name) for name in rule.__struct_fields__} | changes))


def merged(one: Rule, other: Rule) -> Rule:
    """One rule of two for the same pattern."""
    if "deny" in one.capabilities | other.capabilities:
        return Rule(pattern=one.pattern, capabilities=_DENY)
    return _changed(one, **{name: merge(getattr(one, name), getattr(other, name)) for name, merge in _MERGES.items()})


def _union(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    return one | other


def _in_order(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one + other))


def _smaller(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


def _first(one: str, other: str) -> str:
    return one or other


def _maps(one: Mapping[str, tuple[Any, ...]], other: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """Lists of the same name are joined; the empty list, any value, wins over a list."""
    both = {name: one[name] + other[name] if one[name] and other[name] else () for name in one.keys() & other.keys()}
    return {**one, **other, **both}


_MERGES: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "capabilities": _union,
    "allowed_parameters": _maps,
    "denied_parameters": _maps,
    "required_parameters": _in_order,
    "mfa_methods": _in_order,
    "subscribe_event_types": _in_order,
    "min_wrapping_ttl": _smaller,
    "max_wrapping_ttl": _smaller,
    "pagination_limit": _smaller,
    "list_scan_response_keys_filter_path": _first,
}
