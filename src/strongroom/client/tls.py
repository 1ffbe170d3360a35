"""TLS for the client, loaded only for https addresses: `ssl` costs 20 ms, the system's CA list 27 ms more.

Rules of this file:
- Verification is on unless skip_verify says otherwise in so many words; TLS 1.2 is the floor.
- With a CA file or directory only those are trusted; without, the system's list is.
"""

from __future__ import annotations

import os
import socket
import ssl

from strongroom.client.errors import BadSettings, Unreachable, Untrusted
from strongroom.client.settings import Settings


def context(settings: Settings) -> ssl.SSLContext:
    """The context these settings ask for. Raises BadSettings."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.skip_verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    else:
        _trust(made, settings)
    if settings.client_cert:
        _identify(made, settings)
    return made


def wrap(made: ssl.SSLContext, plain: socket.socket, settings: Settings, host: str, origin: str) -> ssl.SSLSocket:
    """Shake hands over a connected socket. Raises Untrusted, Unreachable."""
    try:
        return made.wrap_socket(plain, server_hostname=settings.server_name or host)
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(error, settings, host, origin) from None
    except ssl.SSLError as error:
        reason = error.reason or "handshake failed"
        hint = "that port speaks plain HTTP: use http:// in the address" if reason in _PLAIN_HTTP else "the server's log may say more"
        raise Unreachable(f"TLS with {origin} failed ({reason.lower().replace('_', ' ')}); {hint}") from None


_PLAIN_HTTP = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_WRONG_NAME = 62  # X509_V_ERR_HOSTNAME_MISMATCH
_WRONG_ADDRESS = 64  # X509_V_ERR_IP_ADDRESS_MISMATCH


def _untrusted(error: ssl.SSLCertVerificationError, settings: Settings, host: str, origin: str) -> Untrusted:
    said = error.verify_message
    if error.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
        return Untrusted(
            f"the certificate of {origin} is not for {settings.server_name or host} ({said}); use a name that it holds in the address, "
            "or give that name with -tls-server-name or VAULT_TLS_SERVER_NAME"
        )
    if "expired" in said or "not yet valid" in said:
        return Untrusted(f"the certificate of {origin} is not valid now ({said}); renew it on the server, or check this machine's clock")
    return Untrusted(
        f"the certificate of {origin} is not signed by an authority this client trusts ({said}); "
        f"name the authority's file with -ca-cert or VAULT_CACERT{_known_ca(settings)}"
    )


def _known_ca(settings: Settings) -> str:
    if settings.ca_cert or settings.ca_path:
        return f" (now {settings.ca_cert or settings.ca_path}); 'strongroom up' prints its own after 'CA certificate:'"
    from pathlib import Path  # rarely needed

    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    path = Path(os.environ.get("STRONGROOM_DATA") or f"{base}/strongroom", "ca.pem").expanduser()
    shown = str(path) if path.exists() else "…/ca.pem"
    return f"; 'strongroom up' printed it as 'CA certificate: {shown}'"


def _trust(made: ssl.SSLContext, settings: Settings) -> None:
    if settings.ca_cert:
        _load_authority(made, settings.ca_cert, "VAULT_CACERT (-ca-cert)")
    elif settings.ca_path:
        for path in sorted(_files(settings.ca_path)):
            _load_authority(made, path, "VAULT_CAPATH (-ca-path)")
    else:
        made.load_default_certs()


def _files(folder: str) -> list[str]:
    try:
        found = [entry.path for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith(".")]
    except OSError as error:
        raise BadSettings(f"the folder {folder} given by VAULT_CAPATH (-ca-path) cannot be read: {error.strerror}") from None
    if not found:
        raise BadSettings(f"the folder {folder} given by VAULT_CAPATH (-ca-path) holds no files; put the authority's PEM file there")
    return found


def _load_authority(made: ssl.SSLContext, path: str, origin: str) -> None:
    try:
        made.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise BadSettings(f"the file {path} given by {origin} holds no PEM certificate; name the CA certificate's file") from None
    except OSError as error:
        raise BadSettings(f"the file {path} given by {origin} cannot be read: {error.strerror}") from None


def _identify(made: ssl.SSLContext, settings: Settings) -> None:
    try:
        made.load_cert_chain(settings.client_cert, settings.client_key or None)
    except ssl.SSLError as error:
        raise BadSettings(
            f"the client certificate {settings.client_cert} and its key cannot be used ({error.reason or 'not PEM'}); "
            "VAULT_CLIENT_CERT (-client-cert) and VAULT_CLIENT_KEY (-client-key) must name a matching pair"
        ) from None
    except OSError as error:
        raise BadSettings(
            f"the client certificate {settings.client_cert} (VAULT_CLIENT_CERT, -client-cert) or its key cannot be read: {error.strerror}"
        ) from None
