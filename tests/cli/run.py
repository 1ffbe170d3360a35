"""Runs command lines inside this process, and in a fresh interpreter where imports matter."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from strongroom.cli.main import main

SOURCE = Path(__file__).resolve().parents[2] / "src"


class Result(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str


class Runner:
    """Runs `strongroom …` with a home of its own and without the machine's VAULT_* and STRONGROOM_* variables."""

    def __init__(self, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, home: Path) -> None:
        self._capture = capture
        self._patch = patch
        self.home = home
        for name in [name for name in os.environ if name.startswith(("VAULT_", "STRONGROOM_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(home))

    def set(self, variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def __call__(self, *words: str, stdin: str = "") -> Result:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main(list(words))
        captured = self._capture.readouterr()
        return Result(code, captured.out, captured.err)


@pytest.fixture
def runner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runner:
    """A Runner over pytest's capture."""
    return Runner(capsys, monkeypatch, tmp_path)


def fresh(program: str, *words: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a Python program in a new interpreter that sees this source tree."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), **environment}
    return subprocess.run([sys.executable, "-c", program, *words], env=variables, capture_output=True, text=True, timeout=30, check=False)
