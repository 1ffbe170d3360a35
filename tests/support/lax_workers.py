"""Servers whose workers are lax in one way: the negative controls of tests/faults/test_workers.py. No configuration can ask for this.

`deaf`: a worker does not look at the word that says that another one committed. `forgetful`: not even under the store's lock does it drop
what others changed. `selfish`: a worker that seals does not tell the others. `silent`: one that opened does not. `hasty`: answers leave
before the commit. `unsynced`: the disk fails one of them. `stubborn`: one that is ordered to seal does not. `stuck`: one of them hangs in
its first start, and is given six seconds for it. `willing`: nobody remembers that the server was sealed. `impatient`: a silent worker is
ended after seconds instead of a minute, and one that could not open is told again at once. `shortsighted`: only the last change of the root
key can be followed. `slow`: a snapshot takes seconds to be put in place; `greedy`: and shares are taken meanwhile. `abrupt`: idle
connections are closed at once.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from strongroom.core.committed import Committed
from strongroom.core.group import GroupRun
from strongroom.core.sealing import rekey
from strongroom.core.snapshots import putting
from strongroom.server import worker
from strongroom.server.committer import Committer
from strongroom.server.http import IDLE, HttpProtocol
from strongroom.server.sealer import Sealer
from strongroom.server.serve import run
from strongroom.server.worker import Worker
from strongroom.server.workers import keyholder, supervisor
from strongroom.server.workers.member import Member
from tests.support.patching import put

LATE_SECONDS = 0.03

_commit = Committer._commit
_put = putting._put
_tick = Worker._tick
_joins = Member.joins
_open_by_itself = Worker.open_by_itself


def _hasty(self: Committer, group: GroupRun, wrote: bool) -> None:
    self._loop.call_soon_threadsafe(self._send, list(group.works))
    time.sleep(LATE_SECONDS)
    _commit(self, group, wrote)


def _failed_sync(self: Worker) -> None:
    """Once, in the second worker: as after an fsync that failed."""
    if self.siblings.slot == 1 and self.siblings.restarts() == (0, 0) and not self.core.barrier.sealed:
        self.core.storage._end("the disk failed to sync the store")  # type: ignore[attr-defined]
    _tick(self)


def _stubborn() -> None:
    """Ordered to seal, a worker does nothing; it is given a second."""
    put(Sealer, seal_by_order=lambda self, done: None)
    put(keyholder, ORDER_SECONDS=1.0)


def _willing(self: Worker) -> None:
    self.siblings.stays_sealed = False
    _open_by_itself(self)


def _hang_once(self: Member) -> bool:
    if self.slot == 1 and self.restarts() == (0, 0):
        time.sleep(600)
    return _joins(self)


def _stuck() -> None:
    put(Member, joins=_hang_once)
    put(supervisor, START_SECONDS=6.0)


def _impatient() -> None:
    put(supervisor, HANG_SECONDS=2.5)
    put(keyholder, RETRY_SECONDS=0.5)
    put(worker, OPENING_SECONDS=0.5)


def _slow() -> None:
    """As a store of gigabytes would be."""

    def put_slowly(*given: Any) -> None:
        time.sleep(3)
        _put(*given)

    put(putting, _put=put_slowly)


def _greedy() -> None:
    _slow()
    put(keyholder.Keyholder, _being_sealed=False)


def _abrupt(self: HttpProtocol) -> None:
    self._keep = self._keep_alive = False
    if self._phase == IDLE and self._exchange is None:
        self._close()


WAYS = {
    "slow": _slow,
    "greedy": _greedy,
    "abrupt": lambda: put(HttpProtocol, drain=_abrupt),
    "impatient": _impatient,
    "deaf": lambda: put(Committed, share=lambda self, newest: None),
    "forgetful": lambda: put(Committed, heard=lambda self, feed: self.stand(feed.gsn)),
    "selfish": lambda: put(Member, seal=lambda self: True),
    "silent": lambda: put(Member, opened=lambda self, root, used: None),
    "stubborn": _stubborn,
    "stuck": _stuck,
    "willing": lambda: put(Worker, open_by_itself=_willing),
    "unsynced": lambda: put(Worker, _tick=_failed_sync),
    "shortsighted": lambda: put(rekey, HANDOVERS=1),
    "hasty": lambda: put(Committer, _commit=_hasty),
}

if __name__ == "__main__":
    WAYS[os.environ["LAX"]]()
    sys.exit(run(sys.argv[1:]))
