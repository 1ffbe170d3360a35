"""The barrier: sealed it knows nothing, unsealed it is the only thing that encrypts and decrypts rows.

Rules of this file:
- Everything above works on plaintext rows, everything below on sealed ones; both name a row by its row key.
- A record that does not open is `StorageTampered`, never "not found". Before that is said, the keyring is read again once:
  another node may have begun a new epoch.
- Unsealing proves the root key by opening the keyring with it. Sealing drops every key and overwrites R; the other keys live on in
  memory that Python does not let us reach until it is used again, so only ending the process surely erases them.
- The keyring is followed: whoever commits or hears of a new one reads it anew, over a change of the root key too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import msgspec

from strongroom.barrier.index import EMPTY, Account, Index
from strongroom.barrier.keyring import (
    BOOT,
    HANDOVER_KEY,
    INSTALLATION_KEY,
    KEYRING_KEY,
    Installation,
    Keyring,
    boot_payload,
    boot_record,
    new_keyring,
    open_handover,
    open_keyring,
    seal_keyring,
)
from strongroom.barrier.shares import wipe
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.mac import Mac, derive
from strongroom.crypto.multiset import Multiset
from strongroom.crypto.records import RecordCipher, Xaes, record_header
from strongroom.crypto.rowkeys import RowNames
from strongroom.errors import Sealed, StorageTampered, StorageUnusable
from strongroom.storage.api import HEADER, INDEX_KEY, Group, Storage

_index = msgspec.msgpack.Decoder(Index)


class Keys:
    """What an unsealed barrier holds, ready for use; one object per keyring."""

    def __init__(self, root: bytes | bytearray, keyring: Keyring, installation: Installation) -> None:
        self.root = bytearray(root)
        self.keyring = keyring
        self.installation = installation
        self.ciphers = {epoch.number: RecordCipher(installation.id, epoch.number, epoch.key) for epoch in keyring.epochs}
        self.current = self.ciphers[keyring.current.number]
        stable = keyring.stable
        self.names = RowNames(stable.names)
        self.tokens = Mac(stable.tokens)
        self.lockout = Mac(stable.lockout)
        self.terms = Multiset(stable.index)
        self.batch = Xaes(stable.batch)
        self._macs: dict[bytes, Mac] = {}

    def purpose(self, label: bytes, length: int = 32) -> bytes:
        """A stable key for one audit device or other named purpose."""
        return derive(self.keyring.stable.audit, label, length)

    def mac(self, label: bytes) -> Mac:
        """The keyed hash of one named purpose, kept: labels are few and stand in the code."""
        kept = self._macs.get(label)
        if kept is None:
            kept = self._macs[label] = Mac(self.purpose(label))
        return kept

    def __repr__(self) -> str:
        return "Keys()"


class Written(NamedTuple):
    """What a group wrote: the records by row key, and what each counts in the index."""

    puts: dict[bytes, bytes]
    terms: dict[bytes, int]


class Barrier:
    """The keys of one process, or their absence."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.held: Keys | None = None

    @property
    def keys(self) -> Keys:
        """The keys. Raises Sealed."""
        if self.held is None:
            raise Sealed
        return self.held

    @property
    def sealed(self) -> bool:
        """Whether there are no keys."""
        return self.held is None

    def installation(self) -> Installation | None:
        """The public header of the store; None where `init` has not been run."""
        row = self.storage.get_many([INSTALLATION_KEY]).get(INSTALLATION_KEY)
        if row is None:
            return None
        try:
            return msgspec.msgpack.decode(boot_payload(row), type=Installation)
        except (msgspec.MsgspecError, ValueError):
            raise StorageTampered("the installation header") from None

    def unseal(self, root: bytes | bytearray) -> None:
        """Open the keyring with the root key and keep the keys. Raises InvalidRecord when it is not the root key."""
        installation = self.installation()
        row = self.storage.get_many([KEYRING_KEY]).get(KEYRING_KEY)
        if installation is None or row is None:
            raise StorageUnusable("the store is not initialised: run 'strongroom operator init'")
        keyring = open_keyring(root, boot_payload(row), installation)
        self.held, old = Keys(root, keyring, installation), self.held
        if old is not None:
            wipe(old.root)

    def seal(self) -> None:
        """Forget the keys."""
        old, self.held = self.held, None
        if old is not None:
            wipe(old.root)

    def reload(self) -> None:
        """Read the keyring again: it was rotated, here or by another process. Raises Sealed when the root key is not known any more."""
        keys = self.keys
        try:
            self.unseal(keys.root)
        except InvalidRecord:
            self._follow(keys)

    def _follow(self, keys: Keys) -> None:
        """The root key was changed, once or more often: each new one lies under the one before for a while. Raises Sealed."""
        row = self.storage.get_many([HANDOVER_KEY]).get(HANDOVER_KEY)
        try:
            if row is None:
                raise InvalidRecord("there is no handover")
            self.unseal(open_handover(keys.root, boot_payload(row), keys.installation))
        except InvalidRecord:
            self.seal()
            raise Sealed("Vault is sealed: the root key was changed while this server was away; unseal it again") from None

    def heard(self, key: bytes | None) -> None:
        """A boot row changed (None: any row may have): follow the keyring."""
        if not self.sealed and (key is None or key == KEYRING_KEY):
            with suppress(Sealed, StorageUnusable):
                self.reload()

    def open(self, key: bytes, record: bytes) -> bytes:
        """The plaintext of a row. Raises StorageTampered."""
        keys = self.keys
        try:
            epoch = int.from_bytes(record[2:6], "big")
            cipher = keys.ciphers.get(epoch)
            if cipher is None:
                self.reload()
                cipher = self.keys.ciphers[record_header(record).epoch]
            return cipher.open(key, record)
        except (InvalidRecord, KeyError):
            raise StorageTampered(f"the row {key[:20].hex()}…") from None

    def opener(self, key: bytes, record: bytes) -> Callable[[], bytes]:
        """Opens a row that was opened before, at a quarter of the price."""
        return self.keys.ciphers[record_header(record).epoch].opener(key, record)

    # -- the index row ------------------------------------------------------------------------------------------

    def read_index(self, record: bytes | None) -> Index:
        """The index row's content; an empty store's when there is none yet. Raises StorageTampered."""
        if record is None:
            return EMPTY
        return _index.decode(self.open(INDEX_KEY, record))

    def index(self) -> Index:
        """The committed index."""
        return self.read_index(self.storage.get_many([INDEX_KEY]).get(INDEX_KEY))

    def locked_index(self, group: Group) -> Index:
        """The index under the lock; its gsn must be the store's. Raises StorageTampered."""
        index = self.read_index(group.entries.get(INDEX_KEY))
        if index.gsn != group.gsn - 1:
            raise StorageTampered(f"the sequence number of the store ({group.gsn - 1}, the index says {index.gsn})")
        return index

    def write(
        self,
        group: Group,
        rows: dict[bytes, bytes | None],
        old: dict[bytes, bytes],
        min_epoch: int = 0,
        known: Mapping[bytes, int] | None = None,
    ) -> Written:
        """Seal plaintext `rows` (None = delete) and apply them with the index that accounts for them.

        `old` holds the records that the rows replace. Boot rows are not sealed: their payload is, where it must be.
        `min_epoch`: from this commit on no record of an older epoch is taken. Raises StorageTampered when ours is one.
        """
        self._need_epoch(max(group.min_epoch, min_epoch))
        if min_epoch > group.min_epoch:
            group.raise_min_epoch(min_epoch)
        records: dict[bytes, bytes | None] = {}
        seal, gsn = self.keys.current.sealer(), group.gsn
        for key, plaintext in rows.items():
            if plaintext is None:
                records[key] = None
            else:
                records[key] = boot_record(gsn, plaintext) if key[:HEADER] == BOOT else seal(key, gsn, plaintext)
        account = Account(self.keys.terms, self.locked_index(group))
        terms = account.replace(old, records.items(), known or {})
        puts = {key: record for key, record in records.items() if record is not None}
        sealed_index = seal(INDEX_KEY, gsn, msgspec.msgpack.encode(account.close(gsn)))
        group.apply({**puts, INDEX_KEY: sealed_index}, [key for key, record in records.items() if record is None and key in old])
        return Written(puts, terms)

    def _need_epoch(self, epoch: int) -> None:
        if self.keys.current.epoch < epoch:
            self.reload()
            if self.keys.current.epoch < epoch:
                raise StorageTampered("the keyring")

    def initialise(
        self,
        installation: Installation,
        root: bytes,
        now: int,
        boot: dict[bytes, bytes],
        rows: Callable[[], Mapping[bytes, bytes | None]] = dict,
    ) -> None:
        """Write the first commit of a fresh store; the barrier is then unsealed.

        It holds the header, the keyring, the given boot payloads, and the plaintext rows that `rows` makes once there are keys.
        """
        group = self.storage.begin(0, [INSTALLATION_KEY])
        try:
            if INSTALLATION_KEY in group.entries:
                raise StorageUnusable("the store is already initialised")
            keyring = new_keyring(now)
            self.held = Keys(root, keyring, installation)
            payloads = {
                INSTALLATION_KEY: msgspec.msgpack.encode(installation),
                KEYRING_KEY: seal_keyring(root, keyring, installation),
                **boot,
            }
            self.write(group, {**payloads, **rows()}, {})
            group.commit()
        except BaseException:
            self.held = None
            group.abandon()
            raise
