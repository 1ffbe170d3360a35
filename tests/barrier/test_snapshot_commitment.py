"""T-C1: one ciphertext of AES-GCM that two keys open, and a snapshot made with it.

The construction is that of Dodis, Grubbs, Ristenpart and Woodage, "Fast Message Franking" (2018).
Whoever knows both keys can make it: somebody who seals one snapshot for two recipients and wants each to find something else in it.
"""

from __future__ import annotations

import io
import os

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from strongroom.barrier.snapshots import format as layout
from strongroom.barrier.snapshots import opening
from strongroom.barrier.snapshots.copying import save
from strongroom.barrier.snapshots.opening import unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.crypto import hpke
from strongroom.crypto.hpke import Recipient
from strongroom.testing import Strongroom

_R = 0xE1 << 120


def times(left: int, right: int) -> int:
    """Multiplication in GCM's field: NIST SP 800-38D, algorithm 1."""
    product, moving = 0, right
    for bit in range(127, -1, -1):
        if left >> bit & 1:
            product ^= moving
        moving = moving >> 1 ^ _R if moving & 1 else moving >> 1
    return product


def power(base: int, exponent: int) -> int:
    result = 1 << 127
    while exponent:
        if exponent & 1:
            result = times(result, base)
        base, exponent = times(base, base), exponent >> 1
    return result


def two_keyed(first: bytes, second: bytes, nonce: bytes, blocks: list[bytes]) -> bytes:
    """Ciphertext and tag that both keys open: these blocks, and one more that makes both tags the same."""
    halves = []
    for key in (first, second):
        encrypt = Cipher(AES256(key), ECB()).encryptor().update
        h, mask = int.from_bytes(encrypt(bytes(16))), int.from_bytes(encrypt(nonce + b"\0\0\0\1"))
        length = (len(blocks) + 1) * 128
        fixed = mask ^ times(length, h)
        for number, block in enumerate(blocks):
            fixed ^= times(int.from_bytes(block), power(h, len(blocks) + 2 - number))
        halves.append((fixed, power(h, 2)))
    (one, slope), (other, other_slope) = halves
    free = times(one ^ other, power(slope ^ other_slope, (1 << 128) - 2))
    tag = one ^ times(free, slope)
    return b"".join(blocks) + free.to_bytes(16) + tag.to_bytes(16)


def test_there_are_such_ciphertexts() -> None:
    first, second, nonce = os.urandom(32), os.urandom(32), os.urandom(12)
    sealed = two_keyed(first, second, nonce, [os.urandom(16) for _ in range(3)])
    assert AESGCM(first).decrypt(nonce, sealed, None) != AESGCM(second).decrypt(nonce, sealed, None)


def forged(alice: Recipient, bob: Recipient) -> tuple[Snapshot, Strongroom, bytes]:
    """A snapshot with a key for each of both, whose one chunk opens under either; and that chunk."""
    made = Strongroom()
    file = io.BytesIO()
    save(made.core.barrier, file, 1)
    honest = Snapshot(file, "x").header
    keys = os.urandom(32), os.urandom(32)
    context = layout.lock_context(honest.id, made.core.barrier.keys.installation.id)
    locks = tuple(
        layout.Lock(layout.RECIPIENT, hpke.seal(reader.public(), key, context), layout.key_id(reader.public()))
        for reader, key in zip((alice, bob), keys, strict=True)
    )
    encoded = msgspec.msgpack.encode(msgspec.structs.replace(honest, locks=locks, commitment=layout.commitment(keys[0])))
    head = layout.MAGIC + layout.LENGTH.pack(len(encoded)) + encoded
    first, second = (layout.chunk_key(key, head) for key in keys)
    chunk = two_keyed(first, second, layout.chunk_nonce(0, last=True), [os.urandom(16)])
    return Snapshot(io.BytesIO(head + layout.LENGTH.pack(len(chunk) | layout.LAST) + chunk), "forged"), made, chunk


def test_a_snapshot_with_a_key_for_each_reader_opens_for_one_of_them_only(monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = Recipient.generate(), Recipient.generate()
    snapshot, made, chunk = forged(alice, bob)
    keys, nonce = made.core.barrier.keys, layout.chunk_nonce(0, last=True)
    for_alice = unlock(snapshot, keys, alice)
    with pytest.raises(layout.InvalidSnapshot, match="lock does not open"):
        unlock(snapshot, keys, bob)
    monkeypatch.setattr(opening, "check_commitment", lambda key, header: None)
    for_bob = unlock(snapshot, keys, bob)
    found = {opened._cipher.decrypt(nonce, chunk, None) for opened in (for_alice, for_bob)}
    assert len(found) == 2, "the control: without the commitment each would read something of his own"
