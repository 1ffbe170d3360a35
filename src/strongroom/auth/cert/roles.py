"""Roles: what they trust and want, and what is kept of them.

Rules of this file:
- A role is `certs/<name>`, as clients of Vault know it; its certificates are public and are shown as they were written.
- A bundle is parsed when it is written, so that what is stored can be used; parsed certificates are kept by their text.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.cert.config import Settings, changed_settings, shown_settings
from strongroom.core.configuration import Configuration
from strongroom.core.engine import Engine, write
from strongroom.core.entries import Entries
from strongroom.core.fields import Names, Seconds, given
from strongroom.core.forms import NameList, body_of, members, merged
from strongroom.core.mounts import Ttls
from strongroom.core.response import Response
from strongroom.core.token.parameters import TokenParameters
from strongroom.crypto.x509 import Anchors, Untrusted, anchors, check_purpose, load_pem
from strongroom.errors import InvalidRequest
from strongroom.memo import remember
from strongroom.outbound.url import parse_url

MAX_KEPT: Final = 1_024
"""Parsed bundles; a mount has as many as it trusts CAs."""
MAX_RETRIES: Final = 10
"""Of one responder: beyond that it is down."""

_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.@-]{0,126}[a-z0-9_])?", re.ASCII)
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38})){1,31}", re.ASCII)

_ANCHORS: dict[str, Anchors] = {}


class Ocsp(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a role asks whether a certificate was revoked. `this_update_max_age` in seconds, 0 = as long as the answer says."""

    enabled: bool = False
    ca_certificates: str = ""
    servers_override: tuple[str, ...] = ()
    fail_open: bool = False
    query_all_servers: bool = False
    this_update_max_age: int = 0
    max_retries: int = 4


class Role(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A role: the certificates it trusts, and what it wants of a client's. In patterns `*` stands for any text."""

    certificate: Annotated[str, "What is trusted, in PEM: CAs for what they signed, others for themselves."]
    display_name: Annotated[str, "The display name of tokens; the role's name where none is given."]
    allowed_names: Annotated[NameList, "Patterns; the common name, a DNS name or an e-mail address must match one."] = ()
    allowed_common_names: Annotated[NameList, "Patterns; the common name must match one."] = ()
    allowed_dns_sans: Annotated[NameList, "Patterns; one of the DNS names must match one."] = ()
    allowed_email_sans: Annotated[NameList, "Patterns; one of the e-mail addresses must match one."] = ()
    allowed_uri_sans: Annotated[NameList, "Patterns; one of the URIs must match one."] = ()
    allowed_organizational_units: Annotated[NameList, "Patterns; one of the organizational units must match one."] = ()
    required_extensions: Annotated[NameList, "`oid:pattern` of texts, `hex:oid:pattern` of others; all must match."] = ()
    allowed_metadata_extensions: Annotated[NameList, "OIDs of text extensions that go on the token as metadata."] = ()
    ocsp: Ocsp = Ocsp()
    token: TokenParameters = TokenParameters()


class RoleWritten(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is written with beside its form."""

    ocsp_enabled: Annotated[bool | UnsetType, "Ask by OCSP whether the certificate was revoked."] = UNSET
    ocsp_ca_certificates: Annotated[str | UnsetType, "Certificates of responders and of their TLS, in PEM."] = UNSET
    ocsp_servers_override: Annotated[Names | UnsetType, "Responders to ask in place of those that the certificate names."] = UNSET
    ocsp_fail_open: Annotated[bool | UnsetType, "Let in whose status cannot be found out."] = UNSET
    ocsp_query_all_servers: Annotated[bool | UnsetType, "All responders must say good, not just the first that answers."] = UNSET
    ocsp_this_update_max_age: Annotated[Seconds | UnsetType, "How old a status may be, 0 = as the answer says."] = UNSET
    ocsp_max_retries: Annotated[int | UnsetType, "How often a responder that does not answer is asked again."] = UNSET
    lease: Annotated[Seconds | UnsetType, "Oldest name of token_ttl."] = UNSET


RoleBody: Final = body_of(Role, RoleWritten)


# -- names and trust --------------------------------------------------------------------------------------------------------------


def canonical(text: str) -> str:
    """The one form of a role's or a list's name: ASCII lower case. Raises InvalidRequest."""
    name = text.lower() if text.isascii() else ""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("a name is made of up to 128 ASCII letters, digits and _ . @ - and neither begins nor ends with . @ or -")
    return name


def trusted(pem: str) -> Anchors:
    """The certificates of a stored bundle. Raises Untrusted."""
    found = _ANCHORS.get(pem)
    return found if found is not None else remember(_ANCHORS, MAX_KEPT, pem, anchors(load_pem(pem)))


# -- roles ------------------------------------------------------------------------------------------------------------------------


def changed_role(name: str, before: Role | None, body: msgspec.Struct) -> Role:
    """A role after a write. Raises InvalidRequest."""
    start, sent = before or Role(certificate="", display_name=name), given(body)
    ocsp = {each: sent[f"ocsp_{each}"] for each in Ocsp.__struct_fields__ if f"ocsp_{each}" in sent}
    if "lease" in sent and not {"ttl", "token_ttl"} & sent.keys():
        body = msgspec.structs.replace(body, ttl=sent["lease"])
    after = merged(start, body, ocsp=msgspec.structs.replace(start.ocsp, **ocsp))
    after = msgspec.structs.replace(after, display_name=after.display_name or name)
    _check_trust(after)
    _check_patterns(after)
    _check_ocsp(after.ocsp)
    return after


def _check_trust(role: Role) -> None:
    try:
        found = trusted(role.certificate)
    except Untrusted:
        raise InvalidRequest("failed to parse certificate") from None
    try:
        for certificate in found.pinned:
            check_purpose(certificate)
    except Untrusted:
        raise InvalidRequest("nonCA certificates should have TLS client authentication set as an extended key usage") from None


def _check_patterns(role: Role) -> None:
    for text in role.required_extensions:
        oid, colon, _ = text.removeprefix("hex:").partition(":")
        if not colon or not _OID.fullmatch(oid):
            raise InvalidRequest("required_extensions takes oid:pattern, such as 2.1.1.1:web*, or hex:oid:pattern")
    if not all(_OID.fullmatch(oid) for oid in role.allowed_metadata_extensions):
        raise InvalidRequest("allowed_metadata_extensions takes OIDs, such as 2.1.1.1")


def _check_ocsp(ocsp: Ocsp) -> None:
    if ocsp.ca_certificates:
        try:
            load_pem(ocsp.ca_certificates)
        except Untrusted:
            raise InvalidRequest("failed to parse certificate: 'ocsp_ca_certificates' takes certificates in PEM") from None
    for url in ocsp.servers_override:
        parse_url(url, plaintext=True)
    if not 0 <= ocsp.max_retries <= MAX_RETRIES:
        raise InvalidRequest(f"ocsp_max_retries is a number from 0 to {MAX_RETRIES}")


def shown_role(role: Role) -> dict[str, Any]:
    """The members of a read."""
    ocsp = {f"ocsp_{name}": getattr(role.ocsp, name) for name in Ocsp.__struct_fields__}
    told = members(role, ("policies", "ttl", "max_ttl", "period", "bound_cidrs")) | ocsp
    return {name: None if value == () and not name.startswith("token_") else value for name, value in told.items()}


def warnings(role: Role, ttls: Ttls) -> tuple[str, ...]:
    """What whoever wrote the role should know."""
    token, excess = role.token, "is greater than current mount/system default of"
    said = {
        f"Given ttl of {token.ttl} seconds {excess} {ttls.default} seconds": 0 < ttls.default < token.ttl,
        f"Given max_ttl of {token.max_ttl} seconds {excess} {ttls.max} seconds": 0 < ttls.max < token.max_ttl,
        f"Given period of {token.period} seconds is greater than the backend's maximum TTL of {ttls.max} seconds": 0
        < ttls.max
        < token.period,
    }
    return tuple(text for text, due in said.items() if due)


class Roles(Engine):
    """Roles and settings."""

    settings = Configuration(
        Settings,
        changed=changed_settings,
        told=shown_settings,
        default=Settings(),
        creates=False,
        says={"read": "Show the settings.", "write": "Change the settings that are given."},
    )
    roles = Entries(
        Role,
        pattern="certs/{name}",
        name=canonical,
        told=shown_role,
        warnings=warnings,
        ends="role",
        says={"delete": "Delete a role, and end the tokens of its logins."},
    )

    @write("certs/{name}", body=RoleBody, exists="role_exists")
    def write_role(self, name: str, body: msgspec.Struct) -> Response | None:
        """Create a role, or change what is given of one."""
        name = canonical(name)
        role = changed_role(name, self.roles.get(name), body)
        self.roles.put(name, role)
        return self.roles.written(role)
