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
        found: list[channel.Message] = []
        try:
            while True:
                found.append(self.orders[number].receive())
        except TimeoutError:
            return found

    def close(self) -> None:
        for slot in self.slots:
            slot.end()
        for end in (*self.asks, *self.orders):
            end.close()


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


def test_key_holders_open_a_sealed_server_again(server: Server) -> None:
    server.say(ASKING, channel.SealOthers())
    server.begin(server.slots[OTHER])
    server.say(OTHER, channel.Opened(), ROOT)
    assert server.keys.root.held and not server.keys.stays_sealed
