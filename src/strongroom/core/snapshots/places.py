"""Where schedules keep snapshots: what a place must be able to do, and the directory of this host.

Rules of this file:
- What is kept was compared byte by byte with what was taken, after it was written.
- Names carry the instant, so that their order is that of time, and nothing that has a meaning in a path or a URL.
- A directory is one that the configuration allows: no caller of the API writes files elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from strongroom.core.snapshots.taking import Taken
from strongroom.errors import InvalidRequest, StorageUnusable
from strongroom.storage.directory import sync_directory

PIECE: Final = 1 << 20
SUFFIX: Final = ".snap"
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)


class Place(Protocol):
    """Keeps snapshots by name. Everything raises StrongroomError."""

    def put(self, name: str, taken: Taken) -> str:
        """Keep one, and compare; where it lies, for people."""
        ...

    def names(self, beginning: str) -> list[str]:
        """Everything that lies there under a name with this beginning."""
        ...

    def size(self, name: str) -> int:
        """Its bytes."""
        ...

    def remove(self, name: str) -> None:
        """Remove one."""
        ...


def name_of(prefix: str, now: int) -> str:
    """The name of a snapshot of now."""
    return f"{prefix}-{now:020d}{SUFFIX}"


def of_prefix(prefix: str, names: list[str]) -> list[str]:
    """Those among `names` that `name_of` made of this prefix, the oldest first."""
    pattern = re.compile(rf"{re.escape(prefix)}-[0-9]{{20}}{re.escape(SUFFIX)}", re.ASCII)
    return sorted(name for name in names if pattern.fullmatch(name))


def checked_prefix(prefix: str) -> str:
    """The beginning of file names. Raises InvalidRequest."""
    if not _PREFIX.fullmatch(prefix):
        raise InvalidRequest("file_prefix takes up to 64 letters, digits, '-' and '_'")
    return prefix


def checked_path(path: str) -> str:
    """A relative path of plain names, "" for none. Raises InvalidRequest."""
    segments = path.strip("/").split("/") if path.strip("/") else []
    if any(not _SEGMENT.fullmatch(segment) for segment in segments):
        raise InvalidRequest("path_prefix takes names of letters, digits, '.', '-' and '_' with slashes between them; none begins with '.'")
    return "/".join(segments)


def pieces(file: BinaryIO, size: int = PIECE) -> Iterator[bytes]:
    """A whole file, from its beginning."""
    file.seek(0)
    while piece := file.read(size):
        yield piece


def digest(file: BinaryIO) -> bytes:
    """SHA-256 of a whole file."""
    hashed = sha256()
    for piece in pieces(file):
        hashed.update(piece)
    return hashed.digest()


def below(directory: str, path: str) -> Path:
    """Where a path of the API lies: in the configured directory, written with that before it or without. Raises InvalidRequest."""
    if not directory:
        raise InvalidRequest('no directory is open to schedules: set snapshots { directory = "/…" } in the configuration, or use a bucket')
    base = directory.rstrip("/")
    if path.startswith("/") and path.rstrip("/") != base and not path.startswith(f"{base}/"):
        raise InvalidRequest("path_prefix lies outside of the directory that the configuration opens to schedules")
    return Path(base, checked_path(path.removeprefix(base) if path.startswith("/") else path))


class Directory:
    """A directory of this host."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, name: str, taken: Taken) -> str:
        try:
            return self._put(self._path / name, taken)
        except OSError as error:
            raise StorageUnusable(f"the snapshot cannot be kept in {self._path}: {error.strerror}") from None

    def _put(self, path: Path, taken: Taken) -> str:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        with suppress(FileNotFoundError):
            new.unlink()  # of a process that was killed
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            for piece in pieces(taken.file):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            if not compare_digest(digest(file), digest(taken.file)):
                raise StorageUnusable(f"what was written to {new} is not what is read from it; look at the disk")
        new.rename(path)
        sync_directory(self._path)
        return path.as_uri()

    def names(self, beginning: str) -> list[str]:
        with suppress(FileNotFoundError):
            return [entry.name for entry in self._path.iterdir() if entry.name.startswith(beginning)]
        return []

    def size(self, name: str) -> int:
        return (self._path / name).stat().st_size

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)
