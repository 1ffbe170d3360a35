"""A snapshot in the wrapping that Vault's Go clients ask for: a gzipped tar whose last member says that the download came to its end.

    gzip, stored | tar: strongroom.snap, SHA256SUMS.sealed

Rules of this file:
- Go clients refuse a download without a member SHA256SUMS.sealed that holds something. Here that is the hash of the other member; nothing
  is believed for its sake, since the snapshot proves itself.
- Ciphertext does not get shorter: what unpacks to more bytes than it had was not packed here, and is refused before it fills a disk.
- A file that is not wrapped is taken as it is, so that whoever reads snapshots reads both.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from hashlib import sha256
from hmac import compare_digest
from typing import BinaryIO, Final, Protocol

from strongroom.barrier.snapshots.format import InvalidSnapshot
from strongroom.storage.nameless import nameless

MEMBER: Final = "strongroom.snap"
SUMS: Final = "SHA256SUMS.sealed"
GZIP: Final = b"\x1f\x8b"
PIECE: Final = 1 << 18
MAX_SUMS: Final = 4_096
MAX_END: Final = 20 * tarfile.BLOCKSIZE
"""Bytes of zeros behind the last member: tar fills up blocks of 20."""

_BROKEN = (OSError, EOFError, zlib.error, tarfile.TarError, ValueError)


class Reads(Protocol):
    """Something to read from."""

    def read(self, size: int, /) -> bytes: ...


def pack(snapshot: BinaryIO, into: BinaryIO) -> None:
    """Wrap a whole snapshot file."""
    size, hashed = snapshot.seek(0, os.SEEK_END), sha256()
    snapshot.seek(0)
    with gzip.GzipFile(filename="", mode="wb", compresslevel=0, fileobj=into, mtime=0) as packed:
        packed.write(_head(MEMBER, size))
        while piece := snapshot.read(PIECE):
            hashed.update(piece)
            packed.write(piece)
        sums = f"{hashed.hexdigest()}  {MEMBER}\n".encode()
        packed.write(_filling(size) + _head(SUMS, len(sums)) + sums + _filling(len(sums)) + bytes(2 * tarfile.BLOCKSIZE))
    into.flush()


def plain(file: BinaryIO, name: str, spool: str = "") -> BinaryIO:
    """The snapshot in a file: itself, or what is wrapped in it. Raises InvalidSnapshot."""
    file.seek(0)
    wrapped = file.read(len(GZIP)) == GZIP
    file.seek(0)
    if not wrapped:
        return file
    most = file.seek(0, os.SEEK_END)
    file.seek(0)
    found = nameless(spool)
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as packed:
            _unpack(packed, most, found)
        found.seek(0)
    except _BROKEN:
        raise InvalidSnapshot(name, "its gzipped tar is cut, was changed, or is not one of strongroom's") from None
    return found


def _unpack(packed: Reads, most: int, into: BinaryIO) -> None:
    """Raises one of _BROKEN."""
    left, hashed = _size(packed, MEMBER, most), sha256()
    filling = len(_filling(left))
    while left:
        piece = _exactly(packed, min(left, PIECE))
        hashed.update(piece)
        into.write(piece)
        left -= len(piece)
    _exactly(packed, filling)
    size = _size(packed, SUMS, MAX_SUMS)
    if not compare_digest(_exactly(packed, size), f"{hashed.hexdigest()}  {MEMBER}\n".encode()):
        raise ValueError("the hash is that of another file")
    _exactly(packed, len(_filling(size)))
    if packed.read(MAX_END).strip(b"\0") or packed.read(1):
        raise ValueError("there is something behind the last member")


def _head(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def _size(packed: Reads, name: str, most: int) -> int:
    """The size of the member that comes next, which has this name."""
    info = tarfile.TarInfo.frombuf(_exactly(packed, tarfile.BLOCKSIZE), "ascii", "strict")
    if info.name != name or not info.isreg() or not 0 < info.size <= most:
        raise ValueError("another member was expected")
    return info.size


def _filling(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _exactly(packed: Reads, size: int) -> bytes:
    data = packed.read(size)
    if len(data) != size:
        raise EOFError
    return data
