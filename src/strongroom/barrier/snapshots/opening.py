"""Opening a snapshot: its content key, its rows, and the proof that they are all rows of one store at one commit.

Rules of this file:
- `pages` ends only if every chunk opened, the manifest is signed by the store's key, rows are in order, and their number and keyed sum are
  what the index row among them says. Whoever takes pages must be able to undo everything until then.
- The keys are those of the snapshot's own time: epochs may have been destroyed since.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.barrier.barrier import Keys
from strongroom.barrier.index import Index, record_generation
from strongroom.barrier.snapshots.format import (
    INSTALLATION,
    RECIPIENT,
    Lock,
    Manifest,
    check_commitment,
    chunk_key,
    chunk_nonce,
    key_id,
    lock_context,
)
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.barrier.snapshots.rows import NotAsWritten, Unpacker
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.hpke import Recipient
from strongroom.crypto.multiset import encode
from strongroom.crypto.records import NONCE_BYTES, xaes_open
from strongroom.crypto.signatures import DualSigner
from strongroom.storage.api import INDEX_KEY
from strongroom.storage.whole import Rows

_MASK = (1 << 512) - 1
_INDEX = msgspec.msgpack.Decoder(Index)


def unlock(snapshot: Snapshot, keys: Keys, identity: Recipient | None = None) -> Opened:
    """Open it with a recipient's private key where one is given, else with the store's own keys. Raises InvalidSnapshot."""
    context = lock_context(snapshot.header.id, snapshot.installation.id)
    try:
        if identity is not None:
            key = identity.open(_lock(snapshot, RECIPIENT, key_id(identity.public())).sealed, context)
        else:
            key = _open_own(keys, _lock(snapshot, INSTALLATION).sealed, context)
        check_commitment(key, snapshot.header)
    except InvalidRecord:
        raise snapshot.wrong("its lock does not open: it was changed, or belongs to another store or another recipient") from None
    return Opened(snapshot, keys, key)


def _lock(snapshot: Snapshot, kind: str, name: bytes = b"") -> Lock:
    found = next((lock for lock in snapshot.header.locks if lock.kind == kind and lock.key_id == name), None)
    if found is not None:
        return found
    if kind == INSTALLATION:
        raise snapshot.wrong("it is sealed for its recipients only; give the private key of one of them")
    raise snapshot.wrong("it is not sealed for this recipient")


def _open_own(keys: Keys, sealed: bytes, context: bytes) -> bytes:
    """Undo `writing.seal_own`. Raises InvalidRecord."""
    if len(sealed) <= NONCE_BYTES:
        raise InvalidRecord("the lock is cut short")
    return xaes_open(keys.purpose(b"snapshot lock"), sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)


class Opened:
    """A snapshot and the keys to read it. `manifest` is that of the last time it was read to its end."""

    def __init__(self, snapshot: Snapshot, keys: Keys, key: bytes) -> None:
        self.snapshot = snapshot
        self._keys = keys
        self._cipher = AESGCM(chunk_key(key, snapshot.head))
        self._verifier = DualSigner.from_bytes(keys.keyring.stable.signing).public()

    @property
    def manifest(self) -> Manifest:
        """What it holds, proven."""
        assert self.snapshot.manifest is not None
        return self.snapshot.manifest

    def pages(self) -> Iterator[Rows]:
        """All rows, in order. Raises InvalidSnapshot, at the end too."""
        unpacker, tally, number = Unpacker(), _Tally(self._keys), 0
        self.snapshot.manifest = None
        try:
            for number, sealed, last in self.snapshot.chunks(self._verifier):
                rows = unpacker.feed(self._cipher.decrypt(chunk_nonce(number, last=last), sealed, None))
                tally.count(rows)
                if rows:
                    yield rows
            unpacker.close()
            tally.agree(self.manifest)
        except InvalidTag:
            raise self.snapshot.wrong(f"chunk {number} does not open: it, or the header, was changed, moved or exchanged") from None
        except NotAsWritten as error:
            raise self.snapshot.wrong(str(error)) from None

    def verify(self) -> Manifest:
        """Check everything. Raises InvalidSnapshot."""
        for _ in self.pages():
            pass
        return self.manifest

    def __repr__(self) -> str:
        return f"Opened({self.snapshot.name})"


class _Tally:
    """Counts rows as the index does."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._rows = self._sum = 0
        self._index = b""

    def count(self, rows: Rows) -> None:
        term = self._keys.terms.term
        for key, record in rows:
            if key == INDEX_KEY:
                self._index = record
            else:
                self._sum += term(key, record_generation(record), record)
                self._rows += 1

    def agree(self, manifest: Manifest) -> None:
        """Raises NotAsWritten unless rows, index row and manifest are of one store at one commit."""
        index = self._open_index()
        if (index.gsn, index.count, index.hex) != (manifest.gsn, manifest.rows, manifest.sigma):
            raise NotAsWritten("its manifest and the index in it do not agree")
        if self._rows != index.count or encode(self._sum & _MASK) != index.sigma:
            raise NotAsWritten("its rows are not those that the store's index vouches for: the store was damaged when it was taken")

    def _open_index(self) -> Index:
        try:
            cipher = self._keys.ciphers[int.from_bytes(self._index[2:6])]
            return _INDEX.decode(cipher.open(INDEX_KEY, self._index))
        except (InvalidRecord, KeyError, msgspec.MsgspecError):
            raise NotAsWritten("the index row in it is missing or does not open") from None
