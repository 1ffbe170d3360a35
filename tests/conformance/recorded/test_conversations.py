"""What Vault answered is what strongroom answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.recorded.conversation import HERE, load
from tests.conformance.recorded.record import strays

CONVERSATIONS = sorted(HERE.glob("*.json"))


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_every_answer_is_vaults_or_differs_for_a_reason(path: Path) -> None:
    assert strays(load(path)) == []


def test_control_an_answer_that_differs_is_found() -> None:
    steps = load(HERE / "first.json")
    assert steps[0].answer is not None
    changed = {**steps[0].answer.body, "data": None}
    steps[0].answer = type(steps[0].answer)(steps[0].answer.status, steps[0].answer.headers, changed)
    assert len(strays(steps)) == 1


@pytest.mark.parametrize("path", CONVERSATIONS, ids=lambda path: path.stem)
def test_a_decided_difference_is_one_and_says_why(path: Path) -> None:
    for step in load(path):
        assert step.answer is not None
        if step.ours is not None:
            assert len(step.ours.because.split()) >= 4
            assert step.ours.answer != step.answer
