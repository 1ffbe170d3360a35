"""Who may: one answer for every path and operation, compiled once from the merged rules of several policies.

Rules of this file:
- Paths are compared as they are: nothing is decoded, trimmed or lower-cased here.
- One rule decides: (1) the exact rule of the path; (2) for LIST and SCAN the exact rule of the path without its trailing slash; (3) of the
  matching `*` and `+` rules the one whose first wildcard comes latest, then the one without `*` at the end, with fewer `+`, the longer,
  the greater in order. Lesser rules do not count, even where they deny.
- LIST and SCAN are about a path in two spellings, `a` and `a/`: wildcard rules for either are candidates, and a wildcard denial written
  for what lies below `a/` is never skipped for a rule that speaks of `a`.
- A path whose names count without case has a second spelling, too: theirs that is stored. Of the rules for the two the more specific one
  counts, and where they are equal the one that denies; a spelling that no rule speaks of is denied all the same.
- `check` raises or says why it granted. An Acl never changes; tokens with the same policies share it.
- What templates give a caller lies over what all others with the same policies share: a caller costs memory for those few rules alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from strongroom.core.call import Decision
from strongroom.core.policy.merging import Dropped, merged, placed, rendered
from strongroom.core.policy.parameters import check_parameters
from strongroom.core.policy.patterns import Node, below, is_exact, priority
from strongroom.core.policy.rules import Policy, Rule
from strongroom.core.policy.templates import Identity
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.memo import Budget, Memo

MEMO_ENTRIES: Final = 4096
"""Remembered paths per Acl and way of matching; then the memo starts anew, which costs a microsecond a path."""

MEMO_PATH: Final = 256
"""Longer paths are not remembered, so that the memo of one Acl stays at a few MiB whatever is asked."""

MEMO_ALL: Final = 1 << 17
"""Remembered paths of all Acls together, about 400 bytes each: whoever may log in has one Acl after another."""

_BUDGET: Final = Budget(MEMO_ALL)

LISTINGS: Final = frozenset({Operation.LIST, Operation.SCAN})
MAX_LIMIT: Final = (1 << 31) - 1

_HOLE: Final = re.compile(r"\{\{\.(path|key)\}\}")
_HELP: Final = Decision(root=False)
_ROOT: Final = Decision(root=True, granting=("root",))


class Verdict:
    """A compiled rule: what it grants, and whether there is more to check than the capability."""

    __slots__ = ("conditional", "denies", "depth", "granted", "rank", "rule")

    def __init__(self, rule: Rule, granted: Mapping[Operation, Decision], rank: int = 0) -> None:
        self.rule = rule
        self.denies = "deny" in rule.capabilities
        self.granted = granted
        self.conditional = bool(
            rule.allowed_parameters or rule.denied_parameters or rule.required_parameters or rule.min_wrapping_ttl or rule.max_wrapping_ttl
        )
        self.rank = rank
        self.depth = rule.pattern.count("/")


NOTHING: Final = Verdict(Rule(pattern=""), {Operation.HELP: _HELP})
"""What applies where no rule matches."""


class Acl:
    """The answer of a policy set. `until` (ns) is when a rule ends and this must be compiled anew, 0 = never.

    `shared` is what lies below: where both have a rule for one pattern, the own one was made of all of them.
    """

    __slots__ = ("_exact", "_memo", "_shared", "_tree", "_verdicts", "dropped", "root", "until")

    def __init__(
        self, verdicts: Sequence[Verdict], dropped: Sequence[Dropped] = (), until: int = 0, root: bool = False, shared: Acl | None = None
    ) -> None:
        self.root = root
        self.until = until
        self.dropped = tuple(dropped)
        self._shared = shared
        self._verdicts = {verdict.rule.pattern: verdict for verdict in verdicts}
        self._exact = {pattern: verdict for pattern, verdict in self._verdicts.items() if is_exact(pattern)}
        self._tree: Node[Verdict] = Node()
        for pattern, verdict in self._verdicts.items():
            if pattern not in self._exact:
                self._tree.insert(pattern, verdict)
        found: Memo[str, Verdict] = Memo()
        listed: Memo[str, Verdict] = Memo()
        self._memo = {operation: listed if operation in LISTINGS else found for operation in Operation}

    def __len__(self) -> int:
        """How many rules it has of its own."""
        return len(self._verdicts)

    def __bool__(self) -> bool:
        return True

    def check(
        self,
        operation: Operation,
        path: str,
        data: Mapping[str, Any] | None = None,
        wrap_ttl: int = 0,
        sudo: bool = False,
        folded: str = "",
    ) -> Decision:
        """Why this is allowed. Raises PermissionDenied.

        `sudo`: the route is protected and needs that capability too. `folded`: the path as its names are stored, where that is another.
        """
        if self.root:
            return _ROOT
        verdict = self._memo[operation].get(path) or self._find(operation, path)
        if folded:
            verdict = _of_both(verdict, self._find(operation, folded))
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
        return any(_shown_capabilities(verdict.rule) != ["deny"] and below(verdict.rule.pattern, wanted) for verdict in self._all())

    def resultant(self) -> dict[str, Any]:
        """All rules in the shape of `sys/internal/ui/resultant-acl`: prefixes without their `*`, `+` patterns as they are."""
        if self.root:
            return {"root": True, "chroot_namespace": ""}
        exact: dict[str, Any] = {}
        globs: dict[str, Any] = {}
        for verdict in self._all():
            pattern = verdict.rule.pattern
            if is_exact(pattern):
                exact[pattern] = _described(verdict.rule)
            else:
                globs[pattern if "+" in pattern.split("/") else pattern[:-1]] = _described(verdict.rule)
        return {"root": False, "chroot_namespace": "", "exact_paths": exact, "glob_paths": globs}

    # finding

    def _find(self, operation: Operation, path: str) -> Verdict:
        memo = self._memo[operation]
        if (known := memo.get(path)) is not None:
            return known
        verdict = self._match(operation, path)
        return _BUDGET.remember(memo, MEMO_ENTRIES, path, verdict) if len(path) <= MEMO_PATH else verdict

    def _match(self, operation: Operation, path: str) -> Verdict:
        if operation in LISTINGS:
            return self._listing(path.removesuffix("/"))
        return self._exactly(path) or self._best(path)

    def _listing(self, bare: str) -> Verdict:
        """The rule for a LIST or SCAN of `bare/`."""
        slashed = bare + "/"
        if (exact := self._exactly(slashed)) is not None:
            return exact
        inside = self._best(slashed)
        if inside.denies and inside.depth > bare.count("/"):
            return inside
        if (exact := self._exactly(bare)) is not None:
            return exact
        return _higher(inside, self._best(bare))

    def _exactly(self, path: str) -> Verdict | None:
        """The rule of a path and no other."""
        own = self._exact.get(path)
        return own if own is not None or self._shared is None else self._shared._exact.get(path)

    def _best(self, path: str) -> Verdict:
        """The `*` or `+` rule that counts."""
        own = self._tree.best(path) or NOTHING
        return own if self._shared is None else _higher(own, self._shared._best(path))

    def _all(self) -> Iterator[Verdict]:
        """All rules that may count."""
        yield from self._verdicts.values()
        if self._shared is not None:
            yield from (verdict for pattern, verdict in self._shared._verdicts.items() if pattern not in self._verdicts)

    def _at(self, path: str) -> Verdict:
        """The rule for a path whose operation is open, as Vault's clients ask for capabilities; not remembered."""
        return self._match(Operation.LIST if path.endswith("/") else Operation.READ, path)


ROOT_ACL: Final = Acl((), root=True)
"""The answer for root tokens. Being root is a flag of the token; no policy text compiles to this."""


def compile_acl(policies: Sequence[Policy], identity: Identity | None = None, now: int = 0, shared: Acl | None = None) -> Acl:
    """One Acl of these policies for this caller at this time (ns). Without a time, grants that end are left out.

    `shared` is `compile_shared` of them where it is known already.
    """
    below = compile_shared(policies, now) if shared is None else shared
    own: list[tuple[Policy, Rule]] = []
    dropped: list[Dropped] = []
    ends = [below.until] if below.until else []
    for policy, rule, end in _standing(policies, now):
        if rule.template is not None and (ready := rendered(policy, rule, identity, dropped)) is not None:
            own.append((policy, ready))
            ends += [end] if end else []
    if not (own or dropped):
        return below
    patterns = {ready.pattern for _, ready in own}
    others = [(policy, placed(policy, rule)) for policy, rule, _ in _standing(policies, now) if rule.template is None] if own else []
    return Acl(_verdicts([pair for pair in others if pair[1].pattern in patterns] + own), dropped, min(ends, default=0), shared=below)


def compile_shared(policies: Sequence[Policy], now: int = 0) -> Acl:
    """What these policies say to everybody alike: their rules without a template."""
    plain = [(policy, placed(policy, rule), end) for policy, rule, end in _standing(policies, now) if rule.template is None]
    return Acl(_verdicts([(policy, rule) for policy, rule, _ in plain]), (), min((end for _, _, end in plain if end), default=0))


def _standing(policies: Sequence[Policy], now: int) -> Iterator[tuple[Policy, Rule, int]]:
    """The rules that have not ended, each with its end, 0 = never."""
    for policy in policies:
        for rule in policy.rules:
            end = min(filter(None, (policy.expiration, rule.expiration)), default=0)
            if not end or (now < end and (now or "deny" in rule.capabilities)):
                yield policy, rule, end


def _verdicts(rules: Sequence[tuple[Policy, Rule]]) -> list[Verdict]:
    """One for each pattern, ranked."""
    by_pattern: dict[str, Rule] = {}
    grants: dict[str, dict[str, tuple[str, ...]]] = {}
    for policy, rule in rules:
        pattern = rule.pattern
        by_pattern[pattern] = merged(by_pattern[pattern], rule) if pattern in by_pattern else rule
        names = grants.setdefault(pattern, {})
        for capability in rule.capabilities:
            names[capability] = tuple(dict.fromkeys((*names.get(capability, ()), policy.name)))
    ordered = sorted(by_pattern.values(), key=lambda rule: priority(rule.pattern))
    decisions: dict[tuple[str, ...], Decision] = {}
    return [Verdict(rule, _granted(rule, grants[rule.pattern], decisions), rank) for rank, rule in enumerate(ordered, 1)]


def _granted(rule: Rule, grants: Mapping[str, tuple[str, ...]], decisions: dict[tuple[str, ...], Decision]) -> dict[Operation, Decision]:
    """What a rule grants, and by which policies; rules that are granted by the same ones share that."""
    granted = {Operation.HELP: _HELP}
    for operation in () if "deny" in rule.capabilities else Operation:
        if operation in rule.capabilities:
            names = grants[operation]
            granted[operation] = decisions.setdefault(names, Decision(root=False, granting=names))
    return granted


def _higher(one: Verdict, other: Verdict) -> Verdict:
    """Which of two rules counts; the first where both have the same pattern."""
    if one is NOTHING or other is NOTHING or one is other:
        return other if one is NOTHING else one
    return other if priority(other.rule.pattern) > priority(one.rule.pattern) else one


def _of_both(written: Verdict, stored: Verdict) -> Verdict:
    """Which of the rules for two spellings of one path counts."""
    if NOTHING in (written, stored):
        return written
    exact, other = is_exact(written.rule.pattern), is_exact(stored.rule.pattern)
    if exact and other:
        return stored if stored.denies else written
    return written if exact else stored if other else _higher(written, stored)


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
