"""A server whose store and audit trail lie on small disks of their own, which fill up and turn read-only as a test says.

Rules of this file:
- The disks are tmpfs in a mount namespace that ends with the process; a user may make one where the system lets him, else `CANNOT` is the
  exit code. What was on them is copied to `<disk>.kept` when the server has ended in order.
- A disk that turns read-only under open files is a file system that gave up: what SQLite then sees is that no write succeeds.
- With LAX=hasty answers leave before the commit: the negative control.
- The file `orders` says what to do, a line each, such as `fill store`; `obeyed` then holds as many lines.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import threading
import time
from pathlib import Path

import apsw

from strongroom.server.serve import run
from tests.support.lax_nodes import WAYS

CANNOT = 77
SIZE = "4m"
NEW_USER, NEW_MOUNTS = 0x10000000, 0x00020000
PRIVATE, ALL = 1 << 18, 16_384
DISKS = ("store", "trail")
BALLAST = "ballast"
SYSTEM = apsw.vfs_names()[0]

_libc = ctypes.CDLL(None, use_errno=True)


def _need(result: int) -> None:
    if result != 0:
        print("small disks cannot be made here:", os.strerror(ctypes.get_errno()), file=sys.stderr)
        sys.exit(CANNOT)


def _mount(source: bytes, target: Path, kind: bytes, flags: int, options: bytes) -> None:
    _need(_libc.mount(source, os.fsencode(target), kind, ctypes.c_ulong(flags), options))


def _separate() -> None:
    """Into a namespace where this process may mount; before it has a second thread."""
    user, group = os.getuid(), os.getgid()
    _need(_libc.unshare(NEW_MOUNTS if user == 0 else NEW_USER | NEW_MOUNTS))
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount(b"none", Path("/"), b"", PRIVATE | ALL, b"")


def _fill(disk: Path) -> None:
    with (disk / BALLAST).open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 512, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break


class GivingUp(apsw.VFS):
    """The system's files, of which none can be written once the disk is read-only."""

    read_only = False

    def __init__(self) -> None:
        self.name = "giving up"
        super().__init__(self.name, SYSTEM, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(name, flags)


class _File(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(SYSTEM, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._need_disk(apsw.SQLITE_IOERR_WRITE)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        self._need_disk(apsw.SQLITE_IOERR_TRUNCATE)
        super().xTruncate(newsize)

    def _need_disk(self, code: int) -> None:
        if GivingUp.read_only:
            error = apsw.IOError("read-only file system")
            vars(error)["extendedresult"] = code
            raise error


ORDERS = {
    "fill": _fill,
    "free": lambda disk: (disk / BALLAST).unlink(),
    "read-only": lambda disk: setattr(GivingUp, "read_only", True),
    "writable": lambda disk: setattr(GivingUp, "read_only", False),
}


def _obey(directory: Path) -> None:
    obeyed = 0
    while True:
        time.sleep(0.01)
        if (directory / "orders").exists():
            orders = (directory / "orders").read_text().splitlines(keepends=True)
            for order in orders[obeyed:]:
                if order.endswith("\n"):
                    what, disk = order.split()
                    ORDERS[what](directory / disk)
                    obeyed += 1
                    with (directory / "obeyed").open("a") as file:
                        file.write(order)


def main() -> int:
    """Serve on small disks."""
    if "LAX" in os.environ:
        WAYS[os.environ["LAX"]]()
    _separate()
    directory = Path.cwd()
    for name in DISKS:
        (directory / name).mkdir(exist_ok=True)
        _mount(b"tmpfs", directory / name, b"tmpfs", 0, f"size={SIZE},mode=700".encode())
    giving_up = GivingUp()
    threading.Thread(target=_obey, args=[directory], daemon=True).start()
    code = run(sys.argv[1:])
    for name in DISKS:
        shutil.copytree(directory / name, directory / f"{name}.kept")
    giving_up.unregister()
    return code


if __name__ == "__main__":
    sys.exit(main())
