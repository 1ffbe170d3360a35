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

from strongroom.auth.aws.tags import Denied, DeniedJob, Tags
from strongroom.barrier.view import decoder
from strongroom.clock import SECOND
from strongroom.core.configuration import Configuration
from strongroom.core.engine import ListBody, delete, keys_response, list_, read, write
from strongroom.core.entries import Entries
from strongroom.core.fields import Seconds
from strongroom.core.forms import Duration, merged
from strongroom.core.response import Response
from strongroom.errors import InvalidRequest, NotFound

ACCESS: Final = "identity-accesslist"
DENY: Final = "roletag-denylist"
BUFFERS: Final = {ACCESS: 72 * 3_600, DENY: 180 * 86_400}
"""Seconds that entries stay after they are over."""

_NAME: Final = re.compile(r"\w(?:[\w.-]{0,126}\w)?", re.ASCII)


class Certificate(msgspec.Struct, frozen=True):
    """A certificate that instance identity documents are verified with."""

    aws_public_cert: Annotated[str, "The certificate in PEM, as such or in base64."]
    type: Annotated[str, "pkcs7 or identity: which documents it verifies."] = "pkcs7"


def changed_certificate(before: Certificate | None, body: msgspec.Struct) -> Certificate:
    """A certificate after a write, which takes the whole of it. Raises InvalidRequest."""
    kept = Certificate("", before.type) if before is not None else Certificate("")
    after = merged(kept, body, {"type": str.lower})
    if after.type not in ("pkcs7", "identity"):
        raise InvalidRequest("invalid certificate type: it is pkcs7 or identity")
    if not after.aws_public_cert:
        raise InvalidRequest("missing aws_public_cert")
    return msgspec.structs.replace(after, aws_public_cert=_pem(after.aws_public_cert))


class Tidying(msgspec.Struct, frozen=True):
    """When a list is tidied."""

    safety_buffer: Annotated[Duration, "How long entries stay after they are over."]
    disable_periodic_tidy: Annotated[bool, "Only when asked to."] = False


def tidying(name: str, former: str, noun: str) -> Configuration[Tidying]:
    """When one of the lists is tidied; it has a former name, too."""
    return Configuration(
        Tidying,
        pattern=f"config/tidy/{name}",
        also=(f"config/tidy/{former}",),
        key=f"tidy/{name}",
        changed=lambda before, body: merged(before or Tidying(BUFFERS[name]), body),
        deletes=True,
        says={
            "read": f"Show when the {noun} is tidied.",
            "write": f"Say when the {noun} is tidied.",
            "delete": f"Tidy the {noun} as by default.",
        },
    )


class TidyBody(msgspec.Struct, frozen=True, kw_only=True):
    """What to tidy."""

    safety_buffer: Annotated[Seconds, "How long entries stay after they are over."] = Seconds(72 * 3_600)


STARTED: Final = "Tidy operation successfully started. Entries that are over for longer than the safety buffer are gone."
EMPTY: Final = "The access list is filled by logins of the ec2 type, which are not supported here."


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


class Lists(Tags):
    """The rows, and their routes."""

    certificates = Entries(
        Certificate,
        pattern="config/certificate/{cert_name}",
        lists=("config/certificates/",),
        folder="certificate",
        noun="certificate",
        name=_name,
        changed=changed_certificate,
        ends="",
        says={
            "list": "List the certificates.",
            "write": "Keep a certificate of AWS.",
            "delete": "Forget a certificate.",
        },
    )
    access_tidying = tidying(ACCESS, "identity-whitelist", "access list")
    deny_tidying = tidying(DENY, "roletag-blacklist", "deny list")

    # -- tidying ------------------------------------------------------------------------------------------------

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
        settings = self.deny_tidying.get() or Tidying(BUFFERS[DENY])
        if found is None or settings.disable_periodic_tidy:
            return
        end = found.expires + settings.safety_buffer * SECOND
        if end <= self.clock.now():
            self.store.delete(f"denied/{row}")
        else:
            self.store.at(end, job, DeniedJob(row))

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
