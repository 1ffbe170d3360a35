"""What Vault's command line did is what strongroom's does: exit codes, and what scripts read of the output."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.run import Result, Runner, runner
from tests.conformance.command_lines.lines import load, outcomes, shape
from tests.conformance.recorded.conversation import ROOT
from tests.conformance.recorded.record import development

__all__ = ["runner"]


def test_every_command_line_ends_and_prints_as_vaults_or_differs_for_a_reason(
    runner: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = load()
    monkeypatch.chdir(tmp_path)

    def run(words: list[str], stdin: str) -> Result:
        return runner(*words, stdin=stdin)

    with development([sys.executable, "-m", "strongroom"]) as client:
        runner.set({"VAULT_ADDR": f"http://127.0.0.1:{client.port}", "VAULT_TOKEN": ROOT})
        found = outcomes(lines, run, tmp_path)
    expected = [(line.ours.code, line.ours.out) if line.ours else (line.code, line.out) for line in lines]
    strays = [(line.run, right, did) for line, right, did in zip(lines, expected, found, strict=True) if right != did]
    assert not strays, "\n".join(f"{run}\n  expected {right}\n  did      {did}" for run, right, did in strays)


def test_control_what_a_script_would_notice_is_another_shape() -> None:
    table = "Key    Value\n---    -----\na      1\n"
    assert shape(table) != shape(table.replace("a  ", "b  "))
    assert shape(table) == shape(table.replace("1", "2"))
    assert shape('{"a": [1]}') != shape('{"a": ["1"]}')
    assert shape('{"a": true}') != shape('{"a": 1}')
    assert shape("Success! Data written to: a\n") != shape("Success! Data written to: b\n")
    assert shape("one\ntwo\n") == shape("three\nfour\n")
