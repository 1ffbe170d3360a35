"""The layer diagram holds: import-linter's contracts in pyproject.toml, run here so that `make test` alone finds an upward import."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.lint.source import PACKAGE, ROOT

RUN = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"]


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(directory / "src"), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(RUN, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def test_every_import_follows_the_layers() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_upward_import_is_found(tmp_path: Path) -> None:
    """The negative control: the same contracts over a copy of all modules, each empty, with one import upward added."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module in PACKAGE.rglob("*.py"):
        copy = tmp_path / "src" / "strongroom" / module.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    assert lint(tmp_path).returncode == 0
    (tmp_path / "src" / "strongroom" / "storage" / "upward.py").write_text("import strongroom.core\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    assert "strongroom.storage.upward -> strongroom.core" in result.stdout
