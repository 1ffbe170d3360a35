"""Label selectors of Kubernetes: which namespaces a role is for, said by their labels.

    {"matchLabels": {"stage": "production"}, "matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}

Rules of this file: JSON only, since the server has no YAML parser; what a selector says that is not known here is an error, not "all".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from strongroom.errors import InvalidRequest

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of `matchExpressions`."""

    key: str
    operator: Operator
    values: tuple[str, ...] | None = None


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Everything it says must hold; one that says nothing selects every namespace, as in Kubernetes."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Requirement, ...] | None = None

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a namespace with these labels is meant."""
        same = all(labels.get(key) == value for key, value in (self.match_labels or {}).items())
        return same and all(_HOLDS[each.operator](labels.get(each.key), each.values or ()) for each in self.match_expressions or ())


_HOLDS: dict[Operator, Callable[[str | None, tuple[str, ...]], bool]] = {
    "In": lambda label, values: label in values,
    "NotIn": lambda label, values: label not in values,
    "Exists": lambda label, _values: label is not None,
    "DoesNotExist": lambda label, _values: label is None,
}


def parse_selector(text: str) -> Selector:
    """A selector of a role. Raises InvalidRequest."""
    try:
        selector = msgspec.json.decode(text, type=Selector)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise InvalidRequest('invalid "bound_service_account_namespace_selector" configured: it is not a label selector in JSON') from None
    for each in selector.match_expressions or ():
        if bool(each.values) is not each.operator.endswith("In"):
            raise InvalidRequest(
                'invalid "bound_service_account_namespace_selector" configured: In and NotIn need values, Exists and DoesNotExist take none'
            )
    return selector
