"""One connection to one address: TCP, TLS or a unix socket, opened when first needed and kept while the server keeps it.

Rules of this file:
- A kept connection is looked at before it is used again: if the server has closed it, a new one is made. Nothing is ever sent twice.
- Every failure leaves as a ClientError that names the address.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from strongroom.client import wire
from strongroom.client.address import Address
from strongroom.client.errors import BadSettings, Unreachable
from strongroom.client.settings import Settings


class Connection:
    """Sends requests to `address`, one at a time."""

    def __init__(self, address: Address, settings: Settings) -> None:
        self.address = address
        self._settings = settings
        self._socket: socket.socket | None = None

    def exchange(self, request: bytes, bodiless: bool = False, take: Callable[[bytes], None] | None = None) -> wire.Raw:
        """Send a request's bytes and read its answer; with `take` one that goes on, however long nothing comes. Raises ClientError."""
        connected = self._connected()
        if take is not None:
            connected.settimeout(None)
        keep = False
        try:
            connected.sendall(request)
            raw = wire.Reader(connected.recv, take).answer(bodiless)
            keep = raw.reusable
        except TimeoutError:
            limit = f"{self._settings.timeout:g} s; VAULT_CLIENT_TIMEOUT sets that limit"
            raise Unreachable(f"{self._where()} did not answer within {limit}") from None
        except OSError as error:
            raise Unreachable(f"the connection to {self._where()} broke: {error.strerror or error}; its log may say why") from None
        finally:
            if not keep:
                self.close()
        return raw

    def close(self) -> None:
        """Let the connection go; the next exchange opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _where(self) -> str:
        return f"unix://{self.address.socket_path}" if self.address.socket_path else self.address.origin

    def _connected(self) -> socket.socket:
        if self._socket is not None and select.select([self._socket], [], [], 0)[0]:
            self.close()
        if self._socket is None:
            self._socket = self._open()
        return self._socket

    def _open(self) -> socket.socket:
        try:
            plain = self._plain()
        except socket.gaierror:
            raise Unreachable(f"the host name in {self._where()} cannot be resolved; correct it with -address or VAULT_ADDR") from None
        except ConnectionRefusedError:
            raise Unreachable(f"nothing listens at {self._where()} (connection refused); {_NEXT}") from None
        except TimeoutError:
            raise Unreachable(f"no connection to {self._where()} within {self._settings.timeout:g} s; {_NEXT}") from None
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"no connection to {self._where()}: {getattr(error, 'strerror', None) or error}; {_NEXT}") from None
        return self._secured(plain) if self.address.scheme == "https" else plain

    def _plain(self) -> socket.socket:
        if not self.address.socket_path:
            plain = socket.create_connection((self.address.host, self.address.port), self._settings.timeout)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return plain
        local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        local.settimeout(self._settings.timeout)
        try:
            local.connect(self.address.socket_path)
        except BaseException:
            local.close()
            raise
        return local

    def _secured(self, plain: socket.socket) -> socket.socket:
        from strongroom.client import tls  # 20 ms that plain addresses need not pay

        try:
            return tls.wrap(tls.context(self._settings), plain, self._settings, self.address.host, self._where())
        except (Unreachable, BadSettings):
            plain.close()
            raise
        except OSError as error:
            plain.close()
            raise Unreachable(f"TLS with {self._where()} broke off: {error.strerror or error}; the server's log may say more") from None


_NEXT = "start a server with 'strongroom up', or name the right one with -address or VAULT_ADDR"
