"""Revocation lists: written or fetched by an administrator, kept fresh by a timer, asked at every login.

    crls/<name>   List: the list's bytes, and what was read of them

Rules of this file:
- Lists are rows like any other: the first login after a start knows them.
- A list revokes by (issuer's name, serial number), for every certificate of a chain. Whoever wrote or signed it, what it names is revoked.
- A list that was written counts for ever. One that is fetched comes over the network: it must be signed by the issuer whose certificates it
  speaks of, and be current; else nobody of that issuer logs in until it is. It is replaced only by one of the same issuer, not older, and
  one of the future is none: somebody on the way once would have a list of his keep all later ones out, and everybody with them.
- A list of the issuer's former key (another key identifier) says nothing about certificates of its present one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from strongroom.auth.cert.roles import Roles, canonical, trusted
from strongroom.barrier.view import decoder
from strongroom.clock import SECOND, rfc3339
from strongroom.core.engine import ListBody, delete, list_, listed, read, write
from strongroom.core.response import Response
from strongroom.crypto.crl import MAX_CRL, UnusableCrl, load_crl, read_crl, serial, signed_by, spelled
from strongroom.crypto.x509 import Untrusted, key_id
from strongroom.errors import InvalidRequest
from strongroom.memo import remember
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.url import parse_url

SOONEST: Final = timedelta(minutes=5)
"""Between two fetches of one list."""
LATEST: Final = timedelta(hours=12)
"""Issuers publish new lists long before the old ones end."""
AHEAD: Final = timedelta(minutes=5)
"""By how much an issuer's clock may be."""
MAX_SIGNED: Final = 4_096
"""Lists whose signature was checked, by list and key."""

_SIGNED: dict[tuple[bytes, bytes], bool] = {}


class List(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored list; `url` where it was fetched, `fetch_at` when it will be again. Instants in ns, `until` 0 = it does not say."""

    der: bytes
    fingerprint: bytes
    issuer: str
    serials: frozenset[str]
    since: int
    until: int = 0
    key_id: bytes = b""
    url: str = ""
    fetch_at: int = 0


class ListWritten(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is written with."""

    crl: Annotated[str, "The list in PEM."] = ""
    url: Annotated[str, "Where to fetch the list, now and when it ends."] = ""


class Fetch(msgspec.Struct, frozen=True):
    """A timer: fetch a list again, unless it was written anew since the timer was set."""

    name: str
    at: int


class Lists(Roles):
    """Revocation lists."""

    # -- routes -------------------------------------------------------------------------------------------------

    @list_("crls/", body=ListBody)
    def list_lists(self, body: ListBody) -> Response:
        """List the revocation lists."""
        return listed(self.store, "crls", body)

    @read("crls/{name}")
    def read_list(self, name: str) -> Response:
        """Show whose certificates a list revokes, and their serial numbers."""
        found = self._known(canonical(name))
        where = {"url": found.url, "valid_until": rfc3339(found.until)} if found.url else None
        members: dict[str, Any] = {"cdp": where, "serials": {str(int(each, 16)): {} for each in sorted(found.serials)}}
        issuer = x509.load_der_x509_crl(found.der).issuer.rfc4514_string()
        return Response(data=members | {"issuer": issuer, "this_update": rfc3339(found.since), "next_update": rfc3339(found.until)})

    @write("crls/{name}", body=ListWritten, large=True)
    def write_list(self, name: str, body: ListWritten) -> None:
        """Write a list, or say where to fetch it."""
        name = canonical(name)
        if body.crl:
            self.store.put(f"crls/{name}", self.call.once("crl", body.crl, fn=lambda: parsed(body.crl.encode())))
        elif body.url:
            self._keep(name, self._fetched(body.url))
        else:
            raise InvalidRequest("one of 'crl' or 'url' must be provided")

    @delete("crls/{name}")
    def delete_list(self, name: str) -> None:
        """Delete a list; what it revoked is good again."""
        name = canonical(name)
        self._known(name)
        self.store.delete(f"crls/{name}")

    def _known(self, name: str) -> List:
        found = self.store.settings(f"crls/{name}", List)
        if found is None:
            raise InvalidRequest(f"no such CRL {name}")
        return found

    # -- fetching -----------------------------------------------------------------------------------------------

    def _fetched(self, url: str) -> List:
        """A list as it is now at its place, as far as can be told one of its issuer's. Raises InvalidRequest and OutboundError."""
        parse_url(url, plaintext=True)
        outbound = self.outbound
        found = self.call.outside("crl", url, fn=lambda: fetched(outbound, url))
        self._check_signer(found)
        return found

    def _check_signer(self, fetched: List) -> None:
        """Raises InvalidRequest for a list of the future, and where a role knows the issuer and the list is not signed by it."""
        if fetched.since > self.call.transaction.now + _ns(AHEAD):
            raise InvalidRequest("the list at that URL says that it was issued in the future")
        roles = (self.roles.get(name) for name in self.roles.names())
        known = [each for role in roles if role is not None for each in trusted(role.certificate).authorities]
        issuers = [each for each in known if spelled(each.subject) == fetched.issuer]
        if issuers and not any(_signed(fetched, each) for each in issuers):
            raise InvalidRequest("the list at that URL is not signed by the issuer that it names, which a role here trusts")

    def _keep(self, name: str, found: List) -> None:
        """Store a fetched list, and set the timer for the next one."""
        now = self.call.transaction.now
        half = (found.until - now) // 2 if found.until else _ns(LATEST)  # there is time left to try again
        at = now + min(max(half, _ns(SOONEST)), _ns(LATEST))
        self.store.put(f"crls/{name}", msgspec.structs.replace(found, fetch_at=at))
        self.store.at(at, "fetch", Fetch(name, at))

    def due(self, job: str, payload: bytes) -> None:
        """Fetch a list again. What fails is tried again until it succeeds."""
        fetch = decoder(Fetch).decode(payload)
        before = self.store.settings(f"crls/{fetch.name}", List)
        if before is None or before.fetch_at != fetch.at:
            return
        after = self._fetched(before.url)
        if (after.issuer, after.key_id) != (before.issuer, before.key_id) or after.since < before.since:
            raise InvalidRequest(f"the list fetched for crls/{fetch.name} is another issuer's, or older than the one that is kept")
        self._keep(fetch.name, after)

    # -- asking -------------------------------------------------------------------------------------------------

    def check_lists(self, chain: tuple[x509.Certificate, ...]) -> None:
        """Raises Untrusted where a certificate of the chain is revoked, or where that cannot be known."""
        lists = [found for name in self.store.list("crls") if (found := self.store.settings(f"crls/{name}", List)) is not None]
        if not lists:
            return
        for at, certificate in enumerate(chain):
            above = chain[at + 1] if at + 1 < len(chain) else None
            for found in lists:
                if found.issuer == spelled(certificate.issuer):
                    self._check_list(found, certificate, above)

    def _check_list(self, found: List, certificate: x509.Certificate, issuer: x509.Certificate | None) -> None:
        if serial(certificate) in found.serials:
            raise Untrusted("it, or a certificate above it, is revoked")
        if not found.url or issuer is None or (found.key_id and (own := key_id(issuer)) and own != found.key_id):
            return
        if 0 < found.until < self.call.transaction.now:
            raise Untrusted("the revocation list of its issuer is out of date and could not be fetched")
        if not _signed(found, issuer):
            raise Untrusted("the revocation list that was fetched for its issuer is not signed by it")


def parsed(content: bytes, url: str = "") -> List:
    """What is stored of a list; tens of milliseconds for a long one, so on the pool. Raises InvalidRequest."""
    try:
        der = load_crl(content)
        found = read_crl(der)
    except UnusableCrl as error:
        raise InvalidRequest(f"failed to parse CRL: {error}") from None
    return List(
        der=der,
        fingerprint=sha256(der).digest(),
        issuer=found.issuer,
        serials=found.serials,
        since=_instant(found.this_update),
        until=_instant(found.next_update) if found.next_update is not None else 0,
        key_id=found.key_id,
        url=url,
    )


def fetched(outbound: Outbound, url: str) -> List:
    """A list from its place. Raises InvalidRequest and OutboundError."""
    answer = outbound.request("GET", url, reach=Reach.CONFIGURED, plaintext=True, limit=2 * MAX_CRL)
    if answer.status != 200:
        raise InvalidRequest(f"failed to fetch CRL: {answer.host} answered {answer.status}")
    return parsed(answer.body, url)


def _signed(found: List, issuer: x509.Certificate) -> bool:
    pair = (found.fingerprint, issuer.fingerprint(SHA256()))
    known = _SIGNED.get(pair)
    return known if known is not None else remember(_SIGNED, MAX_SIGNED, pair, signed_by(found.der, issuer))


def _instant(moment: datetime) -> int:
    return int(moment.timestamp()) * SECOND


def _ns(span: timedelta) -> int:
    return int(span.total_seconds()) * SECOND
