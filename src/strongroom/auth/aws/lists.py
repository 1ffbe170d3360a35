"""What only logins of the ec2 type use, kept for clients that write and read it: certificates, tidying, the access list.

Rules of this file:
- What is accepted is read back. The access list is filled by logins of the ec2 type, which there are none of: it is empty, and says so.
- Each path has its old name, too (whitelist, blacklist): Vault's clients still use those.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from contextlib import suppress
from typing import Annotated, Final

import msgspec
from cryptography import x509
from msgspec import UNSET, UnsetType

from strongroom.auth.aws.tags import Denied, DeniedJob, Tags
from strongroom.barrier.view import decoder
from strongroom.clock import SECOND
from strongroom.core.engine import ListBody, delete, keys_response, list_, listed, read, write
from strongroom.core.fields import Seconds, given
from strongroom.core.request import Response
from strongroom.errors import InvalidRequest, NotFound

ACCESS: Final = "identity-accesslist"
DENY: Final = "roletag-denylist"
BUFFERS: Final = {ACCESS: 72 * 3_600, DENY: 180 * 86_400}
"""Seconds that entries stay after they are over."""

_NAME: Final = re.compile(r"\w(?:[\w.-]{0,126}\w)?", re.ASCII)


class Certificate(msgspec.Struct, frozen=True):
    """A certificate that instance identity documents are verified with."""

    aws_public_cert: str
    type: str


class CertificateBody(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate of AWS."""

    aws_public_cert: Annotated[str, "The certificate in PEM, as such or in base64."] = ""
    type: Annotated[str | UnsetType, "pkcs7 or identity: which documents it verifies."] = UNSET


class Tidying(msgspec.Struct, frozen=True):
    """When a list is tidied."""

    safety_buffer: int
    disable_periodic_tidy: bool = False


class TidyingBody(msgspec.Struct, frozen=True, kw_only=True):
    """When a list is tidied."""

    safety_buffer: Annotated[Seconds | UnsetType, "How long entries stay after they are over."] = UNSET
    disable_periodic_tidy: Annotated[bool | UnsetType, "Only when asked to."] = UNSET


class TidyBody(msgspec.Struct, frozen=True, kw_only=True):
    """What to tidy."""

    safety_buffer: Annotated[Seconds, "How long entries stay after they are over."] = Seconds(72 * 3_600)


STARTED: Final = "Tidy operation successfully started. Entries that are over for longer than the safety buffer are gone."
EMPTY: Final = "The access list is filled by logins of the ec2 type, which are not supported here."


class Lists(Tags):
    """The routes."""

    # -- certificates -------------------------------------------------------------------------------------------

    @list_("config/certificates/", body=ListBody)
    def list_certificates(self, body: ListBody) -> Response:
        """List the certificates."""
        return listed(self.store, "certificate", body)

    @read("config/certificate/{cert_name}")
    def read_certificate(self, cert_name: str) -> Response:
        """Show a certificate."""
        found = self._certificate(cert_name)
        if found is None:
            raise NotFound
        return Response(data=msgspec.structs.asdict(found))

    def certificate_exists(self, cert_name: str) -> bool:
        """Whether a write replaces a certificate rather than adds one."""
        return self._certificate(cert_name) is not None

    @write("config/certificate/{cert_name}", body=CertificateBody, exists="certificate_exists")
    def write_certificate(self, cert_name: str, body: CertificateBody) -> None:
        """Keep a certificate of AWS."""
        before = self._certificate(cert_name)
        kind = (before.type if before is not None else "pkcs7") if body.type is UNSET else body.type.lower()
        if kind not in ("pkcs7", "identity"):
            raise InvalidRequest("invalid certificate type: it is pkcs7 or identity")
        if not body.aws_public_cert:
            raise InvalidRequest("missing aws_public_cert")
        self.store.put(f"certificate/{cert_name}", Certificate(_pem(body.aws_public_cert), kind))

    @delete("config/certificate/{cert_name}")
    def delete_certificate(self, cert_name: str) -> None:
        """Forget a certificate."""
        self.store.delete(f"certificate/{_name(cert_name)}")

    def _certificate(self, name: str) -> Certificate | None:
        return self.store.settings(f"certificate/{_name(name)}", Certificate)

    # -- tidying ------------------------------------------------------------------------------------------------

    @read("config/tidy/identity-accesslist")
    @read("config/tidy/identity-whitelist")
    def read_access_tidying(self) -> Response:
        """Show when the access list is tidied."""
        return self._show_tidying(ACCESS)

    def access_tidying_exists(self) -> bool:
        """Whether a write changes the settings rather than makes them."""
        return self._tidying(ACCESS) is not None

    @write("config/tidy/identity-accesslist", body=TidyingBody, exists="access_tidying_exists")
    @write("config/tidy/identity-whitelist", body=TidyingBody, exists="access_tidying_exists")
    def write_access_tidying(self, body: TidyingBody) -> None:
        """Say when the access list is tidied."""
        self._set_tidying(ACCESS, body)

    @delete("config/tidy/identity-accesslist")
    @delete("config/tidy/identity-whitelist")
    def delete_access_tidying(self) -> None:
        """Tidy the access list as by default."""
        self.store.delete(f"tidy/{ACCESS}")

    @read("config/tidy/roletag-denylist")
    @read("config/tidy/roletag-blacklist")
    def read_deny_tidying(self) -> Response:
        """Show when the deny list is tidied."""
        return self._show_tidying(DENY)

    def deny_tidying_exists(self) -> bool:
        """Whether a write changes the settings rather than makes them."""
        return self._tidying(DENY) is not None

    @write("config/tidy/roletag-denylist", body=TidyingBody, exists="deny_tidying_exists")
    @write("config/tidy/roletag-blacklist", body=TidyingBody, exists="deny_tidying_exists")
    def write_deny_tidying(self, body: TidyingBody) -> None:
        """Say when the deny list is tidied."""
        self._set_tidying(DENY, body)

    @delete("config/tidy/roletag-denylist")
    @delete("config/tidy/roletag-blacklist")
    def delete_deny_tidying(self) -> None:
        """Tidy the deny list as by default."""
        self.store.delete(f"tidy/{DENY}")

    @write("tidy/roletag-denylist", body=TidyBody)
    @write("tidy/roletag-blacklist", body=TidyBody)
    def tidy_deny_list(self, body: TidyBody) -> Response:
        """Tidy the deny list now."""
        self.tidy_denied(max(body.safety_buffer, 0))
        return Response(status=202, warnings=(STARTED,))

    @write("tidy/identity-accesslist", body=TidyBody)
    @write("tidy/identity-whitelist", body=TidyBody)
    def tidy_access_list(self, body: TidyBody) -> Response:
        """Tidy the access list now: it is empty."""
        return Response(status=202, warnings=(EMPTY,))

    def due(self, job: str, payload: bytes) -> None:
        """A tag on the deny list is over; it goes once the buffer is, too, unless tidying is for those who ask."""
        row = decoder(DeniedJob).decode(payload).row
        found = self.store.get(f"denied/{row}", Denied)
        settings = self._tidying(DENY) or Tidying(BUFFERS[DENY])
        if found is None or settings.disable_periodic_tidy:
            return
        end = found.expires + settings.safety_buffer * SECOND
        if end <= self.clock.now():
            self.store.delete(f"denied/{row}")
        else:
            self.store.at(end, job, DeniedJob(row))

    def _tidying(self, name: str) -> Tidying | None:
        return self.store.settings(f"tidy/{name}", Tidying)

    def _show_tidying(self, name: str) -> Response:
        found = self._tidying(name)
        if found is None:
            raise NotFound
        return Response(data=msgspec.structs.asdict(found))

    def _set_tidying(self, name: str, body: TidyingBody) -> None:
        sent = given(body)
        if sent.get("safety_buffer", 0) < 0:
            raise InvalidRequest("'safety_buffer' cannot be negative")
        self.store.put(f"tidy/{name}", msgspec.structs.replace(self._tidying(name) or Tidying(BUFFERS[name]), **sent))

    # -- the access list ----------------------------------------------------------------------------------------

    @list_("identity-accesslist/", body=ListBody)
    @list_("identity-whitelist/", body=ListBody)
    def list_access(self, body: ListBody) -> Response:
        """List the instances that have logged in: none."""
        return keys_response([])

    @read("identity-accesslist/{instance_id}")
    @read("identity-whitelist/{instance_id}")
    def read_access(self, instance_id: str) -> Response:
        """Show an instance that has logged in: there is none."""
        raise NotFound

    @delete("identity-accesslist/{instance_id}")
    @delete("identity-whitelist/{instance_id}")
    def delete_access(self, instance_id: str) -> None:
        """Forget that an instance has logged in."""


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise InvalidRequest("a certificate's name is made of up to 128 ASCII letters, digits and _ . -")
    return text


def _pem(text: str) -> str:
    """One certificate in PEM, given as such or in base64. Raises InvalidRequest."""
    with suppress(binascii.Error, ValueError):  # else it is PEM
        text = b64decode(text, validate=True).decode("ascii")
    try:
        if len(x509.load_pem_x509_certificates(text.encode())) != 1:
            raise InvalidRequest("invalid certificate; should be one PEM block only")
    except ValueError:
        raise InvalidRequest("invalid aws_public_cert: it is not a certificate in PEM") from None
    return text
