"""Reads that were answered before: the same request is answered again without deciding anew what cannot have changed.

Rules of this file:
- A read is kept only if its answer depends on the token, the path and one stored row alone, a list if it is a whole directory: no query, no
  body, no conditions in its policy, no counted or address-bound token, no wrapping, no special header. What is kept: token, row or
  directory, masked audit lines, envelope. The secret is not: it is decrypted anew each time, and both audit lines are written each time.
- A kept read counts while the very objects it was made of stand: the token as `core.tokens` keeps it (any change of tokens, policies,
  mounts, identities or tombstones drops that), the row as the cache keeps it (any commit of it drops that) or the directory (any name in
  it that comes or goes), the audit devices, the keys.
  What other processes committed is heard of first. One that does not count any more is forgotten and takes the long way.
- This is the one place where a request does not pass `resolve`; whatever it comes to decide by, `_repeatable` must refuse
  or `answer` compare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from strongroom.barrier.directory import Directory
from strongroom.core.audit.broker import Lines
from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.request import Operation
from strongroom.core.response import Json, Listed, Response, RowText
from strongroom.core.token.entry import Token
from strongroom.core.work import Work
from strongroom.crypto.ids import uuid4_bytes
from strongroom.errors import StrongroomError
from strongroom.memo import remember
from strongroom.server.committer import Committer
from strongroom.server.framing import Head
from strongroom.server.http import Exchange
from strongroom.server.messages import render

LIMIT = 16_384
LIMIT_BYTES = 64 << 20
COST = 2_048
"""Reads kept per worker, what they may cost together, and each beside its row and its lines; beyond either the older half is forgotten, and
what is asked for comes back. The lines of a large secret are a megabyte, and whoever reads it chooses in how many ways he asks for it."""

SPECIAL = frozenset(
    b"x-vault-wrap-ttl x-vault-namespace authorization x-vault-wrap-format x-vault-mfa origin content-length x-forwarded-for".split()
)
"""Headers that make a request something else than token and path, or its answer something else than an envelope."""
_TOKEN = b"x-vault-token"
_VERBS = frozenset((b"GET", b"LIST"))


class Standing(Protocol):
    """What an answer was made of, a row or a directory; `stands` until it is another."""

    stands: bool


class Found(NamedTuple):
    """Where the text of an answer comes from: what it stands on, how that is opened, what is made of it; `size` of what is kept."""

    entry: Standing
    opened: Callable[[], bytes]
    show: Callable[[bytes], bytes]
    size: int = 0


class Kept(NamedTuple):
    """One read that can be repeated: a tuple, because taking all of it apart is one step."""

    token: Token
    digest: bytes
    deadline: int
    entry: Standing
    opened: Callable[[], bytes]
    show: Callable[[bytes], bytes]
    lines: Lines
    devices: tuple[object, ...]
    keys: object
    before: bytes
    between: bytes
    after: bytes
    fixed: int
    size: int


class Repeats:
    """The reads of one worker that can be repeated."""

    def __init__(self, core: Core, committer: Committer) -> None:
        self._core = core
        self._committer = committer
        self._kept: dict[Head, int] = {}
        self._bytes = 0
        self._texts: dict[bytes, bytes] = {}

    def answer(self, exchange: Exchange) -> bool:
        """Answer an exchange if it repeats a read that is kept and still counts."""
        head = exchange.head
        if head.answer is None:
            return False
        token, digest, deadline, entry, opened, show, lines, devices, keys, before, between, after, fixed, _size = cast(Kept, head.answer)
        core, peer = self._core, exchange.peer
        audit, committed = core.audit, core.committed
        if committed.newest[0] != committed.standing and not self._followed():
            return False
        if (
            core.tokens.kept.get(digest) is not token
            or not entry.stands
            or audit.devices is not devices
            or core.barrier.held is not keys
            or (deadline and core.clock.now() >= deadline)
            or peer.leaf is not None
        ):
            head.answer = None
            return False
        text = show(opened())
        request_id = uuid4_bytes()
        if lines:
            self._committer.recording()
            audit.repeat(lines, request_id, peer.place)
        exchange.message = b"%b%d\r\n\r\n%b%b%b%b%b" % (_HEAD, fixed + len(text), before, request_id, between, text, after)
        self._committer.park(exchange)
        return True

    def _followed(self) -> bool:
        """Hear of what others committed; False where the store does not say, and the long way will."""
        try:
            self._core.committed.follow()
        except StrongroomError:
            return False
        return True

    def keep(self, exchange: Exchange, work: Work, body: bytes) -> None:
        """Keep a read that was just answered with `body`, if it can be repeated and came before."""
        call, response = work.call, work.response
        if call is None or response is None or not self._repeatable(exchange, call, response):
            return
        kept = self._made(call, response, body)
        if kept is None or (cost := _cost(kept)) > LIMIT_BYTES // 8:
            return
        if len(self._kept) >= LIMIT or self._bytes + cost > LIMIT_BYTES:
            self._forget_half()
        head = exchange.head
        head.answer = kept
        self._bytes += cost - self._kept.get(head, 0)
        self._kept[head] = cost

    def _forget_half(self) -> None:
        """Let go of the reads that were kept first."""
        for head in list(self._kept):
            if len(self._kept) <= LIMIT // 2 and self._bytes <= LIMIT_BYTES // 2:
                break
            head.answer = None
            self._bytes -= self._kept.pop(head)

    def forget(self) -> None:
        """Start over: what is kept of a read opens its row, which nothing may once the server is sealed."""
        for head in self._kept:
            head.answer = None
        self._kept.clear()
        self._bytes = 0

    def _repeatable(self, exchange: Exchange, call: Call, response: Response) -> bool:
        request, token = call.request, call.token
        return (
            exchange.verb in _VERBS
            and exchange.head.known
            and _TOKEN in exchange.headers
            and SPECIAL.isdisjoint(exchange.headers)
            and (request.operation is Operation.READ or request.operation is Operation.LIST)
            and not (request.data or request.raw or request.namespace or request.wrap_ttl)
            and request.peer.leaf is None
            and token is not None
            and not token.entry.num_uses
            and not token.entry.bound_cidrs
            and token.acl.unconditional(request.operation, request.path)
            and not (response.warnings or response.auth or response.wrap or response.bare)
            and self._core.tokens.kept.get(token.digest) is token
        )

    def _made(self, call: Call, response: Response, body: bytes) -> Kept | None:
        core, token, data = self._core, call.token, response.data
        assert token is not None
        source = self._found(response)
        lines = core.audit.repeated(call, response) if source is not None else None
        parts = body.split(call.request.id.encode())
        if source is None or lines is None or not isinstance(data, Json | Listed) or len(parts) != 2:
            return None
        between, found, after = parts[1].partition(data.text)
        if not found:
            return None
        deadline = min((instant for instant in (token.deadline, token.acl.until) if instant), default=0)
        fixed = len(body) - len(data.text)
        return Kept(
            token, token.digest, deadline, source.entry, source.opened, source.show, lines, core.audit.devices, core.barrier.held,
            self._shared(parts[0]), self._shared(between), self._shared(after), fixed, source.size,
        )  # fmt: skip

    def _found(self, response: Response) -> Found | None:
        """What an answer stands on; None where that is another by now: what there is now was not decided on."""
        source, data = response.source, response.data
        match source:
            case RowText():
                entry = self._core.committed.cache.rows.get(source.row)
                if entry is None or entry.record is None or not isinstance(data, Json) or data.masks is not entry.masks:
                    return None
                return Found(entry, self._core.barrier.opener(source.row, entry.record), source.show, len(entry.record))
            case Directory():
                if not source.stands or not isinstance(data, Listed) or data.directory is not source:
                    return None
                return Found(source, lambda: source.text, bytes, len(source.text))
        return None

    def _shared(self, text: bytes) -> bytes:
        """The same text as one object for all reads that have it: what many reads touch is in the processor's cache already."""
        return self._texts.get(text) or remember(self._texts, LIMIT, text, text)


_HEAD = render(200, b"").partition(b"Content-Length: ")[0] + b"Content-Length: "


def _cost(kept: Kept) -> int:
    """About the bytes that a read takes: its row twice (as it is stored, and to be opened), its lines, the rest."""
    return COST + 2 * kept.size + sum(len(part) for _, repeated in kept.lines for part in repeated)
