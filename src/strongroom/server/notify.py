"""Telling systemd what state the service is in (sd_notify(3)): it is ready, it reads its files again, it stops.

Rules of this file:
- A message is one datagram to the socket that `NOTIFY_SOCKET` names: a path, or a name in the abstract namespace after `@`. Without
  the variable nothing is said.
- The process that was started speaks, and nobody else: workers are not listened to (`NotifyAccess=main`).
- That nobody listens is no reason to fail.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress

VARIABLE = "NOTIFY_SOCKET"


def ready() -> None:
    """It serves, sealed or not: whoever was started after it can talk to it."""
    _tell("READY=1")


def reloaded() -> None:
    """It was told to read its files again. What cannot be taken over is logged, so this is over once it was told."""
    _tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}")
    _tell("READY=1")


def stopping() -> None:
    """It takes no more connections."""
    _tell("STOPPING=1")


def _tell(*lines: str) -> None:
    name = os.environ.get(VARIABLE, "")
    if name[:1] not in ("/", "@"):
        return
    address = "\0" + name[1:] if name.startswith("@") else name
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        manager.sendto("\n".join(lines).encode(), address)
