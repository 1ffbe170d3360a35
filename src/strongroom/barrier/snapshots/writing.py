"""Writing a snapshot: one instant of the store, page by page, into a file that only needs to be appended to.

Rules of this file:
- What is written is of one commit: boot rows in the header, rows, and the index that vouches for them, all from one instant.
- Nothing is kept but a page and a chunk. Whoever wrote the file reads it back (reading.py) before calling it a snapshot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import BinaryIO

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom import __version__
from strongroom.barrier.barrier import Barrier, Keys
from strongroom.barrier.keyring import INSTALLATION_KEY, KEYRING_KEY, SEALS_KEY, boot_payload
from strongroom.barrier.snapshots import rows as row_stream
from strongroom.barrier.snapshots.format import (
    CHUNK,
    CONTEXT,
    FORMAT,
    INSTALLATION,
    LAST,
    LENGTH,
    MAGIC,
    MAX_LOCKS,
    RECIPIENT,
    Header,
    Lock,
    Manifest,
    chunk_key,
    chunk_nonce,
    commitment,
    key_id,
    lock_context,
)
from strongroom.crypto import hpke
from strongroom.crypto.records import new_nonce, xaes_seal
from strongroom.crypto.signatures import DualSigner
from strongroom.errors import ConfigError, StorageTampered
from strongroom.storage.api import INDEX_KEY
from strongroom.storage.whole import Instant, pages


class Readers(msgspec.Struct, frozen=True):
    """Who can open snapshots: recipients by their public keys and, unless it is theirs only, whoever opens the store itself."""

    recipients: tuple[bytes, ...] = ()
    recipients_only: bool = False

    def __post_init__(self) -> None:
        if self.recipients_only and not self.recipients:
            raise ConfigError("snapshots for recipients only need recipients; nobody could open them")
        if len(self.recipients) >= MAX_LOCKS:
            raise ConfigError(f"a snapshot has at most {MAX_LOCKS - 1} recipients")


class Written:
    """A file that is appended to, and the hash of what was."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def hexdigest(self) -> str:
        """SHA-256 of everything so far."""
        return self._hash.hexdigest()


def write_snapshot(barrier: Barrier, instant: Instant, file: BinaryIO, now: int, readers: Readers) -> bytes:
    """Write the store as of this instant; the content key, with which to read it back. Raises StorageTampered and StorageUnusable."""
    keys = barrier.keys
    key = os.urandom(32)
    header = _header(keys, instant, now, key, readers)
    encoded = msgspec.msgpack.encode(header)
    head = MAGIC + LENGTH.pack(len(encoded)) + encoded
    out = Written(file)
    out.write(head)
    stream = _Stream(instant)
    chunks = _write_chunks(out, AESGCM(chunk_key(key, head)), stream)
    text = msgspec.json.encode(_manifest(barrier, instant, header, out, chunks, stream.index))
    signed = DualSigner.from_bytes(keys.keyring.stable.signing).sign(text, context=CONTEXT)
    file.write(LENGTH.pack(len(text)) + text + signed)
    return key


def _manifest(barrier: Barrier, instant: Instant, header: Header, out: Written, chunks: int, record: bytes | None) -> Manifest:
    index, installation = barrier.read_index(record), barrier.keys.installation
    if index.gsn != instant.gsn:
        raise StorageTampered(f"the sequence number of the store ({instant.gsn}, the index says {index.gsn})")
    return Manifest(
        format=FORMAT,
        id=header.id.hex(),
        installation=installation.id.hex(),
        cluster_id=installation.cluster_id,
        gsn=instant.gsn,
        min_epoch=instant.min_epoch,
        rows=index.count,
        sigma=index.hex,
        created=header.created,
        program=__version__,
        chunks=chunks,
        size=out.size,
        sha256=out.hexdigest(),
    )


class _Stream:
    """The rows of an instant as bytes; the index row is remembered as it goes by."""

    def __init__(self, instant: Instant) -> None:
        self._instant = instant
        self.index: bytes | None = None

    def __iter__(self) -> Iterator[bytes]:
        for page in pages(self._instant):
            for key, record in page:
                if key == INDEX_KEY:
                    self.index = record
            yield row_stream.pack(page)


def _header(keys: Keys, instant: Instant, now: int, key: bytes, readers: Readers) -> Header:
    snapshot = os.urandom(16)
    context = lock_context(snapshot, keys.installation.id)
    own = () if readers.recipients_only else (Lock(INSTALLATION, seal_own(keys, key, context)),)
    others = [Lock(RECIPIENT, hpke.seal(public, key, context), key_id(public)) for public in readers.recipients]
    installation, seals, keyring = (_boot(instant, row) for row in (INSTALLATION_KEY, SEALS_KEY, KEYRING_KEY))
    return Header(snapshot, installation, seals, keyring, instant.gsn, now, (*own, *others), commitment(key))


def seal_own(keys: Keys, key: bytes, context: bytes) -> bytes:
    """The content key under the installation's own keys, which no rekey or rotation changes."""
    nonce = new_nonce()
    return nonce + xaes_seal(keys.purpose(b"snapshot lock"), nonce, key, context)


def _boot(instant: Instant, row: bytes) -> bytes:
    found = instant.scan(row, row + b"\0", 1)
    if not found:
        raise StorageTampered(f"the boot row {row[17:].decode()}, which is missing,")
    return boot_payload(found[0][1])


def _write_chunks(out: Written, cipher: AESGCM, stream: Iterable[bytes]) -> int:
    """Seal the stream; how many chunks that made."""
    waiting, number = bytearray(), 0
    for piece in stream:
        waiting += piece
        while len(waiting) > CHUNK:  # what is left makes the last chunk, so at least a byte stays
            _write_chunk(out, cipher, number, bytes(waiting[:CHUNK]))
            del waiting[:CHUNK]
            number += 1
    _write_chunk(out, cipher, number, bytes(waiting), last=True)
    return number + 1


def _write_chunk(out: Written, cipher: AESGCM, number: int, plaintext: bytes, *, last: bool = False) -> None:
    sealed = cipher.encrypt(chunk_nonce(number, last=last), plaintext, None)
    out.write(LENGTH.pack(len(sealed) | (LAST if last else 0)) + sealed)
