"""Tells the other nodes that this one lives, and hears of them.

Rules of this file: times are the database's, so that clocks of nodes do not matter; a node that was not heard of for a while is no node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from strongroom.core.core import Core
from strongroom.core.mirror import Aside
from strongroom.errors import StorageUnusable
from strongroom.server.follower import Follower
from strongroom.storage.api import Node

BEAT_SECONDS = 3.0
"""A node that missed four of them is left out (storage/postgres/store.py)."""
PROMPT_SECONDS = 0.5
"""An answer that took longer says too little about what time it is."""


class Heartbeat:
    """The row of this node, and the list of all."""

    def __init__(self, core: Core, follower: Follower, loop: asyncio.AbstractEventLoop, describe: Callable[[], Node]) -> None:
        assert isinstance(core.storage, Aside)
        self._core, self._follower, self._loop, self._describe = core, follower, loop, describe
        self._remote = core.storage.remote
        self._first = True
        self.told_time: Callable[[float], None] = lambda _seconds: None
        """Hears what time it is by the database."""
        self._next: asyncio.TimerHandle | None = None
        core.cluster.me = describe()
        core.cluster.reachable = lambda: follower.error is None

    def start(self) -> None:
        """Say so now and from now on."""
        self._beat()

    def _beat(self) -> None:
        self._next = self._loop.call_later(BEAT_SECONDS, self._beat)
        node, first = self._describe(), self._first
        self._follower.order(lambda: self._say(node, first))

    def _say(self, node: Node, first: bool) -> None:
        """On the follower's thread."""
        with suppress(StorageUnusable):
            began = self._core.clock.monotonic()
            nodes = tuple(self._remote.beat(node, first=first))
            prompt = self._core.clock.monotonic() - began < PROMPT_SECONDS
            self._first = False
            self._loop.call_soon_threadsafe(self._heard, nodes, prompt)

    def _heard(self, nodes: tuple[Node, ...], prompt: bool) -> None:
        cluster = self._core.cluster
        cluster.nodes = nodes
        cluster.me = next((node for node in nodes if cluster.me is not None and node.id == cluster.me.id), cluster.me)
        if prompt and cluster.me is not None and cluster.me in nodes:
            self.told_time(cluster.me.seen)

    def stop(self) -> None:
        """Take the row away: this node ends."""
        if self._next is not None:
            self._next.cancel()
        with suppress(StorageUnusable):
            self._remote.leave(self._describe().id)
