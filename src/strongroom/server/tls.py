"""TLS under a connection's protocol: the OpenSSL of the cryptography wheel on memory BIOs.

Rules of this file:
- TLS 1.2 with ECDHE and AEAD, and TLS 1.3, nothing else; X25519MLKEM768 is preferred. No renegotiation, no early data, no compression.
- A listener that asks for client certificates does so without judging them (the cert auth method judges) unless it verifies; and it has
  tickets *and* the session cache off, because a resumed session would inherit the certificate of the one before.
- Reading and writing go through the wheel's low-level binding, which saves 14 µs a request over pyOpenSSL's methods. The binding is
  private: everything that touches it is in this file, and its tests fail when it changes.
- After each recv, handshake step and shutdown what OpenSSL wants to send is flushed. A TCP end without close_notify is a cut connection:
  the partial request is dropped.
- Until the handshake is done a connection may send `max_handshake` bytes and take `handshake_seconds`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from strongroom.errors import ConfigError
from strongroom.server.connections import LAST_MOMENT, Connections
from strongroom.server.http import HttpProtocol
from strongroom.server.limits import Limits

_lib: Any = SSL._lib  # type: ignore[attr-defined]
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]
_view = _ffi.buffer
_read_record, _write_record, _bio_read, _bio_write = _lib.SSL_read, _lib.SSL_write, _lib.BIO_read, _lib.BIO_write
_waiting, _place = _lib.BIO_get_mem_data, _ffi.new("char **")

RECORD: Final = 16_384
"""The largest TLS record; SSL_read and SSL_write take one at a time."""
BUFFER: Final = RECORD + 2_048
"""A record with its overhead. One buffer per listener and loop: bytes are copied out before anything else may use it."""
GROUPS: Final = b"X25519MLKEM768:X25519:P-256:P-384"
CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
MAX_CHAIN: Final = 10
"""Client certificates beyond this depth end the handshake."""

_VERSIONS: Final = {"tls12": SSL.TLS1_2_VERSION, "tls13": SSL.TLS1_3_VERSION}
_PLAIN_TO_TLS: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
    b"Client sent an HTTP request to an HTTPS server.\n"
)


class ListenerTls(NamedTuple):
    """The TLS keys of a listener stanza."""

    cert_file: Path
    key_file: Path
    min_version: str = "tls12"
    max_version: str = ""
    disable_client_certs: bool = False
    require_and_verify_client_cert: bool = False
    client_ca_file: Path | None = None


def make_context(tls: ListenerTls) -> SSL.Context:
    """A context with the files as they are now. Raises ConfigError naming the key that cannot be used."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    if tls.min_version not in _VERSIONS:
        raise ConfigError(f"tls_min_version {tls.min_version!r} is not offered; use tls12 or tls13")
    if tls.max_version not in ("", *_VERSIONS) or (tls.max_version and _VERSIONS[tls.max_version] < _VERSIONS[tls.min_version]):
        raise ConfigError(f"tls_max_version {tls.max_version!r} is not offered; leave it out, or use one not below tls_min_version")
    context.set_min_proto_version(_VERSIONS[tls.min_version])
    if tls.max_version:
        context.set_max_proto_version(_VERSIONS[tls.max_version])
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_cipher_list(CIPHERS)
    if _lib.SSL_CTX_set1_curves_list(context._context, GROUPS) != 1:
        raise ConfigError("this OpenSSL does not offer X25519MLKEM768; install the wheel of cryptography 50 or later")
    _load_certificate(context, tls)
    _ask_for_certificates(context, tls)
    return context


def _load_certificate(context: SSL.Context, tls: ListenerTls) -> None:
    for name, file in (("tls_cert_file", tls.cert_file), ("tls_key_file", tls.key_file)):
        try:
            open(file, "rb").close()  # noqa: PTH123  OpenSSL says the same of what is not there and of what is no PEM
        except OSError as error:
            raise ConfigError(f"{name} {file} cannot be read: {error.strerror}; check its path, owner and mode") from None
    try:
        context.use_certificate_chain_file(str(tls.cert_file))
    except SSL.Error:
        raise ConfigError(f"tls_cert_file {tls.cert_file} holds no certificate in PEM that can be read") from None
    try:
        context.use_privatekey_file(str(tls.key_file))
        context.check_privatekey()
    except SSL.Error:
        raise ConfigError(f"tls_key_file {tls.key_file} holds no private key in PEM that fits tls_cert_file") from None


def _ask_for_certificates(context: SSL.Context, tls: ListenerTls) -> None:
    if tls.disable_client_certs and not tls.require_and_verify_client_cert:
        context.set_session_id(b"strongroom")
        return
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    _lib.SSL_CTX_set_max_early_data(context._context, 0)
    context.set_verify_depth(MAX_CHAIN)
    if tls.client_ca_file is not None:
        _load_authorities(context, tls.client_ca_file)
    if tls.require_and_verify_client_cert:
        if tls.client_ca_file is None:
            context.set_default_verify_paths()
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    elif tls.client_ca_file is not None:
        context.set_verify(SSL.VERIFY_PEER)
    else:
        context.set_verify(SSL.VERIFY_PEER, _accept_any)


def _load_authorities(context: SSL.Context, path: Path) -> None:
    try:
        context.load_verify_locations(str(path))
        context.load_client_ca(str(path).encode())
    except SSL.Error:
        raise ConfigError(f"tls_client_ca_file {path} holds no certificates in PEM that can be read") from None


def _accept_any(_connection: SSL.Connection, _certificate: object, _error: int, depth: int, _ok: int) -> bool:
    """The certificate is recorded with the connection; whether it means anything is decided at login."""
    return depth <= MAX_CHAIN


class Handshakes:
    """How the handshakes of a listener ended."""

    def __init__(self) -> None:
        self.done = self.post_quantum = self.failed = 0

    def count(self, group: str | None) -> None:
        """One is done, with a key agreed in this group."""
        self.done += 1
        self.post_quantum += group is not None and "MLKEM" in group.upper()


class TlsListener:
    """Makes the protocol of each connection. Assign `context` to serve new connections with a new certificate."""

    def __init__(self, context: SSL.Context, limits: Limits, connections: Connections, inner: Callable[[], HttpProtocol]) -> None:
        self.context = context
        self._limits = limits
        self._connections = connections
        self._inner = inner
        self._buffer = _ffi.new("char[]", BUFFER)
        self.handshakes = Handshakes()

    def __call__(self) -> TlsProtocol:
        return TlsProtocol(self.context, self._limits, self._connections, self._inner(), self._buffer, self.handshakes)


class TlsProtocol(asyncio.Protocol):
    """TLS over one connection, and the transport of the protocol above it."""

    __slots__ = (
        "_buffer",
        "_chain",
        "_closing",
        "_connection",
        "_connections",
        "_ended",
        "_from_ssl",
        "_handshakes",
        "_inner",
        "_into_ssl",
        "_limits",
        "_received",
        "_secure",
        "_ssl",
        "_transport",
        "deadline",
    )

    def __init__(
        self, context: SSL.Context, limits: Limits, connections: Connections, inner: HttpProtocol, buffer: Any, handshakes: Handshakes
    ) -> None:
        connection: Any = SSL.Connection(context, None)
        connection.set_accept_state()
        self._connection = connection
        self._ssl, self._into_ssl, self._from_ssl = connection._ssl, connection._into_ssl, connection._from_ssl
        self._buffer = buffer
        self._limits = limits
        self._connections = connections
        self._inner = inner
        self._handshakes = handshakes
        self._transport: asyncio.Transport | None = None
        self._chain: tuple[bytes, ...] = ()
        self._secure = self._closing = self._ended = False
        self._received = 0
        self.deadline = 0.0

    # ---- the socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; the handshake begins."""
        self._transport = cast(asyncio.Transport, transport)
        self.deadline = self._connections.deadline(self._limits.handshake_seconds)
        if not self._connections.add(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Records arrived."""
        if _bio_write(self._into_ssl, data, len(data)) != len(data):
            self.abort()
        elif self._secure:
            self._read()
        else:
            self._shake_hands(data)

    def eof_received(self) -> bool:
        """TCP ended. Without close_notify nothing that is incomplete counts."""
        return self._inner.eof_received() if self._secure and self._ended else False

    def connection_lost(self, exception: Exception | None) -> None:
        """The connection ended."""
        self._transport = None
        self._closing = True
        if self._secure:
            self._inner.connection_lost(exception)
        else:
            self._connections.discard(self)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        if self._secure:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client caught up."""
        if self._secure:
            self._inner.resume_writing()

    # ---- the registry's side, until the handshake is done

    def expire(self) -> None:
        """The handshake took too long."""
        self.abort()

    def drain(self) -> None:
        """Nothing was asked yet: there is a moment left for it."""
        self.deadline = min(self.deadline, self._connections.deadline(LAST_MOMENT))

    # ---- handshake

    def _shake_hands(self, data: bytes) -> None:
        if not self._received and data[:1].isalpha():
            self._say_plainly()
            return
        self._received += len(data)
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            self._flush()
            if self._received > self._limits.max_handshake:
                self.abort()
        except SSL.Error:
            self._handshakes.failed += 1
            self._flush()
            self.close()
        else:
            self._handshakes.count(self._connection.get_group_name())
            self._flush()
            self._open()

    def _say_plainly(self) -> None:
        if self._transport is not None:
            self._transport.write(_PLAIN_TO_TLS)
            self._transport.close()

    def _open(self) -> None:
        self._chain = _client_chain(self._connection)
        self._secure = True
        self._connections.discard(self)
        self._inner.connection_made(cast(asyncio.BaseTransport, self))
        self._read()

    # ---- records

    def _read(self) -> None:
        """Decrypt all that is complete. What the protocol above writes meanwhile leaves with the next flush.

        Mostly one record came, whole: then OpenSSL is not asked for another, which would cost as much as the first.
        """
        ssl, buffer = self._ssl, self._buffer
        received = self._inner.data_received
        while (size := _read_record(ssl, buffer, RECORD)) > 0:
            received(_view(buffer, size)[:])
            if not _waiting(self._into_ssl, _place):
                return
        self._after_read(size)

    def _after_read(self, size: int) -> None:
        error = _lib.SSL_get_error(self._ssl, size)
        if error == _lib.SSL_ERROR_WANT_READ:
            self._flush()
        elif error == _lib.SSL_ERROR_ZERO_RETURN:
            self._end_of_stream()
        else:
            _lib.ERR_clear_error()
            self._flush()
            self.close()

    def _end_of_stream(self) -> None:
        """The client sent close_notify."""
        if not self._ended:
            self._ended = True
            if not self._inner.eof_received():
                self.close()

    def _flush(self) -> None:
        """Hand what OpenSSL wants to send to the socket."""
        buffer, transport = self._buffer, self._transport
        while (size := _bio_read(self._from_ssl, buffer, BUFFER)) > 0:
            if transport is not None:
                transport.write(_view(buffer, size)[:])
            if size < BUFFER:
                break

    # ---- the transport that the protocol above sees

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if self._closing:
            return
        sent = _write_record(self._ssl, data, len(data)) if len(data) <= RECORD else self._write_records(data)
        if sent <= 0:
            _lib.ERR_clear_error()
            self.abort()
            return
        self._flush()

    def _write_records(self, data: bytes) -> int:
        sent = 0
        for start in range(0, len(data), RECORD):
            piece = data[start : start + RECORD]
            sent = _write_record(self._ssl, piece, len(piece))
            if sent <= 0:
                break
            self._flush()
        return sent

    def write_eof(self) -> None:
        """Send close_notify and end our side of TCP; what the client still sends is dropped above."""
        self._notify()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Close after what was written has left."""
        self._notify()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def _notify(self) -> None:
        if not self._closing and self._secure:
            _lib.SSL_shutdown(self._ssl)
            _lib.ERR_clear_error()
            self._flush()
        self._closing = True

    def is_closing(self) -> bool:
        """True once nothing can be sent."""
        return self._closing or self._transport is None or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Stop taking bytes from the socket; one read of it may still be decrypted."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Pass on the high-water mark: what is written is encrypted at once and waits in the socket's transport."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """What was written and has not left."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """As of the socket; and `client_chain`, the client's certificates in DER, and `group`, the key exchange."""
        if name == "client_chain":
            return self._chain
        if name == "group":
            return self._connection.get_group_name()
        return default if self._transport is None else self._transport.get_extra_info(name, default)


def _client_chain(connection: SSL.Connection) -> tuple[bytes, ...]:
    """The client's certificates as it sent them, leaf first."""
    leaf = connection.get_peer_certificate(as_cryptography=True)
    if leaf is None:
        return ()
    first = leaf.public_bytes(Encoding.DER)
    chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    others = [each.public_bytes(Encoding.DER) for each in chain]
    return (first, *(each for each in others if each != first))
