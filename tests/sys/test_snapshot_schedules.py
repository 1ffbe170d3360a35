"""Schedules of snapshots: to a directory that the configuration opens and to a bucket, with retention, and what happens when it fails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from strongroom.barrier.snapshots.copying import restore
from strongroom.barrier.snapshots.opening import unlock
from strongroom.barrier.snapshots.reading import Snapshot
from strongroom.clock import parse_rfc3339
from strongroom.core.core import Settings
from strongroom.core.snapshots import bucket as buckets
from strongroom.core.snapshots import places
from strongroom.core.snapshots.places import below
from strongroom.core.snapshots.taking import Snapshotting
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.storage.memory import MemoryStorage
from strongroom.testing import Strongroom
from strongroom.testing.room import FakeClock
from tests.support.s3_api import BUCKET, KEY, REGION, SECRET, Bucket, days, error, xml

CONFIG, STATUS = "sys/storage/raft/snapshot-auto/config", "sys/storage/raft/snapshot-auto/status"


@pytest.fixture
def room(tmp_path: Path) -> Strongroom:
    made = Strongroom(settings=Settings(dev=True, snapshots=Snapshotting(directory=str(tmp_path / "backups"))))
    made.write("secret/data/one", {"data": {"n": 1}})
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Bucket]:
    made = Bucket(tmp_path / "s3")
    yield made
    made.close()


def local(**fields: Any) -> dict[str, Any]:
    return {"interval": "1h", "storage_type": "local", "path_prefix": "daily", **fields}


def s3(store: Bucket, **fields: Any) -> dict[str, Any]:
    return {
        "interval": "1h",
        "storage_type": "aws-s3",
        "path_prefix": "a/b",
        "aws_s3_bucket": BUCKET,
        "aws_s3_region": REGION,
        "aws_s3_endpoint": store.url,
        "aws_s3_force_path_style": True,
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
        "aws_s3_ca_pem": store.ca_pem,
        **fields,
    }


def status(room: Strongroom, name: str = "x") -> dict[str, Any]:
    found: dict[str, Any] = room.json(room.read(f"{STATUS}/{name}"))
    return found


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "backups" / "daily").iterdir())


def whole(data: bytes, room: Strongroom) -> int:
    """The commit of a snapshot in which everything is right."""
    return unlock(Snapshot(io.BytesIO(data), "x"), room.core.barrier.keys).verify().gsn


# -- a directory ----------------------------------------------------------------------------------------------------------


def test_the_first_is_taken_at_once_and_the_others_when_they_are_due(room: Strongroom, tmp_path: Path) -> None:
    room.write(f"{CONFIG}/x", local(retain=3))
    assert len(kept(tmp_path)) == 1
    room.advance(3_000)
    assert len(kept(tmp_path)) == 1
    room.advance(700)
    assert len(kept(tmp_path)) == 2
    first, second = (whole(path.read_bytes(), room) for path in kept(tmp_path))
    assert first < second
    found = status(room)
    assert found["last_snapshot_url"] == kept(tmp_path)[-1].as_uri()
    assert (found["snapshot_gsn"], found["consecutive_errors"], found["last_snapshot_error"]) == (second, 0, "")
    assert parse_rfc3339(found["next_snapshot_start"]) == parse_rfc3339(found["last_snapshot_end"]) + 3_600 * 10**9
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in kept(tmp_path))
    assert (tmp_path / "backups" / "daily").stat().st_mode & 0o777 == 0o700


def test_as_many_are_kept_as_are_to_be_retained_and_nothing_else_is_touched(room: Strongroom, tmp_path: Path) -> None:
    other = tmp_path / "backups" / "daily" / "strongroom-snapshot-notes.txt"
    room.write(f"{CONFIG}/x", local(retain=2))
    other.write_text("keep me")
    room.write(f"{CONFIG}/y", local(retain=1, file_prefix="other"))
    for _ in range(5):
        room.advance(3_700)
    names = [path.name for path in kept(tmp_path)]
    assert len([name for name in names if name.startswith("strongroom-snapshot-0")]) == 2
    assert len([name for name in names if name.startswith("other-")]) == 1
    assert other.read_text() == "keep me"


def test_space_is_bounded_but_the_newest_stays(room: Strongroom, tmp_path: Path) -> None:
    room.write(f"{CONFIG}/x", local(retain=10))
    size = kept(tmp_path)[0].stat().st_size
    room.write(f"{CONFIG}/x", local(retain=10, local_max_space=int(2.5 * size)))
    for _ in range(4):
        room.advance(3_700)
    assert len(kept(tmp_path)) == 2
    room.write(f"{CONFIG}/x", local(retain=10, local_max_space=1))
    assert len(kept(tmp_path)) == 1


def test_files_lie_only_where_the_configuration_allows(room: Strongroom, tmp_path: Path) -> None:
    for path in ("../up", "/etc", str(tmp_path), f"{tmp_path}/backups-2", "a/../../b", ".hidden", "a//b/./c", "nul\0"):
        with pytest.raises(InvalidRequest):
            room.write(f"{CONFIG}/x", local(path_prefix=path))
    assert below("/b", "/b/daily") == below("/b", "daily") == Path("/b/daily")
    with pytest.raises(InvalidRequest, match="the configuration"):
        Strongroom().write(f"{CONFIG}/x", local())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_fails_is_told_and_tried_again(room: Strongroom, tmp_path: Path) -> None:
    blocked = tmp_path / "backups"
    blocked.write_text("a file stands there")
    room.write(f"{CONFIG}/x", local())
    assert status(room)["consecutive_errors"] == 1
    assert "cannot be kept" in status(room)["last_snapshot_error"]
    room.advance(1)
    assert status(room)["consecutive_errors"] == 2
    blocked.unlink()
    room.advance(10)
    assert (status(room)["consecutive_errors"], len(kept(tmp_path))) == (0, 1)
    assert room.core.snapshots.failed >= 2
    room.advance(3_700)
    assert len(kept(tmp_path)) == 1, "one timer, not one for each try"


def test_a_disk_that_lies_is_found(room: Strongroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter((b"one", b"another"))
    monkeypatch.setattr(places, "digest", lambda file: next(digests))
    room.write(f"{CONFIG}/x", local())
    assert "look at the disk" in status(room)["last_snapshot_error"]
    assert [path.name for path in kept(tmp_path) if path.suffix == ".snap"] == []


def test_a_changed_or_removed_schedule_takes_no_more(room: Strongroom, tmp_path: Path) -> None:
    room.write(f"{CONFIG}/x", local(retain=50))
    room.advance(1)
    room.write(f"{CONFIG}/x", local(retain=50, interval="2h"))
    assert len(kept(tmp_path)) == 2
    room.advance(3_700)
    assert len(kept(tmp_path)) == 2, "the timer of the hourly one came to nothing"
    room.advance(3_700)
    assert len(kept(tmp_path)) == 3
    room.delete(f"{CONFIG}/x")
    room.advance(100_000)
    assert len(kept(tmp_path)) == 3
    with pytest.raises(NotFound):
        status(room)


# -- the routes -----------------------------------------------------------------------------------------------------------


def test_schedules_are_listed_and_shown_without_their_secrets(room: Strongroom, store: Bucket) -> None:
    room.write(f"{CONFIG}/one", local())
    room.write(f"{CONFIG}/two", s3(store, aws_session_token=""))
    assert room.list(CONFIG) == ["one", "two"]
    shown = room.json(room.read(f"{CONFIG}/two"))
    assert shown["aws_access_key_id"] == KEY
    assert SECRET not in str(shown)
    assert not {"nonce", "aws_secret_access_key", "aws_session_token"} & shown.keys()
    with pytest.raises(NotFound):
        room.read(f"{CONFIG}/three")


def test_writing_takes_sudo(room: Strongroom) -> None:
    room.write("sys/policies/acl/p", {"policy": f'path "{CONFIG}/*" {{ capabilities = ["create", "update", "read", "delete"] }}'})
    token = room.create_token("p")
    for ask in (lambda: room.write(f"{CONFIG}/x", local(), token=token), lambda: room.read(f"{CONFIG}/x", token=token)):
        with pytest.raises(PermissionDenied):
            ask()


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": 59},
        {"interval": 0},
        {"storage_type": "google-gcs"},
        {"retain": 0},
        {"file_prefix": "../x"},
        {"file_prefix": ""},
        {"local_max_space": -1},
        {"object_lock_mode": "MAYBE"},
        {"object_lock_mode": "COMPLIANCE"},
        {"aws_s3_disable_tls": True},
    ],
)
def test_what_cannot_be_is_refused(room: Strongroom, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        room.write(f"{CONFIG}/x", local(**wrong))
    with pytest.raises(InvalidRequest):
        room.write(f"{CONFIG}/a b", local())


@pytest.mark.parametrize(
    "wrong",
    [
        {"aws_s3_bucket": "UPPER"},
        {"aws_s3_bucket": "a/b"},
        {"aws_s3_region": ""},
        {"aws_s3_endpoint": "http://localhost:1"},
        {"aws_s3_endpoint": "https://user@localhost"},
        {"aws_s3_endpoint": "https://localhost/path"},
        {"aws_access_key_id": ""},
        {"aws_secret_access_key": ""},
        {"aws_s3_kms_key": "a\r\nb"},
        {"path_prefix": "a/../b"},
    ],
)
def test_a_bucket_that_cannot_be_is_refused(room: Strongroom, store: Bucket, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        room.write(f"{CONFIG}/x", s3(store, **wrong))
    assert store.asked == []


# -- a bucket -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[tuple[Strongroom, Bucket]]:
    """A room and a bucket on one clock, with parts so small that a snapshot has several."""
    clock = FakeClock()
    store = Bucket(tmp_path / "s3", clock, locks=True)
    made = Strongroom(clock)
    yield made, store
    store.close()


def test_it_is_uploaded_in_parts_signed_and_compared(clocked: tuple[Strongroom, Bucket], monkeypatch: pytest.MonkeyPatch) -> None:
    room, store = clocked
    monkeypatch.setattr(buckets, "PART", 5 << 20)
    for number in range(14):
        room.write(f"secret/data/{number}", {"data": {"v": "x" * 900_000}})
    room.write(f"{CONFIG}/x", s3(store))
    assert status(room)["last_snapshot_error"] == ""
    ((key, data),) = store.objects.items()
    assert key.startswith("a/b/strongroom-snapshot-0")
    assert whole(data, room) == status(room)["snapshot_gsn"]
    assert len([asked for asked in store.asked if asked.method == "PUT"]) == 3
    assert status(room)["last_snapshot_url"] == f"{store.url}/{BUCKET}/{key}"
    assert store.uploads == {}


def test_retention_in_a_bucket_and_what_is_locked_stays(clocked: tuple[Strongroom, Bucket]) -> None:
    room, store = clocked
    store.page = 2
    store.objects["a/b/strongroom-snapshot-notes"] = b"somebody's"
    room.write(f"{CONFIG}/x", s3(store, retain=2, interval="24h", object_lock_mode="COMPLIANCE", object_lock_days=3))
    for _ in range(7):
        room.advance(days(1) // 10**9 + 60)
    ours = sorted(key for key in store.objects if key.endswith(".snap"))
    assert 3 <= len(ours) <= 5, "two to be kept, and those that nobody may remove yet"
    assert "a/b/strongroom-snapshot-notes" in store.objects
    assert {metadata["x-amz-object-lock-mode"] for metadata in store.metadata.values()} == {"COMPLIANCE"}
    assert status(room)["consecutive_errors"] == 0


def test_encryption_by_the_service_is_asked_for(clocked: tuple[Strongroom, Bucket]) -> None:
    room, store = clocked
    room.write(f"{CONFIG}/x", s3(store, aws_s3_enable_kms=True, aws_s3_kms_key="alias/backups"))
    (metadata,) = store.metadata.values()
    assert metadata["x-amz-server-side-encryption"] == "aws:kms"
    assert metadata["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/backups"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (lambda asked: error(503, "SlowDown") if asked.method == "PUT" else None, "503 (SlowDown)"),
        (lambda asked: error(200, "InternalError") if asked.method == "POST" and "uploads=" not in asked.target else None, "InternalError"),
        (lambda asked: xml("<Nonsense/>") if "uploads=" in asked.target else None, "began no upload"),
        (lambda asked: xml("") if asked.method == "PUT" else None, "gave a part no name"),
        (lambda asked: error(404, "NoSuchKey") if asked.method == "GET" else None, "404 (NoSuchKey)"),
        (lambda asked: error(400, "") if "uploads=" in asked.target else None, "no reason given"),
    ],
)
def test_what_a_bucket_does_wrong_is_told_and_tried_again(clocked: tuple[Strongroom, Bucket], trouble: Any, said: str) -> None:
    room, store = clocked
    store.trouble = trouble
    room.write(f"{CONFIG}/x", s3(store))
    assert said in status(room)["last_snapshot_error"]
    assert SECRET not in str(status(room))
    assert store.uploads == {}, "what was begun is aborted"
    store.trouble = lambda asked: None
    room.advance(10)
    assert status(room)["consecutive_errors"] == 0


def test_a_bucket_that_gives_back_other_bytes_is_found(clocked: tuple[Strongroom, Bucket]) -> None:
    room, store = clocked

    def damage(asked: Any) -> None:
        if asked.method == "GET" and "range" in asked.headers:
            store.objects = {key: data[:-1] + b"\0" for key, data in store.objects.items()}

    store.trouble = damage
    room.write(f"{CONFIG}/x", s3(store))
    assert "not what was sent" in status(room)["last_snapshot_error"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"aws_secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"aws_s3_region": "elsewhere-1"}, "is that its region?"),
        ({"aws_s3_bucket": "another"}, "NoSuchBucket"),
        ({"aws_s3_ca_pem": ""}, "not trusted"),
    ],
)
def test_wrong_credentials_region_bucket_and_authority_are_told_apart(
    clocked: tuple[Strongroom, Bucket], fields: dict[str, Any], said: str
) -> None:
    room, store = clocked
    room.write(f"{CONFIG}/x", s3(store, **fields))
    assert said in status(room)["last_snapshot_error"]
    assert store.objects == {}


def test_a_lock_that_the_bucket_does_not_have_is_told(room: Strongroom, store: Bucket) -> None:
    room.clock._now = store.clock.now()
    room.write(f"{CONFIG}/x", s3(store, object_lock_mode="GOVERNANCE", object_lock_days=1))
    assert "InvalidRequest" in status(room)["last_snapshot_error"]


def test_a_schedule_that_is_changed_keeps_the_secret_of_its_key(clocked: tuple[Strongroom, Bucket]) -> None:
    room, store = clocked
    room.write(f"{CONFIG}/x", s3(store))
    changed = s3(store, retain=3)
    del changed["aws_secret_access_key"]
    room.write(f"{CONFIG}/x", changed)
    assert status(room)["consecutive_errors"] == 0
    with pytest.raises(InvalidRequest, match="aws_secret_access_key"):
        room.write(f"{CONFIG}/x", changed | {"aws_access_key_id": "AKIAOTHER"})


def test_an_object_restores(clocked: tuple[Strongroom, Bucket]) -> None:
    room, store = clocked
    room.write("secret/data/one", {"data": {"n": 1}})
    room.write(f"{CONFIG}/x", s3(store))
    other = MemoryStorage()
    (data,) = store.objects.values()
    restore(unlock(Snapshot(io.BytesIO(data), "x"), room.core.barrier.keys), other)
    room.storage = other
    room.restart()
    room.unseal()
    assert room.json(room.read("secret/data/one"))["data"] == {"n": 1}


def test_two_schedules_that_are_due_together_both_come_to_their_snapshot(room: Strongroom, tmp_path: Path) -> None:
    with room.core.snapshots._turn:
        room.write(f"{CONFIG}/x", local())
    assert "another snapshot is being taken" in status(room)["last_snapshot_error"]
    room.advance(5)
    assert len(kept(tmp_path)) == 1
