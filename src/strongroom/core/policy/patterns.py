"""Path patterns: how they match, and which of those that match counts.

Rules of this file:
- `*` at the end of a pattern is any text from there on; a segment that is `+` is any one segment, also an empty one. Elsewhere both
  characters are literal.
- Matching walks a tree of segments, so its cost follows the path and the patterns that share its beginning, not their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar


def is_exact(pattern: str) -> bool:
    """Whether it matches one path only."""
    return not pattern.endswith("*") and "+" not in pattern.split("/")


def _first_wildcard(pattern: str) -> int:
    """Where the first `+` segment or the final `*` stands."""
    if (at := f"/{pattern}/".find("/+/")) >= 0:
        return at
    return len(pattern) - pattern.endswith("*")


def priority(pattern: str) -> tuple[int, bool, int, int, str]:
    """Sorts patterns from the least to the most specific."""
    literal = pattern.removesuffix("*")
    is_prefix = pattern.endswith("*")
    return (_first_wildcard(pattern), not is_prefix, -pattern.split("/").count("+"), len(literal.encode()), literal)


def below(pattern: str, wanted: Sequence[str]) -> bool:
    """Whether the pattern speaks of something at or below the path of these segments."""
    segments = pattern.split("/")
    for own, segment in zip(segments, wanted, strict=False):
        if own not in ("+", segment):
            return False
    return len(segments) > len(wanted)


class Ranked(Protocol):
    """What a pattern leads to; the higher rank counts."""

    @property
    def rank(self) -> int: ...


RankedT = TypeVar("RankedT", bound=Ranked)


class Node(Generic[RankedT]):
    """One segment of the wildcard patterns: literal children, the `+` child, the rule ending here, and `text*` for the next segment."""

    __slots__ = ("children", "end", "lengths", "plus", "prefixes")

    def __init__(self) -> None:
        self.children: dict[str, Node[RankedT]] = {}
        self.plus: Node[RankedT] | None = None
        self.end: RankedT | None = None
        self.prefixes: dict[str, RankedT] = {}
        self.lengths: tuple[int, ...] = ()

    def _child(self, segment: str) -> Node[RankedT]:
        if segment != "+":
            return self.children.setdefault(segment, Node())
        self.plus = self.plus or Node()
        return self.plus

    def insert(self, pattern: str, value: RankedT) -> None:
        """Add a pattern that is not exact."""
        *segments, last = pattern.split("/")
        node: Node[RankedT] = self
        for segment in segments:
            node = node._child(segment)
        if last.endswith("*"):
            node.prefixes[last[:-1]] = value
            node.lengths = tuple({len(prefix) for prefix in node.prefixes})
        else:
            node._child(last).end = value

    def best(self, path: str) -> RankedT | None:
        """The matching rule of the highest rank. Each node is visited once at most."""
        segments = path.split("/")
        best: RankedT | None = None
        rank = -1
        stack: list[tuple[Node[RankedT], int]] = [(self, 0)]
        while stack:
            node, depth = stack.pop()
            if depth == len(segments):
                found = node.end
                if found is not None and found.rank > rank:
                    best, rank = found, found.rank
                continue
            segment = segments[depth]
            for length in node.lengths:
                found = node.prefixes.get(segment[:length])
                if found is not None and found.rank > rank:
                    best, rank = found, found.rank
            if node.plus is not None:
                stack.append((node.plus, depth + 1))
            if (child := node.children.get(segment)) is not None:
                stack.append((child, depth + 1))
        return best
