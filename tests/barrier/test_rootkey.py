"""The page of the root key: locked, left out of dumps and forks, and wiped."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import pytest

from strongroom.barrier.rootkey import RootKey

KEY = bytes(range(32))
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's own words")


def flags_of(key: RootKey) -> set[str]:
    address, here = ctypes.addressof(key._place), False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in (head := line.split()[0]) and not line.startswith("Vm"):
            start, _, stop = head.partition("-")
            here = int(start, 16) <= address < int(stop, 16)
        elif here and line.startswith("VmFlags:"):
            return set(line.split()[1:])
    return set()


def test_a_key_is_held_until_it_is_wiped() -> None:
    key = RootKey()
    assert not key.held
    key.hold(KEY)
    assert (bytes(key.key), key.held) == (KEY, True)
    key.wipe()
    assert (bytes(key.key), key.held) == (bytes(32), False)
    assert KEY.hex() not in repr(key)


@linux
def test_the_kernel_swaps_dumps_and_copies_nothing_of_it() -> None:
    key = RootKey()
    assert {"dd", "dc"} <= flags_of(key), "not dumped, not copied to children"
    assert ("lo" in flags_of(key)) == (not any("mlock" in reason for reason in key.missing))


@linux
def test_a_forked_child_has_no_such_page() -> None:
    key = RootKey()
    key.hold(KEY)
    pid = os.fork()
    if pid == 0:
        ctypes.string_at(ctypes.addressof(key._place), 32)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGSEGV
