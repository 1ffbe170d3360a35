"""Password policies: rules that generated passwords keep, and those that people choose where a mount asks for it, in the few lines of HCL
that Vault's users know.

    length = 20
    rule "charset" { charset = "abcdefghijklmnopqrstuvwxyz" min-chars = 1 }

Rules of this file:
- A policy that could not be met, or whose passwords would be guessable, is refused when it is written.
- A chosen password is at least as long as a generated one and has what the rules ask for; more and other characters do no harm.
- Every password that keeps the rules is equally likely: candidates are drawn from the whole alphabet and thrown away until one does.
- Randomness is the kernel's.
"""

from __future__ import annotations

import secrets
from math import log2
from typing import Any, Final, NamedTuple

import msgspec

from strongroom.core import areas
from strongroom.core.hcl import Block, Body, parse, shown
from strongroom.core.transaction import Transaction
from strongroom.errors import InternalError, InvalidRequest

SHORTEST: Final = 4
LONGEST: Final = 1_024
MAX_RULES: Final = 32
MAX_DRAWN: Final = 131_072
"""Characters drawn for one password, about half a second; a policy may need an eighth of that when it is written, so that running out
later is as good as impossible."""
LONGEST_SHOWN: Final = 64
"""Characters of a charset that an error repeats."""
MIN_BITS: Final = 20
"""Below a million possible passwords a policy is a mistake."""


class PasswordEntry(msgspec.Struct, frozen=True):
    """A stored policy."""

    text: str


class Charset(NamedTuple):
    """At least `least` characters of these."""

    characters: frozenset[str]
    least: int


class PasswordPolicy(NamedTuple):
    """A parsed policy; `alphabet` is sorted, each character once."""

    length: int
    alphabet: str
    rules: tuple[Charset, ...]


def parse_password_policy(text: str) -> PasswordPolicy:
    """Read a policy. Raises InvalidRequest, with line and column wherever there is one."""
    body = parse(text)
    for entry in body.entries:
        if entry.key not in ("length", "rule"):
            raise entry.error(f"unknown key {shown(entry.key)} in a password policy; it has length and rule blocks")
    lengths = [entry.value for entry in body.entries if entry.key == "length"]
    length = lengths[0] if len(lengths) == 1 else None
    if type(length) is not int or not SHORTEST <= length <= LONGEST:
        raise InvalidRequest(f"length must be given once, as a whole number from {SHORTEST} to {LONGEST}")
    rules = tuple(_rule(block) for block in body.blocks("rule", labels=1))
    if not 1 <= len(rules) <= MAX_RULES:
        raise InvalidRequest(f'a password policy needs at least one rule "charset" and at most {MAX_RULES}')
    alphabet = "".join(sorted(frozenset().union(*(rule.characters for rule in rules))))
    if sum(rule.least for rule in rules) > length:
        raise InvalidRequest("the min-chars of all rules together are more than length: no password could keep them")
    if length * log2(len(alphabet)) < MIN_BITS:
        raise InvalidRequest("the passwords would be guessable: use more characters or a greater length")
    return PasswordPolicy(length, alphabet, rules)


def _rule(block: Block) -> Charset:
    if block.labels[0] != "charset":
        raise block.error(f"unknown rule {shown(block.labels[0])}; there is charset")
    known: dict[str, Any] = {"charset": None, "min-chars": 0}
    for key, entry in block.body.unique().items():
        if key not in known:
            raise entry.error(f"unknown key {shown(key)} in a charset rule; it has charset and min-chars")
        if isinstance(entry.value, Body):
            raise entry.error(f"{shown(key)} is a value, not a block")
        known[key] = entry.value
    charset, least = known["charset"], known["min-chars"]
    if not isinstance(charset, str) or not charset or not charset.isprintable():
        raise block.error("charset must be a text of printable characters")
    if type(least) is not int or least < 0:
        raise block.error("min-chars must be a whole number")
    return Charset(frozenset(charset), least)


def generate(policy: PasswordPolicy, most: int = MAX_DRAWN) -> str:
    """A password. Raises InternalError for a policy that is too hard to meet, which `check` refuses beforehand."""
    demands = [rule for rule in policy.rules if rule.least]
    for _ in range(max(1, most // policy.length)):
        candidate = "".join(secrets.choice(policy.alphabet) for _ in range(policy.length))
        if all(sum(character in rule.characters for character in candidate) >= rule.least for rule in demands):
            return candidate
    raise InternalError("no password that keeps the policy was found; give its rules lower min-chars")


def check(text: str) -> PasswordPolicy:
    """Read a policy and make one password of it. Raises InvalidRequest."""
    policy = parse_password_policy(text)
    try:
        generate(policy, MAX_DRAWN // 8)
    except InternalError:
        raise InvalidRequest("the rules are met by too few passwords: lower min-chars or raise length") from None
    return policy


def check_chosen(transaction: Transaction, name: str, password: str) -> None:
    """Raises InvalidRequest where a password that somebody chose does not keep the stored policy of this name."""
    entry = transaction.view(areas.POLICIES).settings(f"password/{name}", PasswordEntry)
    if entry is None:
        raise InvalidRequest(f"the password policy {name!r} does not exist; write it, or take it off the mount's config")
    policy = parse_password_policy(entry.text)
    problems = [f"at least {policy.length} characters"] if len(password) < policy.length else []
    missed = [rule for rule in policy.rules if sum(character in rule.characters for character in password) < rule.least]
    problems += [f"at least {rule.least} of {_shown(rule.characters)}" for rule in missed]
    if problems:
        raise InvalidRequest(f"the password policy {name!r} asks for {', '.join(problems)}")


def _shown(characters: frozenset[str]) -> str:
    text = "".join(sorted(characters))
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
