"""What a process that holds keys asks of the kernel before it has any.

Rules of this file:
- No core file, no attaching debugger of the same user, no new privileges, no page of it in swap: each as far as it is allowed.
- Nothing here is required: what did not take is reported, logged and shown, not hidden. Elsewhere than on Linux only core files can be
  switched off.
- Python copies `bytes` and `str` freely and cannot erase them. The root key lies in a bytearray that is overwritten at sealing; key
  material inside the crypto library, request bodies and answers are not erased before their memory is used again.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4


class Measure(NamedTuple):
    """One thing asked for, and whether it took; `reason` says why not."""

    name: str
    took: bool
    reason: str = ""


def harden(*, lock_memory: bool = True) -> tuple[Measure, ...]:
    """Ask for everything; what took and what did not. Cannot be undone in this process."""
    measures = [_attempt("no core files", _no_core)]
    if not sys.platform.startswith("linux"):
        missing = ("not dumpable", "no new privileges", "memory locked")
        return (*measures, *(Measure(name, took=False, reason=f"{sys.platform} has no such call") for name in missing))
    measures.append(_attempt("not dumpable", lambda: _prctl(PR_SET_DUMPABLE, 0)))
    measures.append(_attempt("no new privileges", lambda: _prctl(PR_SET_NO_NEW_PRIVS, 1)))
    if lock_memory:
        measures.append(_attempt("memory locked", _lock_memory))
    return tuple(measures)


def _attempt(name: str, ask: Callable[[], None]) -> Measure:
    try:
        ask()
    except (OSError, ValueError) as error:
        return Measure(name, took=False, reason=str(error))
    return Measure(name, took=True)


def _no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        _fail()


def _lock_memory() -> None:
    """All pages, present and future, each once it is used: locked at once, the unused part of every thread's stack would be resident.

    With a limit, locking would fail allocations later on: then it is not tried.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and os.geteuid() != 0:
        raise OSError(f"the limit on locked memory is {soft} bytes; raise it (LimitMEMLOCK=infinity), or have no swap or an encrypted one")
    if _libc().mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        _fail()


def _fail() -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def end_with_parent(parent: int) -> None:
    """In a forked child: be killed when the parent ends, however that was, so that no worker serves without its supervisor."""
    if not sys.platform.startswith("linux"):
        return
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it ended before the request did
