"""sys/storage/raft/snapshot: the store as a file that was verified, and back by those who may, under the eyes of the key holders."""

from __future__ import annotations

import io
import os
from typing import Any

import msgspec
import pytest

from strongroom.barrier.anchor import Anchor, RolledBack
from strongroom.barrier.seals.static import Static
from strongroom.barrier.snapshots.archive import plain
from strongroom.barrier.snapshots.format import InvalidSnapshot
from strongroom.barrier.snapshots.opening import unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.barrier.snapshots.writing import Readers
from strongroom.core.core import Settings
from strongroom.core.group import perform
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Response
from strongroom.core.sealing.unsealing import open_by_itself, submit
from strongroom.core.secret import Secret
from strongroom.core.snapshots import taking
from strongroom.core.snapshots.taking import Snapshotting
from strongroom.core.work import Work
from strongroom.crypto.hpke import Recipient
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest, PermissionDenied, StorageUnusable, Unavailable
from strongroom.storage.nameless import Nameless
from strongroom.storage.postgres.store import PostgresStorage
from strongroom.testing import Strongroom
from tests.core.audit.kit import Memory, device
from tests.support.postgres import fresh_database

PATH = "sys/storage/raft/snapshot"


def room(**options: Any) -> Strongroom:
    made = Strongroom(**options)
    made.write("secret/data/one", {"data": {"n": 1}})
    return made


def taken(made: Strongroom, **options: Any) -> bytes:
    """A snapshot as it comes, without its wrapping."""
    return plain(io.BytesIO(wrapped(made, **options)), "x").read()


def wrapped(made: Strongroom, **options: Any) -> bytes:
    bare = made.read(PATH, **options).bare
    assert bare is not None
    assert bare.file is not None
    data = bare.file.read(bare.size + 1)
    assert len(data) == bare.size
    return data


def send(made: Strongroom, data: bytes, *, force: bool = False, token: str | None = None) -> Response:
    """Put a snapshot back over the API; its error is raised."""
    credential = Secret(made.token if token is None else token)
    path = PATH + ("-force" if force else "")
    request = Request(uuid4_text(), Operation.UPDATE, path, {}, b"", credential, Peer("127.0.0.1", 1), upload=data)
    work = perform(made.core, Work(request, lambda _work: None), lambda error, _call: None)
    made.process.answered()
    if work.error is not None:
        raise work.error
    assert work.response is not None
    return work.response


def test_a_snapshot_comes_whole_and_says_what_it_is() -> None:
    made = room()
    response = made.read(PATH)
    assert response.bare is not None
    assert response.bare.content_type == "application/gzip"
    gsn = made.core.barrier.index().gsn
    assert dict(response.bare.headers)["Content-Disposition"].startswith(f"attachment; filename=strongroom-{gsn}-")
    assert isinstance(response.data, dict)
    assert response.data["gsn"] == Snapshot(io.BytesIO(taken(made)), "x").header.gsn == gsn


def test_what_was_put_back_is_served_once_key_holders_opened_it() -> None:
    made = room()
    data = taken(made)
    made.write("secret/data/one", {"data": {"n": 2}})
    assert send(made, data).status == 202
    assert made.core.barrier.sealed
    made.unseal()
    assert made.json(made.read("secret/data/one"))["data"] == {"n": 1}


def test_it_is_taken_back_as_it_came_in_its_wrapping() -> None:
    made = room()
    data = wrapped(made)
    made.write("secret/data/one", {"data": {"n": 2}})
    send(made, data)
    made.unseal()
    assert made.json(made.read("secret/data/one"))["data"] == {"n": 1}


def test_the_anchor_refuses_it_until_the_quorum_accepts() -> None:
    made = room(secret_shares=3, secret_threshold=2)
    data = taken(made)
    made.write("secret/data/one", {"data": {"n": 2}})
    index = made.core.barrier.index()
    made.core.sealing.anchor = lambda: Anchor(index.gsn, index.hex)
    send(made, data)
    with pytest.raises(RolledBack):
        made.unseal()
    submit(made.core, made.unseal_keys[0], accept_rollback=True)
    with pytest.raises(RolledBack):
        submit(made.core, made.unseal_keys[1])
    for key in made.unseal_keys[:2]:
        submit(made.core, key, accept_rollback=True)
    assert made.json(made.read("secret/data/one"))["data"] == {"n": 1}


def test_from_a_database_of_several_nodes_it_is_taken_and_put_back_on_the_host() -> None:
    storage = PostgresStorage(fresh_database())
    try:
        made = room(storage=storage)
        data = taken(made)
        assert unlock(Snapshot(io.BytesIO(data), "x"), made.core.barrier.keys).verify().gsn == made.core.barrier.index().gsn
        with pytest.raises(InvalidRequest, match="other nodes serve this store"):
            send(made, data)
        assert made.json(made.read("secret/data/one"))["data"] == {"n": 1}
    finally:
        storage.close()


def test_reading_needs_a_token_and_writing_needs_sudo() -> None:
    made = room()
    made.write("sys/policies/acl/saver", {"policy": f'path "{PATH}" {{ capabilities = ["read", "update"] }}'})
    saver = made.create_token("saver")
    data = taken(made, token=saver)
    with pytest.raises(PermissionDenied):
        made.read(PATH, token=made.create_token("default"))
    for force in (False, True):
        with pytest.raises(PermissionDenied):
            send(made, data, force=force, token=saver)
    assert not made.core.barrier.sealed


def test_what_is_no_snapshot_changes_nothing_and_seals_nothing() -> None:
    made = room()
    data = taken(made)
    gsn = made.core.barrier.index().gsn
    for wrong in (b"\x1f\x8b\x08", data[:-1], data[: len(data) // 2], data[:5_000] + bytes([data[5_000] ^ 1]) + data[5_001:], data + b"x"):
        with pytest.raises(InvalidSnapshot, match="nothing was changed"):
            send(made, wrong, force=True)
    with pytest.raises(InvalidRequest, match="the body is the snapshot"):
        send(made, b"")
    assert not made.core.barrier.sealed
    assert made.core.barrier.index().gsn == gsn


def test_a_snapshot_of_another_installation_is_for_the_host() -> None:
    made = room()
    with pytest.raises(InvalidSnapshot, match=r"another installation.*on the host"):
        send(made, taken(room()), force=True)


def rekeyed(made: Strongroom, what: str) -> None:
    """New keys, by the old ones."""
    nonce = made.json(made.write(f"sys/rotate/{what}/init", {"secret_shares": 1, "secret_threshold": 1}))["nonce"]
    answer = made.json(made.write(f"sys/rotate/{what}/update", {"key": made.unseal_keys[0], "nonce": nonce}))
    assert answer["complete"]
    made.unseal_keys = answer["keys"]
    made.advance(3_600)


def test_one_from_before_a_rekey_of_unseal_keys_is_for_the_host() -> None:
    made = room()
    data = taken(made)
    rekeyed(made, "root")
    with pytest.raises(InvalidSnapshot, match="another root key"):
        send(made, data, force=True)
    assert not made.core.barrier.sealed


def test_one_from_before_a_rekey_of_recovery_keys_takes_force() -> None:
    made = room(seals=(Static(bytes(32)),))
    data = taken(made)
    made.write("secret/data/one", {"data": {"n": 2}})
    rekeyed(made, "recovery")
    with pytest.raises(InvalidRequest, match="other unseal or recovery keys"):
        send(made, data)
    assert not made.core.barrier.sealed
    send(made, data, force=True)
    open_by_itself(made.core)
    assert made.json(made.read("secret/data/one"))["data"] == {"n": 1}


def test_the_readers_are_those_of_the_configuration() -> None:
    alice = Recipient.generate()
    made = room(settings=Settings(dev=True, snapshots=Snapshotting(Readers((alice.public(),), recipients_only=True))))
    data = taken(made)
    assert [lock.kind for lock in Snapshot(io.BytesIO(data), "x").header.locks] == ["recipient"]
    with pytest.raises(InvalidSnapshot, match="recipients only"):
        send(made, data)


def test_a_full_disk_is_said_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = room()
    file = Nameless(os.open("/dev/full", os.O_RDWR))
    monkeypatch.setattr(taking, "nameless", lambda directory: file)
    with pytest.raises(StorageUnusable, match=r"No space left.*as much room as the store"):
        made.read(PATH)
    monkeypatch.undo()
    assert taken(made), "and the next one is taken"


def test_one_at_a_time() -> None:
    made = room()
    with made.core.snapshots._turn, pytest.raises(Unavailable, match="another snapshot"):
        made.read(PATH)
    assert taken(made)


def test_audit_names_the_snapshot_and_holds_nothing_of_it() -> None:
    made = room()
    sink = Memory()
    made.audit.enable(device(sink))
    data = taken(made)
    send(made, data)
    responses = [line for line in sink.lines if line["type"] == "response"]
    assert {"id", "gsn", "sha256"} <= responses[0]["response"]["data"].keys()
    assert len(sink.taken) < 20_000
    restoring = [line for line in sink.lines if line["type"] == "request" and line["request"]["operation"] == "update"]
    assert restoring[0]["request"]["path"] == PATH
    assert msgspec.json.encode(restoring[0]).find(data[100:110].hex().encode()) < 0
