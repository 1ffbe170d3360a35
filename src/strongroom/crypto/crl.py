"""Revocation lists: read strictly, and asked about one certificate.

Rules of this file:
- Pure. A list is complete: delta lists and lists that speak for other authorities are refused, because half of what they say is elsewhere.
  A list that covers some certificates only is taken for what it names.
- An entry means (issuer's name, serial number). The same serial number of another authority is another certificate.
- Who may have signed a list is asked by the caller, who knows where the list came from.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

MAX_CRL: Final = 1 << 20
"""Bytes in DER: about thirty thousand entries."""

_WEAK: Final = (hashes.MD5, hashes.SHA1)
_SIGNERS: Final = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)
_REFUSED: Final = {x509.DeltaCRLIndicator.oid: "it is a delta list; give the complete one"}


class UnusableCrl(ValueError):
    """Not a revocation list that can be used; the message says why."""


class RevocationList(NamedTuple):
    """A parsed list. `issuer` is the authority's name as `spelled`, `key_id` its key's identifier where the list has it."""

    issuer: str
    key_id: bytes
    serials: frozenset[str]
    this_update: datetime
    next_update: datetime | None


def load_crl(content: bytes) -> bytes:
    """A list in PEM or DER, as DER. Raises UnusableCrl."""
    if len(content) > 2 * MAX_CRL:
        raise UnusableCrl(f"it is longer than {MAX_CRL} bytes")
    try:
        found = x509.load_pem_x509_crl(content) if content.lstrip().startswith(b"-----BEGIN") else x509.load_der_x509_crl(content)
    except (ValueError, x509.InvalidVersion) as error:
        raise UnusableCrl("it is no revocation list in PEM or DER") from error
    der = found.public_bytes(Encoding.DER)
    if len(der) > MAX_CRL:
        raise UnusableCrl(f"it is longer than {MAX_CRL} bytes")
    return der


def read_crl(der: bytes) -> RevocationList:
    """What a list says. Raises UnusableCrl."""
    try:
        found = x509.load_der_x509_crl(der)
        _check_extensions(found)
        key_id = _key_id(found)
        serials = frozenset(f"{each.serial_number:x}" for each in found)
        return RevocationList(spelled(found.issuer), key_id, serials, found.last_update_utc, found.next_update_utc)
    except UnusableCrl:
        raise
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:  # TypeError: odd strings in names
        raise UnusableCrl("it cannot be read") from error


def _check_extensions(found: x509.CertificateRevocationList) -> None:
    for extension in found.extensions:
        if extension.oid in _REFUSED:
            raise UnusableCrl(_REFUSED[extension.oid])
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            if extension.value.indirect_crl:
                raise UnusableCrl("it speaks for other authorities than its own; give each authority's own list")
        elif extension.critical:
            raise UnusableCrl("it has a critical extension that is not understood")


def _key_id(found: x509.CertificateRevocationList) -> bytes:
    try:
        return found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    except x509.ExtensionNotFound:
        return b""


def signed_by(der: bytes, issuer: x509.Certificate) -> bool:
    """Whether a list is signed with a certificate's key, by an algorithm that still means something."""
    key = issuer.public_key()
    if not isinstance(key, _SIGNERS):
        return False
    try:
        found = x509.load_der_x509_crl(der)
        return not isinstance(found.signature_hash_algorithm, _WEAK) and found.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def spelled(name: x509.Name) -> str:
    """A name in one spelling: lists have other string types, cases and spaces than certificates of the same issuer (RFC 5280, 7.1)."""
    parts = (sorted(f"{each.oid.dotted_string}={' '.join(str(each.value).casefold().split())}" for each in part) for part in name.rdns)
    return "\n".join("+".join(part) for part in parts)


def serial(certificate: x509.Certificate) -> str:
    """A certificate's serial number as lists here spell it."""
    return f"{certificate.serial_number:x}"
