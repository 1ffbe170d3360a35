"""What one listener's connections may cost. Every number has its reason beside it; the configuration may override each.

Sizes are in bytes, durations in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Final, NamedTuple

from strongroom.server.framing import Head
from strongroom.server.spool import Room

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

SMALL_BODY: Final = 64 * KIB
"""Bodies up to here are not counted as held: 10,000 of them at once are what the connection limit allows for."""

FAIR_SHARE: Final = 64
"""Pipelined requests answered in one go before other connections get their turn: at 20 µs each about a millisecond."""

TURNED_AWAY: Final = 16
"""Connections beyond the limit that are told 503 at one time; the others are just closed, because each costs a descriptor."""

LARGE_RATE: Final = MIB
"""Bytes a second at which a body beyond `max_body` must arrive, on top of the usual body deadline."""


def _never_large(_head: Head) -> bool:
    return False


def _never_in_a_file(_head: Head) -> Callable[[], BinaryIO] | None:
    return None


class Limits(NamedTuple):
    """The limits of HTTP and TLS connections."""

    max_head: int = 32 * KIB
    """Vault tokens, JWTs and AWS session tokens fit many times; nginx takes 32 KiB, Go 1 MiB."""
    max_headers: int = 100
    """As Apache does; a browser sends about twenty."""
    max_body: int = MIB
    """JSON grows up to 25 times when parsed (T15.1)."""
    max_large_body: int = 32 * MIB
    """Vault's default for all; here only for the routes that need it (large.py)."""
    large_body: Callable[[Head], bool] = _never_large
    """Says for a request's head whether its body may be large."""
    max_upload: int = 64 * GIB
    """Of a body that goes to a file: ten times the largest store that was ever tried; more is restored on the host."""
    upload: Callable[[Head], Callable[[], BinaryIO] | None] = _never_in_a_file
    """Gives for a request's head what makes the file that a body beyond `max_body` goes to, if it may."""
    max_waiting: int = 64 * KIB
    """Pipelined bytes kept while an answer is in flight, then the socket is not read."""
    max_unsent: int = 64 * KIB
    """Bytes of answers that a slow reader may leave with us before its next request waits: 640 MiB for all who may connect."""
    max_unsent_together: int = 256 * MIB
    """What those may leave with us together who left more than that: an answer can have megabytes, and nobody has to read it."""
    max_connections: int = 10_000
    """Per worker (F15); bounded by the process's descriptors too."""
    max_held: int = 256 * MIB
    """Bodies beyond the small ones being read at one time, all connections of a worker together."""
    max_held_large: int = 128 * MIB
    """What of them is beyond `max_body`, counted apart: a few large ones keep nobody else from writing."""
    head_seconds: float = 10
    body_seconds: float = 30
    idle_seconds: float = 300
    request_seconds: float = 90
    """Vault's default_max_request_duration."""
    write_seconds: float = 30
    """For a client to read what lies ready for it."""
    linger_seconds: float = 1
    """For a refused client to read why, while it may still be sending."""
    handshake_seconds: float = 10
    max_handshake: int = 128 * KIB
    """Bytes a TLS client may send before the handshake is done: a chain of ten large certificates, twice."""

    def larger_body(self, head: Head) -> Room:
        """What there is for the body of this request, which is larger than `max_body`."""
        file = self.upload(head)
        if file is not None:
            return Room(self.max_upload, file)
        return Room(max(self.max_body, self.max_large_body) if self.large_body(head) else self.max_body)


DEFAULT_LIMITS: Final = Limits()
