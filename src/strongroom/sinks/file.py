"""A file, or standard output, or nowhere.

Rules of this file:
- One file per worker, so that nobody writes between another's lines: `audit.log` for the first, `audit.worker-1.log` for the next. The
  suffix stays at the end, so that whatever ships or rotates `*.log` finds all of them, and none looks like a rotated one.
- Opened for appending only, never through a symbolic link, never wider than 0640. Directories are not made: a missing mount point must
  not turn into a directory on the root disk.
- A line is in the file whole or not at all: what a short write left is cut off again. A torn line that a crash left stays, with a
  newline behind it: it is not ours to destroy, and the new stream's head says what it was.
- A file that was deleted under us is a failure, not a place for lines: seen at the next write, and opened anew.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Final

from strongroom.core.audit.sink import Sink
from strongroom.errors import InvalidRequest
from strongroom.outbound.client import Outbound

WIDEST: Final = 0o640
AT_ONCE: Final = 256 << 10
"""Bytes of one write(2): the kernel copies several megabytes at once three times as slowly, and other threads wait for a processor."""
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_BLOCK: Final = 65_536
_NUMBERED: Final = re.compile(r".*\.worker-[1-9][0-9]?", re.DOTALL)
LONGEST: Final = 64 << 20
"""Bytes of a line: above what the largest allowed request and its answer can become."""


class File:
    """Lines appended to a file; see the rules above. Anything that is not a regular file is written as it is and may block."""

    def __init__(self, path: str, mode: int = 0o600) -> None:
        self.place = _canonical(path)
        self._path = path
        self.inline = True
        self._mode = mode
        self._descriptor = -1
        self._size = 0
        self._torn = False

    def open(self) -> tuple[bytes, bytes]:
        self.close()
        self._descriptor = descriptor = self._open()
        status = os.fstat(descriptor)
        self.inline = stat.S_ISREG(status.st_mode)
        if not self.inline:
            os.set_blocking(descriptor, True)
            return b"", b""
        if self._mode:
            os.fchmod(descriptor, self._mode)
        last, torn = _tail(descriptor, status.st_size)
        self._size, self._torn = status.st_size, bool(torn)
        return last, torn

    def _open(self) -> int:
        """Reading is for the last line; a pipe or a device is opened for writing only. Never waits, not for a pipe's reader either."""
        try:
            regular = stat.S_ISREG(os.lstat(self._path).st_mode)
        except FileNotFoundError:
            regular = True
        flags = _FLAGS if regular else _FLAGS & ~(os.O_RDWR | os.O_CREAT) | os.O_WRONLY
        return os.open(self._path, flags, self._mode or 0o600)

    def write(self, block: bytes) -> None:
        if self._descriptor < 0:
            raise OSError("the audit file is not open")
        if not self.inline:
            _write_all(self._descriptor, block)
        else:
            self._append(block)

    def _append(self, block: bytes) -> None:
        if os.fstat(self._descriptor).st_nlink == 0:
            raise OSError(f"{self.place} was deleted while it was open")
        if self._torn:
            block = b"\n" + block
        try:
            _write_all(self._descriptor, block)
        except OSError:
            self._cut_back()
            raise
        self._size += len(block)
        self._torn = False

    def _cut_back(self) -> None:
        """Remove what a failed write left; if even that fails, the next line starts behind a newline."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            self._torn = True

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Standard:
    """Standard output: may be a pipe that nobody reads, so never inline. All workers share it; a lock keeps their lines whole."""

    def __init__(self, descriptor: int = 1) -> None:
        self.place = "stdout"
        self.inline = False
        self._descriptor = descriptor
        self._lock = -1

    def open(self) -> tuple[bytes, bytes]:
        self.close()
        os.fstat(self._descriptor)
        with suppress(OSError):  # a socket cannot be opened again; and elsewhere than on Linux there is one worker
            self._lock = os.open(f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        return b"", b""

    def write(self, block: bytes) -> None:
        if self._lock < 0:
            _write_all(self._descriptor, block)
            return
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            _write_all(self._descriptor, block)
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Standard output is not ours to close, the lock is."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


class Discard:
    """Takes everything and keeps nothing: for measuring, and for those who insist."""

    place = "discard"
    inline = True

    def open(self) -> tuple[bytes, bytes]:
        return b"", b""

    def write(self, block: bytes) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


def make(options: Mapping[str, str], slot: int, directory: str, _outbound: Outbound) -> Sink:
    """The sink that `file_path` (or Vault's older `path`) names, with `mode` in octal."""
    path = options.get("file_path") or options.get("path", "")
    if not path:
        raise InvalidRequest("file_path is required: the file to append to, or stdout, or discard")
    if path == "stdout":
        return Standard()
    if path == "discard":
        return Discard()
    path = worker_path(path, slot)
    if directory and not Path(path).parent.resolve().is_relative_to(Path(directory).resolve()):
        raise InvalidRequest(f"file_path must be inside the audit directory {directory}: set audit_directory to allow another place")
    return File(path, _mode(options.get("mode", "")))


def worker_path(path: str, slot: int) -> str:
    """The file of one worker of a device."""
    place = Path(path)
    return path if slot == 0 else str(place.with_name(f"{place.stem}.worker-{slot}{place.suffix}"))


def worker_paths(path: str) -> list[str]:
    """The files that there are of a device's workers, of those too that serve no more."""
    place = Path(path)
    others = place.parent.glob(f"{escape(place.stem)}.worker-*{escape(place.suffix)}")
    found = [str(other) for other in sorted(others) if _NUMBERED.fullmatch(other.name.removesuffix(place.suffix))]
    return [each for each in (path, *found) if Path(each).is_file()]


def _canonical(path: str) -> str:
    """One spelling for one file, so that no two devices write between each other's lines. Its last segment is never a link."""
    parent, name = os.path.split(path)
    return os.path.join(os.path.realpath(parent), name)  # noqa: PTH118  beside realpath, which pathlib has no match for


def _mode(text: str) -> int:
    """Permissions in octal, without what is wider than 0640; Vault's "0000" leaves an existing file's as they are (returned as 0)."""
    if not text:
        return 0o600
    try:
        mode = int(text, 8)
    except ValueError:
        raise InvalidRequest("mode must be octal permissions such as 0600") from None
    if not 0 <= mode <= 0o7777:
        raise InvalidRequest("mode must be octal permissions such as 0600")
    return mode & WIDEST


def _write_all(descriptor: int, block: bytes) -> None:
    written = os.write(descriptor, block if len(block) <= AT_ONCE else memoryview(block)[:AT_ONCE])
    while written < len(block):
        written += os.write(descriptor, memoryview(block)[written : written + AT_ONCE])


def _tail(descriptor: int, size: int) -> tuple[bytes, bytes]:
    """The last whole line, and what stands behind its newline. Read backwards: the file may be huge."""
    tail, start = b"", size
    while start > 0 and tail.count(b"\n") < 2:
        if len(tail) > LONGEST:
            raise OSError(f"the file's last line is longer than {LONGEST} bytes: it is no audit file")
        step = min(_BLOCK, start)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
    whole, newline, torn = tail.rpartition(b"\n")
    return whole.rpartition(b"\n")[2] if newline else b"", torn
