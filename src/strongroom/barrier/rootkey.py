"""The root key in memory of its own: one page that is never swapped out, dumped or inherited by a fork.

Rules of this file:
- The key is copied in and out through buffers that their users wipe; here it is never part of a `bytes` object.
- Each measure is taken as far as the system allows; `missing` says which were not.
- A forked child has no such page. It must not touch the object, and must not free it: something else may lie at that address by then.
"""

from __future__ import annotations

import ctypes
import mmap
import os

from strongroom.barrier.shares import KEY_BYTES


class RootKey:
    """A place for one root key."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._place = (ctypes.c_char * mmap.PAGESIZE).from_buffer(self._memory)
        self.missing = tuple(filter(None, (self._advise("MADV_DONTDUMP"), self._advise("MADV_DONTFORK"), self._lock())))
        self.held = False
        self.key = memoryview(self._memory)[:KEY_BYTES]

    def hold(self, key: bytes | bytearray | memoryview) -> None:
        """Keep this key from now on."""
        self.key[:] = key
        self.held = True

    def wipe(self) -> None:
        """Forget it."""
        ctypes.memset(self._place, 0, mmap.PAGESIZE)
        self.held = False

    def _advise(self, name: str) -> str:
        advice = getattr(mmap, name, None)
        if advice is None:
            return f"there is no {name} here"
        try:
            self._memory.madvise(advice)
        except OSError as error:
            return f"{name}: {error.strerror}"
        return ""

    def _lock(self) -> str:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mlock(self._place, ctypes.c_size_t(mmap.PAGESIZE)) != 0:
            return f"mlock: {os.strerror(ctypes.get_errno())}"
        return ""

    def __repr__(self) -> str:
        return "RootKey()"
