"""A socket: lines to a collector over TCP, UDP or a Unix socket, as Vault's device of this name.

Rules of this file:
- One connection for each worker (outbound/channel.py). What the kernel had taken and the collector never read is a gap that the chain
  shows.
- A block that arrived in part has failed: the device goes on in a new stream, whose head knows the unfinished line by its hash, behind a
  newline that ends it.
- Over UDP each line is a datagram, and nobody says whether it arrived: a second device should.
- There is no TLS here: http has it. Who can read the wire reads who did what and when, though no value of a secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from strongroom.core.audit.sink import DEADLINE, Sink, require_declared
from strongroom.errors import InvalidRequest
from strongroom.outbound.channel import KINDS, Channel
from strongroom.outbound.client import Outbound
from strongroom.types import parse_duration


class Collector:
    """Lines to another process or host."""

    inline = False

    def __init__(self, place: str, channel: Channel) -> None:
        self.place = place
        self._channel = channel
        self._torn = b""

    def open(self) -> tuple[bytes, bytes]:
        self._torn = self._channel.cut.rpartition(b"\n")[2]
        self._channel.open()
        return b"", self._torn

    def write(self, block: bytes) -> None:
        if self._channel.datagrams:
            self._channel.send(block.splitlines(keepends=True))
        else:
            self._channel.send([b"\n" + block if self._torn else block])
        self._torn = b""

    def close(self) -> None:
        self._channel.close()


def make(options: Mapping[str, str], _slot: int, directory: str, outbound: Outbound) -> Sink:
    """The sink of `address`, by `socket_type` tcp (the default), udp or unix; `write_timeout` is 2 s at most."""
    require_declared("socket", directory)
    address, kind = options.get("address", ""), KINDS.get(options.get("socket_type") or "tcp")
    if not address:
        raise InvalidRequest("address is required: host:port, or the path of a Unix socket")
    if kind is None:
        raise InvalidRequest("socket_type is tcp, udp or unix")
    return Collector(f"{kind} {address}", Channel(address, kind, _seconds(options.get("write_timeout", "")), outbound))


def _seconds(text: str) -> float:
    try:
        asked = parse_duration(text) if text else 0
    except ValueError:
        raise InvalidRequest("write_timeout is a duration such as 2s") from None
    return min(asked or DEADLINE, DEADLINE)
