"""A server that never gives back some of what a connection takes: the negative control of F33.

`LEAK` is how many bytes a worker loses in a second, in small objects, as forgotten entries of a table would be: they come out of what the
allocator still has before the process grows.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from strongroom.server.http import HttpProtocol
from strongroom.server.serve import run
from tests.support.patching import put

RATE = float(os.environ.get("LEAK", "0"))
PIECE = 200
_lost: list[bytes] = []
_began = time.monotonic()
_connection_made = HttpProtocol.connection_made


def _lose(self: HttpProtocol, transport: asyncio.BaseTransport) -> None:
    while len(_lost) * PIECE < (time.monotonic() - _began) * RATE:
        _lost.append(bytes(PIECE))
    _connection_made(self, transport)


if __name__ == "__main__":
    put(HttpProtocol, connection_made=_lose)
    sys.exit(run(sys.argv[1:]))
