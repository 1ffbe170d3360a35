"""A snapshot is one commit of a store, opens for whom it was made, and anything but the whole of it is refused with nothing changed."""

from __future__ import annotations

import io
import os
import random
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.barrier import scrub as scrubbing
from strongroom.barrier.barrier import Barrier, Keys
from strongroom.barrier.keyring import KEYRING_KEY, SEALS_KEY, boot_payload, open_keyring
from strongroom.barrier.snapshots import format as layout
from strongroom.barrier.snapshots import opening, writing
from strongroom.barrier.snapshots.copying import restore, save
from strongroom.barrier.snapshots.opening import Opened, unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.barrier.snapshots.rows import NotAsWritten, Unpacker, pack
from strongroom.barrier.snapshots.writing import Readers, write_snapshot
from strongroom.crypto.hpke import Recipient
from strongroom.crypto.signatures import DualSigner
from strongroom.errors import ConfigError, StorageTampered, StrongroomError
from strongroom.storage.api import INDEX_KEY, Storage
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.walk import END
from strongroom.storage.whole import Rows
from strongroom.testing import Strongroom

pytestmark = pytest.mark.fault("F19")

NOW = 1_767_225_600_000_000_000


def room(secrets: int = 3, size: int = 20) -> Strongroom:
    made = Strongroom()
    for number in range(secrets):
        made.write(f"secret/data/{number}", {"data": {"value": "x" * size}})
    return made


def saved(made: Strongroom, readers: Readers | None = None) -> bytes:
    file = io.BytesIO()
    save(made.core.barrier, file, NOW, readers or Readers())
    return file.getvalue()


def opened(data: bytes, keys: Keys, identity: Recipient | None = None) -> Opened:
    return unlock(Snapshot(io.BytesIO(data), "x.snap"), keys, identity)


def everything(storage: Storage) -> Rows:
    return storage.scan(b"", END, -1)


class Small(NamedTuple):
    """The smallest store there is, and a snapshot of it."""

    keys: Keys
    data: bytes
    rows: Rows


@pytest.fixture(scope="module")
def small() -> Small:
    made = room(1)
    return Small(made.core.barrier.keys, saved(made, Readers((Recipient.from_bytes(bytes(32)).public(),))), everything(made.storage))


# -- there and back -------------------------------------------------------------------------------------------------------


def test_what_was_saved_is_restored_whole_and_serves_again() -> None:
    made = room(30, 20_000)
    data, rows, before = saved(made), everything(made.storage), made.core.barrier.index()
    assert len(data) > 2 * layout.CHUNK, "several chunks"
    made.write("secret/data/0", {"data": {"value": "newer"}})
    other = MemoryStorage()
    manifest = restore(opened(data, made.core.barrier.keys), other)
    assert everything(other) == rows
    assert (manifest.gsn, manifest.rows, manifest.sigma) == (before.gsn, before.count, before.hex)
    made.storage = other
    made.restart()
    made.unseal()
    assert made.json(made.read("secret/data/0"))["data"]["value"] == "x" * 20_000
    assert scrubbing.scrub(made.core.barrier).clean
    assert made.json(made.write("secret/data/0", {"data": {"value": "later"}}))["version"] == 2
    assert made.core.barrier.index().gsn > before.gsn, "the sequence goes on above the snapshot's"


def test_a_snapshot_is_of_one_commit_though_writes_go_on() -> None:
    made = room(300)
    file = io.BytesIO()
    with made.storage.instant() as instant:  # type: ignore[attr-defined]
        gsn = instant.gsn
        made.write("secret/data/7", {"data": {"value": "while it is taken"}})
        key = write_snapshot(made.core.barrier, instant, file, NOW, Readers())
    manifest = Opened(Snapshot(file, "x"), made.core.barrier.keys, key).verify()
    assert manifest.gsn == gsn < made.core.barrier.index().gsn


def test_it_says_what_it_holds_without_a_key(small: Small) -> None:
    snapshot = Snapshot(io.BytesIO(small.data), "x")
    verifier = DualSigner.from_bytes(small.keys.keyring.stable.signing).public()
    manifest = snapshot.look(verifier)
    assert (manifest.created, manifest.rows) == (NOW, len(small.rows) - 1)
    assert manifest.installation == small.keys.installation.id.hex()
    with pytest.raises(layout.InvalidSnapshot, match="not signed"):
        snapshot.look(DualSigner.generate().public())


def test_neither_rows_nor_names_nor_keys_are_seen_in_it(small: Small) -> None:
    shown_while_sealed = {SEALS_KEY, KEYRING_KEY, layout.FAMILY}
    for key, record in small.rows:
        if key[:17] != bytes(17):
            assert key not in small.data
            assert record not in small.data
        elif key not in shown_while_sealed and key != INDEX_KEY:
            assert key not in small.data


# -- whom it opens for ----------------------------------------------------------------------------------------------------


def test_a_recipient_opens_it_and_nobody_else_does() -> None:
    made, alice, bob = room(), Recipient.generate(), Recipient.generate()
    data = saved(made, Readers((alice.public(), bob.public())))
    keys = made.core.barrier.keys
    for identity in (None, alice, bob):
        assert opened(data, keys, identity).verify().rows
    with pytest.raises(layout.InvalidSnapshot, match="not sealed for this recipient"):
        opened(data, keys, Recipient.generate())


def test_one_for_its_recipients_only_does_not_open_with_the_stores_keys() -> None:
    made, alice = room(), Recipient.generate()
    data = saved(made, Readers((alice.public(),), recipients_only=True))
    assert opened(data, made.core.barrier.keys, alice).verify().rows
    with pytest.raises(layout.InvalidSnapshot, match="recipients only"):
        opened(data, made.core.barrier.keys)
    with pytest.raises(ConfigError, match="nobody could open"):
        Readers((), recipients_only=True)


def test_another_store_does_not_open_it(small: Small) -> None:
    with pytest.raises(layout.InvalidSnapshot, match="another store"):
        opened(small.data, room().core.barrier.keys)


def test_it_opens_with_the_keys_of_its_own_time_after_epochs_were_destroyed() -> None:
    made = room()
    data = saved(made)
    made.write("sys/rotate")
    made.advance(60)
    keys = made.core.barrier.keys
    assert [epoch.number for epoch in keys.keyring.epochs] == [2], "the snapshot's epoch is gone"
    with pytest.raises(layout.InvalidSnapshot, match="index row"):
        opened(data, keys).verify()
    header = Snapshot(io.BytesIO(data), "x").header
    then = Keys(keys.root, open_keyring(keys.root, header.keyring, keys.installation), keys.installation)
    other = MemoryStorage()
    restore(opened(data, then), other)
    barrier = Barrier(other)
    barrier.unseal(keys.root)
    assert scrubbing.scrub(barrier).clean
    assert boot_payload(other.get_many([KEYRING_KEY])[KEYRING_KEY]) == header.keyring


def test_a_lock_that_holds_another_key_is_refused(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two keys for one snapshot (T-C1): the header commits to one of them. Without that the second key would be taken."""
    snapshot = Snapshot(io.BytesIO(small.data), "x")
    context = layout.lock_context(snapshot.header.id, snapshot.installation.id)
    other = layout.Lock(layout.INSTALLATION, writing.seal_own(small.keys, os.urandom(32), context))
    snapshot.header = msgspec.structs.replace(snapshot.header, locks=(other,))
    with pytest.raises(layout.InvalidSnapshot, match="lock does not open"):
        unlock(snapshot, small.keys)
    monkeypatch.setattr(opening, "check_commitment", lambda key, header: None)
    unlock(snapshot, small.keys)  # the control


# -- anything but the whole of it -----------------------------------------------------------------------------------------


def refused(data: bytes, small: Small) -> str:
    """The reason; the store that it would have replaced is as it was."""
    target = MemoryStorage()
    group = target.begin(0, [])
    group.apply({b"\x01" * 20: b"before"}, [])
    group.commit()
    with pytest.raises(layout.InvalidSnapshot) as caught:
        restore(opened(data, small.keys), target)
    assert everything(target) == [(b"\x01" * 20, b"before")]
    assert "x.snap" in caught.value.messages[0]
    assert "nothing was changed" in caught.value.messages[0]
    return caught.value.messages[0]


def test_every_byte_counts(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte of a small snapshot changed, one after another; with the long profile in all eight ways."""
    ways = [1 << bit for bit in range(8)] if os.environ.get("STRONGROOM_TEST_PROFILE") == "long" else [0]
    dice = random.Random(1)
    taken = []
    signer = DualSigner.from_bytes(small.keys.keyring.stable.signing)
    monkeypatch.setattr(DualSigner, "from_bytes", lambda seeds: signer)  # half of the time, and always the same
    for at in range(len(small.data)):
        for way in ways:
            data = bytearray(small.data)
            data[at] ^= way or 1 << dice.randrange(8)
            try:
                opened(bytes(data), small.keys).verify()
                taken.append(at)
            except layout.InvalidSnapshot:
                pass
    assert taken == []


@pytest.mark.control
def test_without_its_hash_chunks_alone_refuse_what_was_changed_in_them(small: Small) -> None:
    """What holds when somebody who can sign also rewrote the manifest: no chunk is changed, dropped, swapped or cut off unnoticed."""
    made = room(40, 20_000)
    data = saved(made)
    head = Snapshot(io.BytesIO(data), "x").head
    pieces = _chunks(data, len(head))
    assert len(pieces) >= 4
    for what, changed in (
        ("dropped", pieces[:1] + pieces[2:]),
        ("swapped", [pieces[1], pieces[0], *pieces[2:]]),
        ("repeated", [pieces[0], *pieces]),
        ("cut off", [*pieces[:-2], _made_last(pieces[-2])]),
        ("flipped", [pieces[0][:-1] + bytes([pieces[0][-1] ^ 1]), *pieces[1:]]),
    ):
        forged = _signed_anew(head, changed, made.core.barrier.keys, data)
        with pytest.raises(layout.InvalidSnapshot, match="does not open"):
            opened(forged, made.core.barrier.keys).verify()
        assert what
    control = _signed_anew(head, pieces, made.core.barrier.keys, data)
    assert opened(control, made.core.barrier.keys).verify().chunks == len(pieces)


def _chunks(data: bytes, at: int) -> list[bytes]:
    pieces, last = [], False
    while not last:
        size = int.from_bytes(data[at : at + 4])
        last = bool(size & layout.LAST)
        end = at + 4 + (size & ~layout.LAST)
        pieces.append(data[at:end])
        at = end
    return pieces


def _made_last(piece: bytes) -> bytes:
    return (int.from_bytes(piece[:4]) | layout.LAST).to_bytes(4) + piece[4:]


def _signed_anew(head: bytes, pieces: list[bytes], keys: Keys, data: bytes) -> bytes:
    out = writing.Written(io.BytesIO())
    for piece in (head, *pieces):
        out.write(piece)
    manifest = Snapshot(io.BytesIO(data), "x").look()
    text = msgspec.json.encode(msgspec.structs.replace(manifest, chunks=len(pieces), size=out.size, sha256=out.hexdigest()))
    signature = DualSigner.from_bytes(keys.keyring.stable.signing).sign(text, context=layout.CONTEXT)
    return b"".join([head, *pieces, layout.LENGTH.pack(len(text)), text, signature])


@given(st.data())
def test_no_bytes_do_more_than_be_refused(small: Small, data: st.DataObject) -> None:
    """Pieces of a snapshot cut out, put elsewhere, doubled or replaced: refused as such, by nothing but the one error."""
    made = bytearray(small.data)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(made)))
        stop = data.draw(st.integers(start, min(len(made), start + 600)))
        piece = data.draw(st.one_of(st.binary(max_size=60), st.just(bytes(made[stop : stop + 300])), st.just(bytes(made[:start][-300:]))))
        made[start:stop] = piece
    try:
        opened(bytes(made), small.keys).verify()
        assert bytes(made) == small.data
    except layout.InvalidSnapshot:
        pass


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 1 << 63) | st.binary(max_size=40) | st.text(max_size=9), st.lists, max_leaves=5
)


@given(st.dictionaries(st.sampled_from(layout.Header.__struct_fields__), _ANYTHING), st.binary(max_size=40))
def test_no_header_does_more_than_be_refused(members: dict[str, object], rest: bytes) -> None:
    honest: dict[str, object] = {"id": bytes(16), "installation": b"", "seals": b"", "keyring": b"", "gsn": 1, "created": 1, "locks": []}
    encoded = msgspec.msgpack.encode(honest | {"commitment": b""} | members)
    with pytest.raises(layout.InvalidSnapshot):
        Snapshot(io.BytesIO(layout.MAGIC + layout.LENGTH.pack(len(encoded)) + encoded + rest), "x")


def test_a_cut_snapshot_is_refused_at_every_length(small: Small) -> None:
    for length in [*range(0, len(small.data), 97), len(small.data) - 1]:
        assert refused(small.data[:length], small)


def test_bytes_behind_the_end_are_refused(small: Small) -> None:
    assert "behind its end" in refused(small.data + b"\0", small)


def test_half_a_signature_is_none(small: Small) -> None:
    """Each half alone: the other one zeroed."""
    ed25519, mldsa = slice(-3_375, -3_311), slice(-3_309, None)
    for half in (ed25519, mldsa):
        data = bytearray(small.data)
        data[half] = bytes(len(data[half]))
        assert "not signed" in refused(bytes(data), small)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a snapshot"),
        (b"\x1f\x8b\x08 a snapshot of Vault", "not a snapshot"),
        (b"SQLite format 3\0" * 100, "not a snapshot"),
        (layout.FAMILY + b"2\n" + bytes(100), "format 2"),
        (layout.FAMILY + b"17\n" + bytes(100), "format 17"),
        (layout.FAMILY + b"0\n" + bytes(100), "not a snapshot"),
        (layout.FAMILY + b"x\n" + bytes(100), "not a snapshot"),
        (layout.MAGIC + b"\xff\xff\xff\xff", "length that none has"),
        (layout.MAGIC + b"\0\0\0\x05\x81\xa2", "cut"),
        (layout.MAGIC + b"\0\0\0\x01\x80", "cannot be read"),
    ],
)
def test_a_foreign_or_newer_file_is_named_as_such(data: bytes, reason: str) -> None:
    with pytest.raises(layout.InvalidSnapshot, match=reason):
        Snapshot(io.BytesIO(data), "x")


def test_a_length_that_none_has_is_not_believed(small: Small) -> None:
    """A size field of 2 GiB must not make anybody reserve that."""
    head = len(Snapshot(io.BytesIO(small.data), "x").head)
    for size in (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\0\0\x0f", b"\0\0\0\x20"):
        assert "length that none has" in refused(small.data[:head] + size + small.data[head + 4 :], small)


def test_a_damaged_store_makes_no_snapshot() -> None:
    made = room()
    victim = next(row for row, _ in everything(made.storage) if row[0])
    group = made.storage.begin(0, [])
    group.apply({}, [victim])
    group.abandon()
    assert isinstance(made.storage, MemoryStorage)
    del made.storage._rows[victim]
    made.storage._keys.remove(victim)
    with pytest.raises(layout.InvalidSnapshot, match="damaged when it was taken"):
        saved(made)
    made.storage._rows[INDEX_KEY] = made.storage._rows[victim_of(made)]
    with pytest.raises(StorageTampered):
        saved(made)


def victim_of(made: Strongroom) -> bytes:
    return next(row for row, _ in everything(made.storage) if row[0])


# -- rows as bytes --------------------------------------------------------------------------------------------------------


def test_rows_come_out_of_pieces_of_any_size() -> None:
    dice = random.Random(3)
    rows = sorted(
        (b"\x05" * 17 + dice.randbytes(dice.randrange(4, 60)), dice.randbytes(dice.choice((0, 1, 50, 5_000)))) for _ in range(200)
    )
    data = pack(rows)
    for step in (1, 2, 3, 7, 1_000, len(data)):
        unpacker, found = Unpacker(), []
        for at in range(0, len(data), step):
            found += unpacker.feed(data[at : at + step])
        unpacker.close()
        assert found == rows


@pytest.mark.parametrize(
    "stream",
    [
        b"\0\x05hello\0\0\0\0",
        b"\xff\xff" + bytes(70_000),
        b"\0\x20" + bytes(32) + b"\xff\xff\xff\xff",
        pack([(b"b" * 17, b""), (b"a" * 17, b"")]),
        pack([(b"a" * 17, b""), (b"a" * 17, b"")]),
        pack([(b"a" * 17, b"value")])[:-1],
    ],
)
def test_a_stream_that_is_not_rows_is_refused(stream: bytes) -> None:
    unpacker = Unpacker()
    with pytest.raises(NotAsWritten):
        unpacker.feed(stream)
        unpacker.close()


def test_errors_about_snapshots_are_errors_of_the_project() -> None:
    assert issubclass(layout.InvalidSnapshot, StrongroomError)
