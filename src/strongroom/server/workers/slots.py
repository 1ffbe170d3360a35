"""One worker's place under the supervisor: what outlives the worker, and what comes and goes with it.

Rules of this file:
- The listening sockets belong to the slot. While its worker is started again, connections wait in them; none is refused.
- A worker that keeps dying is not started for ever: its slot is given up, its sockets are closed, and the kernel sends connections to the
  others.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Final

from strongroom.server.workers.channel import End

DEATHS: Final = 3
WITHIN: Final = 10.0
"""So many deaths in so many seconds, and a slot is given up: what kills its worker is not going away by itself."""


class Slot:
    """See the rules above. `pid` is 0 while there is no worker; `ordered` numbers its orders, `heard` is when it began or posted last.

    `joined` says that it takes orders, `serves` that it takes requests, `opened` that it has the root key, `sealing` that it was told to
    let go of that and has not said so yet, `retiring` that it is ending.
    """

    def __init__(self, number: int, sockets: list[socket.socket]) -> None:
        self.number = number
        self.sockets = sockets
        self.pid = self.ordered = 0
        self.asks: End | None = None
        self.orders: End | None = None
        self.joined = self.serves = self.opened = self.sealing = self.retiring = self.closed = False
        self.opens = False
        """Whether its last order is to open."""
        self.end_by = self.heard = 0.0
        self._posts = 0
        self._deaths: deque[float] = deque(maxlen=DEATHS)

    def begin(self, pid: int, asks: End, orders: End, now: float) -> None:
        """A worker was started."""
        self.pid, self.asks, self.orders, self.heard = pid, asks, orders, now
        self.joined = self.serves = self.opened = self.sealing = self.retiring = False

    def seal(self, end_by: float) -> None:
        """Its worker is told to seal, and ended if it has not by then."""
        if not self.sealing:
            self.sealing, self.end_by = True, end_by

    def sealed(self) -> None:
        """Its worker has no key any more. It may be opened again, or is about to retire."""
        self.opened = self.sealing = False

    def retire(self, end_by: float) -> None:
        """Its worker is to end by then."""
        if not self.retiring:
            self.retiring, self.end_by = True, end_by

    @property
    def ends(self) -> bool:
        """Whether its worker may be ended, and that is no death."""
        return self.retiring or self.sealing

    def silent(self, posts: int, now: float) -> float:
        """For how long its worker has given no sign: it posts every second once it serves."""
        if posts != self._posts:
            self._posts, self.heard = posts, now
        return now - self.heard

    def end(self) -> None:
        """The worker is gone."""
        for each in (self.asks, self.orders):
            if each is not None:
                each.close()
        self.pid, self.asks, self.orders = 0, None, None
        self.joined = self.serves = self.opened = False

    def died(self, now: float) -> bool:
        """Count a death; True when it was one too many."""
        self._deaths.append(now)
        return len(self._deaths) == DEATHS and now - self._deaths[0] <= WITHIN

    def close(self) -> None:
        """Serve here no more."""
        self.closed = True
        self.close_sockets()

    def close_sockets(self) -> None:
        """This process's hold on the listening sockets; a worker has its own."""
        for each in self.sockets:
            each.close()
