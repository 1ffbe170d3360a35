"""The login: which role the certificate of this connection fits, and whether it may still be believed.

Rules of this file:
- A certificate is verified once for each bundle that roles trust, on the pool; then roles are tried in the order of their names, and the
  first whose constraints hold and for which nothing is revoked is the one. `name` limits the choice to one role.
- The alias is the common name of the certificate that was verified; one without a common name has no name to go by and is refused.
- What is wrong with the certificate itself is said; which roles exist and what they want is not.
- A renewal needs the very certificate of the login, still good under the same role, unless the mount's settings say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Final, NamedTuple

import msgspec
from cryptography import x509

from strongroom.auth.cert.matching import Subject, extension_metadata, matches, metadata_of, subject_of
from strongroom.auth.cert.ocsp import Responders
from strongroom.auth.cert.roles import Role, canonical, trusted
from strongroom.clock import Clock
from strongroom.core.engine import login
from strongroom.core.response import Alias, Grant, Response
from strongroom.core.token.parameters import check_peer, granted, renewed
from strongroom.crypto.x509 import Untrusted, check_leaf, load_presented, verify_client
from strongroom.errors import InvalidRequest

NONE: Final = "client certificate must be supplied"
INVALID: Final = "invalid certificate or no client certificate supplied"
NO_ROLE: Final = "no chain matching all constraints could be found for this login certificate"
ANOTHER: Final = "client identity during renewal not matching client identity used during login"

Chain = tuple[x509.Certificate, ...]


class LoginBody(msgspec.Struct, frozen=True):
    """A certificate comes with the connection, not here."""

    name: Annotated[str, "The role; the first that fits where none is given."] = ""


class Verified(NamedTuple):
    """What a client's certificate says; for each bundle that it leads up to, the way there; and why not, for the audit log."""

    subject: Subject
    chains: Mapping[str, Chain]
    why_not: str


class Cert(Responders, kind="cert", family="auth"):
    """Log in with the TLS certificate of the connection."""

    @login("login", body=LoginBody)
    def login(self, body: LoginBody) -> Response:
        """Log in."""
        name, role, subject = self._fitting(canonical(body.name) if body.name else "")
        check_peer(role.token, self.call.request.peer)
        if not subject.common_name:
            raise InvalidRequest("the certificate has no common name, which would be the alias; issue one that has")
        metadata = {"cert_name": name} | metadata_of(subject) | extension_metadata(subject, role)
        alias = Alias(subject.common_name, metadata if self.settings.known().enable_identity_alias_metadata else {})
        internal = {"cert_name": name, "fingerprint": sha256(self._leaf()).hexdigest()}
        grant = granted(role.token, self.call, alias, role.display_name, internal, rests_on=(f"role/{name}",))
        return Response(grant=msgspec.structs.replace(grant, metadata=metadata))

    def renew_login(self, grant: Grant) -> Grant:
        """The role must still exist, with the same policies; and the certificate of the login be there and be good."""
        name = grant.internal.get("cert_name", "")
        role = self.roles.renewed(name)
        if not self.settings.known().disable_binding:
            if sha256(self._leaf()).hexdigest() != grant.internal.get("fingerprint"):
                raise InvalidRequest(ANOTHER)
            self._fitting(name)
        return renewed(role.token, grant)

    def _leaf(self) -> bytes:
        """The certificate whose key the handshake proved. Raises InvalidRequest where there is none."""
        leaf = self.call.request.peer.leaf
        if leaf is None:
            raise InvalidRequest(NONE)
        return leaf

    # -- which role it fits -------------------------------------------------------------------------------------

    def _fitting(self, name: str) -> tuple[str, Role, Subject]:
        """The role to log in with, and as whom. Raises InvalidRequest."""
        roles = dict(self._roles(name))
        found = self._verified(frozenset(role.certificate for role in roles.values()))
        problems: dict[str, None] = {}
        for each, role in roles.items():
            chain = found.chains.get(role.certificate)
            if chain is None or not matches(found.subject, role):
                continue
            try:
                self.check_lists(chain)
                self.check_responders(role, chain)
            except Untrusted as error:
                problems[str(error)] = None
                continue
            return each, role, found.subject
        raise self._refusal(found, list(problems))

    def _roles(self, name: str) -> Iterator[tuple[str, Role]]:
        for each in [name] if name else self.roles.names():
            role = self.roles.get(each)
            if role is not None:
                yield each, role

    def _verified(self, bundles: frozenset[str]) -> Verified:
        """The certificate under each bundle, on the pool: what a stranger presents takes up to some milliseconds. Raises InvalidRequest."""
        leaf, chain, clock = self._leaf(), self.call.request.peer.chain, self.clock
        work: Callable[[], Verified] = lambda: verified(leaf, chain, bundles, clock)  # noqa: E731 — self is of one run only
        try:
            return self.call.once("certificate", leaf, chain, bundles, fn=work)
        except Untrusted as error:
            raise InvalidRequest(f"failed to verify client's certificate: {error}") from None

    def _refusal(self, found: Verified, problems: list[str]) -> InvalidRequest:
        said = NO_ROLE if found.chains else INVALID
        if problems:
            said = f"{said}; additionally got errors during verification: {'; '.join(problems)}"
        data = {"metadata": metadata_of(found.subject)} if self.settings.known().enable_metadata_on_failures else None
        return InvalidRequest(said, data=data, reason="" if found.chains else found.why_not)


def verified(leaf: bytes, others: Sequence[bytes], bundles: Iterable[str], clock: Clock) -> Verified:
    """A client's certificate, sound in itself, under each bundle. Raises Untrusted."""
    presented, now = load_presented(leaf, others), clock.now()
    check_leaf(presented.leaf, now)
    chains: dict[str, Chain] = {}
    why_not = "no role to log in with"
    for bundle in bundles:
        try:
            chains[bundle] = verify_client(presented, trusted(bundle), now)
        except Untrusted as error:
            why_not = str(error)
    return Verified(subject_of(presented.leaf), chains, why_not)
