"""An anchor: a state of the store that was proven outside of it, so that a rolled-back database is noticed at unseal.

Rules of this file:
- The store's sequence number may be ahead of its anchor, never behind; at the same number the sums must agree.
- Overriding needs the quorum that unseals, all of whom say so; a legitimate restore of a snapshot takes this path.
- The first anchor is the last verified audit checkpoint of this node. An attacker who holds both store and anchor is not noticed.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from strongroom.barrier.index import Index
from strongroom.errors import InternalError, StorageTampered


class Anchor(NamedTuple):
    """What some place outside the store last saw of it: newest gsn, and the index sum in hex."""

    gsn: int
    sigma: str


class RolledBack(StorageTampered):
    """The store is older than its anchor, or another one."""

    def __init__(self, text: str) -> None:
        advice = (
            "the store stays sealed. If you restored a snapshot on purpose, unseal with accept_rollback=true from every key holder; "
            "otherwise restore the newest snapshot and find out who wrote to the store"
        )
        InternalError.__init__(self, f"storage_tampered: {text}; {advice}")
        self.what = "the store as a whole"


def check_anchor(index: Index, anchor: Anchor | None, *, accepted: bool = False) -> None:
    """Raises RolledBack where the store is behind its anchor, unless its operators accepted that."""
    if anchor is None or accepted:
        return
    if index.gsn < anchor.gsn:
        raise RolledBack(f"the store is at commit {index.gsn}, but commit {anchor.gsn} was recorded outside of it")
    if index.gsn == anchor.gsn and not hmac.compare_digest(index.hex, anchor.sigma):
        raise RolledBack(f"the store has other rows at commit {index.gsn} than were recorded outside of it")
