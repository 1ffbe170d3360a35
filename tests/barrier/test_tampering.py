"""T26.1: whoever can write the database, but has no keys, changes nothing unnoticed and never gets another object's data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.barrier.anchor import Anchor
from strongroom.barrier.barrier import Barrier
from strongroom.barrier.scrub import Report, scrub
from strongroom.core import areas
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, StorageTampered
from strongroom.storage.api import INDEX_KEY, Storage
from strongroom.storage.memory import MemoryStorage
from strongroom.storage.sqlite import SqliteStorage
from strongroom.testing import Strongroom

Rows = dict[bytes, bytes]

WALK = b"\xff" * 64


@pytest.fixture(params=["inmem", "sqlite"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Strongroom]:
    storage: Storage = MemoryStorage() if request.param == "inmem" else SqliteStorage(tmp_path)
    made = Strongroom(storage=storage, secret_shares=3, secret_threshold=2)
    made.write("sys/policies/acl/a", {"policy": 'path "cubbyhole/a" { capabilities = ["read"] }'})
    made.write("sys/policies/acl/b", {"policy": 'path "sys/*" { capabilities = ["sudo", "update", "read", "delete"] }'})
    made.write("cubbyhole/one", {"value": "first"})
    made.write("cubbyhole/two", {"value": "second"})
    yield made
    storage.close()


def rows(storage: Storage) -> Rows:
    return dict(storage.scan(b"", WALK, -1))


def edit(storage: Storage, puts: Rows, deletes: tuple[bytes, ...] = ()) -> None:
    """What a database administrator can do: any bytes at any row, and the counter put back so that nothing shows by itself."""
    group = storage.begin(0, ())
    group.apply(puts, deletes)
    group.commit()


def changed_by(room: Strongroom, change: Callable[[], object], area: bytes = b"") -> list[bytes]:
    """The rows that a request writes, the index and what belongs to other areas left out."""
    before = rows(room.storage)
    change()
    after = rows(room.storage)
    return [key for key, record in after.items() if before.get(key) != record and key != INDEX_KEY and key.startswith(area)]


def examine(room: Strongroom) -> Report:
    """A fresh server on the same store looks at everything."""
    barrier = Barrier(room.storage)
    barrier.unseal(room.core.barrier.keys.root)
    return scrub(barrier)


def texts(report: Report) -> str:
    return "; ".join(finding.text for finding in report.findings)


def forget(room: Strongroom) -> None:
    room.core.committed.forget(None, None)


def cubbyhole_row(room: Strongroom, name: str) -> bytes:
    found = changed_by(room, lambda: room.write(f"cubbyhole/{name}", {"value": f"again {name}"}), areas.CUBBYHOLE_MOUNT)
    assert len(found) == 1
    return found[0]


def refused(room: Strongroom, path: str) -> None:
    forget(room)
    work = room.request(Operation.READ, path)
    assert isinstance(work.error, StorageTampered)
    assert work.error.status == 500
    assert "storage_tampered" in work.error.messages[0]


# -- the control: an untouched store is clean, also while it is being written -------------------------------------------


def test_an_untouched_store_is_clean(room: Strongroom) -> None:
    report = examine(room)
    assert report.clean, texts(report)
    assert report.rows == room.core.barrier.index().count == len(rows(room.storage)) - 1
    assert report.gsn == room.core.barrier.index().gsn
    assert room.read("cubbyhole/one").data is not None


def test_a_scrub_of_a_store_that_is_written_meanwhile_is_clean(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.barrier.scrub.PAGE_ROWS", 2)
    monkeypatch.setattr("strongroom.barrier.scrub.UNDER_LOCK", 2)
    calls, scan = 0, room.storage.scan

    def busy(start: bytes, stop: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        nonlocal calls
        found = scan(start, stop, limit)
        calls += 1
        if calls < 12 and limit == 2:
            monkeypatch.setattr(room.storage, "scan", scan)
            room.write(f"cubbyhole/new{calls}", {"value": "x"})
            room.delete(f"cubbyhole/new{calls - 1}")
            monkeypatch.setattr(room.storage, "scan", busy)
        return found

    monkeypatch.setattr(room.storage, "scan", busy)
    report = scrub(room.core.barrier)
    assert calls > 6
    assert report.clean, texts(report)


def test_without_the_row_key_in_the_associated_data_a_swap_would_pass(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the very swap below is not noticed at the read once records are bound to nothing."""
    from strongroom.crypto.records import RecordCipher

    seal, open_ = RecordCipher.seal, RecordCipher.open
    monkeypatch.setattr(RecordCipher, "sealer", lambda self: lambda _key, generation, text: seal(self, b"", generation, text))
    monkeypatch.setattr(RecordCipher, "open", lambda self, _key, record: open_(self, b"", record))
    loose = Strongroom()
    one, two = cubbyhole_row(loose, "one"), cubbyhole_row(loose, "two")
    stored = rows(loose.storage)
    edit(loose.storage, {one: stored[two], two: stored[one]})
    forget(loose)
    assert loose.json(loose.read("cubbyhole/one")) == {"value": "again two"}


# -- rows --------------------------------------------------------------------------------------------------------------


def test_swapped_rows_are_refused_at_the_read(room: Strongroom) -> None:
    one, two = cubbyhole_row(room, "one"), cubbyhole_row(room, "two")
    stored = rows(room.storage)
    edit(room.storage, {one: stored[two], two: stored[one]})
    refused(room, "cubbyhole/one")
    refused(room, "cubbyhole/two")
    report = examine(room)
    assert {finding.row for finding in report.findings} >= {one.hex(), two.hex()}
    assert not report.clean


def test_a_deleted_row_is_found(room: Strongroom) -> None:
    edit(room.storage, {}, (cubbyhole_row(room, "one"),))
    assert "1 rows are missing" in texts(examine(room))


def test_an_added_row_is_found(room: Strongroom) -> None:
    one = cubbyhole_row(room, "one")
    edit(room.storage, {one[:-1] + bytes([one[-1] ^ 1]): rows(room.storage)[one]})
    assert "1 rows were added" in texts(examine(room))


def test_a_row_of_yesterday_is_found(room: Strongroom) -> None:
    one = cubbyhole_row(room, "one")
    yesterday = rows(room.storage)[one]
    cubbyhole_row(room, "one")
    edit(room.storage, {one: yesterday})
    report = examine(room)
    assert report.damaged == 0
    assert "as many rows as there should be, but some are not what was written last" in texts(report)


def test_an_index_of_yesterday_is_found_and_stops_the_next_commit(room: Strongroom) -> None:
    yesterday = rows(room.storage)[INDEX_KEY]
    cubbyhole_row(room, "one")
    edit(room.storage, {INDEX_KEY: yesterday})
    assert "one of them was put back" in texts(examine(room))
    work = room.request(Operation.UPDATE, "cubbyhole/one", {"value": "x"})
    assert isinstance(work.error, StorageTampered)


def test_a_missing_index_is_found_and_stops_the_next_commit(room: Strongroom) -> None:
    edit(room.storage, {}, (INDEX_KEY,))
    assert "the index row is missing" in texts(examine(room))
    assert isinstance(room.request(Operation.UPDATE, "cubbyhole/one", {"value": "x"}).error, StorageTampered)


def test_a_policy_copied_over_another_gives_no_rights(room: Strongroom) -> None:
    token = room.create_token("a")
    (weak,) = changed_by(room, lambda: room.write("sys/policies/acl/a", {"policy": 'path "x" { capabilities = ["read"] }'}), areas.POLICIES)
    (strong,) = changed_by(
        room, lambda: room.write("sys/policies/acl/b", {"policy": 'path "sys/*" { capabilities = ["sudo", "read"] }'}), areas.POLICIES
    )
    edit(room.storage, {weak: rows(room.storage)[strong]})
    forget(room)
    assert isinstance(room.request(Operation.READ, "sys/policies/acl/b", token=token).error, StorageTampered)


def test_an_edited_token_row_is_refused(room: Strongroom) -> None:
    made: list[str] = []
    found = changed_by(room, lambda: made.append(room.create_token("a")), areas.TOKENS)
    for key in found:
        record = bytearray(rows(room.storage)[key])
        record[-1] ^= 1
        edit(room.storage, {key: bytes(record)})
    forget(room)
    assert isinstance(room.request(Operation.READ, "auth/token/lookup-self", token=made[0]).error, StorageTampered)
    assert {finding.row for finding in examine(room).findings} >= {key.hex() for key in found}


def test_a_lease_or_timer_row_of_another_is_found(room: Strongroom) -> None:
    room.create_token("a", ttl="1h")
    room.create_token("a", ttl="2h")
    timers = [key for key in rows(room.storage) if key.startswith(areas.QUEUE)]
    stored = rows(room.storage)
    edit(room.storage, {timers[0]: stored[timers[1]]})
    assert timers[0].hex() in {finding.row for finding in examine(room).findings}


@pytest.mark.parametrize("record", [b"", b"x", bytes(13), bytes(200), b"\x01\x01" + bytes(60), b"\x01\x01\xff\xff\xff\xff" + bytes(60)])
def test_rubbish_in_place_of_a_row_is_refused(room: Strongroom, record: bytes) -> None:
    one = cubbyhole_row(room, "one")
    edit(room.storage, {one: record})
    refused(room, "cubbyhole/one")
    assert examine(room).damaged == 1


def test_rows_of_another_installation_do_not_open(room: Strongroom) -> None:
    other = Strongroom()
    one, theirs = cubbyhole_row(room, "one"), cubbyhole_row(other, "one")
    edit(room.storage, {one: rows(other.storage)[theirs]})
    refused(room, "cubbyhole/one")


# -- the whole store ---------------------------------------------------------------------------------------------------


def test_a_rolled_back_store_is_refused_at_unseal() -> None:
    room = Strongroom(secret_shares=3, secret_threshold=2)
    room.write("cubbyhole/one", {"value": "first"})
    yesterday = rows(room.storage)
    gsn = room.core.barrier.index().gsn
    room.write("cubbyhole/one", {"value": "second"})
    index = room.core.barrier.index()
    old = restored(yesterday, gsn)
    room.storage = old
    room.restart()
    room.core.sealing.anchor = lambda: Anchor(index.gsn, index.hex)
    with pytest.raises(StorageTampered, match=f"at commit {gsn}, but commit {index.gsn}"):
        room.unseal()
    assert room.core.barrier.sealed
    room.core.sealing.anchor = lambda: None
    room.unseal()
    assert scrub(room.core.barrier).clean, "negative control: without an anchor a rolled-back store is perfect in itself"


def restored(stored: Rows, gsn: int) -> MemoryStorage:
    """A store as it was at an earlier commit."""
    old = MemoryStorage()
    for _ in range(gsn - 1):
        group = old.begin(0, ())
        group.commit()
    edit(old, stored)
    return old


def test_a_second_history_with_the_same_number_of_commits_is_refused_at_unseal() -> None:
    room = Strongroom()
    before, gsn = rows(room.storage), room.core.barrier.index().gsn
    room.write("cubbyhole/one", {"value": "first"})
    proven = room.core.barrier.index()
    room.storage = restored(before, gsn)
    room.restart()
    room.unseal()
    room.write("cubbyhole/one", {"value": "another"})
    assert room.core.barrier.index().gsn == proven.gsn
    room.restart()
    room.core.sealing.anchor = lambda: Anchor(proven.gsn, proven.hex)
    with pytest.raises(StorageTampered, match="other rows"):
        room.unseal()


def test_an_edited_boot_row_is_found(room: Strongroom) -> None:
    from strongroom.barrier.keyring import INSTALLATION_KEY, SEALS_KEY, boot_payload, boot_record

    stored = rows(room.storage)
    config: Any = msgspec.msgpack.decode(boot_payload(stored[SEALS_KEY]))
    config["wraps"][0]["share_set"]["threshold"] = 1
    edit(room.storage, {SEALS_KEY: boot_record(1, msgspec.msgpack.encode(config))})
    assert SEALS_KEY.hex() in {finding.row for finding in examine(room).findings}
    other = Strongroom()
    headers = (b"short", boot_record(1, b""), boot_record(1, b"\xc1"), boot_record(1, boot_payload(stored[INSTALLATION_KEY])[:-1]))
    for header in headers:
        edit(room.storage, {SEALS_KEY: stored[SEALS_KEY], INSTALLATION_KEY: header})
        room.restart()
        with pytest.raises(StorageTampered):
            room.unseal()
    edit(room.storage, {INSTALLATION_KEY: rows(other.storage)[INSTALLATION_KEY]})
    room.restart()
    with pytest.raises(InvalidRequest):
        room.unseal()
