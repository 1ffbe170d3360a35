"""The login: which role the certificate of this connection fits, and whether it may still be believed.

Rules of this file:
- A certificate is verified once for each bundle that roles trust, on the pool; then roles are tried in the order of their names, and the
  first whose constraints hold and for which nothing is revoked is the one. `name` limits the choice to one role.
- The alias is the common name of the certificate that was verified; one without a common name has no name to go by and is refused.
- What is wrong with the certificate itself is said; which roles exist and what they want is not.
- A renewal needs the very certificate of the login, still good under the same role, unless the mount's settings say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from strongroom.auth.cert.matching import Subject, extension_metadata, matches, metadata_of, subject_of
from strongroom.auth.cert.model import Role, canonical, trusted
from strongroom.auth.cert.ocsp import Responders
from strongroom.clock import Clock
from strongroom.core.engine import login
from strongroom.core.request import Alias, Grant, Peer, Response
from strongroom.core.token.parameters import check_peer, granted, renewed
from strongroom.crypto.x509 import Presented, Untrusted, check_leaf, load_presented, verify_client
from strongroom.errors import InvalidRequest

NONE: Final = "client certificate must be supplied"
INVALID: Final = "invalid certificate or no client certificate supplied"
NO_ROLE: Final = "no chain matching all constraints could be found for this login certificate"
ANOTHER: Final = "client identity during renewal not matching client identity used during login"

Chain = tuple[x509.Certificate, ...]


class LoginBody(msgspec.Struct, frozen=True):
    """A certificate comes with the connection, not here."""

    name: Annotated[str, "The role; the first that fits where none is given."] = ""


class Client(msgspec.Struct, frozen=True):
    """Who is at the other end: the certificate whose key the handshake proved, and what it says."""

    presented: Presented
    subject: Subject

    @property
    def fingerprint(self) -> str:
        """Stands for the certificate, byte for byte."""
        return self.presented.leaf.fingerprint(SHA256()).hex()


class Cert(Responders, kind="cert", family="auth"):
    """Log in with the TLS certificate of the connection."""

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        client = self._client()
        name, role = self._fitting(client, canonical(body.name) if body.name else "")
        check_peer(role.token, self.call.request.peer)
        if not client.subject.common_name:
            raise InvalidRequest("the certificate has no common name, which would be the alias; issue one that has")
        metadata = {"cert_name": name} | metadata_of(client.subject) | extension_metadata(client.subject, role)
        alias = Alias(client.subject.common_name, metadata if self.settings().enable_identity_alias_metadata else {})
        display_name = f"{self.mount.path.removeprefix('auth/')[:-1]}-{role.display_name}"
        grant = granted(role.token, self.call, alias, display_name, {"cert_name": name, "fingerprint": client.fingerprint})
        return Response(grant=msgspec.structs.replace(grant, metadata=metadata))

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still exist, with the same policies; and the certificate of the login be there and be good."""
        name = grant.internal.get("cert_name", "")
        role = self.role(name) if name else None
        if role is None:
            raise InvalidRequest("the role does not exist any more, not renewing")
        if not self.settings().disable_binding:
            client = self._client()
            if client.fingerprint != grant.internal.get("fingerprint"):
                raise InvalidRequest(ANOTHER)
            self._fitting(client, name)
        return renewed(role.token, grant)

    # -- who it is ----------------------------------------------------------------------------------------------

    def _client(self) -> Client:
        """The certificate of the connection, sound in itself. Raises InvalidRequest."""
        peer = self.call.request.peer
        if peer.leaf is None:
            raise InvalidRequest(NONE)
        try:
            client = _client(peer)
            check_leaf(client.presented.leaf, self.call.transaction.now)
        except Untrusted as error:
            raise InvalidRequest(f"failed to verify client's certificate: {error}") from None
        return client

    # -- which role it fits -------------------------------------------------------------------------------------

    def _fitting(self, client: Client, name: str) -> tuple[str, Role]:
        """The role to log in with. Raises InvalidRequest."""
        roles = dict(self._roles(name))
        chains = self._chains(client, frozenset(role.certificate for role in roles.values()))
        problems: dict[str, None] = {}
        for each, role in roles.items():
            chain = chains.get(role.certificate)
            if chain is None or not matches(client.subject, role):
                continue
            try:
                self.check_lists(chain)
                self.check_responders(role, chain)
            except Untrusted as error:
                problems[str(error)] = None
                continue
            return each, role
        raise self._refusal(client, NO_ROLE if chains else INVALID, list(problems))

    def _roles(self, name: str) -> Iterator[tuple[str, Role]]:
        for each in [name] if name else self.store.list("certs"):
            role = self.role(each)
            if role is not None:
                yield each, role

    def _chains(self, client: Client, bundles: frozenset[str]) -> Mapping[str, Chain]:
        """For each bundle that the certificate leads up to, the way there; worked out on the pool."""
        presented, clock = client.presented, self.clock
        work: Callable[[], Mapping[str, Chain]] = lambda: _chains(presented, bundles, clock)  # noqa: E731 — self is of one run only
        peer = self.call.request.peer
        return self.call.once("chains", peer.leaf, peer.chain, bundles, fn=work)

    def _refusal(self, client: Client, reason: str, problems: list[str]) -> InvalidRequest:
        if problems:
            reason = f"{reason}; additionally got errors during verification: {'; '.join(problems)}"
        data = {"metadata": metadata_of(client.subject)} if self.settings().enable_metadata_on_failures else None
        return InvalidRequest(reason, data=data)


def _client(peer: Peer) -> Client:
    assert peer.leaf is not None
    presented = load_presented(peer.leaf, peer.chain)
    return Client(presented, subject_of(presented.leaf))


def _chains(presented: Presented, bundles: frozenset[str], clock: Clock) -> dict[str, Chain]:
    found: dict[str, Chain] = {}
    for bundle in bundles:
        try:
            found[bundle] = verify_client(presented, trusted(bundle), clock.now())
        except Untrusted:
            continue
    return found
