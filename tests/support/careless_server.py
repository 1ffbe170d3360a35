"""A server that answers before its commit is on the disk: the negative control of F1. No configuration can ask for this."""

from __future__ import annotations

import sys
import time

from strongroom.core.group import GroupRun
from strongroom.server.committer import Committer
from strongroom.server.serve import run
from tests.support.patching import put

LATE_SECONDS = 0.03

_commit = Committer._commit


def _answer_then_commit(self: Committer, group: GroupRun, wrote: bool) -> None:
    self._loop.call_soon_threadsafe(self._send, list(group.works))
    time.sleep(LATE_SECONDS)
    _commit(self, group, wrote)


if __name__ == "__main__":
    put(Committer, _commit=_answer_then_commit)
    sys.exit(run(sys.argv[1:]))
