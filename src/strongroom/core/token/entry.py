"""A token: what is stored of it, and what a presented one is while it is unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from strongroom.core.secret import Secret

if TYPE_CHECKING:
    from strongroom.core.policy.acl import Acl


class TokenEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored about a token, or sealed inside a batch token. Instants in ns since the epoch, durations in seconds.

    `expires` 0 = never. `parent` is the keyed hash of the parent token, b"" for orphans. `kind` is "service" or "batch".
    """

    accessor: str
    policies: tuple[str, ...]
    path: str
    display_name: str = "token"
    metadata: dict[str, str] | None = None
    kind: str = "service"
    created: int = 0
    expires: int = 0
    ttl: int = 0
    explicit_max_ttl: int = 0
    max_ttl: int = 0
    period: int = 0
    renewable: bool = True
    num_uses: int = 0
    last_renewal: int = 0
    parent: bytes = b""
    role: str = ""
    entity_id: str = ""
    bound_cidrs: tuple[str, ...] = ()
    mount: bytes = b""
    internal: dict[str, str] = {}
    namespace: str = ""
    revoked: bool = False
    spares_children: bool = False
    """With `revoked`: those below it are orphans, not revoked too."""
    era: int = 0
    """The era (core/tombstones.py) in which it was made."""
    rests_on: tuple[str, ...] = ()
    """What of its auth mount it ends with (core/logins.py)."""

    def __repr__(self) -> str:
        return f"TokenEntry({self.accessor})"


class Token:
    """A token that was presented and found good, with what follows from it. Shared by all calls that use it while it is unchanged.

    `digest` is its keyed hash (its name in the store), `policies` the union of its own and its identity's, `acl` is compiled
    of them. `chain` is the digest and those of its ancestors, `deadline` the first instant (ns) at which one of them ends, 0 = never.
    `fragments` is audit's place for the masked forms of it, by device.
    """

    __slots__ = ("acl", "chain", "deadline", "digest", "entry", "fragments", "identity_policies", "policies", "secret")

    def __init__(
        self,
        secret: Secret,
        digest: bytes,
        entry: TokenEntry,
        acl: Acl,
        identity_policies: tuple[str, ...] = (),
        chain: tuple[bytes, ...] = (),
        deadline: int = 0,
    ) -> None:
        self.secret = secret
        self.digest = digest
        self.entry = entry
        self.acl = acl
        self.identity_policies = identity_policies
        self.chain = chain or (digest,)
        self.deadline = deadline
        self.policies = tuple(sorted({*entry.policies, *identity_policies}))
        self.fragments: dict[Any, bytes] = {}

    def __repr__(self) -> str:
        return f"Token({self.entry.accessor})"
