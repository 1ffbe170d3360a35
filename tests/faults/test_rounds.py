"""A long run that broke off goes on where it was: finished rounds and tests are not done again, unfinished ones are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import rounds as module
from tests.faults.results import table
from tests.faults.rounds import rounds
from tests.support.ledger import Ledger


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRONGROOM_FAULTS", str(tmp_path / "faults"))
    monkeypatch.setenv("STRONGROOM_FAULTS_RESUME", "1")
    monkeypatch.setattr(module, "LONG", True)
    return tmp_path / "faults"


def break_off_in(number: int) -> None:
    for each in rounds("F6", "failovers", short=1, long=4):
        if each == number:
            raise InterruptedError


def test_a_round_that_broke_off_is_done_again_and_those_before_it_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InterruptedError):
        break_off_in(3)
    assert capsys.readouterr().out.splitlines() == [f"F6 failovers: round {number} passed, 0 s" for number in (1, 2)]
    assert list(rounds("F6", "failovers", short=1, long=4)) == [3, 4]
    assert list(rounds("F6", "failovers", short=1, long=4)) == []
    assert list(rounds("F6", "others", short=1, long=2)) == [1, 2]


def test_without_resume_all_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(rounds("F6", "failovers", short=1, long=2)) == [1, 2]
    monkeypatch.setenv("STRONGROOM_FAULTS_RESUME", "")
    assert list(rounds("F6", "failovers", short=1, long=2)) == [1, 2]


def test_a_part_ends_in_time_as_skipped_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET_SECONDS", -1.0)
    with pytest.raises(pytest.skip.Exception, match="rounds from 1 on are left; go on with: make faults F=F6 RESUME=1"):
        list(rounds("F6", "failovers", short=1, long=4))


def test_the_summary_names_rounds_and_counts_whole_tests(directory: Path) -> None:
    for number in (1, 2, 4):
        Ledger("F6", "failovers").note(number, 61.2)
    for name in ("tests/a.py::test_x", "tests/a.py::test_y", "tests/a.py::test_x"):
        Ledger("F10", name).note(1, 2.0)
    rows = [line.split(" | ") for line in table(directory).splitlines()[2:]]
    assert [row[:4] for row in rows] == [["| F6", "failovers", "1–2, 4", "184"], ["| F10", "whole tests", "2 passed", "6"]]
