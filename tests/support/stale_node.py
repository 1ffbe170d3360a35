"""A node that asks the database too late or not at all: the controls of tests/faults/test_nodes.py. No configuration can ask for this.

`deaf`: requests do not wait for the question what others committed. `early`: they share a question that was sent before they came.
`trusting`: a lost answer to COMMIT counts as success.
"""

from __future__ import annotations

import sys

from strongroom.core.group import GroupRun
from strongroom.server.follower import Gate
from strongroom.server.http import Exchange
from strongroom.server.serve import run
from tests.support.patching import put


def _deaf(self: Gate, exchange: Exchange) -> None:
    self._dispatch(exchange)


def _early(self: Gate, exchange: Exchange) -> None:
    follower = self._follower
    if follower._loop.time() - follower._sent < 0.5:
        self._dispatch(exchange)
    else:
        follower.after(lambda: self._pass(exchange))


if __name__ == "__main__":
    match sys.argv[1]:
        case "deaf":
            put(Gate, __call__=_deaf)
        case "early":
            put(Gate, __call__=_early)
        case "trusting":
            put(GroupRun, _looked_up=lambda self, lost: None)
    sys.exit(run(sys.argv[2:]))
