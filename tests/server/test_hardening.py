"""What a key-holding process asked of the kernel is there afterwards, and what did not take is said."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource
from strongroom.server.hardening import harden
measures = harden(lock_memory={lock})
status = open("/proc/self/status").read()
print([tuple(measure) for measure in measures])
print(resource.getrlimit(resource.RLIMIT_CORE))
print([line for line in status.splitlines() if line.startswith(("NoNewPrivs", "VmLck"))])
import ctypes
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
{then}
"""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux what it did")


def run(lock: bool = False, then: str = "") -> subprocess.CompletedProcess[str]:
    """Hardening cannot be undone, so it happens in a process of its own."""
    return subprocess.run([sys.executable, "-c", SCRIPT.format(lock=lock, then=then)], capture_output=True, text=True, timeout=30)


@linux
def test_the_process_is_not_dumpable_and_gains_no_privileges() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "('no core files', True, '')" in lines[0]
    assert "('not dumpable', True, '')" in lines[0]
    assert "('no new privileges', True, '')" in lines[0]
    assert lines[1] == "(0, 0)"
    assert "NoNewPrivs:\\t1" in lines[2]
    assert lines[3] == "0"


@linux
def test_memory_is_locked_or_the_reason_is_given() -> None:
    lines = run(lock=True).stdout.splitlines()
    if "('memory locked', True, '')" in lines[0]:
        assert "VmLck:\\t       0 kB" not in lines[2]
    else:
        assert "('memory locked', False, '')" not in lines[0]


@linux
def test_the_process_is_not_dumpable_only_because_it_was_asked_to() -> None:
    """Negative control: without hardening the same question is answered with 1."""
    script = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30).stdout.strip() == "1"


@linux
def test_a_crash_leaves_no_core_file(tmp_path: object) -> None:
    done = run(then="import os; os.abort()")
    assert done.returncode == -6
