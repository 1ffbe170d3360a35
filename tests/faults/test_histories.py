"""The checker of histories itself: what could have happened passes, and each way of breaking the promise is found."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence

import pytest

from tests.support.linearizable import EMPTY, Operation, State, linearizable, step

CLIENTS = 8


def honest(seed: int, count: int, unknown: float = 0.02) -> list[Operation]:
    """A history of clients that overlap, made by letting each operation take effect somewhere between its call and its answer."""
    dice, state, history = random.Random(seed), EMPTY, list[Operation]()
    free = [0] * CLIENTS
    for moment in range(1, count + 1):
        effect = moment * 10
        client = dice.choice([number for number in range(CLIENTS) if free[number] < effect])
        start, end = max(free[client] + 1, effect - dice.randrange(30)), effect + 1 + dice.randrange(30)
        free[client] = end
        kind, version = dice.choice(["read", "write"]), state[0] + dice.choice([0, 1, 1])
        if kind == "read":
            history.append(Operation("read", start, end, *state))
        elif version != state[0] + 1:
            history.append(Operation("refused", start, end, version, f"{moment}"))
        elif dice.random() < unknown:
            history.append(Operation("unknown", start, 0, version, f"{moment}"))
            state = (version, f"{moment}") if dice.random() < 0.5 else state
        else:
            state = (version, f"{moment}")
            history.append(Operation("write", start, end, *state))
    return history


def by_trying_all(history: Sequence[Operation]) -> bool:
    """The same question, answered by going through every order."""
    for size in range(len(history) + 1):
        for some in itertools.permutations(range(len(history)), size):
            missing = set(range(len(history))) - set(some)
            if any(history[number].kind != "unknown" for number in missing) or not _in_time(history, some):
                continue
            state: State | None = EMPTY
            for number in some:
                state = step(state, history[number]) if state is not None else None
            if state is not None:
                return True
    return False


def _in_time(history: Sequence[Operation], order: Sequence[int]) -> bool:
    pairs = itertools.combinations(order, 2)
    return not any(history[later].end and history[later].end < history[earlier].start for earlier, later in pairs)


@pytest.mark.fault("F10")
def test_what_happened_one_after_another_could_have_happened() -> None:
    began = time.process_time()
    for seed in range(60):
        assert linearizable(honest(seed, 200))
    assert time.process_time() - began < 10


@pytest.mark.control
@pytest.mark.fault("F10")
def test_control_a_stale_read_a_second_winner_and_a_lost_write_could_not() -> None:
    for seed in range(40):
        history = honest(seed, 200)
        writes = [operation for operation in history if operation.kind == "write"]
        early, late = writes[10], writes[-10]
        after = max(operation.end for operation in history) + 1
        stale = Operation("read", after, after + 1, early.version, early.value)
        assert not linearizable([*history, stale])
        assert not linearizable([*history, Operation("write", late.start, late.end, late.version, "another")])
        assert not linearizable([operation for operation in history if operation != late])
        assert not linearizable([*history, Operation("read", after, after + 1, *EMPTY)])


@pytest.mark.fault("F10")
def test_the_checker_agrees_with_trying_every_order() -> None:
    dice, answers = random.Random(1), list[bool]()
    for seed in range(300):
        history = honest(seed, 5, unknown=0.4)
        if dice.random() < 0.5:
            place = dice.randrange(5)
            history[place] = history[place]._replace(version=dice.randrange(4), value=f"{dice.randrange(5)}")
        answers.append(linearizable(history))
        assert answers[-1] == by_trying_all(history), history
    assert 50 < sum(answers) < 250
