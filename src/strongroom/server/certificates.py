"""A self-made certificate authority, so that the first start is already TLS.

Rules of this file:
- `ca.pem` is what clients trust; `ca-key.pem` never leaves the directory. Keys are P-256, files 0600, the directory 0700.
- The server's certificate is short-lived and renewed from the same authority well before it ends; clients notice nothing.
- A file is replaced whole: written beside, synced, renamed.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom.clock import SECOND
from strongroom.errors import ConfigError

AUTHORITY_LIFE: Final = timedelta(days=3650)
SERVER_LIFE: Final = timedelta(days=90)
RENEW_BEFORE: Final = timedelta(days=30)
BACKDATED: Final = timedelta(minutes=5)
"""Clients whose clock is a little behind accept the certificate."""


class Authority(NamedTuple):
    """Where the files lie."""

    ca: Path
    ca_key: Path
    cert: Path
    key: Path


def files(directory: Path) -> Authority:
    """The names in a directory."""
    return Authority(*(directory / name for name in ("ca.pem", "ca-key.pem", "server.pem", "server-key.pem")))


def make_authority(directory: Path, names: Sequence[str], ips: Sequence[str], clock_now: int) -> Authority:
    """Make an authority where there is none, and a server certificate for these DNS names and addresses. `clock_now` in nanoseconds."""
    paths = files(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not paths.ca.exists():
        _make_ca(paths, _instant(clock_now))
    _make_server(paths, names, ips, _instant(clock_now))
    return paths


def renew_if_due(directory: Path, clock_now: int) -> bool:
    """Renew the server certificate, with the names it has, when less than 30 days are left. True when it was."""
    paths = files(directory)
    current = _read_certificate(paths.cert)
    now = _instant(clock_now)
    if current.not_valid_after_utc - now >= RENEW_BEFORE:
        return False
    held = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ips = [str(each) for each in held.get_values_for_type(x509.IPAddress)]
    _make_server(paths, held.get_values_for_type(x509.DNSName), ips, now)
    return True


def _make_ca(paths: Authority, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"strongroom {now:%Y-%m-%d}")])
    certificate = (
        _begin(name, name, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(paths.ca_key, _pem(key))
    _write(paths.ca, certificate.public_bytes(Encoding.PEM))


def _make_server(paths: Authority, names: Sequence[str], ips: Sequence[str], now: datetime) -> None:
    ca = _read_certificate(paths.ca)
    ca_key = _read_key(paths.ca_key)
    key = ec.generate_private_key(ec.SECP256R1())
    subjects = [x509.DNSName(each) for each in names] + [x509.IPAddress(ipaddress.ip_address(each)) for each in ips]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "strongroom server")])
    certificate = (
        _begin(subject, ca.subject, key.public_key(), now, min(SERVER_LIFE, ca.not_valid_after_utc - now))
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(paths.key, _pem(key))
    _write(paths.cert, certificate.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM))


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _instant(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds // SECOND, UTC)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise ConfigError(f"{path} cannot be read as a certificate; restore it, or remove the directory to make a new authority") from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError):
        raise ConfigError(f"{path} cannot be read as a private key; restore it, or remove the directory to make a new authority") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} is not an elliptic-curve key; this authority was not made by strongroom")
    return key


def _write(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
