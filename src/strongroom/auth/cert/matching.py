"""A verified certificate under the constraints of a role: names, organizational units, extensions; and what of it goes on a token.

Rules of this file:
- Pure. All constraints must hold; of one constraint's patterns, one must match one of the certificate's names. No pattern: no constraint.
- A pattern is text in which `*` stands for any text, of any length. Case counts, as in Vault.
- A name that cannot be printed, or a second common name, is no name to build on: such a certificate is refused altogether.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from strongroom.auth.cert.roles import Role
from strongroom.crypto.x509 import Untrusted, issuer_key_id, key_id

MAX_COMMON_NAME: Final = 256
"""Characters. X.520 says 64, and issuers pass over it."""

_STRINGS: Final = frozenset((0x0C, 0x12, 0x13, 0x16))
"""ASN.1 tags of UTF8String, NumericString, PrintableString and IA5String."""


class Subject(NamedTuple):
    """What a certificate says of its owner. `texts` are extensions that hold one text, `raw` the bytes of all, by OID."""

    common_name: str
    units: tuple[str, ...]
    dns: tuple[str, ...]
    emails: tuple[str, ...]
    uris: tuple[str, ...]
    texts: dict[str, str]
    raw: dict[str, bytes]
    serial: int
    key_id: bytes
    issuer_key_id: bytes


def subject_of(leaf: x509.Certificate) -> Subject:
    """Read a certificate. Raises Untrusted for names that are no names."""
    names = _values(leaf, NameOID.COMMON_NAME)
    if len(names) > 1:
        raise Untrusted("it has more than one common name")
    if names and len(names[0]) > MAX_COMMON_NAME:
        raise Untrusted("its common name is too long")
    raw = {each.oid.dotted_string: _content(each.value) for each in leaf.extensions}
    found = Subject(
        common_name=names[0] if names else "",
        units=_values(leaf, NameOID.ORGANIZATIONAL_UNIT_NAME),
        dns=_alternatives(leaf, x509.DNSName),
        emails=_alternatives(leaf, x509.RFC822Name),
        uris=_alternatives(leaf, x509.UniformResourceIdentifier),
        texts={oid: text for oid, content in raw.items() if (text := _text(content)) is not None},
        raw=raw,
        serial=leaf.serial_number,
        key_id=key_id(leaf),
        issuer_key_id=issuer_key_id(leaf),
    )
    _check_names((*names, *found.units, *found.dns, *found.emails, *found.uris))
    return found


def _content(value: x509.ExtensionType) -> bytes:
    try:
        return value.public_bytes()
    except (NotImplementedError, ValueError, TypeError):  # a kind that the library reads and cannot write: it has no value here
        return b""


def _values(leaf: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(each.value) for each in leaf.subject.get_attributes_for_oid(oid))


def _alternatives(leaf: x509.Certificate, kind: type[x509.DNSName | x509.RFC822Name | x509.UniformResourceIdentifier]) -> tuple[str, ...]:
    try:
        return tuple(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(kind))
    except x509.ExtensionNotFound:
        return ()


def _check_names(names: Iterable[str]) -> None:
    """Two spellings that look alike would be two people, and an unprintable one is meant to deceive somebody."""
    for name in names:
        if not name.isprintable() or not unicodedata.is_normalized("NFC", name) or name != name.strip():
            raise Untrusted("one of its names cannot be printed, or not in one way only")


def _text(content: bytes) -> str | None:
    """The one string that an extension's value is, or None. Definite lengths, nothing behind it (DER)."""
    if len(content) < 2 or content[0] not in _STRINGS:
        return None
    size, at = content[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(content[2:at], "big")
    if at + size != len(content):
        return None
    try:
        text = content[at:].decode("utf-8" if content[0] == 0x0C else "ascii")
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


# -- constraints ----------------------------------------------------------------------------------------------------------------


def matches(subject: Subject, role: Role) -> bool:
    """Whether a certificate is what a role wants."""
    common = (subject.common_name,) if subject.common_name else ()
    wanted = (
        (role.allowed_names, (*common, *subject.dns, *subject.emails)),
        (role.allowed_common_names, common),
        (role.allowed_dns_sans, subject.dns),
        (role.allowed_email_sans, subject.emails),
        (role.allowed_uri_sans, subject.uris),
        (role.allowed_organizational_units, subject.units),
    )
    return all(_any_matches(patterns, names) for patterns, names in wanted) and all(
        _has(subject, text) for text in role.required_extensions
    )


def _any_matches(patterns: Sequence[str], names: Sequence[str]) -> bool:
    return not patterns or any(globbed(pattern, name) for pattern in patterns for name in names)


def _has(subject: Subject, wanted: str) -> bool:
    if wanted.startswith("hex:"):
        oid, _, pattern = wanted[4:].partition(":")
        return oid in subject.raw and globbed(pattern.lower(), subject.raw[oid].hex())
    oid, _, pattern = wanted.partition(":")
    return oid in subject.texts and globbed(pattern, subject.texts[oid])


def globbed(pattern: str, text: str) -> bool:
    """Whether a text matches a pattern; linear in the text for each star."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    if not text.startswith(first):
        return False
    *middle, last = rest
    at = len(first)
    for piece in middle:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return text.endswith(last) and len(text) - len(last) >= at


# -- metadata -------------------------------------------------------------------------------------------------------------------


def metadata_of(subject: Subject) -> dict[str, str]:
    """What is said of any certificate."""
    return {
        "common_name": subject.common_name,
        "serial_number": str(subject.serial),
        "subject_key_id": subject.key_id.hex(":"),
        "authority_key_id": subject.issuer_key_id.hex(":"),
    }


def extension_metadata(subject: Subject, role: Role) -> dict[str, str]:
    """The extensions that a role lets through; dashes for dots, as policy templates need."""
    return {oid.replace(".", "-"): subject.texts[oid] for oid in role.allowed_metadata_extensions if oid in subject.texts}
