"""OCSP (RFC 6960): a question about one certificate, and what an answer to it is worth.

Rules of this file:
- Pure. An answer counts only if it is about this certificate, signed by its issuer or by whom the issuer or the administrator named, and
  fresh at the instant handed in. Whatever fails raises BadAnswer; `Status` is only what was proved.
- An answer may hold several statuses: the one that bears this certificate's issuer and serial number is used, wherever it stands.
- SHA-1 is in the name of the certificate, as all responders want it (RFC 5019), and nowhere in a signature.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from strongroom.clock import SECOND

SKEW: Final = timedelta(minutes=5)
"""By how much a responder's clock may differ from ours."""
UNDATED: Final = timedelta(hours=1)
"""How old an answer may be that does not say when the next one comes."""
NONCE_BYTES: Final = 16
"""RFC 9654 wants 32 of new responders; older ones take up to 16."""
MAX_ANSWER: Final = 65_536
"""Bytes; an answer with its responder's certificate has about two thousand."""


class BadAnswer(ValueError):
    """An answer that proves nothing; the message says what is wrong with it."""


class Status(NamedTuple):
    """What was proved. `until` is when the responder will know better, ns."""

    good: bool
    revoked: bool
    until: int


class Question(NamedTuple):
    """A certificate, who issued it, and a nonce that a fresh answer may repeat."""

    certificate: x509.Certificate
    issuer: x509.Certificate
    nonce: bytes

    def encoded(self) -> bytes:
        """The request's bytes."""
        builder = ocsp.OCSPRequestBuilder().add_certificate(self.certificate, self.issuer, hashes.SHA1())  # noqa: S303 — names, see above
        return builder.add_extension(x509.OCSPNonce(self.nonce), critical=False).build().public_bytes(Encoding.DER)


def question(certificate: x509.Certificate, issuer: x509.Certificate) -> Question:
    """A question with a fresh nonce."""
    return Question(certificate, issuer, secrets.token_bytes(NONCE_BYTES))


def responders(certificate: x509.Certificate) -> tuple[str, ...]:
    """The URLs that a certificate names."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ()
    found = [each for each in access if each.access_method == AuthorityInformationAccessOID.OCSP]
    return tuple(each.access_location.value for each in found if isinstance(each.access_location, x509.UniformResourceIdentifier))


def read_answer(content: bytes, asked: Question, trusted: tuple[x509.Certificate, ...], now: int, max_age: int = 0) -> Status:
    """What an answer proves. `trusted` are responders an administrator named; `max_age` in seconds, 0 = no limit. Raises BadAnswer."""
    moment = datetime.fromtimestamp(now // SECOND, UTC)
    try:
        answer = ocsp.load_der_ocsp_response(content)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise BadAnswer(f"the responder says {answer.response_status.name}")
        _check_nonce(answer, asked)
        _check_signature(answer, _responder(answer, asked.issuer, trusted, moment))
        return _status(answer, asked, moment, max_age)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise error if isinstance(error, BadAnswer) else BadAnswer("the answer cannot be read") from error


def _check_nonce(answer: ocsp.OCSPResponse, asked: Question) -> None:
    """A responder that signs ahead of time leaves the nonce out; one that repeats it must repeat ours."""
    try:
        given = answer.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        return
    if not hmac.compare_digest(given, asked.nonce):
        raise BadAnswer("the answer is to another question")


def _responder(
    answer: ocsp.OCSPResponse, issuer: x509.Certificate, trusted: tuple[x509.Certificate, ...], moment: datetime
) -> x509.Certificate:
    """Whose signature it must be: the issuer's, that of a responder named by the administrator, or of one that the issuer delegated to."""
    for known in (issuer, *trusted):
        if _names(answer, known):
            return known
    for candidate in answer.certificates:
        if _names(answer, candidate):
            _check_delegated(candidate, issuer, moment)
            return candidate
    raise BadAnswer("the answer is signed by nobody who may speak for the issuer")


def _names(answer: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    if answer.responder_name is not None:
        return answer.responder_name == certificate.subject
    return answer.responder_key_hash == key_hash(certificate, hashes.SHA1())  # noqa: S303 — a name


def _check_delegated(candidate: x509.Certificate, issuer: x509.Certificate, moment: datetime) -> None:
    """RFC 6960, 4.2.2.2: issued directly by the certificate's own issuer, for OCSP signing."""
    try:
        candidate.verify_directly_issued_by(issuer)
        purposes = candidate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (InvalidSignature, x509.ExtensionNotFound, ValueError, TypeError) as error:
        raise BadAnswer("its signer was not appointed by the issuer") from error
    if ExtendedKeyUsageOID.OCSP_SIGNING not in purposes:
        raise BadAnswer("its signer was not appointed for OCSP")
    if not candidate.not_valid_before_utc <= moment <= candidate.not_valid_after_utc:
        raise BadAnswer("its signer's certificate is out of date")


def _check_signature(answer: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    algorithm = answer.signature_hash_algorithm
    if isinstance(algorithm, (hashes.MD5, hashes.SHA1)):
        raise BadAnswer("it is signed with a hash that is broken")
    key, signature, signed = signer.public_key(), answer.signature, answer.tbs_response_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            raise BadAnswer("it is signed by a kind of key that is not accepted")
    except InvalidSignature as error:
        raise BadAnswer("its signature is wrong") from error


def _status(answer: ocsp.OCSPResponse, asked: Question, moment: datetime, max_age: int) -> Status:
    found = next((each for each in answer.responses if _is_about(each, asked)), None)
    if found is None:
        raise BadAnswer("it is about another certificate")
    this, following = found.this_update_utc, found.next_update_utc
    if this > moment + SKEW:
        raise BadAnswer("its status is from the future")
    until = following if following is not None else this + UNDATED
    if until < moment - SKEW or (max_age and this < moment - timedelta(seconds=max_age)):
        raise BadAnswer("its status is out of date")
    kind = found.certificate_status
    return Status(kind is ocsp.OCSPCertStatus.GOOD, kind is ocsp.OCSPCertStatus.REVOKED, int(until.timestamp()) * SECOND)


def _is_about(found: ocsp.OCSPSingleResponse, asked: Question) -> bool:
    """CertID: the issuer's name and key, hashed, and the serial number."""
    if found.serial_number != asked.certificate.serial_number:
        return False
    algorithm = found.hash_algorithm
    name = hashes.Hash(algorithm)
    name.update(asked.issuer.subject.public_bytes())
    return found.issuer_name_hash == name.finalize() and found.issuer_key_hash == key_hash(asked.issuer, algorithm)


def key_hash(certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> bytes:
    """The hash of a certificate's public key, without the algorithm around it (RFC 6960, 4.1.1)."""
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        bits = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    elif isinstance(key, rsa.RSAPublicKey):
        bits = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        bits = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        raise BadAnswer("the issuer's key is of a kind that is not accepted")
    digest = hashes.Hash(algorithm)
    digest.update(bits)
    return digest.finalize()
