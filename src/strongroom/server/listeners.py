"""Addresses to serve on: sockets opened once, a protocol per connection, TLS where it is not switched off.

Rules of this file:
- An address is taken before anything is set up, and listened to when everything is: whoever is accepted is served.
- A reload replaces a listener's TLS context; connections that stand keep theirs.
- Unix sockets are made with the listener's mode and replace a dead one of the same path only.
"""

from __future__ import annotations

import asyncio
import socket
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from strongroom.errors import ConfigError
from strongroom.server.client_certificate import certificate_header
from strongroom.server.config import Listener
from strongroom.server.connections import Connections
from strongroom.server.forwarded import Forwarding, parse_networks
from strongroom.server.http import Handler, HttpProtocol, ListenerInfo
from strongroom.server.limits import Limits
from strongroom.server.proxy_protocol import Proxied, trust_of
from strongroom.server.tls import Handshakes, ListenerTls, TlsListener, make_context

BACKLOG = 1_024


def limits_of(listener: Listener, base: Limits) -> Limits:
    """The limits with what the listener's stanza says."""
    said = {
        "max_body": listener.max_request_size,
        "request_seconds": listener.max_request_duration,
        "idle_seconds": listener.http_idle_timeout,
        "head_seconds": listener.http_read_header_timeout,
        "body_seconds": listener.http_read_timeout,
        "write_seconds": listener.http_write_timeout,
    }
    return base._replace(**{name: value for name, value in said.items() if value})  # type: ignore[arg-type]  # numbers all of them


def host_and_port(address: str) -> tuple[str, int]:
    """Both parts of `host:port` or `[v6]:port`. Raises ConfigError."""
    host, _, port = address.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"the listener address {address!r} is not host:port")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104  what ":8200" means to every server


def open_socket(listener: Listener) -> socket.socket:
    """The listening socket of a stanza. Raises ConfigError."""
    return _unix_socket(listener) if listener.kind == "unix" else _tcp_socket(listener.address)


def open_sockets(listener: Listener, workers: int) -> list[socket.socket]:
    """A socket for each worker on one address: the kernel spreads connections over them. Raises ConfigError."""
    first = open_socket(listener)
    if listener.kind == "unix":
        return [first, *(first.dup() for _ in range(workers - 1))]
    host, port = first.getsockname()[:2]
    first.close()  # nobody else had the address; now it may be had several times, by this user only
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return [_tcp_socket(address, shared=True) for _ in range(workers)]


def _tcp_socket(address: str, *, shared: bool = False) -> socket.socket:
    host, port = host_and_port(address)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(where)
    except OSError as error:
        raise _cannot(address, error) from None
    opened.setblocking(False)
    return opened


def _cannot(address: str, error: OSError) -> ConfigError:
    return ConfigError(f"cannot listen on {address}: {error.strerror or error}; choose another address or stop what uses it")


def _unix_socket(listener: Listener) -> socket.socket:
    path = Path(listener.address)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise ConfigError(f"cannot listen on {path}: there is a file of that name")
            if _answers(path):
                raise ConfigError(f"cannot listen on {path}: another server does")
            path.unlink()
        opened.bind(str(path))
        path.chmod(int(listener.socket_mode, 8))
    except (OSError, ValueError) as error:
        opened.close()
        raise ConfigError(f"cannot listen on {path}: {error}") from None
    opened.setblocking(False)
    return opened


def remove_socket(listener: Listener) -> None:
    """Leave no file behind where nobody listens any more."""
    if listener.kind == "unix":
        Path(listener.address).unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def opened_by(listener: Listener) -> frozenset[str]:
    """What a listener opens to whoever has no token, by the names that routes know it by."""
    switches = {
        "rekey": not listener.disable_unauthed_rekey_endpoints,
        "generate-root": not listener.disable_unauthed_generate_root_endpoints,
        "metrics": listener.unauthenticated_metrics_access,
    }
    return frozenset(name for name, on in switches.items() if on)


class OpenedProtocol(HttpProtocol):
    """A connection through a listener that opens something: its peer says what."""

    __slots__ = ("_opened",)

    def __init__(self, handler: Handler, limits: Limits, listener: ListenerInfo, connections: Connections, opened: frozenset[str]) -> None:
        super().__init__(handler, limits, listener, connections)
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        super().connection_made(transport)
        self._peer = msgspec.structs.replace(self._peer, opened=self._opened)


class Listening:
    """One listener of a worker, serving."""

    def __init__(
        self,
        listener: Listener,
        opened: socket.socket,
        handler: Handler,
        connections: Connections,
        limits: Limits,
        *,
        shared: bool = False,
    ) -> None:
        self.listener = listener
        self._socket = opened
        self._shared = shared
        self._limits = limits_of(listener, limits)
        secure = listener.kind == "tcp" and not listener.tls_disable
        info = ListenerInfo(tls=secure, forwarding=_forwarding(listener))

        routes = opened_by(listener)

        def inner() -> HttpProtocol:
            if routes:
                return OpenedProtocol(handler, self._limits, info, connections, routes)
            return HttpProtocol(handler, self._limits, info, connections)

        self._tls = TlsListener(make_context(_tls(listener)), self._limits, connections, inner) if secure else None
        trust = trust_of(listener)
        factory = self._tls or inner
        self.proxied = None if trust is None else Proxied(trust, self._limits, connections, factory)
        self._factory = self.proxied or factory
        self._server: asyncio.Server | None = None

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take connections from now on; until here they were refused. Raises ConfigError."""
        try:
            self._server = await loop.create_server(self._factory, sock=self._socket, backlog=BACKLOG)
        except OSError as error:
            raise _cannot(self.listener.address, error) from None

    def reload(self, listener: Listener) -> None:
        """Read certificates again, from where this stanza says. Raises ConfigError and keeps the old ones."""
        if self._tls is not None:
            self._tls.context = make_context(_tls(listener))
            self.listener = listener

    @property
    def handshakes(self) -> Handshakes | None:
        """How its TLS handshakes ended; None in the clear."""
        return self._tls.handshakes if self._tls is not None else None

    def stop(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()
        else:
            self._socket.close()
        if not self._shared:  # else others listen there too, and their supervisor removes it
            remove_socket(self.listener)


def _forwarding(listener: Listener) -> Forwarding | None:
    header = listener.x_forwarded_for_client_cert_header
    if not listener.x_forwarded_for_authorized_addrs:
        if header:
            raise ConfigError("x_forwarded_for_client_cert_header needs x_forwarded_for_authorized_addrs: the proxies that may set it")
        return None
    try:
        networks = parse_networks(listener.x_forwarded_for_authorized_addrs)
    except ValueError:
        raise ConfigError("x_forwarded_for_authorized_addrs takes addresses and networks such as 10.0.0.0/8") from None
    return Forwarding(
        networks,
        listener.x_forwarded_for_hop_skips,
        listener.x_forwarded_for_reject_not_present,
        listener.x_forwarded_for_reject_not_authorized,
        certificate_header(header, listener.x_forwarded_for_client_cert_header_decoders) if header else None,
    )


def _tls(listener: Listener) -> ListenerTls:
    if not listener.tls_cert_file or not listener.tls_key_file:
        raise ConfigError(
            f"listener {listener.address}: tls_cert_file and tls_key_file are needed; or say tls_disable = true to serve in the clear"
        )
    return ListenerTls(
        cert_file=Path(listener.tls_cert_file),
        key_file=Path(listener.tls_key_file),
        min_version=listener.tls_min_version,
        max_version=listener.tls_max_version,
        client_ca_file=Path(listener.tls_client_ca_file) if listener.tls_client_ca_file else None,
        require_and_verify_client_cert=listener.tls_require_and_verify_client_cert,
        disable_client_certs=listener.tls_disable_client_certs,
    )
