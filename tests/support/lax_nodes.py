"""Nodes that are lax in one way: the negative controls of faults between nodes and their database. No configuration can ask for this.

`deaf`: a node answers from memory without asking what others did. `hasty`: answers leave before the commit. `certain`: a commit whose
answer was lost is said not to have happened. `trusting`: any server that takes connections is believed, whatever its history.
`gullible`: what decides is read from the standby like anything else. `impatient`: a commit whose answer was lost is looked for once.
"""

from __future__ import annotations

import os
import sys
import time

from strongroom.core.group import GroupRun
from strongroom.errors import OutcomeUnknown, StorageUnusable, StrongroomError
from strongroom.server import nearby
from strongroom.server.committer import Committer
from strongroom.server.follower import Gate
from strongroom.server.http import Exchange
from strongroom.server.serve import run
from strongroom.storage.postgres import store
from strongroom.storage.postgres.store import PostgresStorage
from tests.support.patching import put

LATE_SECONDS = 0.03

_commit, _end, _ask = Committer._commit, GroupRun.end, Gate.__call__


def _hasty(self: Committer, group: GroupRun, wrote: bool) -> None:
    self._loop.call_soon_threadsafe(self._send, list(group.works))
    time.sleep(LATE_SECONDS)
    _commit(self, group, wrote)


def _certain(self: GroupRun, wrote: bool) -> StrongroomError | None:
    error = _end(self, wrote)
    return StorageUnusable("not stored") if isinstance(error, OutcomeUnknown) else error


def _be_certain() -> None:
    put(GroupRun, end=_certain, _looked_up=lambda self, lost: lost)


def _believe_anybody() -> None:
    put(PostgresStorage, note=lambda self, *_: None, _need_same=lambda self, *_: None, _recognise=lambda self, *_: None)


def _deaf(self: Gate, exchange: Exchange) -> None:
    if self._follower.mirror.empty:
        _ask(self, exchange)
    else:
        self._pass(exchange)


WAYS = {
    "deaf": lambda: put(Gate, __call__=_deaf),
    "hasty": lambda: put(Committer, _commit=_hasty),
    "impatient": lambda: put(store, OUTCOME_SECONDS=0.0),
    "certain": _be_certain,
    "trusting": _believe_anybody,
    "gullible": lambda: put(nearby, decides=lambda wanted: False),
}

if __name__ == "__main__":
    WAYS[os.environ["LAX"]]()
    sys.exit(run(sys.argv[1:]))
