"""A client's certificate from a header, where a trusted proxy ended the client's TLS and passes on what it was shown.

Rules of this file:
- The header's name and decoders are the operator's (`x_forwarded_for_client_cert_header`, `…_decoders`); decoders are applied in their
  order, and what is left is one certificate in DER, or in DER as base64. Anything else is refused: a header that was sent twice, too.
- Names of decoders are those of Vault and OpenBao. RFC9440 is the standard `Client-Cert` field; nginx's `$ssl_client_escaped_cert` is
  URL, PEM.
- Which connections may say so at all is decided in forwarded.py.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from strongroom.errors import ConfigError, InvalidRequest

_PEM: Final = re.compile(rb"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")
_NAME: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
SEQUENCE: Final = b"\x30"
"""What a certificate in DER begins with; its base64 begins with M."""


def _base64(content: bytes) -> bytes:
    return binascii.a2b_base64(b"".join(content.split()), strict_mode=True)


def _pem(content: bytes) -> bytes:
    match = _PEM.fullmatch(content)
    if match is None:
        raise ValueError("not one certificate in PEM")
    return _base64(match[1])


def _byte_sequence(content: bytes) -> bytes:
    if len(content) < 2 or not content.startswith(b":") or not content.endswith(b":"):
        raise ValueError("not a byte sequence")
    return _base64(content[1:-1])


DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "BASE64": _base64,
    "DER": bytes,
    "PEM": _pem,
    "RFC9440": _byte_sequence,
    "URL": unquote_to_bytes,
}


class CertificateHeader(NamedTuple):
    """Where a listener's proxies put the client's certificate, and how it is written there."""

    name: bytes
    decoders: tuple[str, ...] = ()

    def leaf(self, headers: Mapping[bytes, bytes]) -> bytes | None:
        """The certificate in DER, None where there is none. Raises InvalidRequest."""
        content = headers.get(self.name)
        if not content:
            return None
        try:
            for decoder in self.decoders:
                content = DECODERS[decoder](content)
            return content if content.startswith(SEQUENCE) else _base64(content)
        except ValueError:
            raise InvalidRequest(
                "the header with the client's certificate cannot be read; compare what the proxy sends with the listener's decoders"
            ) from None


def certificate_header(name: str, decoders: tuple[str, ...]) -> CertificateHeader:
    """What the configuration says. Raises ConfigError."""
    wanted = tuple(each.strip().upper() for each in decoders)
    if not _NAME.fullmatch(name.lower()):
        raise ConfigError("x_forwarded_for_client_cert_header takes the name of a header, such as Client-Cert")
    unknown = [each for each in wanted if each not in DECODERS]
    if unknown:
        raise ConfigError(f"x_forwarded_for_client_cert_header_decoders takes {', '.join(DECODERS)}, not {unknown[0]!r}")
    return CertificateHeader(name.lower().encode(), wanted)
