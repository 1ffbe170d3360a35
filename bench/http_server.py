"""strongroom's HTTP protocol with a handler that does nothing, plain or TLS: its overhead over bench/bare.py."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

import uvloop

from strongroom.clock import SystemClock
from strongroom.server.certificates import make_authority
from strongroom.server.connections import Connections
from strongroom.server.http import Exchange, HttpProtocol, ListenerInfo
from strongroom.server.limits import DEFAULT_LIMITS
from strongroom.server.messages import render
from strongroom.server.tls import ListenerTls, TlsListener, make_context


async def main(port: int, size: int, tls: bool) -> None:
    """Serve until killed."""
    answer = render(200, b'{"data": "%b"}' % (b"x" * (size - 12)))
    clock = SystemClock()
    connections = Connections(clock, DEFAULT_LIMITS)
    loop = asyncio.get_running_loop()
    connections.start(loop)

    def handler(exchange: Exchange) -> None:
        exchange.headers.get(b"x-vault-token")
        exchange.answer(answer)

    def plain() -> HttpProtocol:
        return HttpProtocol(handler, DEFAULT_LIMITS, ListenerInfo(tls), connections)

    factory: Callable[[], asyncio.Protocol] = plain
    if tls:
        paths = make_authority(Path(tempfile.mkdtemp()), ["localhost"], ["127.0.0.1"], clock.now())
        factory = TlsListener(make_context(ListenerTls(paths.cert, paths.key)), DEFAULT_LIMITS, connections, plain)
    server = await loop.create_server(factory, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8301)
    arguments.add_argument("--size", type=int, default=441, help="bytes of the answer's body")
    arguments.add_argument("--tls", action="store_true")
    options = arguments.parse_args()
    uvloop.run(main(options.port, options.size, options.tls))
