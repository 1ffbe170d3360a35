"""Stored policies, and the compiled ACL of a set of them.

Rules of this file:
- A policy is parsed once per change, an ACL compiled once per distinct set of names, and what templates add to it once per entity; tokens
  with the same set, and of the same entity, share it.
- Names that do not exist are ignored, and take effect once they do. `root` is no stored policy; `default` cannot be deleted.
"""

from __future__ import annotations

import msgspec

from strongroom.core import areas
from strongroom.core.committed import Committed
from strongroom.core.policy.acl import ROOT_ACL, Acl, compile_acl, compile_shared
from strongroom.core.policy.builtin import BUILTIN
from strongroom.core.policy.rules import Policy, parse_policy
from strongroom.core.policy.templates import Identity
from strongroom.core.transaction import Transaction

EMPTY = 4
"""What an ACL costs without any rules, in rules."""
MAX_RULES = 200_000
"""Compiled rules kept, at most 0.8 KiB each, over all sets and entities: whoever may log in chooses how many of those there are. Beyond
it everything that is made of policies is forgotten, and compiled again where it is asked for."""


class PolicyEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stored policy. Instants in ns since the epoch."""

    text: str
    modified: int = 0
    version: int = 1
    cas_required: bool = False
    expires: int = 0


class PolicyJob(msgspec.Struct, frozen=True):
    """A job about one policy."""

    name: str


class Policies:
    """Reads policies and compiles them."""

    def __init__(self, committed: Committed) -> None:
        self._shared: dict[tuple[str, ...], Acl] = {}
        self._own: dict[tuple[tuple[str, ...], str], tuple[Identity | None, Acl]] = {}
        self._rules = 0
        self._parsed: dict[str, Policy | None] = {}
        self.listeners = [self._forget]
        committed.cache.watch(areas.POLICIES, self._changed)

    def _changed(self, _key: bytes | None) -> None:
        for heard in self.listeners:
            heard()

    def _forget(self) -> None:
        self._shared.clear()
        self._own.clear()
        self._parsed.clear()
        self._rules = 0

    def text(self, transaction: Transaction, name: str) -> PolicyEntry | None:
        """A policy as it was written; built-in ones where nobody has written over them."""
        stored = transaction.view(areas.POLICIES).settings(f"acl/{name}", PolicyEntry)
        if stored is None and name in BUILTIN:
            return PolicyEntry(BUILTIN[name])
        return stored

    def names(self, transaction: Transaction) -> list[str]:
        """All names that are stored or built in, sorted, without `root`."""
        stored = transaction.view(areas.POLICIES).walk("acl")
        return sorted({*(name.removeprefix("acl/") for name in stored), "default"})

    def acl(self, transaction: Transaction, names: tuple[str, ...], identity: Identity | None = None) -> Acl:
        """What the policies together allow."""
        if "root" in names:
            return ROOT_ACL
        policies, now = self._policies(transaction, names), transaction.now
        if transaction.touched(areas.POLICIES):
            return compile_acl(policies, identity, now)
        key = (names, identity.id if identity is not None else "")
        made_for, acl = self._own.get(key, (None, None))
        if acl is None or made_for is not identity or 0 < acl.until <= now:
            acl = compile_acl(policies, identity, now, self._for_all(names, policies, now))
            self._count(acl)
            self._own[key] = (identity, acl)
        return acl

    def _for_all(self, names: tuple[str, ...], policies: list[Policy], now: int) -> Acl:
        """What the policies say to everybody alike."""
        acl = self._shared.get(names)
        if acl is None or 0 < acl.until <= now:
            acl = compile_shared(policies, now)
            self._count(acl)
            self._shared[names] = acl
        return acl

    def _count(self, acl: Acl) -> None:
        if self._rules > MAX_RULES:
            self._changed(None)
        self._rules += len(acl) + EMPTY

    def _policies(self, transaction: Transaction, names: tuple[str, ...]) -> list[Policy]:
        keep = not transaction.touched(areas.POLICIES)
        found = []
        for name in names:
            policy = self._parsed.get(name) if keep else None
            if policy is None:
                entry = self.text(transaction, name)
                if entry is None or (entry.expires and entry.expires <= transaction.now):
                    continue
                policy = parse_policy(name, entry.text, expiration=entry.expires)
                if keep:
                    self._parsed[name] = policy
            found.append(policy)
        return found
