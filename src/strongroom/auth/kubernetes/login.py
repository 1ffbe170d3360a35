"""The login: what the token says, what the role allows, what the cluster confirms.

Rules of this file:
- Checks that cost nothing come first: form, signature by a configured key, times, issuer, audience. Then the cluster is asked, and only
  whose token it knows is told that the role is not for his account: else anybody could try out whom a role is for.
- What the token says of itself and what the cluster says of it must be the same account; labels and annotations are looked up for that one.
- The cluster is asked outside the store's lock. The call then runs again from the start, so role and configuration are the ones of now.
- Refusals are 403. Who holds a token learns which of his claims does not fit; who forges one learns nothing of role or cluster but
  which issuer and audience he has to write.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from strongroom.auth.kubernetes.account import Account, account
from strongroom.auth.kubernetes.cluster import account_annotations, namespace_labels, review
from strongroom.auth.kubernetes.config import (
    DEFAULT_ISSUER,
    Access,
    Config,
    ConfigBody,
    access_of,
    changed_config,
    public_keys,
    shown_config,
)
from strongroom.auth.kubernetes.config import warnings as config_warnings
from strongroom.auth.kubernetes.roles import BY_NAME, Role, RoleBody, changed_role, shown_role
from strongroom.auth.kubernetes.roles import warnings as role_warnings
from strongroom.auth.kubernetes.selector import parse_selector
from strongroom.core.configuration import Configuration
from strongroom.core.engine import Engine, login
from strongroom.core.entries import Entries
from strongroom.core.glob import fits_any
from strongroom.core.names import role_name
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, prolonged
from strongroom.crypto import claims as registered
from strongroom.crypto import jws
from strongroom.crypto.errors import InvalidToken
from strongroom.errors import Forbidden, InvalidRequest, PermissionDenied

ANNOTATION = "vault.hashicorp.com/alias-metadata-"
RESERVED = frozenset(("service_account_uid", "service_account_name", "service_account_namespace", "service_account_secret_name"))


class LoginBody(msgspec.Struct, frozen=True):
    """What a pod proves itself with."""

    role: Annotated[str, "The role to log in with."] = ""
    jwt: Annotated[str, "The token of the pod's service account."] = ""


class Kubernetes(Engine, kind="kubernetes", family="auth"):
    """Log in with the token of a Kubernetes service account."""

    config = Configuration(
        Config,
        body=ConfigBody,
        changed=changed_config,
        told=shown_config,
        missing="could not load backend configuration",
        warnings=config_warnings,
        says={"read": "Show the configuration, without the reviewer's token.", "write": "Say which cluster this mount belongs to."},
    )
    roles = Entries(
        Role,
        body=RoleBody,
        changed=changed_role,
        told=shown_role,
        missing='invalid role name "{}"',
        warnings=role_warnings,
        ends="role",
    )

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        for field in ("role", "jwt"):
            if not getattr(body, field):
                raise InvalidRequest(f"missing {field}")
        name, token = role_name(body.role), body.jwt.strip()  # files that tokens come from end in a line break
        role = self.roles.known(name)
        check_peer(role.token, self.call.request.peer)
        config = self.config.known()
        found, audiences = _said(token, role, config, self.clock.now())
        access = self.access(config)
        self._confirm(access, token, found, role, audiences)
        if not fits_any(found.name, role.names):
            raise Forbidden("service account name not authorized")
        if not fits_any(found.namespace, role.namespaces):
            self._select(access, token, found, role.selector)
        extra = self._annotations(access, token, found) if config.use_annotations_as_alias_metadata else {}
        return Response(grant=self._granted(name, role, found, extra))

    def access(self, config: Config) -> Access:
        """How to ask the cluster."""
        return access_of(config, tenant=bool(self.mount.namespace))

    def _confirm(self, access: Access, token: str, found: Account, role: Role, audiences: tuple[str, ...]) -> None:
        """The cluster says that it is this account's token, and for the role's audience. Raises PermissionDenied and Unavailable."""
        asked = (role.audience,) if role.audience else audiences
        confirmed, heard = self.call.outside("review", access, token, asked, fn=lambda: review(self.outbound, access, token, asked))
        if confirmed[:3] != found[:3]:
            raise PermissionDenied(reason="the cluster says that the token is another account's")
        if role.audience and role.audience not in heard:  # an API server that knows no audiences ignores that it was asked for one
            raise PermissionDenied(reason="the cluster does not confirm the role's audience")

    def _select(self, access: Access, token: str, found: Account, selector: str) -> None:
        """The account's namespace has the labels, where there are any. Raises Forbidden, PermissionDenied and Unavailable."""
        if not selector:
            raise Forbidden("namespace not authorized")
        labels = self.call.outside(
            "labels", access, token, found, fn=lambda: namespace_labels(self.outbound, access, token, found.namespace)
        )
        if not parse_selector(selector).selects(labels):
            raise Forbidden("namespace not authorized")

    def _annotations(self, access: Access, token: str, found: Account) -> dict[str, str]:
        """What the service account's annotations put on the alias. Raises InvalidRequest, PermissionDenied and Unavailable."""
        all_of_it = self.call.outside(
            "annotations", access, token, found, fn=lambda: account_annotations(self.outbound, access, token, found)
        )
        chosen = {key.removeprefix(ANNOTATION): value for key, value in all_of_it.items() if key.startswith(ANNOTATION)}
        if chosen.keys() & RESERVED:
            raise InvalidRequest(
                "entity alias metadata keys for only internal use found from the client token's associated service account annotations"
            )
        return chosen

    def _granted(self, name: str, role: Role, found: Account, extra: dict[str, str]) -> Grant:
        metadata = {
            "service_account_uid": found.uid,
            "service_account_name": found.name,
            "service_account_namespace": found.namespace,
            "service_account_secret_name": found.secret,
        }
        alias = Alias(f"{found.namespace}/{found.name}" if role.alias_name_source == BY_NAME else found.uid, extra | metadata)
        grant = granted(role.token, self.call, alias, f"{found.namespace}-{found.name}", {"role": name}, rests_on=(f"role/{name}",))
        return msgspec.structs.replace(grant, metadata=metadata | {"role": name})

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still be there; the policies of the login stay."""
        name = grant.internal.get("role", "")
        role = self.roles.get(name)
        if role is None:
            raise InvalidRequest(f"role {name} does not exist during renewal")
        return prolonged(role.token, grant)


def _said(text: str, role: Role, config: Config, now: int) -> tuple[Account, tuple[str, ...]]:
    """The account and audiences that a token names, after every check that needs no cluster. Raises Forbidden and PermissionDenied."""
    keys = public_keys(config)
    try:
        token = jws.parse(text)
        claims: dict[str, Any] = token.verify(keys) if keys else token.unverified_claims()
    except InvalidToken as error:
        raise PermissionDenied(reason=str(error)) from None
    try:
        registered.check_times_said(claims, now)  # tokens that lie in a Secret have no end
        if not config.disable_iss_validation:
            registered.check_issuer(claims, (config.issuer or DEFAULT_ISSUER,))
        if role.audience:
            registered.check_audience(claims, (role.audience,))
        return account(claims), registered.audiences(claims)
    except InvalidToken as error:
        raise Forbidden(str(error)) from None
