"""What workers know of each other: which lives still run, who leads, what the others posted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from strongroom.core.audit.checkpoint import Seen
from strongroom.core.sealing.state import Sealing
from strongroom.server.workers.board import Board
from strongroom.server.workers.channel import End, pair
from strongroom.server.workers.member import Member
from strongroom.server.workers.siblings import Alone, Post, Siblings
from strongroom.storage.newest import Newest

HEAD = Seen("device", "stream", 7, "chain")


@pytest.fixture
def board() -> Board:
    made = Board(3)
    for slot in range(3):
        made.mark_live(slot, live=True)
    return made


@pytest.fixture
def member(board: Board) -> Iterator[Callable[[int], Member]]:
    ends: list[End] = []

    def make(slot: int) -> Member:
        asks, asked = pair()
        orders, ordered = pair()
        ends.extend((asks, asked, orders, ordered))
        return Member(slot, board, Newest(), asks, ordered, stays_sealed=False)

    yield make
    for end in ends:
        end.close()


def sealing_of(siblings: Siblings) -> Sealing:
    """As a worker puts it together."""
    sealing = Sealing()
    sealing.progress, sealing.lives_elsewhere = siblings.shares, siblings.lives
    return sealing


def test_a_worker_alone_lives_and_nobody_else_does() -> None:
    sealing = sealing_of(Alone())
    assert sealing.lives(sealing.boot)
    assert not sealing.lives(bytes(16))


def test_the_life_of_another_worker_is_known_until_it_ends(board: Board, member: Callable[[int], Member]) -> None:
    mine, other = member(0), member(1)
    sealing = sealing_of(mine)
    assert sealing.lives(sealing.boot)
    other.post(Post(b"another life", (), {}, {}))
    assert sealing.lives(b"another life")
    board.mark_live(1, live=False)
    assert not sealing.lives(b"another life")
    assert not sealing.lives(b"")


def test_the_lead_is_whom_the_board_names(board: Board, member: Callable[[int], Member]) -> None:
    first, second = member(0), member(1)
    assert (first.leads, second.leads) == (True, False)
    board.lead = 1
    assert (first.leads, second.leads) == (False, True)
    assert not second.last
    for slot in (0, 2):
        board.mark_live(slot, live=False)
    assert second.last


def test_posts_of_the_dead_keep_their_counts_and_lines_and_lose_their_gauges(board: Board, member: Callable[[int], Member]) -> None:
    mine, other = member(0), member(1)
    mine.post(Post(b"mine"))
    other.post(Post(b"other", (HEAD,), {"requests": 3.0}, {"connections": 2.0}))
    assert [post.counts for post in mine.posts()] == [{"requests": 3.0}, {}]
    board.mark_live(1, live=False)
    post = mine.posts()[0]
    assert (post.heads, post.counts, post.gauges) == ((HEAD,), {"requests": 3.0}, {})
    assert member(1).before().counts == {"requests": 3.0}, "whoever takes its place goes on from there"
