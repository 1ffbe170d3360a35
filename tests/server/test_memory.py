"""The heap keeps what a turn of the loop needs, so that long answers do not take their pages from the system each time."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

TURNS, ANSWERS, SIZE = 50, 64, 100_000
"""Turns of the loop, each with so many answers and audit lines of lists of 1,000 names."""

PROGRAM = f"""
import resource
from strongroom.server import serve
{{settle}}
def turn():
    held = [b"x" * {SIZE} for _ in range({ANSWERS})]
turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({TURNS}):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = TURNS * ANSWERS * SIZE // 4_096

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")


def faults(settle: str) -> int:
    """Pages that the turns took from the system, in a process of their own."""
    return int(subprocess.run([sys.executable, "-c", PROGRAM.format(settle=settle)], check=True, capture_output=True).stdout)


def test_a_turn_with_long_answers_takes_no_pages_from_the_system() -> None:
    assert faults("serve._settle_memory()") < PAGES / 20


@pytest.mark.control
def test_control_without_it_each_turn_takes_all_of_them_anew() -> None:
    assert faults("") > PAGES / 2
