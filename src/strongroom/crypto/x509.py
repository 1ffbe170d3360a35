"""X.509 certificates of clients: read strictly, and verified up to certificates that somebody chose to trust.

    leaf ← intermediates, as presented ← anchor (a trusted CA certificate)          verify_chain
    leaf = a trusted certificate, byte for byte                                      verify_pinned

Rules of this file:
- Pure: no clock but the instant handed in, no I/O, no revocation (crl.py, ocsp.py). A check raises Untrusted, which says which one failed.
- Signatures, validity, path length, key and hash strength of CAs, critical extensions and name constraints on SANs are checked by
  `cryptography`'s path validation (RFC 5280 in the profile of the CA/Browser Forum). What it leaves open is checked here: key strength and
  usages of the leaf, usages of CAs, and the common name, which becomes somebody's name, under the constraints on DNS and e-mail names.
- Trust in a certificate that is no CA is trust in its bytes. Nothing less is compared: not the serial number, not the key, not the name.
- Path building has one way to go: a subject counts once among what a stranger presents, and so does a depth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom.clock import SECOND

E = TypeVar("E", bound=x509.ExtensionType)

MAX_PRESENTED: Final = 10
"""Certificates that a client may present, its own included: public chains have three, the deepest private ones five or six."""
MAX_DER: Final = 16_384
"""Bytes of one of them. Most have one to three thousand; a stranger's could have names by the thousand."""
MAX_DEPTH: Final = 6
"""Intermediates between a leaf and its anchor."""
MAX_PEM: Final = 131_072
"""Characters of a bundle: about sixty certificates."""
MIN_RSA: Final = 2_048
"""Bits; what path validation asks of CA keys (SP 800-57: 112 bits of strength)."""
MAX_RSA: Final = 8_192
"""Bits: verifying under larger keys takes milliseconds."""
CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_PURPOSES: Final = frozenset((ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE))
_UNDERSTOOD: Final = frozenset(
    (
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.SubjectAlternativeName.oid,
        x509.SubjectKeyIdentifier.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.AuthorityInformationAccess.oid,
    )
)
"""Extensions that a leaf may mark critical."""

_HOST: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+\.?", re.ASCII)


class Untrusted(ValueError):
    """A certificate fails a check. The message names the check and quotes nothing that the certificate says."""


class Presented(NamedTuple):
    """What a client sent: its certificate, and others that may lead up to a trusted one."""

    leaf: x509.Certificate
    others: tuple[x509.Certificate, ...]


class Anchors(NamedTuple):
    """Certificates to trust: CAs for what they signed, others for themselves only."""

    authorities: tuple[x509.Certificate, ...]
    pinned: tuple[x509.Certificate, ...]
    store: verification.Store | None

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """All of them."""
        return self.authorities + self.pinned


# -- reading --------------------------------------------------------------------------------------------------------------------


def load_pem(text: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM bundle, at least one. Raises Untrusted."""
    if len(text) > MAX_PEM:
        raise Untrusted(f"a bundle of certificates has at most {MAX_PEM} characters")
    try:
        found = tuple(x509.load_pem_x509_certificates(text.encode()))
        for certificate in found:
            _read(certificate)
    except (ValueError, x509.InvalidVersion) as error:
        raise Untrusted("not certificates in PEM") from error
    return found


def load_presented(leaf: bytes, others: Sequence[bytes]) -> Presented:
    """What a client sent in DER. Raises Untrusted."""
    if len(others) >= MAX_PRESENTED:
        raise Untrusted(f"more than {MAX_PRESENTED} certificates were presented")
    return Presented(load_der(leaf), tuple(load_der(each) for each in others))


def load_der(content: bytes) -> x509.Certificate:
    """One certificate. Raises Untrusted."""
    if len(content) > MAX_DER:
        raise Untrusted(f"a certificate has more than {MAX_DER} bytes")
    try:
        certificate = x509.load_der_x509_certificate(content)
        _read(certificate)
    except (ValueError, x509.InvalidVersion) as error:
        raise Untrusted("a certificate cannot be read") from error
    return certificate


def _read(certificate: x509.Certificate) -> None:
    """Read now what is read lazily, so that all of it is known to be well-formed. Raises ValueError."""
    try:
        certificate.extensions  # noqa: B018 — parses
        certificate.subject  # noqa: B018
        certificate.issuer  # noqa: B018
        certificate.public_key()
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # the library has more classes than it documents; none of them is trust
        raise ValueError("unreadable") from error


def der(certificate: x509.Certificate) -> bytes:
    """The certificate's bytes."""
    return certificate.public_bytes(Encoding.DER)


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate says that it is a CA's."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def key_id(certificate: x509.Certificate) -> bytes:
    """The identifier that a certificate gives its own key, b"" where it gives none."""
    found = _extension(certificate, x509.SubjectKeyIdentifier)
    return found.digest if found is not None else b""


def issuer_key_id(certificate: x509.Certificate) -> bytes:
    """The identifier that a certificate gives its issuer's key, b"" where it gives none."""
    found = _extension(certificate, x509.AuthorityKeyIdentifier)
    return (found.key_identifier or b"") if found is not None else b""


def anchors(certificates: Iterable[x509.Certificate]) -> Anchors:
    """Certificates to trust, each in its own way."""
    found = tuple(certificates)
    authorities = tuple(each for each in found if is_authority(each))
    pinned = tuple(each for each in found if not is_authority(each))
    return Anchors(authorities, pinned, verification.Store(list(authorities)) if authorities else None)


# -- verifying ------------------------------------------------------------------------------------------------------------------


def verify_client(presented: Presented, trusted: Anchors, now: int) -> tuple[x509.Certificate, ...]:
    """The way from a client's certificate to a trusted one, both included; `now` in ns. Raises Untrusted."""
    check_leaf(presented.leaf, now)
    own = der(presented.leaf)
    if any(der(each) == own for each in trusted.certificates):
        return (presented.leaf,)
    if trusted.store is None:
        raise Untrusted("it is not the certificate that is trusted")
    return _chain(presented, trusted.store, now)


def check_leaf(leaf: x509.Certificate, now: int) -> None:
    """What must hold of a client's own certificate, whoever issued it. Raises Untrusted."""
    if leaf.version is not x509.Version.v3:
        raise Untrusted("it is not of version 3")
    moment = _instant(now)
    if moment < leaf.not_valid_before_utc:
        raise Untrusted("it is not valid yet")
    if moment > leaf.not_valid_after_utc:
        raise Untrusted("it has expired")
    _check_key(leaf)
    for extension in leaf.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise Untrusted("it has a critical extension that is not understood")
    _check_leaf_usage(leaf)


def _check_key(leaf: x509.Certificate) -> None:
    match leaf.public_key():
        case rsa.RSAPublicKey(key_size=size) if MIN_RSA <= size <= MAX_RSA:
            return
        case ec.EllipticCurvePublicKey(curve=curve) if isinstance(curve, CURVES):
            return
        case ed25519.Ed25519PublicKey():
            return
    raise Untrusted("its key is too weak or of a kind that is not accepted; use RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519")


def _check_leaf_usage(leaf: x509.Certificate) -> None:
    """A client signs in the handshake, so its key must be for that; no extended usage means any (RFC 5280, 4.2.1.12)."""
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise Untrusted("its key usage does not include digital signatures")
    check_purpose(leaf)


def check_purpose(leaf: x509.Certificate) -> None:
    """Raises Untrusted for a certificate that is for other things than logging in."""
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    if extended is not None and _PURPOSES.isdisjoint(extended):
        raise Untrusted("its extended key usage does not include client authentication")


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _chain(presented: Presented, store: verification.Store, now: int) -> tuple[x509.Certificate, ...]:
    builder = verification.PolicyBuilder().store(store).time(_instant(now)).max_chain_depth(MAX_DEPTH)
    verifier = builder.extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF).build_client_verifier()
    try:
        chain = tuple(verifier.verify(presented.leaf, _one_of_each(presented.others)).chain)
    except (verification.VerificationError, ValueError) as error:
        raise Untrusted("no way leads from it to a trusted authority") from error
    _check_common_names(chain)
    return chain


def _one_of_each(certificates: Iterable[x509.Certificate]) -> list[x509.Certificate]:
    """The first certificate of each subject.

    A stranger can present ten certificates of one name and one key that all issue each other, with a hundred million ways through them.
    """
    found: dict[x509.Name, x509.Certificate] = {}
    for each in certificates:
        found.setdefault(each.subject, each)
    return list(found.values())


def _authority_usage(_policy: verification.Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a CA whose key is not for signing certificates")


def _authority_purpose(_policy: verification.Policy, _certificate: x509.Certificate, extended: x509.ExtendedKeyUsage | None) -> None:
    if extended is not None and _PURPOSES.isdisjoint(extended):
        raise ValueError("a CA that is not for certificates of clients")


def _no_authority(_policy: verification.Policy, _certificate: x509.Certificate, basic: x509.BasicConstraints | None) -> None:
    if basic is not None and basic.ca:
        raise ValueError("a CA does not log in")


_AGNOSTIC: Final = verification.Criticality.AGNOSTIC
_AUTHORITY: Final = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, _AGNOSTIC, _authority_usage)
    .may_be_present(x509.ExtendedKeyUsage, _AGNOSTIC, _authority_purpose)
)
"""Private CAs leave out much that public ones must have; what they do say is kept."""
_LEAF: Final = verification.ExtensionPolicy.permit_all().may_be_present(x509.BasicConstraints, _AGNOSTIC, _no_authority)


# -- common names under name constraints ------------------------------------------------------------------------------------------


def _check_common_names(chain: tuple[x509.Certificate, ...]) -> None:
    """RFC 5280 constrains alternative names only; a common name that reads like one of them is held to the same, as in OpenSSL."""
    names = [str(each.value) for each in chain[0].subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    for authority in chain[1:]:
        constraints = _extension(authority, x509.NameConstraints)
        if constraints is not None and not all(_permits(constraints, name) for name in names):
            raise Untrusted("its common name is outside what its authority may issue")


def _permits(constraints: x509.NameConstraints, name: str) -> bool:
    if "@" in name:
        kind: type[x509.RFC822Name | x509.DNSName] = x509.RFC822Name
        matches = _mail_within
    elif _HOST.fullmatch(name):
        kind, matches = x509.DNSName, _host_within
    else:
        return True
    permitted = [each.value for each in constraints.permitted_subtrees or () if isinstance(each, kind)]
    excluded = [each.value for each in constraints.excluded_subtrees or () if isinstance(each, kind)]
    return not any(matches(name, each) for each in excluded) and (not permitted or any(matches(name, each) for each in permitted))


def _host_within(name: str, subtree: str) -> bool:
    name, subtree = name.lower().rstrip("."), subtree.lower().lstrip(".")
    return not subtree or name == subtree or name.endswith("." + subtree)


def _mail_within(name: str, subtree: str) -> bool:
    """One mailbox, one host, or with a leading dot all hosts below it (RFC 5280, 4.2.1.10)."""
    if "@" in subtree:
        return name.lower() == subtree.lower()
    host = name.rpartition("@")[2].lower()
    return host.endswith(subtree.lower()) if subtree.startswith(".") else host == subtree.lower()


def _instant(now: int) -> datetime:
    return datetime.fromtimestamp(now // SECOND, UTC)
