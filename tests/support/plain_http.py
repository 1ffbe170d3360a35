"""Another host in the clear, for what is signed itself: OCSP responders and places of revocation lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.elsewhere import Answered, Elsewhere

Respond = Callable[[bytes], tuple[int, bytes]]
"""A request's body → status and body."""


class Answering(Elsewhere):
    """A server that is being asked; `respond` may be changed at any time."""

    def __init__(self, respond: Respond) -> None:
        super().__init__(None, lambda asked: Answered(*self.respond(asked.body)))
        self.respond = respond
        self.url = f"http://127.0.0.1:{self.port}/"


@contextmanager
def answering(respond: Respond) -> Iterator[Answering]:
    """A server until the block ends."""
    server = Answering(respond)
    try:
        yield server
    finally:
        server.close()
