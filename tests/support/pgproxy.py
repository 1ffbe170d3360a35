"""A TCP proxy before a PostgreSQL that fails as networks do, and knows enough of the protocol to fail at a chosen message.

Rules of this file:
- It runs on a loop of its own in a thread. What a test asks of it holds for connections that stand and for new ones.
- A message is one frame of the client: the start-up message is none of them. COMMIT is recognised also where it was prepared before.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator

ENCRYPTION = (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")
"""Requests for TLS and GSS, before the start-up message."""
ACTIONS = ("pass", "cut", "swallow")
"""Of a message: send it on; close both sides instead; send it on, and let nothing come back before both sides are closed."""
Judge = Callable[["Link", int, bytes], str]


def passing(_link: Link, _number: int, _frame: bytes) -> str:
    return "pass"


class Link:
    """One proxied connection: `frames` messages of the client so far."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.frames = 0
        self.commits: set[bytes] = set()
        self.committing = False
        """Whether the present message makes the server commit."""
        self.deaf = False
        self.close: Callable[[], None] = lambda: None

    def is_commit(self, frame: bytes) -> bool:
        """Whether a message makes the server commit."""
        kind, body = frame[:1], frame[5:]
        if kind == b"P":
            name, _, query = body.partition(b"\0")
            self.commits.discard(name)
            if query.startswith(b"COMMIT\0"):
                self.commits.add(name)
            return False
        if kind == b"B":
            return body.partition(b"\0")[2].partition(b"\0")[0] in self.commits
        return kind == b"Q" and body.startswith(b"COMMIT")


class Proxy:
    """Loopback `port` → loopback `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.judge: Judge = passing
        self.delay = 0.0
        self.links = 0
        self._open: set[Link] = set()
        self._flowing: asyncio.Event
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.run_forever()
        self._loop.close()

    async def _listen(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self._server = server
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()

    # -- what tests ask for --------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Close everything that stands."""
        self._loop.call_soon_threadsafe(lambda: [link.close() for link in list(self._open)])

    def blackhole(self) -> None:
        """Take everything and send nothing on, either way."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def flow(self) -> None:
        """Send on again, what was held back first."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            for link in list(self._open):
                link.close()
            self._flowing.set()
            await asyncio.sleep(0.05)
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    # -- inside --------------------------------------------------------------------------------------------------

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.links += 1
        link = Link(self.links)
        try:
            away_reader, away_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return

        def close() -> None:
            writer.transport.abort()
            away_writer.transport.abort()

        link.close = close
        self._open.add(link)
        back = asyncio.create_task(self._backward(link, away_reader, writer))
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._forward(link, reader, away_writer)
        finally:
            close()
            self._open.discard(link)
            back.cancel()

    async def _forward(self, link: Link, reader: asyncio.StreamReader, away: asyncio.StreamWriter) -> None:
        asked = b""
        while asked[:4] in ENCRYPTION or not asked:  # the server says no to encryption, and the client goes on in the clear
            head = await reader.readexactly(4)
            asked = await reader.readexactly(int.from_bytes(head) - 4)
            away.write(head + asked)
        while True:
            head = await reader.readexactly(5)
            frame = head + await reader.readexactly(int.from_bytes(head[1:]) - 4)
            link.frames += 1
            link.committing = link.is_commit(frame)
            action = self.judge(link, link.frames, frame)
            if action == "cut":
                return
            link.deaf = link.deaf or action == "swallow"
            await self._flowing.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            away.write(frame)
            await away.drain()
            if link.deaf and frame[:1] in b"SQ":
                await asyncio.sleep(0.05)  # the server is done; nobody will hear of it
                return

    async def _backward(self, link: Link, away: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await away.read(65_536):
                await self._flowing.wait()
                if not link.deaf:
                    writer.write(data)
                    await writer.drain()
            writer.transport.abort()


@contextlib.contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy for the length of a test."""
    made = Proxy(target)
    try:
        yield made
    finally:
        made.close()
