"""The project stands alone: no file names the machine it was written on, a private folder, or a package registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lint.source import ROOT, project_files

# Written in halves so that this file does not find itself.
FORBIDDEN = re.compile(
    r"(?<!\w)(?:"  # `rotate/root` is a route
    + "|".join(
        re.escape(left + right)
        for left, right in [
            ("/wor", "k/"),
            ("/ro", "ot/"),
            ("shar", "ed/design"),
            ("shar", "ed/reference"),
            ("pypi", ".org"),
            ("python", "hosted.org"),
            ("npmjs", ".org"),
            ("crates", ".io"),
            ("proxy.golang", ".org"),
            ("deb.debian", ".org"),
            ("--index", "-url "),
            ("--find", "-links"),
        ]
    )
    + ")"
)
ALLOWED = frozenset({".ci/lock"})
"""Says which index options must *not* be emitted."""


def offences(text: str) -> list[str]:
    """The lines of `text` that name what no file may name."""
    return [line.strip()[:120] for line in text.splitlines() if FORBIDDEN.search(line)]


@pytest.mark.parametrize("path", [path.relative_to(ROOT).as_posix() for path in project_files()])
def test_no_file_names_this_machine_or_a_registry(path: str) -> None:
    if path not in ALLOWED:
        found = offences(Path(ROOT, path).read_bytes().decode("utf-8", "replace"))
        assert not found, f"{path} names a machine, a private folder or a registry: {found}"


@pytest.mark.parametrize("halves", [("see /wor", "k/x"), ("cd /ro", "ot/x"), ("https://pypi", ".org/simple")])
def test_the_lint_finds_what_it_is_for(halves: tuple[str, str]) -> None:
    assert offences("fine\n" + "".join(halves)) == ["".join(halves)]
