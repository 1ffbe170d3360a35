"""An annotated exchange sends its lines whichever way it is answered."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pytest

from strongroom.core.request import Peer
from strongroom.errors import AuditFailed
from strongroom.server.annotated import AnnotatedExchange
from strongroom.server.framing import Head
from strongroom.server.http import Exchange
from strongroom.server.messages import render

MESSAGE = render(200, b"{}")


class Sent(Exchange, kw_only=True):
    """The inner exchange, which remembers what was sent."""

    messages: list[bytes]

    def answer(self, data: bytes, close: bool = False) -> None:
        self.messages.append(data)

    def stream(self, head: bytes, file: object, size: int) -> None:
        self.messages.append(head)


class Lined(AnnotatedExchange, kw_only=True):
    """With one line."""

    def added(self) -> bytes:
        return b"X-Line: 1\r\n"


def _wait(exchange: Exchange) -> None:
    exchange.message = MESSAGE
    exchange.done(exchange)


def _fail(exchange: Exchange) -> None:
    exchange.failed(AuditFailed("no device"))
    exchange.done(exchange)


@pytest.mark.parametrize(
    "way",
    [
        lambda exchange: exchange.answer(MESSAGE),
        lambda exchange: exchange.stream(MESSAGE, BytesIO(), 0),
        _wait,
        _fail,
    ],
    ids=["at once", "out of a file", "after its audit lines", "unrecorded"],
)
def test_the_lines_are_sent_once_whichever_way_it_is_answered(way: Callable[[Exchange], None]) -> None:
    head = Head(b"GET", b"/", {}, 0)
    inner = Sent(connection=None, head=head, body=b"", peer=Peer(), messages=[])
    way(Lined(connection=None, head=head, body=b"", peer=Peer(), inner=inner))
    assert [message.count(b"\r\nX-Line: 1\r\n") for message in inner.messages] == [1]
