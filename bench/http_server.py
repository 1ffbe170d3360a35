"""strongroom's HTTP protocol with a handler that does nothing, plain or TLS: the overhead over bench/bare.py."""

from __future__ import annotations

import argparse
import asyncio

import uvloop

from strongroom.clock import SystemClock
from strongroom.server.connections import Connections
from strongroom.server.http import Exchange, HttpProtocol, ListenerInfo, render
from strongroom.server.limits import DEFAULT_LIMITS


async def main(port: int, size: int) -> None:
    """Serve until killed."""
    answer = render(200, b'{"data": "%b"}' % (b"x" * (size - 12)))
    connections = Connections(SystemClock(), DEFAULT_LIMITS)
    loop = asyncio.get_running_loop()
    connections.start(loop)

    def handler(exchange: Exchange) -> None:
        exchange.headers.get(b"x-vault-token")
        exchange.answer(answer)

    server = await loop.create_server(lambda: HttpProtocol(handler, DEFAULT_LIMITS, ListenerInfo(), connections), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8301)
    arguments.add_argument("--size", type=int, default=441)
    options = arguments.parse_args()
    uvloop.run(main(options.port, options.size))
