"""Connections that a proxy passes on byte by byte: the client's address stands in a PROXY header before everything else, TLS included.

Rules of this file:
- The options are Vault's. `use_always`: whoever connects may say who he is. `allow_authorized`: the listed networks may; of others the
  header is read and their own address counts. `deny_unauthorized`: who is not listed is hung up on before he said a word.
- As in Vault a header may be missing: then the connection is the proxy's own, such as a look whether we live, and its address counts.
- Once the header is read this protocol is out of the way: the transport calls the one above, and nothing of it runs a second time.
- Until then a connection counts and has a deadline like a TLS handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from strongroom.errors import ConfigError
from strongroom.server.config import Listener
from strongroom.server.connections import LAST_MOMENT, Connections
from strongroom.server.forwarded import Network, lies_in, parse_networks
from strongroom.server.limits import Limits
from strongroom.server.proxy_header import Malformed, Source, read_header

ALWAYS, ALLOW, DENY = "use_always", "allow_authorized", "deny_unauthorized"


class Trust(NamedTuple):
    """Whose headers count."""

    behaviour: str
    networks: tuple[Network, ...] = ()

    def trusts(self, address: str) -> bool:
        """Whether what a connection from there says of its client counts."""
        return self.behaviour == ALWAYS or lies_in(address, self.networks)

    def admits(self, address: str) -> bool:
        """Whether a connection from there is taken at all."""
        return self.behaviour != DENY or self.trusts(address)


def trust_of(listener: Listener) -> Trust | None:
    """What a stanza says; None where it does not speak of it. Raises ConfigError."""
    behaviour, listed = listener.proxy_protocol_behavior, listener.proxy_protocol_authorized_addrs
    if not behaviour:
        if listed:
            raise ConfigError(f"proxy_protocol_authorized_addrs needs proxy_protocol_behavior: {ALLOW} or {DENY}")
        return None
    if behaviour not in (ALWAYS, ALLOW, DENY):
        raise ConfigError(f"proxy_protocol_behavior is {ALWAYS}, {ALLOW} or {DENY}")
    if behaviour != ALWAYS and (listener.kind == "unix" or not listed):
        raise ConfigError(f"proxy_protocol_behavior = {behaviour} needs proxy_protocol_authorized_addrs, on a listener of kind tcp")
    try:
        return Trust(behaviour, parse_networks(listed))
    except ValueError:
        raise ConfigError("proxy_protocol_authorized_addrs takes addresses and networks such as 10.0.0.0/8") from None


class Proxied:
    """Makes the protocol of each connection that a proxy may pass on. `refused`: how many were hung up on for header or address."""

    def __init__(self, trust: Trust, limits: Limits, connections: Connections, inner: Callable[[], asyncio.Protocol]) -> None:
        self.trust, self.limits, self.connections = trust, limits, connections
        self._inner = inner
        self.refused = 0

    def __call__(self) -> ProxiedProtocol:
        return ProxiedProtocol(self, self._inner())


class ProxiedProtocol(asyncio.Protocol):
    """A connection until its header is read; `inner` is what it becomes then."""

    __slots__ = ("_address", "_buffer", "_connections", "_inner", "_listener", "_transport", "_trust", "deadline")

    def __init__(self, listener: Proxied, inner: asyncio.Protocol) -> None:
        self._listener, self._trust, self._connections, self._inner = listener, listener.trust, listener.connections, inner
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._buffer = b""
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self._address = str(name[0]) if isinstance(name, tuple) else ""
        self.deadline = self._connections.deadline(self._listener.limits.handshake_seconds)
        if not self._connections.add(self):
            self.abort()
        elif not self._trust.admits(self._address):
            self._refuse()

    def data_received(self, data: bytes) -> None:
        """Bytes arrived: the header, or a piece of it."""
        self._buffer += data
        try:
            header = read_header(self._buffer)
        except Malformed:
            self._refuse()
            return
        if header is not None:
            self._hand_over(header.source if self._trust.trusts(self._address) else None, self._buffer[header.size :])

    def _hand_over(self, source: Source | None, rest: bytes) -> None:
        transport, inner = self._transport, self._inner
        if transport is None or transport.is_closing():
            return
        self._connections.discard(self)
        transport.set_protocol(inner)
        inner.connection_made(transport if source is None else cast(asyncio.Transport, Relayed(transport, source)))
        if rest and not transport.is_closing():
            inner.data_received(rest)

    def _refuse(self) -> None:
        """Without a word: whoever it is does not speak HTTP yet."""
        self._listener.refused += 1
        self.abort()

    def connection_lost(self, _exception: Exception | None) -> None:
        """It ended before it said who it is."""
        self._transport = None
        self._connections.discard(self)

    # ---- the registry's side

    def expire(self) -> None:
        """The header took too long."""
        self.abort()

    def drain(self) -> None:
        """Nothing was asked yet: there is a moment left for it."""
        self.deadline = min(self.deadline, self._connections.deadline(LAST_MOMENT))

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()


_METHODS: Final = (
    "abort", "close", "get_write_buffer_size", "is_closing", "pause_reading", "resume_reading", "set_write_buffer_limits", "write",
    "write_eof",
)  # fmt: skip


class Relayed:
    """A transport that comes from somebody else. Its methods are the transport's own, so a write costs no call more."""

    __slots__ = (*_METHODS, "_source", "_transport")

    def __init__(self, transport: asyncio.Transport, source: Source) -> None:
        self._transport, self._source = transport, source
        for name in _METHODS:
            setattr(self, name, getattr(transport, name))

    def get_extra_info(self, name: str, default: object = None) -> object:
        """As of the transport, save for whose it is."""
        return self._source if name == "peername" else self._transport.get_extra_info(name, default)
