"""Reads the project's own files for the lints beside it. A lint is a rule that a program checks; nothing here runs strongroom."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "strongroom"

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Named(NamedTuple):
    """A function or class with its dotted name inside its module."""

    name: str
    node: Function | ast.ClassDef


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package, by its path below `src/strongroom`."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in paths}


def definitions(node: ast.AST, prefix: str = "") -> Iterator[Named]:
    """The functions and classes in `node`, nested ones too, as `Class.method` and `outer.inner`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*type_of_function, ast.ClassDef)):
            name = f"{prefix}{child.name}"
            yield Named(name, child)
            yield from definitions(child, f"{name}.")
        else:
            yield from definitions(child, prefix)


@cache
def project_files() -> tuple[Path, ...]:
    """What git tracks or would track; outside a clone, what lies in the folders that a source archive has."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, capture_output=True, check=False)
    if listing.returncode == 0:
        candidates = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        candidates = [path for folder in ("src", "tests", "docs", "bench", ".ci") for path in (ROOT / folder).rglob("*")]
        candidates += ROOT.glob("*.*")
    return tuple(path for path in candidates if path.is_file() and "__pycache__" not in path.parts)
