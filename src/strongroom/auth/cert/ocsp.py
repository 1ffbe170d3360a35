"""Asking responders whether a certificate was revoked, for roles that want it.

Rules of this file:
- Asked on the pool, after everything else about the certificate was found good: a stranger cannot have this server ask anybody anything.
- Responders come from the role, or from the verified certificate; those of a certificate may be public hosts only (outbound/addresses.py).
- What was proved is kept in memory until the responder knows better, for ten minutes at most: so long a revocation may go unnoticed.
- No answer, or one that proves nothing, refuses, unless the role says fail-open. "Revoked" and "unknown" are answers: they refuse always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from strongroom.auth.cert.config import OCSP_CACHE
from strongroom.auth.cert.crls import Lists
from strongroom.auth.cert.roles import Ocsp, Role
from strongroom.clock import SECOND, Clock
from strongroom.crypto import ocsp
from strongroom.crypto.x509 import Untrusted, load_pem
from strongroom.errors import StrongroomError
from strongroom.memo import remember
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound

KEPT: Final = 600 * SECOND
"""The longest that a status is kept; responders say hours or days."""
SECONDS: Final = 3.0
"""For one try: somebody waits for a login."""
MAX_RESPONDERS: Final = 4
"""Of one certificate; the usual number is one."""
MAX_TRIES: Final = 8
"""Over all responders of one login, whatever the role says: half a minute on the pool at most."""
MAX_MOUNTS: Final = 256
"""Mounts whose statuses are kept."""

Asked = tuple[bytes, Ocsp]
"""A certificate, and how its role wants it asked about."""

_KEPT: dict[bytes, dict[Asked, ocsp.Status]] = {}


class Unproved(Exception):
    """No status could be had; the message says why."""


class Query(NamedTuple):
    """All that is needed to ask, on the pool."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    urls: tuple[str, ...]
    reach: Reach
    role: Role

    def ask(self, outbound: Outbound, clock: Clock) -> ocsp.Status:
        """The worst status that the responders prove, or the first where one is enough. Raises Unproved."""
        if not self.urls:
            raise Unproved("the certificate names no OCSP responder; set ocsp_servers_override")
        found, problems = [], []
        for status in self._answers(outbound, clock):
            if isinstance(status, Unproved):
                problems.append(status)
            elif not self.role.ocsp.query_all_servers or not status.good:
                return status
            else:
                found.append(status)
        if problems or not found:
            raise problems[0] if problems else Unproved("no OCSP responder answered")
        return min(found, key=lambda each: each.until)

    def _answers(self, outbound: Outbound, clock: Clock) -> Iterator[ocsp.Status | Unproved]:
        trusted = load_pem(self.role.ocsp.ca_certificates) if self.role.ocsp.ca_certificates else ()
        tries = MAX_TRIES
        for url in self.urls[:MAX_RESPONDERS]:
            outcome: ocsp.Status | Unproved = Unproved("no OCSP responder answered")
            for _ in range(min(tries, 1 + self.role.ocsp.max_retries)):
                tries -= 1
                outcome = self._answer(url, trusted, outbound, clock)
                if isinstance(outcome, ocsp.Status):
                    break
            yield outcome

    def _answer(self, url: str, trusted: tuple[x509.Certificate, ...], outbound: Outbound, clock: Clock) -> ocsp.Status | Unproved:
        asked = ocsp.question(self.certificate, self.issuer)
        try:
            answer = outbound.request(
                "POST",
                url,
                headers={"content-type": "application/ocsp-request"},
                body=asked.encoded(),
                reach=self.reach,
                ca_pem=self.role.ocsp.ca_certificates if url.startswith("https:") else "",
                timeout=SECONDS,
                limit=ocsp.MAX_ANSWER,
                plaintext=True,  # the answer is signed, and those who sign it cannot be asked over TLS before they are (RFC 6960, A.1)
            )
            if answer.status != 200:
                return Unproved(f"the OCSP responder answered {answer.status}")
            return ocsp.read_answer(answer.body, asked, trusted, clock.now(), self.role.ocsp.this_update_max_age)
        except (StrongroomError, ocsp.BadAnswer) as error:
            return Unproved(f"OCSP: {error}")


class Responders(Lists):
    """OCSP."""

    def check_responders(self, role: Role, chain: tuple[x509.Certificate, ...]) -> None:
        """Raises Untrusted where the certificate is revoked, or where that cannot be found out and the role does not fail open."""
        if not role.ocsp.enabled:
            return
        try:
            status = self._status(role, chain)
        except Unproved as error:
            if role.ocsp.fail_open:
                return
            raise Untrusted(str(error)) from None
        if not status.good:
            raise Untrusted("it is revoked" if status.revoked else "its issuer's OCSP responder does not know it")

    def _status(self, role: Role, chain: tuple[x509.Certificate, ...]) -> ocsp.Status:
        certificate = chain[0]
        issuer = _issuer(role, chain)
        now = self.call.transaction.now
        place = (certificate.fingerprint(SHA256()), role.ocsp)
        kept = _KEPT.get(self.mount.uuid, {}).get(place)
        if kept is not None and now < kept.until:
            return kept
        urls, reach = ocsp.responders(certificate), Reach.PUBLIC
        if role.ocsp.servers_override:
            urls, reach = role.ocsp.servers_override, Reach.CONFIGURED
        query = Query(certificate, issuer, urls, reach, role)
        status = self._once(place, query)
        until = min(status.until, now + KEPT)
        memo = _KEPT.get(self.mount.uuid) or remember(_KEPT, MAX_MOUNTS, self.mount.uuid, {})
        return remember(memo, self.settings.known().ocsp_cache_size or OCSP_CACHE, place, status._replace(until=until))

    def _once(self, place: Asked, query: Query) -> ocsp.Status:
        outbound, clock = self.outbound, self.clock
        ask: Callable[[], ocsp.Status] = lambda: query.ask(outbound, clock)  # noqa: E731 — self is of one run only
        return self.call.outside("ocsp", place, query.urls, fn=ask)


def _issuer(role: Role, chain: tuple[x509.Certificate, ...]) -> x509.Certificate:
    """The certificate above the client's: in its chain, or for one that is trusted itself among the role's OCSP certificates."""
    candidates = chain[1:2] or (load_pem(role.ocsp.ca_certificates) if role.ocsp.ca_certificates else ())
    for candidate in candidates:
        if candidate.subject == chain[0].issuer:
            return candidate
    raise Unproved("the issuer of the certificate is not known; put its certificate into ocsp_ca_certificates")
