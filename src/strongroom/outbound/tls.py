"""TLS to other hosts: the chain and the host's name are verified always; there is no switch.

Rules of this file:
- Trust is the system's roots, or in their place the roots that a mount's configuration gives.
- Roots and client certificates come as PEM texts from the store, never as paths. The ssl module takes a key only from a file:
  it gets an anonymous one in memory, that is gone before the call returns.
"""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from typing import NamedTuple

from strongroom.errors import InvalidRequest

MAX_CONTEXTS = 64
"""Contexts kept: reading the system's roots takes some 10 ms."""

MAX_PEM = 64 * 1024
"""Characters of a bundle of roots: some twenty of them."""

Versions = tuple[ssl.TLSVersion, ssl.TLSVersion]
ANY_VERSION: Versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.MAXIMUM_SUPPORTED)
"""Least and most. Below 1.2 nothing is spoken (RFC 8996)."""


class ClientCertificate(NamedTuple):
    """What the server shows of itself: a chain, its own certificate first, and its key."""

    chain_pem: str
    key_pem: str

    def __repr__(self) -> str:
        return "ClientCertificate()"


def tls_context(ca_pem: str = "", certificate: ClientCertificate | None = None, versions: Versions = ANY_VERSION) -> ssl.SSLContext:
    """A context that verifies. Raises InvalidRequest for PEM that is none."""
    return _context(ca_pem, versions) if certificate is None else _with_certificate(_fresh(ca_pem, versions), certificate)


def check_authorities(pem: str, field: str) -> None:
    """What a configuration's field has in place of the system's roots can be used; nothing is nothing. Raises InvalidRequest."""
    if len(pem) > MAX_PEM:
        raise InvalidRequest(f"could not parse CA PEM value successfully: '{field}' has more than {MAX_PEM} characters")
    try:
        tls_context(pem)
    except InvalidRequest:
        raise InvalidRequest(f"could not parse CA PEM value successfully: '{field}' is not a certificate in PEM, nor several") from None


@lru_cache(maxsize=MAX_CONTEXTS)
def _context(ca_pem: str, versions: Versions) -> ssl.SSLContext:
    return _fresh(ca_pem, versions)


def _fresh(ca_pem: str, versions: Versions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which verifies chain and name
    context.minimum_version, context.maximum_version = versions
    try:
        if ca_pem:
            context.load_verify_locations(cadata=ca_pem)
        else:
            context.load_default_certs()
    except (ssl.SSLError, ValueError):
        raise InvalidRequest("the CA certificates are not PEM certificates") from None
    return context


def _with_certificate(context: ssl.SSLContext, certificate: ClientCertificate) -> ssl.SSLContext:
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(f"{certificate.key_pem}\n{certificate.chain_pem}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    except ssl.SSLError:
        raise InvalidRequest("the client certificate and its key are not PEM texts that belong together") from None
    finally:
        os.close(descriptor)
    return context
