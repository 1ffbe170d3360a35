"""Who may: one answer for every path and operation, compiled once from the merged rules of several policies.

Rules of this file:
- Paths are compared as they are: nothing is decoded, trimmed or lower-cased here.
- One rule decides: (1) the exact rule of the path; (2) for LIST and SCAN the exact rule of the path without its trailing slash; (3) of the
  matching `*` and `+` rules the one whose first wildcard comes latest, then the one without `*` at the end, with fewer `+`, the longer,
  the greater in order. Lesser rules do not count, even where they deny.
- LIST and SCAN are about a path in two spellings, `a` and `a/`: wildcard rules for either are candidates, and a wildcard denial written
  for what lies below `a/` is never skipped for a rule that speaks of `a`.
- `check` raises or says why it granted. An Acl never changes; tokens with the same policies share it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from strongroom.core.policy.merging import Dropped, merged, rendered
from strongroom.core.policy.parameters import check_parameters
from strongroom.core.policy.patterns import Node, below, is_exact, priority
from strongroom.core.policy.rules import Policy, Rule
from strongroom.core.policy.templates import Identity
from strongroom.core.request import Decision, Operation
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.memo import remember

MEMO_ENTRIES: Final = 4096
"""Remembered paths per Acl and way of matching; then the memo starts anew, which costs a microsecond a path."""

MEMO_PATH: Final = 256
"""Longer paths are not remembered, so that the memo of one Acl stays at a few MiB whatever is asked."""

LISTINGS: Final = frozenset({Operation.LIST, Operation.SCAN})
MAX_LIMIT: Final = (1 << 31) - 1

_HOLE: Final = re.compile(r"\{\{\.(path|key)\}\}")
_HELP: Final = Decision(root=False)
_ROOT: Final = Decision(root=True, granting=("root",))


class Verdict:
    """A compiled rule: what it grants, and whether there is more to check than the capability."""

    __slots__ = ("conditional", "denies", "depth", "granted", "rank", "rule")

    def __init__(self, rule: Rule, grants: Mapping[str, Sequence[str]], rank: int = 0) -> None:
        self.rule = rule
        self.denies = "deny" in rule.capabilities
        self.granted: dict[Operation, Decision] = {Operation.HELP: _HELP}
        for operation in Operation:
            if operation in rule.capabilities and not self.denies:
                self.granted[operation] = Decision(root=False, granting=tuple(grants[operation]))
        self.conditional = bool(
            rule.allowed_parameters or rule.denied_parameters or rule.required_parameters or rule.min_wrapping_ttl or rule.max_wrapping_ttl
        )
        self.rank = rank
        self.depth = rule.pattern.count("/")


NOTHING: Final = Verdict(Rule(pattern=""), {})
"""What applies where no rule matches."""


class Acl:
    """The answer of a policy set. `until` (ns) is when a rule ends and this must be compiled anew, 0 = never."""

    __slots__ = ("_exact", "_memo", "_tree", "_verdicts", "dropped", "root", "until")

    def __init__(self, verdicts: Sequence[Verdict], dropped: Sequence[Dropped] = (), until: int = 0, root: bool = False) -> None:
        self.root = root
        self.until = until
        self.dropped = tuple(dropped)
        self._verdicts = tuple(verdicts)
        self._exact: dict[str, Verdict] = {}
        self._tree: Node[Verdict] = Node()
        for verdict in verdicts:
            if is_exact(verdict.rule.pattern):
                self._exact[verdict.rule.pattern] = verdict
            else:
                self._tree.insert(verdict.rule.pattern, verdict)
        found: dict[str, Verdict] = {}
        listed: dict[str, Verdict] = {}
        self._memo = {operation: listed if operation in LISTINGS else found for operation in Operation}

    def check(
        self, operation: Operation, path: str, data: Mapping[str, Any] | None = None, wrap_ttl: int = 0, sudo: bool = False
    ) -> Decision:
        """Why this is allowed. Raises PermissionDenied. `sudo`: the route is protected and needs that capability too."""
        if self.root:
            return _ROOT
        verdict = self._memo[operation].get(path) or self._find(operation, path)
        decision = verdict.granted.get(operation)
        if decision is None:
            raise PermissionDenied
        if sudo or verdict.conditional:
            _check_conditions(verdict.rule, operation, data or {}, wrap_ttl, sudo)
        return decision

    def writes(self, path: str) -> bool:
        """Whether creating or updating is granted there."""
        if self.root:
            return True
        granted = self._find(Operation.UPDATE, path).granted
        return Operation.UPDATE in granted or Operation.CREATE in granted

    def unconditional(self, operation: Operation, path: str) -> bool:
        """Whether the answer of `check` depends on nothing but operation and path."""
        return self.root or not self._find(operation, path).conditional

    def rule(self, operation: Operation, path: str) -> Rule | None:
        """The rule that decides, merged over the policies; None where none matches and for root."""
        verdict = NOTHING if self.root else self._find(operation, path)
        return None if verdict is NOTHING else verdict.rule

    def capabilities(self, path: str) -> list[str]:
        """What the caller may do there, sorted; `["root"]` or `["deny"]` where that is all to say."""
        if self.root:
            return ["root"]
        return _shown_capabilities(self._at(path).rule)

    def list_limit(self, path: str) -> int:
        """The most names one LIST or SCAN of this path may answer, 0 = no limit."""
        rule = self.rule(Operation.LIST, path)
        return rule.pagination_limit if rule else 0

    def visible(self, operation: Operation, path: str, names: Sequence[str]) -> list[str]:
        """Those names of a LIST or SCAN answer that may be shown: SCAN shows nothing a rule denies, and a keys filter what it lets pass."""
        rule = self.rule(operation, path)
        template = rule.list_scan_response_keys_filter_path if rule else ""
        base = path if path.endswith("/") else path + "/"
        kept = list(names)
        if not self.root and operation is Operation.SCAN:
            kept = [name for name in kept if not self._at(base + name).denies]
        if template:
            kept = [name for name in kept if self.capabilities(_filled(template, base, name)) != ["deny"]]
        return kept

    def hides(self, operation: Operation, path: str) -> bool:
        """Whether `visible` may leave names out."""
        rule = self.rule(operation, path)
        return not self.root and (operation is Operation.SCAN or bool(rule and rule.list_scan_response_keys_filter_path))

    def may_reach(self, prefix: str) -> bool:
        """Whether anything is granted at a mount path ("secret/") or below it."""
        if self.capabilities(prefix) != ["deny"]:
            return True
        wanted = prefix.removesuffix("/").split("/")
        return any(_shown_capabilities(verdict.rule) != ["deny"] and below(verdict.rule.pattern, wanted) for verdict in self._verdicts)

    def resultant(self) -> dict[str, Any]:
        """All rules in the shape of `sys/internal/ui/resultant-acl`: prefixes without their `*`, `+` patterns as they are."""
        exact: dict[str, Any] = {}
        globs: dict[str, Any] = {}
        for verdict in self._verdicts:
            pattern = verdict.rule.pattern
            if is_exact(pattern):
                exact[pattern] = _described(verdict.rule)
            else:
                globs[pattern if "+" in pattern.split("/") else pattern[:-1]] = _described(verdict.rule)
        return {"root": self.root, "exact_paths": exact, "glob_paths": globs}

    # finding

    def _find(self, operation: Operation, path: str) -> Verdict:
        memo = self._memo[operation]
        if (known := memo.get(path)) is not None:
            return known
        verdict = self._match(operation, path)
        return remember(memo, MEMO_ENTRIES, path, verdict) if len(path) <= MEMO_PATH else verdict

    def _match(self, operation: Operation, path: str) -> Verdict:
        if operation in LISTINGS:
            return self._listing(path.removesuffix("/"))
        return self._exact.get(path) or self._tree.best(path) or NOTHING

    def _listing(self, bare: str) -> Verdict:
        """The rule for a LIST or SCAN of `bare/`."""
        slashed = bare + "/"
        if (exact := self._exact.get(slashed)) is not None:
            return exact
        inside = self._tree.best(slashed) or NOTHING
        if inside.denies and inside.depth > bare.count("/"):
            return inside
        if (exact := self._exact.get(bare)) is not None:
            return exact
        return max(inside, self._tree.best(bare) or NOTHING, key=lambda verdict: verdict.rank)

    def _at(self, path: str) -> Verdict:
        """The rule for a path whose operation is open, as Vault's clients ask for capabilities; not remembered."""
        return self._match(Operation.LIST if path.endswith("/") else Operation.READ, path)


ROOT_ACL: Final = Acl((), root=True)
"""The answer for root tokens. Being root is a flag of the token; no policy text compiles to this."""


def compile_acl(policies: Sequence[Policy], identity: Identity | None = None, now: int = 0) -> Acl:
    """One Acl of these policies for this caller at this time (ns). Without a time, grants that end are left out."""
    rules: dict[str, Rule] = {}
    grants: dict[str, dict[str, list[str]]] = {}
    dropped: list[Dropped] = []
    ends: list[int] = []
    for policy in policies:
        for rule in policy.rules:
            end = min(filter(None, (policy.expiration, rule.expiration)), default=0)
            if end and (now >= end or not (now or "deny" in rule.capabilities)):
                continue
            ready = rendered(policy, rule, identity, dropped)
            if ready is None:
                continue
            ends += [end] if end else []
            pattern = ready.pattern
            rules[pattern] = merged(rules[pattern], ready) if pattern in rules else ready
            for capability in ready.capabilities:
                names = grants.setdefault(pattern, {}).setdefault(capability, [])
                names += [] if policy.name in names else [policy.name]
    ordered = sorted(rules.values(), key=lambda rule: priority(rule.pattern))
    verdicts = [Verdict(rule, grants.get(rule.pattern, {}), rank) for rank, rule in enumerate(ordered, 1)]
    return Acl(verdicts, dropped, min(ends, default=0))


def clamp_limit(requested: object, ceiling: int) -> int:
    """The number of names to answer, 0 = all. Nothing that is asked gets past the ceiling. Raises InvalidRequest."""
    if requested is None or requested == "max":
        return ceiling
    text = str(requested)
    digits = text.removeprefix("-")
    if isinstance(requested, bool) or not (digits.isascii() and digits.isdecimal()) or len(digits) > 10 or int(digits) > MAX_LIMIT:
        raise InvalidRequest(f"field 'limit' takes a whole number up to {MAX_LIMIT}, or max")
    limit = max(int(text), 0)
    if ceiling:
        return min(limit, ceiling) if limit else ceiling
    return limit


# Checking and showing


def _check_conditions(rule: Rule, operation: Operation, data: Mapping[str, Any], wrap_ttl: int, sudo: bool) -> None:
    if operation is Operation.HELP:
        return
    low, high = rule.min_wrapping_ttl, rule.max_wrapping_ttl
    unwrapped = (low or high) and not wrap_ttl
    if (sudo and "sudo" not in rule.capabilities) or unwrapped or wrap_ttl < low or 0 < high < max(wrap_ttl, low):
        raise PermissionDenied
    if operation in LISTINGS:
        if rule.pagination_limit and "limit" in rule.required_parameters and "limit" not in data:
            raise PermissionDenied
    elif operation is not Operation.DELETE:
        check_parameters(rule, data)


def _shown_capabilities(rule: Rule) -> list[str]:
    return ["deny"] if "deny" in rule.capabilities or not rule.capabilities else sorted(rule.capabilities)


def _described(rule: Rule) -> dict[str, Any]:
    shown = {name: getattr(rule, name) for name in ("min_wrapping_ttl", "max_wrapping_ttl", "pagination_limit")}
    for name in ("allowed_parameters", "denied_parameters"):
        shown[name] = {key: list(values) for key, values in getattr(rule, name).items()}
    shown["required_parameters"] = list(rule.required_parameters)
    return {"capabilities": _shown_capabilities(rule)} | {name: value for name, value in shown.items() if value}


def _filled(template: str, path: str, key: str) -> str:
    """Both holes at once: a key that reads `{{.path}}` stays a key."""
    return _HOLE.sub(lambda hole: path if hole[1] == "path" else key, template)
