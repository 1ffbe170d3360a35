"""What a new token may be: the rules of `auth/token/create`, without the store.

Rules of this file:
- A child's policies are among its parent's token policies, unless the caller holds `sudo` on the path or a role says otherwise.
- Only root makes root. `root` counts in exactly this spelling; anything that only resembles it is refused.
- Where the call and the role both set a limit, the lesser one counts and a warning says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec

from strongroom.core.fields import Names, SignedSeconds, Texts
from strongroom.core.policy.acl import Acl
from strongroom.core.policy.rules import UNASSIGNABLE, policy_name
from strongroom.core.request import Operation
from strongroom.core.response import Grant
from strongroom.core.token import roles
from strongroom.core.token.entry import Token, TokenEntry
from strongroom.core.token.roles import Role
from strongroom.errors import InvalidRequest

MAX_META = 64
"""Members of `meta`; each token read carries them."""
MAX_META_TEXT = 512
MAX_CARRIED = 8_192
"""Characters of all of `meta`, and of the names of all policies that are asked for: each request with the token has them in two audit
lines, and in memory. Ten thousand names, which a role with a `*` lets through, were 3.6 MB of log for a request of 200 bytes."""

_UNDISPLAYED = re.compile(r"[^A-Za-z0-9-]")


class CreateBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is made with."""

    id: Annotated[str, "The token itself, chosen by the caller; needs sudo."] = ""
    policies: Annotated[Names, "Its policies; the parent's where none are given."] = Names()
    meta: Annotated[Texts, "Texts that stand in the audit log with it."] = Texts()
    no_parent: Annotated[bool, "Make an orphan; needs sudo."] = False
    no_default_policy: Annotated[bool, "Leave the default policy out."] = False
    renewable: Annotated[bool, "It can be renewed."] = True
    ttl: Annotated[SignedSeconds, "How long it lives at first."] = SignedSeconds(0)
    lease: Annotated[SignedSeconds, "Old name of ttl."] = SignedSeconds(0)
    explicit_max_ttl: Annotated[SignedSeconds, "A hard end that no renewal and no period moves."] = SignedSeconds(0)
    display_name: Annotated[str, "Stands in the audit log behind `token-`."] = ""
    num_uses: Annotated[int, "How many requests it is good for, 0 = any number."] = 0
    period: Annotated[SignedSeconds, "Each renewal gives this long, without an end; needs sudo."] = SignedSeconds(0)
    type: Annotated[str, "service or batch."] = ""
    entity_alias: Annotated[str, "The entity alias it is made for; the role must allow it."] = ""


def holds_sudo(acl: Acl, operation: Operation, path: str) -> bool:
    """Whether the caller has the capability sudo on the path he is using."""
    if acl.root:
        return True
    rule = acl.rule(operation, path)
    return rule is not None and "sudo" in rule.capabilities


def check_metadata(field: str, pairs: Mapping[str, str]) -> None:
    """Raises InvalidRequest for more than a token should carry."""
    texts = [text for pair in pairs.items() for text in pair]
    if len(pairs) > MAX_META or any(len(text) > MAX_META_TEXT for text in texts) or sum(map(len, texts)) > MAX_CARRIED:
        raise InvalidRequest(f"'{field}' has at most {MAX_META} members of {MAX_META_TEXT} characters, {MAX_CARRIED} in all")


def check_parent(caller: Token) -> None:
    """Raises InvalidRequest where a token may have no children."""
    if caller.entry.kind == "batch":
        raise InvalidRequest("batch tokens cannot create more tokens")
    if caller.entry.num_uses:
        raise InvalidRequest("restricted use token cannot generate child tokens")


def grant_for(body: CreateBody, role: Role | None, caller: Token, sudo: bool, warnings: list[str]) -> Grant:
    """What the new token is to be. Raises InvalidRequest."""
    parent = caller.entry
    ttl = body.ttl or body.lease
    if body.num_uses < 0:
        raise InvalidRequest("number of uses cannot be negative")
    for name, value in (("ttl", ttl), ("explicit_max_ttl", body.explicit_max_ttl), ("period", body.period)):
        if value < 0:
            raise InvalidRequest(f"{name} must be positive")
    kind = _kind(body, role)
    if body.period and not sudo:
        raise InvalidRequest("root or sudo privileges required to create periodic token")
    check_metadata("meta", body.meta)
    if sum(map(len, body.policies)) > MAX_CARRIED:
        raise InvalidRequest(f"the names of 'policies' have at most {MAX_CARRIED} characters altogether; put the rules into fewer policies")
    policies = _policies(body, role, parent, sudo)
    if "root" in policies and kind == "batch":
        raise InvalidRequest("batch tokens cannot be root tokens")
    period, hard, uses, renewable = int(body.period), int(body.explicit_max_ttl), body.num_uses, body.renewable
    networks = parent.bound_cidrs
    if role is not None:
        period = _lesser(period, role.token_period, "Period", warnings)
        hard = _lesser(hard, role.token_explicit_max_ttl, "Explicit max TTL", warnings)
        uses = min(filter(None, (uses, role.token_num_uses)), default=0)
        renewable = renewable and role.renewable
        networks = role.token_bound_cidrs or networks
    return Grant(
        policies=policies,
        no_default_policy=True,
        display_name=_display_name(body.display_name),
        metadata=body.meta,
        ttl=ttl,
        explicit_max_ttl=hard,
        period=period,
        renewable=renewable,
        num_uses=uses,
        bound_cidrs=networks,
        token_type=kind,
    )


def _kind(body: CreateBody, role: Role | None) -> str:
    if body.type not in ("", "service", "batch"):
        raise InvalidRequest("invalid 'token_type' value")
    kind = body.type or "service"
    if role is not None:
        by_role = role.token_type
        kind = body.type or by_role.removeprefix("default-") if by_role.startswith("default-") else by_role
    if kind == "batch":
        for name in ("explicit_max_ttl", "num_uses", "period", "id"):
            if getattr(body, name):
                raise InvalidRequest(f'batch tokens cannot have "{name}" set')
    return kind


def _policies(body: CreateBody, role: Role | None, parent: TokenEntry, sudo: bool) -> tuple[str, ...]:
    """The policies of the new token, `default` included where it is due. Raises InvalidRequest."""
    wanted = _wanted(body.policies, parent)
    no_default = body.no_default_policy or (role is not None and role.token_no_default_policy)
    if role is not None and roles.restricts(role):
        chosen = {*roles.role_policies(role, wanted, parent.policies, no_default)}
    elif not wanted:
        chosen = {*parent.policies}
    elif sudo:
        chosen = {*wanted, "default"}
    else:
        chosen = {*wanted}
        if not chosen.issubset(parent.policies):
            raise InvalidRequest("child policies must be subset of parent")
        chosen |= {"default"} & {*parent.policies}
    if no_default:
        chosen.discard("default")
    if "root" in chosen:
        if "root" not in parent.policies:
            raise InvalidRequest("root tokens may not be created without parent token being root")
        return ("root",)
    return tuple(sorted(chosen))


def _wanted(names: Names, parent: TokenEntry) -> tuple[str, ...]:
    """Canonical names of the policies asked for. `root` counts in exactly this spelling; anything that only resembles it is refused."""
    found = []
    for name in names:
        canonical = name if name in parent.policies else policy_name(name)
        if canonical in UNASSIGNABLE and name != "root":
            said = "; `root` is written exactly so" if canonical == "root" else ""
            raise InvalidRequest(f'cannot assign policy "{canonical}"{said}')
        found.append(canonical)
    return tuple(found)


def _display_name(text: str) -> str:
    """Letters, digits and dashes behind `token-`."""
    return _UNDISPLAYED.sub("-", f"token-{text[:256]}").removesuffix("-") if text else "token"


def _lesser(asked: int, by_role: int, what: str, warnings: list[str]) -> int:
    if asked and by_role:
        lesser = min(asked, by_role)
        warnings.append(f"{what} specified both during creation call and in role; using the lesser value of {lesser} seconds")
        return lesser
    return asked or by_role
