"""Whether what clients saw of one versioned secret could have happened one step after another: a checker for histories.

Rules of this file:
- The model is one KV v2 secret written by check-and-set: its state is (version, value), and (0, "") before the first write.
- An operation takes effect at one instant between its call and its answer. One whose outcome is unknown takes effect at any instant after
  its call, or never.
- The search is Wing and Gong's (1993) with Lowe's memo of (operations done, state); it is exact, and quick up to some thousand operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

State = tuple[int, str]
EMPTY: State = (0, "")


class Operation(NamedTuple):
    """One request about the secret. `version` and `value`: what was read, or what was to be written; `end` is 0 where nobody knows."""

    kind: Literal["read", "write", "refused", "unknown"]
    start: int
    end: int
    version: int
    value: str = ""


def step(state: State, operation: Operation) -> State | None:
    """The state after an operation; None where it cannot happen in this state. A write makes `version` out of the one before."""
    version, _ = state
    if operation.kind == "read":
        return state if state == (operation.version, operation.value) else None
    if operation.kind == "refused":
        return state if version != operation.version - 1 else None
    return (operation.version, operation.value) if version == operation.version - 1 else None


def linearizable(history: Sequence[Operation]) -> bool:
    """Whether there is an order of the operations, true to their times, in which each is right."""
    events = _events(history)
    after, before = _links(len(events))
    where = {event: place for place, event in enumerate(events)}
    left = sum(operation.kind != "unknown" for operation in history)
    state, done, seen, undo = EMPTY, 0, set[tuple[int, State]](), list[tuple[int, State]]()
    place = after[-1]
    while left:
        number, is_end = events[place]
        if not is_end:
            result = step(state, history[number])
            if result is None or (done | 1 << number, result) in seen:
                place = after[place]
                continue
            done |= 1 << number
            seen.add((done, result))
            undo.append((number, state))
            state = result
        elif undo:
            number, state = undo.pop()
            done ^= 1 << number
        else:
            return False
        known = history[number].kind != "unknown"
        places = [where[number, False], *([where[number, True]] if known else [])]
        if is_end:
            for each in reversed(places):  # put back, in the reverse order of taking out
                after[before[each]] = before[after[each]] = each
            left += known
            place = after[places[0]]
        else:
            for each in places:
                after[before[each]], before[after[each]] = after[each], before[each]
            left -= known
            place = after[-1]
    return True


def _events(history: Sequence[Operation]) -> list[tuple[int, bool]]:
    """(operation, whether it ends) in the order of their times. What has no known end has none."""
    times = [(operation.start, False, number) for number, operation in enumerate(history)]
    times += [(operation.end, True, number) for number, operation in enumerate(history) if operation.kind != "unknown"]
    return [(number, is_end) for _, is_end, number in sorted(times)]


def _links(count: int) -> tuple[list[int], list[int]]:
    """A ring over `count` places and the place -1 (the last of each list), which is where it begins and ends."""
    return [*range(1, count), -1, 0] if count else [-1], [-1, *range(count)]
