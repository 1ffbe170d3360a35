"""The least that can answer HTTP in this stack: httptools on an asyncio.Protocol under uvloop. The measure of strongroom."""

from __future__ import annotations

import argparse
import asyncio
import json

import httptools
import uvloop


class Bare(asyncio.Protocol):
    """Answers every request with the same bytes, looking at one header, with no limit and no deadline."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._headers: dict[bytes, bytes] = {}

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_message_complete(self) -> None:
        self._headers.get(b"x-vault-token")
        self._headers = {}
        self._transport.write(self._answer)  # type: ignore[attr-defined]


def answer_of(size: int) -> bytes:
    """A JSON answer with a body of `size` bytes."""
    body = json.dumps({"data": "x" * (size - 12)}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


async def main(port: int, size: int) -> None:
    """Serve until killed."""
    answer = answer_of(size)
    server = await asyncio.get_running_loop().create_server(lambda: Bare(answer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=8300)
    arguments.add_argument("--size", type=int, default=441, help="bytes of the answer's body")
    options = arguments.parse_args()
    uvloop.run(main(options.port, options.size))
