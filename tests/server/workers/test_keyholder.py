"""Once somebody sealed the server, no message that was under way brings the root key back: not of a worker that is to end, and not of the
one that asked for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from strongroom.server.logs import Log
from strongroom.server.workers import channel
from strongroom.server.workers.board import Board
from strongroom.server.workers.channel import End, pair
from strongroom.server.workers.keyholder import Keyholder
from strongroom.server.workers.slots import Slot

ROOT = b"r" * 32
ASKING, OTHER = 0, 1


class Server:
    """A supervisor's keyholder, and the workers' ends of two slots."""

    def __init__(self) -> None:
        self.slots = [Slot(number, []) for number in range(2)]
        self.asks: list[End] = []
        self.orders: list[End] = []
        self.keys = Keyholder(self.slots, Board(2), Log("error", "standard"), lambda slot: None)
        for slot in self.slots:
            self.begin(slot)

    def begin(self, slot: Slot) -> None:
        """A worker is started in the place of another, and takes orders."""
        slot.end()
        self.keys.gone(slot)
        for end in (*self.asks[slot.number : slot.number + 1], *self.orders[slot.number : slot.number + 1]):
            end.close()
        asks, asked = pair()
        orders, ordered = pair()
        self.asks[slot.number : slot.number + 1] = [asks]
        self.orders[slot.number : slot.number + 1] = [ordered]
        slot.begin(os.getpid(), asked, orders, 0.0)
        for end in (asks, ordered):
            end.socket.settimeout(0.05)
        self.say(slot.number, channel.Hello())

    def say(self, number: int, message: channel.Ask, root: bytes = channel.NO_ROOT) -> None:
        """A worker asks, and the supervisor hears it."""
        end = self.slots[number].asks
        assert end is not None
        self.asks[number].send(message, root)
        self.keys.asked(self.slots[number], end, end.receive())

    def ordered(self, number: int) -> list[channel.Message]:
        """The orders that a worker has not read yet."""
        return _all(self.orders[number])

    def told(self, number: int, message: channel.Ask) -> channel.Message:
        """A worker asks, and is answered at once."""
        self.heard(number)
        self.say(number, message)
        return self.asks[number].receive()

    def heard(self, number: int) -> list[channel.Message]:
        """The answers that a worker has not read yet."""
        return _all(self.asks[number])

    def obey(self, number: int) -> None:
        """A worker carries out all its orders."""
        end = self.slots[number].orders
        assert end is not None
        for _ in self.ordered(number):
            self.orders[number].send(channel.Done(), number=self.slots[number].ordered)
            self.keys.obeyed(self.slots[number], end, end.receive())

    def sealed(self) -> None:
        """Both workers seal."""
        self.say(ASKING, channel.SealOthers())
        self.obey(OTHER)
        self.say(ASKING, channel.Sealed())

    def close(self) -> None:
        for slot in self.slots:
            slot.end()
        for end in (*self.asks, *self.orders):
            end.close()


def _all(end: End) -> list[channel.Message]:
    found: list[channel.Message] = []
    try:
        while True:
            found.append(end.receive())
    except TimeoutError:
        return found


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.say(ASKING, channel.Opened(), ROOT)
    assert made.ordered(OTHER) == [channel.Open()]
    made.slots[OTHER].opened = True
    yield made
    made.close()


def test_an_open_server_takes_a_new_root_key_from_a_worker(server: Server) -> None:
    server.say(OTHER, channel.RootChanged(), b"n" * 32)
    assert bytes(server.keys.root.key) == b"n" * 32


@pytest.mark.parametrize("late", [channel.RootChanged(), channel.Opened()])
def test_a_key_of_a_worker_that_was_told_to_seal_is_not_taken(server: Server, late: channel.Ask) -> None:
    server.say(ASKING, channel.SealOthers())
    server.say(OTHER, late, ROOT)
    assert (server.keys.root.held, bytes(server.keys.root.key)) == (False, bytes(32))
    server.begin(server.slots[OTHER])
    assert server.ordered(OTHER) == [], "whoever is started now stays sealed"
    assert server.keys.stays_sealed


def test_a_root_key_that_the_asking_worker_heard_of_too_late_is_not_taken(server: Server) -> None:
    server.say(ASKING, channel.SealOthers())
    server.say(ASKING, channel.RootChanged(), ROOT)
    assert not server.keys.root.held


SHARE = channel.ShareGiven(b"set", 1, b"share", False)


def test_key_holders_open_a_sealed_server_again_and_nobody_has_to_end_for_it(server: Server) -> None:
    server.sealed()
    assert isinstance(server.told(ASKING, SHARE), channel.SharesTaken)
    server.say(ASKING, channel.Opened(), ROOT)
    assert server.keys.root.held and not server.keys.stays_sealed
    assert server.ordered(OTHER) == [channel.Open()]
    assert not any(slot.ends for slot in server.slots)


def test_from_the_first_worker_that_is_told_to_the_last_that_sealed_no_share_is_taken_and_nobody_opens(server: Server) -> None:
    server.say(ASKING, channel.SealOthers())
    assert isinstance(server.told(OTHER, SHARE), channel.Done), "it has not sealed"
    server.obey(OTHER)
    assert isinstance(server.told(OTHER, SHARE), channel.Done), "the asking one has its keys still, or puts a snapshot in place"
    assert server.keys._progress.standing().counts == {}
    for worker in (ASKING, OTHER):
        server.say(worker, channel.Opened(), ROOT)
        assert not server.keys.root.held and server.keys.stays_sealed
    server.say(ASKING, channel.Sealed())
    assert isinstance(server.told(OTHER, SHARE), channel.SharesTaken)


def test_a_worker_that_ends_gives_no_share_and_is_not_opened(server: Server) -> None:
    server.sealed()
    server.say(ASKING, channel.Retire())
    assert isinstance(server.told(ASKING, SHARE), channel.Done)
    server.say(OTHER, channel.Opened(), ROOT)
    assert server.ordered(ASKING) == []
    server.begin(server.slots[ASKING])
    assert server.ordered(ASKING) == [channel.Open()], "the one in its place is"


def test_the_seal_that_a_dead_worker_asked_for_goes_on_until_the_others_have_sealed(server: Server) -> None:
    server.say(ASKING, channel.SealOthers())
    server.begin(server.slots[ASKING])
    assert isinstance(server.told(ASKING, SHARE), channel.Done)
    server.obey(OTHER)
    assert isinstance(server.told(ASKING, SHARE), channel.SharesTaken)


def test_a_last_worker_that_dies_keeps_nobody_sealed(server: Server) -> None:
    server.say(ASKING, channel.SealOthers())
    server.begin(server.slots[OTHER])
    server.begin(server.slots[ASKING])
    assert isinstance(server.told(OTHER, SHARE), channel.SharesTaken)


def test_of_two_that_seal_the_server_one_is_the_last_and_neither_waits_for_the_other(server: Server) -> None:
    server.say(ASKING, channel.SealOthers())
    assert server.told(OTHER, channel.SealOthers()) == channel.OthersSealed(last=False)
    assert not server.slots[ASKING].sealing
    server.obey(OTHER)
    assert server.heard(ASKING)[-1] == channel.OthersSealed(last=True)
    assert server.told(OTHER, channel.SealOthers()) == channel.OthersSealed(last=False)


def test_who_asks_twice_waits_for_the_same_seal(server: Server) -> None:
    for _ in range(2):
        server.say(ASKING, channel.SealOthers())
    server.heard(ASKING)
    assert server.slots[OTHER].ordered == 2, "one order to open, one to seal"
    server.obey(OTHER)
    assert server.heard(ASKING)[-2:] == [channel.OthersSealed(last=True)] * 2
    assert server.told(ASKING, channel.SealOthers()) == channel.OthersSealed(last=True)
    assert server.ordered(OTHER) == []


def test_the_board_says_whether_a_worker_may_have_the_key(server: Server) -> None:
    board = server.keys._board
    assert board.keyed
    server.say(ASKING, channel.SealOthers())
    server.obey(OTHER)
    assert board.keyed, "the last one"
    server.say(ASKING, channel.Sealed())
    assert not board.keyed
