"""One of several workers, seen from itself: what it asks of its supervisor, what it is ordered, what it posts for the others.

Rules of this file:
- Asking blocks the worker: answers take microseconds, save where others have to open or to seal first. While a worker waits for others
  to open it is sealed itself, and has nothing else to do; for others to seal it waits on the pool.
- The root key passes through buffers that are wiped.
"""

from __future__ import annotations

import hmac
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from strongroom.core.sealing.state import Given, Shares, Standing
from strongroom.errors import StrongroomError, Unavailable
from strongroom.server.workers import channel
from strongroom.server.workers.board import Board
from strongroom.server.workers.channel import End, Ended
from strongroom.server.workers.siblings import Post
from strongroom.storage.newest import Newest

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Post).decode

Opening = Callable[[bytearray, tuple[bytes, ...]], None]


class Member:
    """See the rules above; `siblings.Siblings` says what each method is for."""

    shared = True

    def __init__(self, slot: int, board: Board, newest: Newest, asks: End, orders: End, *, stays_sealed: bool) -> None:
        self.slot = slot
        self.newest: Newest | None = newest
        self.stays_sealed = stays_sealed
        self.shares: Shares = CollectedShares(asks)
        self._board, self._asks, self.orders = board, asks, orders
        self._before = self._read(slot)
        self._supervisor = os.getppid()

    @property
    def leads(self) -> bool:
        return self._board.lead == self.slot

    @property
    def last(self) -> bool:
        return self._board.live() in ([], [self.slot])

    @property
    def keyed(self) -> bool:
        return self._board.keyed

    def lives(self, boot: bytes) -> bool:
        posted = [self._read(slot).boot for slot in self._board.live()]
        return any(life and hmac.compare_digest(life, boot) for life in posted)

    def joins(self) -> bool:
        answer = self._asks.ask(channel.Hello())
        return isinstance(answer, channel.Welcome) and answer.opens

    def serves(self) -> None:
        self._asks.ask(channel.Serves())

    def opened(self, root: bytearray, used: Iterable[bytes]) -> None:
        self.stays_sealed = False
        self._asks.ask(channel.Opened(tuple(used)), root)

    def root_changed(self, root: bytearray) -> None:
        self._asks.ask(channel.RootChanged(), root)

    def seal(self) -> bool:
        answer = self._asks.ask(channel.SealOthers())
        return isinstance(answer, channel.OthersSealed) and answer.last

    def sealed(self) -> None:
        self._asks.ask(channel.Sealed())

    def retire(self) -> None:
        self._asks.ask(channel.Retire())

    def reload(self) -> bool:
        os.kill(self._supervisor, signal.SIGHUP)
        return True

    # -- orders ---------------------------------------------------------------------------------------------------

    def ordered(self, opening: Opening, sealing: Callable[[Callable[[], None]], None]) -> bool:
        """Carry out the order that has come; False when there will be no more. `sealing` is told what to call when it is done."""
        end = self.orders
        try:
            order = end.receive()
            match order:
                case channel.Open(used):
                    end.answer(self._open(opening, used))
                case channel.Seal():
                    sealing(partial(self._sealed, end.number))
        except (Ended, TimeoutError):
            return False
        finally:
            end.wipe()
        return True

    def _open(self, opening: Opening, used: tuple[bytes, ...]) -> channel.Done:
        try:
            opening(self.orders.root, used)
        except StrongroomError as error:
            return channel.Done("; ".join(error.messages) or "it says nothing")
        self.stays_sealed = False
        return channel.Done()

    def _sealed(self, number: int) -> None:
        self.orders.send(channel.Done(), number=number)

    # -- posts ----------------------------------------------------------------------------------------------------

    def post(self, post: Post) -> None:
        self._board.post(self.slot, _encode(post))

    def posts(self) -> Sequence[Post]:
        live = self._board.live()
        read = [(slot in live, self._read(slot)) for slot in range(self._board.slots) if slot != self.slot]
        return [post if lives else msgspec.structs.replace(post, gauges={}) for lives, post in read]

    def before(self) -> Post:
        return self._before

    def restarts(self) -> tuple[int, int]:
        return self._board.restarts, len(self._board.closed())

    def _read(self, slot: int) -> Post:
        text = self._board.posted(slot)
        return _decode(text) if text else Post()


class CollectedShares:
    """The unseal shares that the supervisor collects (`core.sealing.state.Shares`)."""

    def __init__(self, asks: End) -> None:
        self._asks = asks

    def give(self, set_id: bytes, threshold: int, share: bytes, *, accept: bool) -> Given:
        """Give it to the supervisor."""
        answer = self._asks.ask(channel.ShareGiven(set_id, threshold, share, accept))
        if not isinstance(answer, channel.SharesTaken):
            raise Unavailable("the server is just being sealed, and took no share; try again in a moment")
        return Given(answer.new, answer.shares, answer.accepted)

    def standing(self) -> Standing:
        """As the supervisor has it."""
        answer = self._asks.ask(channel.ProgressWanted())
        return Standing(answer.nonce, answer.counts) if isinstance(answer, channel.Progressed) else Standing()

    def reset(self) -> None:
        """Have it forget them."""
        self._asks.ask(channel.ProgressReset())
