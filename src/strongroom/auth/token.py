"""auth/token: making, looking at, extending and ending tokens.

Rules of this file:
- A child has no more than its parent (core/token/creation.py); a root token that ends makes none that does not.
- What the caller does not hold, he names: tokens in bodies are looked up by keyed hash, accessors by theirs.
- Answers and texts are those of Vault's token store.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from strongroom.clock import SECOND, rfc3339
from strongroom.core.core import SystemEngine
from strongroom.core.engine import ListBody, keys_response, list_, paged, read, write
from strongroom.core.entries import Entries
from strongroom.core.fields import Seconds
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.secret import Secret
from strongroom.core.token import roles
from strongroom.core.token.creation import CreateBody, check_parent, grant_for, holds_sudo
from strongroom.core.token.entry import Token, TokenEntry
from strongroom.core.token.removal import tidy
from strongroom.core.token.roles import Role, RoleBody
from strongroom.core.token.tokens import MAX_DEPTH
from strongroom.crypto.ids import BATCH_PREFIX
from strongroom.errors import Forbidden, InvalidRequest, PermissionDenied, several

_ROLE_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?", re.ASCII)


class TokenBody(msgspec.Struct, frozen=True):
    """A token other than the caller's."""

    token: Annotated[str, "The token."] = ""


class AccessorBody(msgspec.Struct, frozen=True):
    """A token that is known by its accessor only."""

    accessor: Annotated[str, "The token's accessor."] = ""


class RenewSelfBody(msgspec.Struct, frozen=True):
    """By how much to extend the caller's token."""

    increment: Annotated[Seconds, "Seconds from now; the token's own TTL where it is 0."] = Seconds(0)


class RenewBody(TokenBody, frozen=True):
    """Which token to extend and by how much."""

    increment: Annotated[Seconds, "Seconds from now; the token's own TTL where it is 0."] = Seconds(0)


class RenewAccessorBody(AccessorBody, frozen=True):
    """Which token to extend and by how much."""

    increment: Annotated[Seconds, "Seconds from now; the token's own TTL where it is 0."] = Seconds(0)


class Tokens(SystemEngine, kind="token", family="system"):
    """The token store: every token, however it came to be, is looked at, extended and ended here."""

    # -- making -------------------------------------------------------------------------------------------------

    @write("create", body=CreateBody)
    def create(self, body: CreateBody) -> Response:
        """Create a token below the caller's."""
        return self._create(body, orphan=body.no_parent, named_orphan=False)

    @write("create-orphan", body=CreateBody)
    def create_orphan(self, body: CreateBody) -> Response:
        """Create a token without a parent; the right to this path is all it takes."""
        return self._create(body, orphan=True, named_orphan=True)

    @write("create/{role_name}", body=CreateBody)
    def create_by_role(self, role: str, body: CreateBody) -> Response:
        """Create a token as a role says."""
        found = self.token_roles.known(role)
        return self._create(body, orphan=body.no_parent, named_orphan=False, role=found, role_name=role)

    def _create(self, body: CreateBody, *, orphan: bool, named_orphan: bool, role: Role | None = None, role_name: str = "") -> Response:
        call, caller = self.call, self._caller()
        parent = caller.entry
        check_parent(caller)
        sudo = holds_sudo(caller.acl, call.operation, call.request.path)
        warnings: list[str] = []
        grant = grant_for(body, role, caller, sudo, warnings)
        if role is not None:
            orphan = role.orphan
        elif orphan and not named_orphan and not sudo:
            raise InvalidRequest("root or sudo privileges required to create orphan token")
        if body.id and not sudo:
            raise InvalidRequest("root or sudo privileges required to specify token id")
        if not orphan and len(caller.chain) >= MAX_DEPTH:
            raise InvalidRequest(f"a token tree is at most {MAX_DEPTH} deep; create an orphan, or from a token nearer its root")
        if body.entity_alias:
            grant = self._for_alias(grant, body.entity_alias, role)
        elif not orphan and parent.entity_id:
            grant = msgspec.structs.replace(grant, internal={"entity_id": parent.entity_id})
        path = call.request.path if role is None or not role.path_suffix else f"{call.request.path}/{role.path_suffix}"
        auth = self.core.tokens.issue(
            call.transaction,
            grant,
            path,
            self.mount,
            parent=b"" if orphan else caller.digest,
            token_id=body.id,
            role=role_name,
            warn=warnings,
        )
        if not auth.lease_duration and parent.expires:
            raise InvalidRequest("expiring root tokens cannot create non-expiring root tokens")
        warnings += [f'Policy "{name}" does not exist' for name in auth.token_policies if not self._is_policy(name)]
        return Response(auth=auth, warnings=tuple(warnings))

    def _is_policy(self, name: str) -> bool:
        return name == "root" or self.core.policies.text(self.call.transaction, name) is not None

    def _for_alias(self, grant: Grant, text: str, role: Role | None) -> Grant:
        """A token for an entity alias that a role allows; the alias belongs to this mount."""
        if role is None:
            raise InvalidRequest("'entity_alias' is only allowed in combination with token role")
        name = text.lower() if text.isascii() else ""
        if not name or not roles.allows_alias(role, name):
            raise InvalidRequest("invalid 'entity_alias' value")
        return msgspec.structs.replace(grant, alias=Alias(name))

    def _caller(self) -> Token:
        token = self.call.token
        if token is None:
            raise PermissionDenied
        return token

    # -- looking ------------------------------------------------------------------------------------------------

    @read("lookup-self")
    def lookup_self(self) -> Response:
        """Show the caller's token."""
        caller = self._caller()
        return self._shown(caller.digest, caller.entry, caller.secret.reveal())

    @write("lookup-self", writes=False, unchecked=True)
    def post_lookup_self(self) -> Response:
        """Show the caller's token."""
        return self.lookup_self()

    @read("lookup", body=TokenBody)
    @write("lookup", body=TokenBody, writes=False)
    def lookup(self, body: TokenBody) -> Response:
        """Show a token."""
        if not body.token:
            return self.lookup_self()
        try:
            found = self.core.tokens.find(self.call.transaction, Secret(body.token))
        except PermissionDenied:
            raise Forbidden("bad token") from None
        return self._shown(found.digest, found.entry, body.token)

    @write("lookup-accessor", body=AccessorBody, writes=False)
    def lookup_accessor(self, body: AccessorBody) -> Response:
        """Show a token by its accessor, without the token."""
        digest, entry = self._by_accessor(body.accessor)
        return self._shown(digest, entry, "")

    def _shown(self, digest: bytes, entry: TokenEntry, text: str) -> Response:
        tokens, transaction = self.core.tokens, self.call.transaction
        entry = (tokens.entry(transaction, digest) if entry.kind != "batch" else None) or entry
        orphan, extra = tokens.is_orphan(transaction, entry), tokens.identity_policies(transaction, entry)
        return Response(data=described(entry, orphan, transaction.now, text, extra))

    def _by_accessor(self, name: str) -> tuple[bytes, TokenEntry]:
        if not name:
            raise InvalidRequest(several("missing accessor"))
        return self.core.tokens.by_accessor(self.call.transaction, name)

    @list_("accessors/", body=ListBody, sudo=True)
    def accessors(self, body: ListBody) -> Response:
        """List the accessors of all tokens."""
        return keys_response(paged(sorted(self.core.tokens.living(self.call, lambda _digest, entry: entry.accessor)), body))

    # -- extending ----------------------------------------------------------------------------------------------

    @write("renew-self", body=RenewSelfBody)
    def renew_self(self, body: RenewSelfBody) -> Response:
        """Extend the caller's token."""
        caller = self._caller()
        return self._renew(caller.digest, caller.entry, body.increment, caller.secret)

    @write("renew", body=RenewBody)
    def renew_token(self, body: RenewBody) -> Response:
        """Extend a token."""
        if not body.token:
            raise InvalidRequest("missing token ID")
        try:
            found = self.core.tokens.find(self.call.transaction, Secret(body.token))
        except PermissionDenied:
            raise InvalidRequest("token not found") from None
        return self._renew(found.digest, found.entry, body.increment, Secret(body.token))

    @write("renew-accessor", body=RenewAccessorBody)
    def renew_accessor(self, body: RenewAccessorBody) -> Response:
        """Extend a token by its accessor; the answer does not show the token."""
        digest, entry = self._by_accessor(body.accessor)
        return self._renew(digest, entry, body.increment, Secret(""))

    def _renew(self, digest: bytes, entry: TokenEntry, increment: int, secret: Secret) -> Response:
        """The issuing method may refuse, or change what the renewal goes by."""
        transaction, tokens = self.call.transaction, self.core.tokens
        if entry.kind == "batch":
            raise InvalidRequest("batch tokens cannot be renewed")
        entry = tokens.entry(transaction, digest) or entry
        if not entry.renewable:
            raise InvalidRequest("lease is not renewable")
        mount = self.core.mounts.table(transaction).by_uuid.get(entry.mount, self.mount)
        if mount.uuid == self.mount.uuid:
            terms = self._role_terms(entry)
        else:
            terms = self.core.engine_of(self.call, mount).renew_login(_regrant(entry))
        warnings: list[str] = []
        renewed = tokens.renew(transaction, digest, entry, increment, mount, terms, warnings)
        return Response(auth=tokens.auth(renewed, transaction, secret), warnings=tuple(warnings))

    def _role_terms(self, entry: TokenEntry) -> Grant:
        """A token of a role goes on as the role says now."""
        grant = _regrant(entry)
        if not entry.role:
            return grant
        role = self.token_roles.get(entry.role)
        if role is None:
            raise InvalidRequest(f"original token role {entry.role} could not be found, not renewing")
        hard = min(filter(None, (entry.explicit_max_ttl, role.token_explicit_max_ttl)), default=0)
        return msgspec.structs.replace(grant, period=role.token_period, explicit_max_ttl=hard)

    # -- ending -------------------------------------------------------------------------------------------------

    @write("revoke-self")
    def revoke_self(self) -> None:
        """End the caller's token and all below it."""
        caller = self._caller()
        if caller.entry.kind == "batch":
            raise InvalidRequest("batch tokens cannot be revoked")
        self.core.tokens.revoke(self.call.transaction, caller.digest)

    @write("revoke", body=TokenBody)
    def revoke_token(self, body: TokenBody) -> None:
        """End a token and all below it; nothing happens where there is none."""
        if not body.token:
            raise InvalidRequest("missing token ID")
        if body.token.startswith(BATCH_PREFIX):
            raise InvalidRequest("batch tokens cannot be revoked")
        self.core.tokens.revoke(self.call.transaction, self.core.tokens.digest(self.call.transaction, body.token))

    @write("revoke-accessor", body=AccessorBody)
    def revoke_accessor(self, body: AccessorBody) -> Response | None:
        """End the token an accessor leads to, and all below it."""
        try:
            digest, _ = self._by_accessor(body.accessor)
        except InvalidRequest:
            if not body.accessor:
                raise
            return Response(warnings=("No token found with this accessor",))
        self.core.tokens.revoke(self.call.transaction, digest)
        return None

    @write("revoke-orphan", body=TokenBody, sudo=True)
    def revoke_orphan(self, body: TokenBody) -> None:
        """End a token but not its children: they become orphans."""
        if not body.token:
            raise InvalidRequest("missing token ID")
        if body.token.startswith(BATCH_PREFIX):
            raise InvalidRequest("batch tokens cannot be revoked")
        transaction, tokens = self.call.transaction, self.core.tokens
        digest = tokens.digest(transaction, body.token)
        if tokens.alive(transaction, digest) is None:
            raise InvalidRequest("token to revoke not found")
        tokens.revoke(transaction, digest, spares_children=True)

    # -- roles --------------------------------------------------------------------------------------------------

    token_roles = Entries(
        Role,
        pattern="roles/{role_name}",
        noun="token role",
        name=str,
        told=roles.shown,
        named="name",
        missing="unknown role {}",
        ends="",
        says={"list": "List the token roles.", "delete": "Delete a token role; its tokens live on but cannot be renewed."},
    )

    @write("roles/{role_name}", body=RoleBody, exists="token_role_exists")
    def write_token_role(self, name: str, body: msgspec.Struct) -> Response | None:
        """Create or change a token role."""
        if not _ROLE_NAME.fullmatch(name):
            raise InvalidRequest("a role name has letters, digits, _ . and -, and begins and ends with a letter, digit or _")
        role = roles.changed(self.token_roles.get(name), body)
        self.token_roles.put(name, role)
        if roles.names_hard_end(body) and role.token_explicit_max_ttl > self.max_ttl:
            return Response(warnings=(roles.TOO_LONG.format(role.token_explicit_max_ttl, self.max_ttl),))
        return None

    # -- tidying ------------------------------------------------------------------------------------------------

    @write("tidy")
    def tidy(self) -> Response:
        """Remove what tokens that are gone may have left."""
        tidy(self.call.transaction)
        warning = "Tidy operation successfully started. It runs in the background; the server's log tells of what it found."
        return Response(status=202, warnings=(warning,))


def _regrant(entry: TokenEntry) -> Grant:
    """What a token was granted, for whoever decides about its renewal."""
    return Grant(
        policies=entry.policies,
        no_default_policy=True,
        display_name=entry.display_name,
        metadata=entry.metadata or {},
        ttl=entry.ttl,
        max_ttl=entry.max_ttl,
        explicit_max_ttl=entry.explicit_max_ttl,
        period=entry.period,
        num_uses=max(entry.num_uses, 0),
        bound_cidrs=entry.bound_cidrs,
        token_type=entry.kind,
        internal=entry.internal,
    )


def described(entry: TokenEntry, orphan: bool, now: int, text: str, identity_policies: tuple[str, ...]) -> dict[str, Any]:
    """The members of a look-up."""
    members: dict[str, Any] = {
        "id": text,
        "accessor": "" if entry.kind == "batch" else entry.accessor,
        "policies": entry.policies,
        "path": entry.path,
        "meta": entry.metadata,
        "display_name": entry.display_name,
        "num_uses": max(entry.num_uses, 0),
        "orphan": orphan,
        "creation_time": entry.created // SECOND,
        "creation_ttl": entry.ttl,
        "expire_time": rfc3339(entry.expires) or None,
        "ttl": max(0, (entry.expires - now) // SECOND) if entry.expires else 0,
        "explicit_max_ttl": entry.explicit_max_ttl,
        "entity_id": entry.entity_id,
        "type": entry.kind,
    }
    if entry.expires:
        members |= {"issue_time": rfc3339(entry.created), "renewable": entry.renewable}
    if identity_policies:
        members["identity_policies"] = identity_policies
    if entry.role:
        members["role"] = entry.role
    if entry.period:
        members["period"] = entry.period
    if entry.bound_cidrs:
        members["bound_cidrs"] = entry.bound_cidrs
    if entry.last_renewal:
        members |= {"last_renewal": rfc3339(entry.last_renewal), "last_renewal_time": entry.last_renewal // SECOND}
    return members
