"""Servers that are loose in one way about what clients send: the negative controls of T15.2, F15 and F16.

No configuration can ask for this. `parsing`: whatever is sent is parsed, without the checks of api/wire.py. `bounds`: no body is too large,
nor are all together. `costly`: each connection takes its room before it has sent anything.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from strongroom.api import vault
from strongroom.server.connections import Connections
from strongroom.server.framing import RequestReader
from strongroom.server.http import HttpProtocol
from strongroom.server.serve import run
from tests.support.patching import put

ROOM = 256 << 10
_rooms: list[bytes] = []
_connection_made = HttpProtocol.connection_made


def _make_room(self: HttpProtocol, transport: asyncio.BaseTransport) -> None:
    _rooms.append(b"\xff" * ROOM)
    _connection_made(self, transport)


def _unbind() -> None:
    put(RequestReader, _bound=lambda self, size: None)
    put(Connections, hold=lambda self, before, now: True)


WAYS = {
    "parsing": lambda: put(vault, strict_json=lambda body, *_: json.loads(body)),
    "bounds": _unbind,
    "costly": lambda: put(HttpProtocol, connection_made=_make_room),
}

if __name__ == "__main__":
    WAYS[os.environ["LOOSE"]]()
    sys.exit(run(sys.argv[1:]))
