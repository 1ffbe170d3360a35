"""A store that counts as being on another machine, in this process's memory: what the core does for PostgreSQL, without PostgreSQL."""

from __future__ import annotations

from typing import Any

from strongroom.errors import StorageUnusable
from strongroom.storage.api import Below, Feed, Fetched, Node, Scan, Wanted
from strongroom.storage.memory import MemoryGroup, MemoryStorage


class RemoteGroup:
    """A group that brought what was wanted."""

    def __init__(self, group: MemoryGroup, fetched: Fetched) -> None:
        self._group, self.fetched = group, fetched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._group, name)

    def more(self, keys: list[bytes]) -> dict[bytes, bytes]:
        return self._group._store.get_many(keys)


class RemoteMemory(MemoryStorage):
    """`questions` were asked; `gone`: it does not answer."""

    local = False
    kind = "postgresql"

    def __init__(self) -> None:
        super().__init__()
        self.questions = 0
        self.gone = False

    def fetch(self, since: int, wanted: Wanted) -> Fetched:
        self.questions += 1
        if self.gone:
            raise StorageUnusable("gone")
        return self._fetched(wanted, self.changed(since))

    def _fetched(self, wanted: Wanted, feed: Feed) -> Fetched:
        scans = {each: self.scan(*each) for each in wanted.ranges if isinstance(each, Scan)}
        below = {each: self.children(*each) for each in wanted.ranges if isinstance(each, Below)}
        return Fetched(wanted, feed, self.get_many(list(wanted.keys)), scans, below)

    def begin_with(self, since: int, wanted: Wanted) -> Any:
        group = self.begin(since, list(wanted.keys))
        return RemoteGroup(group, self._fetched(wanted, group.feed))

    def check(self) -> list[str]:
        return []

    def beat(self, node: Node, *, first: bool) -> list[Node]:
        return [node]

    def leave(self, node_id: str) -> None:
        """Nothing is kept of nodes."""
