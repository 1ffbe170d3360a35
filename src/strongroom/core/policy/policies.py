"""Stored policies, and the compiled ACL of a set of them.

Rules of this file:
- A policy is parsed once per change, an ACL compiled once per distinct set of names; tokens with the same set share it.
- Names that do not exist are ignored, and take effect once they do. `root` is no stored policy; `default` cannot be deleted.
"""

from __future__ import annotations

import msgspec

from strongroom.core import areas
from strongroom.core.committed import Committed
from strongroom.core.policy.acl import ROOT_ACL, Acl, compile_acl
from strongroom.core.policy.builtin import BUILTIN
from strongroom.core.policy.rules import Policy, parse_policy
from strongroom.core.policy.templates import Identity
from strongroom.core.transaction import Transaction
from strongroom.memo import remember

MAX_KEPT = 10_000
"""Compiled sets kept; a server with more distinct sets compiles again."""


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
        self._acls: dict[tuple[str, ...], Acl] = {}
        self._parsed: dict[str, Policy | None] = {}
        self.listeners = [self._acls.clear, self._parsed.clear]
        committed.cache.watch(areas.POLICIES, self._changed)

    def _changed(self, _key: bytes | None) -> None:
        for heard in self.listeners:
            heard()

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
        if identity is not None or transaction.touched(areas.POLICIES):
            return compile_acl(self._policies(transaction, names), identity, transaction.now)
        acl = self._acls.get(names)
        if acl is None or 0 < acl.until <= transaction.now:
            acl = remember(self._acls, MAX_KEPT, names, compile_acl(self._policies(transaction, names), None, transaction.now))
        return acl

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
