"""The system's log: lines to the daemon of this host, as Vault's device of this name, or to one on another host.

Rules of this file:
- To the daemon's socket a line is one message as the C library writes it, `<priority>time tag[pid]: line` (RFC 3164, 4.1). To
  `host:port` it is one of RFC 5424, its length before it over TCP (RFC 6587, 3.4.1), a datagram over UDP (RFC 5426). The daemon takes a
  message whole or not at all.
- What the daemon does with it is not known here: many cut messages at 8 KiB, drop them under load or rewrite control characters, and then
  the chain shows it. Set its limit above the largest request; for logs that prove themselves keep a file beside it.
- There is no TLS here: http has it, and a daemon on this host may have it to others.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from strongroom.core.audit.sink import DEADLINE, Sink, require_declared
from strongroom.errors import InvalidRequest
from strongroom.outbound.channel import KINDS, Channel
from strongroom.outbound.client import Outbound

FACILITIES: Final = {
    name: number
    for number, name in enumerate("KERN USER MAIL DAEMON AUTH SYSLOG LPR NEWS UUCP CRON AUTHPRIV FTP".split())
} | {f"LOCAL{number}": 16 + number for number in range(8)}  # fmt: skip
INFO: Final = 6
"""The severity of every line, as Vault's."""
DAEMON: Final = "/dev/log"

_TAG = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII)
"""RFC 3164, 4.1.3: 32 characters, and none that ends it."""
_NOT_PRINTED = re.compile(r"[^\x21-\x7e]")

Message = Callable[[int, str, bytes], bytes]
"""Priority, tag and line to what is sent."""


def as_the_c_library(priority: int, tag: str, line: bytes) -> bytes:
    """RFC 3164 with local time, as every daemon expects it on its socket; the line has its own in UTC."""
    return f"<{priority}>{time.strftime('%b %e %H:%M:%S')} {tag}[{os.getpid()}]: ".encode() + line


def as_rfc_5424(priority: int, tag: str, line: bytes) -> bytes:
    """Version 1, without structured data: the line is structured itself."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    host = _NOT_PRINTED.sub("", platform.node())[:255] or "-"
    return f"<{priority}>1 {now}Z {host} {tag} {os.getpid()} audit - ".encode() + line


def counted(priority: int, tag: str, line: bytes) -> bytes:
    """The same with its length before it, so that no byte of it ends it."""
    message = as_rfc_5424(priority, tag, line)
    return b"%d %b" % (len(message), message)


class Syslog:
    """Lines to a daemon."""

    inline = False

    def __init__(self, place: str, channel: Channel, message: Message, facility: int, tag: str) -> None:
        self.place = place
        self._channel = channel
        self._message = message
        self._priority = facility * 8 + INFO
        self._tag = tag

    def open(self) -> tuple[bytes, bytes]:
        self._channel.open()
        return b"", b""  # a message that was cut is none: the daemon drops it

    def write(self, block: bytes) -> None:
        self._channel.send([self._message(self._priority, self._tag, line) for line in block.splitlines()])

    def close(self) -> None:
        self._channel.close()


def make(options: Mapping[str, str], _slot: int, directory: str, outbound: Outbound) -> Sink:
    """The sink of `facility` (AUTH) and `tag` (vault); `address` is the daemon's socket, or host:port with `socket_type` tcp or udp."""
    require_declared("syslog", directory)
    facility, tag = (options.get("facility") or "AUTH").upper(), options.get("tag") or "vault"
    if facility not in FACILITIES:
        raise InvalidRequest(f"facility is one of {', '.join(FACILITIES)}")
    if not _TAG.fullmatch(tag):
        raise InvalidRequest("tag is made of up to 32 letters, digits and . _ -")
    address = options.get("address") or DAEMON
    if address.startswith("/"):
        return Syslog(f"syslog {address}", Channel(address, "unixgram", DEADLINE, outbound), as_the_c_library, FACILITIES[facility], tag)
    kind = KINDS.get(options.get("socket_type") or "tcp")
    if kind not in ("tcp", "udp"):
        raise InvalidRequest("socket_type is tcp or udp")
    message = counted if kind == "tcp" else as_rfc_5424
    return Syslog(f"syslog {kind} {address}", Channel(address, kind, DEADLINE, outbound), message, FACILITIES[facility], tag)
