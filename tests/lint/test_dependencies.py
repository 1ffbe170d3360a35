"""What is installed is what was vouched for: every dependency has its reason in docs/dependencies.md and its hashes in the locks."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.lint.source import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LOCKS = {
    "run": [*PROJECT["dependencies"], *EXTRAS["console"]],
    "dev": [*PROJECT["dependencies"], *(name for extra in EXTRAS.values() for name in extra)],
}


def bare(requirement: str) -> str:
    """The name alone: `psycopg[binary]>=3.2` is psycopg."""
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def entries(lock: str) -> dict[str, str]:
    """Each package of a lock with the lines that belong to it."""
    text = (ROOT / "locks" / f"{lock}.lock").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in re.finditer(r"^([a-z0-9.-]+)==.*(?:\n .*)*", text, re.MULTILINE)}


@pytest.mark.parametrize("requirement", LOCKS["dev"], ids=bare)
def test_every_dependency_has_its_reason(requirement: str) -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    assert re.search(rf"\b{re.escape(bare(requirement))}\b", reasons), (
        f"docs/dependencies.md does not say why {bare(requirement)} is needed"
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_file_by_hash_and_names_no_address(lock: str) -> None:
    packages = entries(lock)
    assert {bare(requirement) for requirement in LOCKS[lock]} <= packages.keys()
    assert "setuptools" in packages, "the build backend is installed from the lock too"
    assert all("--hash=sha256:" in lines for lines in packages.values())
    assert not any("://" in lines for lines in packages.values())


def test_both_locks_pin_the_same_versions() -> None:
    run, dev = entries("run"), entries("dev")
    differing = [name for name in run if run[name].split()[0] != dev[name].split()[0]]
    assert not differing


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "make test" in script
    assert re.search(r"^make test\b", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
