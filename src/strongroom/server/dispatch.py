"""From an Exchange to the codec that speaks its dialect, and from finished work back to its connection.

Rules of this file:
- The dialect is told by the path alone. Decoding is synchronous; a message that cannot be decoded is answered at once.
- The hot way is one decode, one submit, one answer: no closures, no tasks.
"""

from __future__ import annotations

from collections.abc import Callable

from strongroom.api import vault
from strongroom.core.content import Content
from strongroom.core.request import Request
from strongroom.core.response import Bare
from strongroom.core.work import Work
from strongroom.errors import InternalError, NotFound, StrongroomError
from strongroom.server.http import Exchange
from strongroom.server.messages import header, render, render_head
from strongroom.server.repeats import Repeats

Submit = Callable[[Work], None]


class VaultWork(Work):
    """Work that came in as an exchange of the Vault dialect."""

    __slots__ = ("exchange", "repeats")

    def __init__(self, request: Request, exchange: Exchange, repeats: Repeats) -> None:
        super().__init__(request, finish)
        self.exchange = exchange
        self.repeats = repeats

    @property
    def gone(self) -> bool:
        """Whether the connection was closed."""
        return self.exchange.gone


def finish(work: Work) -> None:
    """Send what became of a work."""
    assert isinstance(work, VaultWork)
    try:
        answer = vault.answer(work.request, work.response, work.error, work.mount_type)
        bare = work.response.bare if work.response is not None else None
        if bare is not None and bare.file is not None:
            _send_file(work.exchange, bare, bare.file)
            return
        _send(work.exchange, answer)
        if work.response is not None and work.response.source is not None and answer.status == 200:
            work.repeats.keep(work.exchange, work, answer.body)
    except Exception:  # what a route answered cannot be rendered: nobody waits in vain, and the committer reports it
        _send(work.exchange, vault.failure(InternalError(), work.request))
        raise


def _send(exchange: Exchange, answer: vault.Answer) -> None:
    status, body, content_type, headers = answer
    exchange.answer(render(status, body, content_type.encode(), _extra(headers)))


def _extra(headers: tuple[tuple[str, str], ...]) -> bytes:
    return b"".join([header(name, value) for name, value in headers]) if headers else b""


def _send_file(exchange: Exchange, bare: Bare, file: Content) -> None:
    head = render_head(bare.status, bare.size, bare.content_type.encode(), _extra(bare.headers))
    exchange.stream(head, file, bare.size)


def _asked(exchange: Exchange) -> vault.Asked:
    """What the head of an exchange asks for, decoded once for each head."""
    head = exchange.head
    if head.decoded is None:
        head.decoded = vault.asked(head.verb, head.target, head.headers)
    assert isinstance(head.decoded, vault.Asked)
    return head.decoded


class Dispatch:
    """The handler of every connection of a worker."""

    def __init__(self, submit: Submit, repeats: Repeats) -> None:
        self._submit = submit
        self._repeats = repeats
        self.roots: dict[bytes, Callable[[Exchange], None]] = {}
        self.cross_origin: Callable[[Exchange], Exchange | None] = lambda exchange: exchange
        self.check_index: Callable[[bytes], None] = lambda _index: None
        """Refuses who has seen a newer state than there is. Raises StrongroomError."""
        self.requests = 0
        self._held: list[Exchange] | None = None

    def hold(self) -> None:
        """Keep what comes in until `release`: who was told that the server is sealed finds it so with his next request."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """Take in what was kept."""
        held, self._held = self._held or [], None
        for exchange in held:
            self(exchange)

    def refuse(self, exchange: Exchange, error: StrongroomError) -> None:
        """Answer an exchange with an error, without looking at it."""
        _send(exchange, vault.failure(error))

    def __call__(self, exchange: Exchange) -> None:
        """Take in one exchange."""
        if self._held is not None:
            self._held.append(exchange)
            return
        self.requests += 1
        if self._repeats.answer(exchange):
            return
        if b"origin" in exchange.head.headers:
            allowed = self.cross_origin(exchange)
            if allowed is None:
                return
            exchange = allowed
        target = exchange.head.target
        if target[:4] == b"/v1/":
            try:
                if b"x-vault-index" in exchange.head.headers:
                    self.check_index(exchange.head.headers[b"x-vault-index"])
                request = vault.with_body(_asked(exchange), exchange.body, exchange.peer)
            except StrongroomError as error:
                _send(exchange, vault.failure(error))
                return
            self._submit(VaultWork(request, exchange, self._repeats))
            return
        other = self.roots.get(target[1:].partition(b"/")[0].partition(b"?")[0])
        if other is not None:
            other(exchange)
            return
        _send(exchange, vault.failure(NotFound("there is nothing here; the API is below /v1/")))
