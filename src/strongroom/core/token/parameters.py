"""What the roles and users of every login method say about the tokens they lead to: the `token_*` parameters.

Rules of this file:
- One stored form for all methods, one reading of bodies, one read-back: a field that was accepted is shown again, normalised.
- A field that was not sent keeps its value. The old names (`ttl`, `policies`, …) mean the same fields; the new name wins.
  Who wrote by an old name reads it back, too; who did not has no use for it.
- Policy names are canonical or refused; `root` is no name anybody can assign.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.call import Call
from strongroom.core.fields import Names, Seconds
from strongroom.core.policy.rules import assignable_policies, policies_in_order
from strongroom.core.request import Peer
from strongroom.core.response import Alias, Grant
from strongroom.core.token.terms import bound_cidrs, lets_in
from strongroom.errors import InvalidRequest, PermissionDenied

TYPES: Final = {"": "default", "default": "default", "service": "service", "batch": "batch"}
"""What `token_type` takes, and what it is read back as."""


class TokenParameters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stored form. Durations in seconds, 0 = not set."""

    ttl: int = 0
    max_ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0
    num_uses: int = 0
    policies: tuple[str, ...] = ()
    bound_cidrs: tuple[str, ...] = ()
    no_default_policy: bool = False
    strictly_bind_ip: bool = False
    type: str = "default"
    old: tuple[str, ...] = ()
    """Those that were written by their old names last: a read tells them by these, too, in methods that had them."""


class TokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """Base of bodies that take the parameters; the last seven are their old names."""

    token_ttl: Annotated[Seconds | UnsetType, "How long a token lives at first."] = UNSET
    token_max_ttl: Annotated[Seconds | UnsetType, "How long renewals can extend it to."] = UNSET
    token_explicit_max_ttl: Annotated[Seconds | UnsetType, "A hard end that no renewal and no period moves."] = UNSET
    token_period: Annotated[Seconds | UnsetType, "Each renewal gives this long, without an end."] = UNSET
    token_num_uses: Annotated[int | UnsetType, "How many requests a token is good for, 0 = any number."] = UNSET
    token_policies: Annotated[Names | UnsetType, "The policies of a token."] = UNSET
    token_bound_cidrs: Annotated[Names | UnsetType, "Where a login may come from, and its token be used from."] = UNSET
    token_no_default_policy: Annotated[bool | UnsetType, "Leave the default policy out."] = UNSET
    token_strictly_bind_ip: Annotated[bool | UnsetType, "A token can be used only from the address of its login."] = UNSET
    token_type: Annotated[str | UnsetType, "service, batch or default."] = UNSET
    ttl: Annotated[Seconds | UnsetType, "Old name of token_ttl."] = UNSET
    max_ttl: Annotated[Seconds | UnsetType, "Old name of token_max_ttl."] = UNSET
    explicit_max_ttl: Annotated[Seconds | UnsetType, "Old name of token_explicit_max_ttl."] = UNSET
    period: Annotated[Seconds | UnsetType, "Old name of token_period."] = UNSET
    num_uses: Annotated[int | UnsetType, "Old name of token_num_uses."] = UNSET
    policies: Annotated[Names | UnsetType, "Old name of token_policies."] = UNSET
    bound_cidrs: Annotated[Names | UnsetType, "Old name of token_bound_cidrs."] = UNSET


NUMBERS: Final = ("ttl", "max_ttl", "explicit_max_ttl", "period", "num_uses")
_OLD: Final = (*NUMBERS, "policies", "bound_cidrs")
_NAMES: Final = tuple(name for name in TokenParameters.__struct_fields__ if name != "old")


def sent(body: msgspec.Struct, name: str) -> Any:
    """A parameter as it was sent under its new or old name; UNSET where it was not."""
    value = getattr(body, f"token_{name}", UNSET)
    return getattr(body, name, UNSET) if value is UNSET and name in _OLD else value


def changed(before: TokenParameters, body: msgspec.Struct) -> TokenParameters:
    """The parameters after a write. Raises InvalidRequest."""
    fields = {name: value for name in _NAMES if (value := sent(body, name)) is not UNSET}
    old = tuple(name for name in _OLD if (_by_old_name(body, name) if name in fields else name in before.old))
    for name in NUMBERS:
        if fields.get(name, 0) < 0:
            raise InvalidRequest(f"'token_{name}' cannot be negative")
    if "policies" in fields:
        fields["policies"] = (assignable_policies if "policies" in old else policies_in_order)(fields["policies"])
    if "bound_cidrs" in fields:
        fields["bound_cidrs"] = bound_cidrs(fields["bound_cidrs"])
    if "type" in fields:
        fields["type"] = token_type(fields["type"])
    after = msgspec.structs.replace(before, **fields, old=old)
    _check(after)
    return after


def _by_old_name(body: msgspec.Struct, name: str) -> bool:
    return getattr(body, name, UNSET) is not UNSET


def token_type(text: str) -> str:
    """The canonical token type. Raises InvalidRequest."""
    if text not in TYPES:
        raise InvalidRequest("invalid 'token_type' value: it is service, batch or default")
    return TYPES[text]


def _check(parameters: TokenParameters) -> None:
    if parameters.max_ttl and parameters.ttl > parameters.max_ttl:
        raise InvalidRequest("'token_ttl' cannot be greater than 'token_max_ttl'")
    if parameters.type.endswith("batch") and parameters.period:
        raise InvalidRequest("'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens")
    if parameters.type.endswith("batch") and parameters.num_uses:
        raise InvalidRequest("'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count")


def shown(parameters: TokenParameters, old: tuple[str, ...] = ()) -> dict[str, Any]:
    """The `token_*` members of a read, and those of `old` that were written by these names: each method of Vault has its own of them."""
    members = {f"token_{name}": getattr(parameters, name) for name in _NAMES}
    return members | {name: value for name in old if name in parameters.old and (value := getattr(parameters, name))}


def with_policies(parameters: TokenParameters, *policies: Iterable[str]) -> TokenParameters:
    """The parameters of somebody who gets all these policies, too."""
    return msgspec.structs.replace(parameters, policies=tuple(sorted({*parameters.policies}.union(*policies))))


def is_here(parameters: TokenParameters, peer: Peer) -> bool:
    """Whether a login may come from this address."""
    return lets_in(parameters.bound_cidrs, peer.address)


def check_peer(parameters: TokenParameters, peer: Peer) -> None:
    """Raises PermissionDenied where a login may not come from this address."""
    if not is_here(parameters, peer):
        raise PermissionDenied


def granted(
    parameters: TokenParameters,
    call: Call,
    alias: Alias | None,
    shown_as: str,
    internal: dict[str, str] | None = None,
    rests_on: tuple[str, ...] = (),
    path: str = "",
) -> Grant:
    """What a login under these parameters hands out; the alias's metadata goes on the token.

    `shown_as` stands in its display name behind the mount's. `path` is the login's, below the mount, where it is not as it was asked.
    `rests_on` names what the token ends with: whoever deletes a user or role calls `end_logins` (core/logins.py) with that name.
    """
    assert call.mount is not None
    address, mount = call.request.peer.address, call.mount.path
    if parameters.strictly_bind_ip and not address:
        raise InvalidRequest("this login binds its token to the caller's address, and a unix socket has none; log in over TCP")
    networks = (address,) if parameters.strictly_bind_ip else parameters.bound_cidrs
    return Grant(
        policies=parameters.policies,
        no_default_policy=parameters.no_default_policy,
        display_name="-".join(filter(None, (mount.removeprefix("auth/")[:-1], shown_as))),
        metadata=alias.metadata if alias is not None else {},
        alias=alias,
        ttl=parameters.ttl,
        max_ttl=parameters.max_ttl,
        explicit_max_ttl=parameters.explicit_max_ttl,
        period=parameters.period,
        num_uses=parameters.num_uses,
        bound_cidrs=networks,
        token_type=parameters.type,
        internal=internal or {},
        rests_on=rests_on,
        path=path and mount + path,
    )


def renewed(parameters: TokenParameters, grant: Grant) -> Grant:
    """What a renewal goes by: the parameters as they are now. Raises InvalidRequest where the policies were changed meanwhile."""
    extra = () if parameters.no_default_policy else ("default",)
    if set(grant.policies) - set(extra) != set(parameters.policies) - set(extra):
        raise InvalidRequest("policies have changed, not renewing")
    return prolonged(parameters, grant)


def prolonged(parameters: TokenParameters, grant: Grant) -> Grant:
    """What a renewal goes by where it keeps the policies of the login whatever the role says now."""
    return msgspec.structs.replace(
        grant,
        ttl=parameters.ttl,
        max_ttl=parameters.max_ttl,
        period=parameters.period,
        explicit_max_ttl=min(filter(None, (grant.explicit_max_ttl, parameters.explicit_max_ttl)), default=0),
    )
