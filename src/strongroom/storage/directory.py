"""The data directory: private files, and locks that end with the process.

Rules of this file:
- Directories are 0700 and files 0600 whatever the umask; a looser mode found on the way is tightened, never accepted. Only a
  directory that is empty or already holds a store is touched: pointing the server at `/tmp` must not change `/tmp`.
- The database's own files are never opened here once they exist: see `make_private`.
- Locks are `flock` on a descriptor of their own. A forked child shares its parent's descriptor and is excluded from nothing, so
  every process opens its locks itself, after the fork. `server.lock` is the exception: the supervisor takes it before forking.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from strongroom.errors import StorageUnusable

DATABASE = "strongroom.db"
SERVER_LOCK = "server.lock"
COMMIT_LOCK = "commit.lock"
LAST_BREATH = 0.5
"""Seconds: workers of a server that was killed hold its lock until they are dead too."""
_RAFT, _FILES = "vault.db", "core/_keyring"
"""What a store of Vault has at its top: of its storage "raft", and of "file"."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def prepare(directory: Path) -> None:
    """Create the directory, or make sure that nobody else can look into it."""
    try:
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(directory.parent)
        mode = directory.stat().st_mode
        if mode & OTHERS:
            _tighten(directory)
        _need_no_vault(directory)
    except OSError as error:
        raise StorageUnusable(f"the data directory {directory} cannot be used: {error.strerror}; check its path, owner and mode") from error


def _tighten(directory: Path) -> None:
    names = {path.name for path in directory.iterdir()}
    if names and not names & {DATABASE, SERVER_LOCK}:
        raise StorageUnusable(f"the data directory {directory} is open to others and not only ours; make it mode 0700 or name another")
    directory.chmod(0o700)


def _need_no_vault(directory: Path) -> None:
    """Vault's own configuration starts this server: who keeps its directory must not take an empty store for the loss of all secrets."""
    if (directory / DATABASE).exists():
        return
    if (directory / _RAFT).exists() or (directory / _FILES).exists():
        raise StorageUnusable(
            f"the data directory {directory} holds a store of Vault, which only Vault can read; name another directory, "
            "and bring the secrets over through the API of both"
        )


def open_private(path: Path, flags: int = os.O_RDWR) -> int:
    """Open a file of ours, creating it with mode 0600; the caller owns the descriptor."""
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise  # only where the caller wants to be the first
    except OSError as error:
        raise StorageUnusable(f"{path} cannot be opened: {error.strerror}; check its owner and mode") from error
    try:
        if os.fstat(descriptor).st_mode & OTHERS:
            os.fchmod(descriptor, 0o600)
    except OSError as error:
        os.close(descriptor)
        raise StorageUnusable(f"{path} can be read by others and is not ours to change: {error.strerror}; make it mode 0600") from error
    return descriptor


def create_private(path: Path) -> None:
    """Make sure that the file exists with mode 0600 and that its name survives a power loss."""
    if make_private(path):
        return
    try:
        os.close(open_private(path, os.O_RDWR | os.O_EXCL))
    except FileExistsError:
        return  # another process or thread was faster
    sync_directory(path.parent)


def make_private(path: Path) -> bool:
    """Tighten the mode of a file of ours that may be in use; False where there is none.

    By its name, because closing a descriptor of a file drops every POSIX lock that this process holds on it. Without SQLite's locks any
    foreign reader would believe that it is the last one, and delete the log under us.
    """
    try:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise StorageUnusable(f"{path} is not a regular file; move it away or name another directory")
        if mode & OTHERS:
            path.chmod(0o600)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageUnusable(f"{path} can be read by others and is not ours to change: {error.strerror}; make it mode 0600") from error
    return True


def sync_directory(directory: Path) -> None:
    """Make names created in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileLock:
    """An exclusive `flock`, held between `acquire` and `release` by this object's own descriptor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock; False when another holds it and `wait` is off."""
        if self._descriptor < 0:
            self._descriptor = open_private(self._path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StorageUnusable(f"{self._path} cannot be locked: {error.strerror}; the store needs a file system with flock") from error
        return True

    def release(self) -> None:
        """Let the next holder in."""
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release and forget the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class DirectoryLock:
    """Proof that this process, and the workers it forks, are the only server on a data directory."""

    def __init__(self, directory: Path) -> None:
        prepare(directory)
        self._lock = FileLock(directory / SERVER_LOCK)
        until = time.monotonic() + LAST_BREATH
        while not self._lock.acquire(wait=False):
            if time.monotonic() < until:
                time.sleep(0.02)
                continue
            self._lock.close()
            raise StorageUnusable(f"another strongroom server is using {directory}; stop it first, or name another directory")

    def close(self) -> None:
        """Let another server have the directory."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def lock_directory(directory: Path) -> DirectoryLock:
    """Take `server.lock` for the life of the process, before any fork; a second server on the directory is refused."""
    return DirectoryLock(directory)


def file_at(path: str) -> tuple[int, int] | None:
    """Which file has this name; None where there is none. Raises StorageUnusable where nobody can say."""
    try:
        found = os.stat(path)  # noqa: PTH116  once a group, and a Path takes thrice as long
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageUnusable(f"the store's file cannot be looked at: {error.strerror}") from None
    return found.st_dev, found.st_ino
