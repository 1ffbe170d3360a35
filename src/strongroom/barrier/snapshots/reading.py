"""Reading a snapshot's frame, without any key: nothing is believed before it was bounded and checked.

Rules of this file:
- What is wrong raises InvalidSnapshot, which names the file and the part.
- `chunks` ends only if the file ends where it should, its manifest belongs to it, and its hash is the manifest's. The signature is checked
  where the public key is given: without, whoever could write the file could have written the manifest, too.
- Memory is bounded by a chunk, whatever the file says.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec

from strongroom.barrier.keyring import INSTALLATION_KEY, KEYRING_KEY, SEALS_KEY, Installation, boot_record
from strongroom.barrier.snapshots.format import (
    CHUNK,
    CONTEXT,
    FAMILY,
    FORMAT,
    LAST,
    LENGTH,
    LONGEST_MAGIC,
    MAGIC,
    MAX_HEADER,
    MAX_LOCKS,
    MAX_MANIFEST,
    TAG,
    Header,
    InvalidSnapshot,
    Manifest,
)
from strongroom.crypto.errors import InvalidSignature
from strongroom.crypto.signatures import SIGNATURE_BYTES, DualVerifier
from strongroom.storage.whole import Rows

T = TypeVar("T")


class Chunk(NamedTuple):
    """A piece of the sealed stream, and its place."""

    number: int
    sealed: bytes
    last: bool


class Snapshot:
    """A snapshot file whose header was read. `name` is what errors call it; the file is seekable.

    `head` is all bytes before the chunks. `manifest` is there once `chunks` has ended.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self.manifest: Manifest | None = None
        file.seek(0)
        magic = self._magic()
        length, encoded = self._sized(MAX_HEADER, "header")
        self.head = magic + length + encoded
        self.header = self._decoded(encoded, Header, "header")
        self.installation = self._decoded(self.header.installation, Installation, "installation header")
        if len(self.header.id) != 16 or len(self.installation.id) != 16 or len(self.header.locks) > MAX_LOCKS:
            raise self.wrong("its header is not one")

    def wrong(self, text: str) -> InvalidSnapshot:
        """The error for something about this file."""
        return InvalidSnapshot(self.name, text)

    def boot_rows(self) -> Rows:
        """The rows by which the seal of its store is opened."""
        header = self.header
        payloads = {INSTALLATION_KEY: header.installation, SEALS_KEY: header.seals, KEYRING_KEY: header.keyring}
        return sorted((key, boot_record(header.gsn, payload)) for key, payload in payloads.items())

    def look(self, verifier: DualVerifier | None = None) -> Manifest:
        """Check what can be checked without opening it. Raises InvalidSnapshot."""
        for _ in self.chunks(verifier):
            pass
        assert self.manifest is not None
        return self.manifest

    def chunks(self, verifier: DualVerifier | None) -> Iterator[Chunk]:
        """The sealed stream. Raises InvalidSnapshot, at its end too."""
        self._file.seek(len(self.head))
        hashed, number, last, size = sha256(self.head), 0, False, len(self.head)
        while not last:
            prefix = self._read(LENGTH.size, f"it ends before chunk {number}")
            last = bool(LENGTH.unpack(prefix)[0] & LAST)
            sealed = self._read(self._chunk_size(prefix, number, last), f"it ends in chunk {number}")
            hashed.update(prefix)
            hashed.update(sealed)
            size += len(prefix) + len(sealed)
            yield Chunk(number, sealed, last)
            number += 1
        self.manifest = self._manifest(hashed.hexdigest(), number, size, verifier)

    def _chunk_size(self, prefix: bytes, number: int, last: bool) -> int:
        size: int = LENGTH.unpack(prefix)[0] & ~LAST
        if not TAG <= size <= CHUNK + TAG or (not last and size != CHUNK + TAG):
            raise self.wrong(f"chunk {number} has a length that none has")
        return size

    def _manifest(self, hashed: str, chunks: int, size: int, verifier: DualVerifier | None) -> Manifest:
        """Read what follows the chunks and hold it against what was read."""
        _, text = self._sized(MAX_MANIFEST, "manifest")
        signature = self._read(SIGNATURE_BYTES, "its signature is cut")
        if self._file.read(1):
            raise self.wrong("there are bytes behind its end")
        if verifier is not None:
            try:
                verifier.verify(text, signature, context=CONTEXT)
            except InvalidSignature:
                raise self.wrong("its manifest was not signed by the key that it was checked with") from None
        manifest = self._decoded(text, Manifest, "manifest")
        header, installation = self.header, self.installation
        said = (manifest.format, manifest.id, manifest.installation, manifest.gsn, manifest.created, manifest.chunks, manifest.size)
        if said != (FORMAT, header.id.hex(), installation.id.hex(), header.gsn, header.created, chunks, size):
            raise self.wrong("its manifest belongs to another snapshot")
        if manifest.sha256 != hashed:
            raise self.wrong("it is not what its manifest says: bytes of it were changed")
        return manifest

    def _magic(self) -> bytes:
        start = self._file.read(len(MAGIC))
        if start == MAGIC:
            return start
        if start.startswith(FAMILY):
            number = (start + self._file.read(LONGEST_MAGIC - len(start)))[len(FAMILY) :].partition(b"\n")[0]
            if number.isdigit() and int(number) > FORMAT:
                raise self.wrong(f"it is in format {int(number)}, this program reads up to {FORMAT}; use the newer strongroom that made it")
        raise self.wrong("it is not a snapshot of strongroom")

    def _sized(self, most: int, what: str) -> tuple[bytes, bytes]:
        """A part with its length before it."""
        prefix = self._read(LENGTH.size, f"its {what} is cut")
        size: int = LENGTH.unpack(prefix)[0]
        if size > most:
            raise self.wrong(f"its {what} has a length that none has")
        return prefix, self._read(size, f"its {what} is cut")

    def _read(self, size: int, cut: str) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise self.wrong(f"{cut}; it was not written to its end, or not copied whole")
        return data

    def _decoded(self, data: bytes, kind: type[T], what: str) -> T:
        try:
            return msgspec.json.decode(data, type=kind) if kind is Manifest else msgspec.msgpack.decode(data, type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise self.wrong(f"its {what} cannot be read: it was changed, or made by a newer strongroom") from None
