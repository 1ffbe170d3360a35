"""The system's log: lines to the daemon of this host, as Vault's device of this name.

Rules of this file:
- A line is one message, `<priority>time tag[pid]: line`, as the C library writes it (RFC 3164, 4.1). The daemon takes it whole or not.
- What the daemon does with it is not known here: many cut messages at 8 KiB, drop them under load or rewrite control characters, and then
  the chain shows it. Set its limit above the largest request; for logs that prove themselves keep a file beside it.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from typing import Final

from strongroom.core.audit.sink import DEADLINE, Sink, require_declared
from strongroom.errors import InvalidRequest

FACILITIES: Final = {
    name: number
    for number, name in enumerate("KERN USER MAIL DAEMON AUTH SYSLOG LPR NEWS UUCP CRON AUTHPRIV FTP".split())
} | {f"LOCAL{number}": 16 + number for number in range(8)}  # fmt: skip
INFO: Final = 6
"""The severity of every line, as Vault's."""
DAEMON: Final = "/dev/log"

_TAG = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII)
"""RFC 3164, 4.1.3: 32 characters, and none that ends it."""


class Syslog:
    """Lines to the daemon's socket."""

    inline = False

    def __init__(self, address: str, facility: int, tag: str) -> None:
        self.place = f"syslog {address}"
        self._address = address
        self._priority = facility * 8 + INFO
        self._tag = tag
        self._socket: socket.socket | None = None

    def open(self) -> tuple[bytes, bytes]:
        self.close()
        daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            daemon.settimeout(DEADLINE)
            daemon.connect(self._address)
        except OSError:
            daemon.close()
            raise
        self._socket = daemon
        return b"", b""

    def write(self, block: bytes) -> None:
        head = self._head()
        for line in block.splitlines():
            message = head + line
            try:
                self._send(message)
            except OSError:  # the daemon was started anew: another socket has its name
                self.open()
                self._send(message)

    def _head(self) -> bytes:
        """Local time, as every daemon expects it; the line has its own in UTC."""
        return f"<{self._priority}>{time.strftime('%b %e %H:%M:%S')} {self._tag}[{os.getpid()}]: ".encode()

    def _send(self, message: bytes) -> None:
        if self._socket is None:
            self.open()
        assert self._socket is not None
        self._socket.send(message)

    def close(self) -> None:
        daemon, self._socket = self._socket, None
        if daemon is not None:
            daemon.close()


def make(options: Mapping[str, str], _slot: int, directory: str) -> Sink:
    """The sink of `facility` (AUTH) and `tag` (vault); `address` is the daemon's socket."""
    require_declared("syslog", directory)
    facility, tag = (options.get("facility") or "AUTH").upper(), options.get("tag") or "vault"
    if facility not in FACILITIES:
        raise InvalidRequest(f"facility is one of {', '.join(FACILITIES)}")
    if not _TAG.fullmatch(tag):
        raise InvalidRequest("tag is made of up to 32 letters, digits and . _ -")
    return Syslog(options.get("address") or DAEMON, FACILITIES[facility], tag)
