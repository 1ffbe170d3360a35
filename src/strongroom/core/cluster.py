"""The nodes that share a store, as this one last saw them.

Rules of this file: this is for people and load balancers; nothing is decided by it. Every node serves, whatever it says of the others.
"""

from __future__ import annotations

from collections.abc import Callable

from strongroom.storage.api import Node


class Cluster:
    """Alone, until somebody fills in the others.

    `reachable`: whether the store answered when it was asked last. `standby_codes`: the configuration wants all nodes but one to call
    themselves standbys, for load balancers that send everything to one; they serve all the same.
    `age`: where reads may be old, how long ago this node was level with the primary. `nearby`: where a standby is read from, if it answers.
    """

    def __init__(self) -> None:
        self.me: Node | None = None
        self.nodes: tuple[Node, ...] = ()
        self.standby_codes = False
        self.reachable: Callable[[], bool] = lambda: True
        self.age: Callable[[], float] | None = None
        self.nearby: Callable[[], bool] | None = None

    @property
    def shared(self) -> bool:
        """Whether other nodes may use the store."""
        return self.me is not None

    @property
    def lead(self) -> Node | None:
        """The oldest node that is open, which calls itself active where only one may."""
        return next((node for node in self.nodes if not node.sealed), None)

    @property
    def standby(self) -> bool:
        """Whether this node is to call itself a standby."""
        return self.standby_codes and self.me is not None and self.lead is not None and self.lead.id != self.me.id
