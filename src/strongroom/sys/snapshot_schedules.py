"""`sys/storage/raft/snapshot-auto`: schedules of snapshots, by the names that Vault Enterprise has.

Rules of this file:
- Writing a schedule takes `sudo` and replaces all of it; its first snapshot is taken at once, so that a mistake shows at once.
- Secrets of a bucket are stored as any secret and never shown; who changes a schedule and sends none keeps the one that is there.
- Where files may lie on this host, and who can open snapshots, the configuration says and no caller.
"""

from __future__ import annotations

import re
import secrets
from typing import Annotated, Any

import msgspec

from strongroom.clock import SECOND, rfc3339
from strongroom.core.engine import ListBody, delete, keys_response, list_, paged, read, write
from strongroom.core.fields import Seconds
from strongroom.core.response import Response
from strongroom.core.snapshots.places import below, checked_path, checked_prefix
from strongroom.core.snapshots.schedules import LOCAL, S3, STORAGE_TYPES, RunJob, Schedule, Status, run, target_of
from strongroom.errors import InvalidRequest, NotFound, StrongroomError
from strongroom.outbound.url import parse_url
from strongroom.sys.routes import Routes

JOB = "snapshot"
CONFIGS, STATUSES = "snapshot-auto/config", "snapshot-auto/status"
MIN_INTERVAL = 60
"""Seconds: each one reads the whole store twice."""
MAX_RETAIN = 10_000
LOCK_MODES = ("", "GOVERNANCE", "COMPLIANCE")
HIDDEN = ("nonce", "aws_secret_access_key", "aws_session_token")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_KEY_ID = re.compile(r"[\w-]{1,128}", re.ASCII)
_KMS_KEY = re.compile(r"[A-Za-z0-9:/_-]{0,256}", re.ASCII)


class ScheduleBody(msgspec.Struct, frozen=True):
    """A schedule."""

    interval: Annotated[Seconds, "Time between two snapshots, at least 60 s"] = Seconds(0)
    retain: Annotated[int, "How many are kept; older ones are removed"] = 1
    storage_type: Annotated[str, "local or aws-s3"] = ""
    path_prefix: Annotated[str, "Directory, below the one that the configuration opens; or the beginning of object names"] = ""
    file_prefix: Annotated[str, "Beginning of file names"] = "strongroom-snapshot"
    local_max_space: Annotated[int, "Bytes that all of them may take in the directory, 0 for no limit; the newest is always kept"] = 0
    aws_s3_bucket: Annotated[str, "Name of the bucket"] = ""
    aws_s3_region: Annotated[str, "Its region"] = ""
    aws_s3_endpoint: Annotated[str, "https:// address of a service that is not Amazon's"] = ""
    aws_s3_force_path_style: Annotated[bool, "The bucket stands in the path, not before the host"] = False
    aws_s3_disable_tls: Annotated[bool, "Refused: TLS is always used"] = False
    aws_access_key_id: Annotated[str, "Access key"] = ""
    aws_secret_access_key: Annotated[str, "Its secret"] = ""
    aws_session_token: Annotated[str, "Its session token, where it is temporary"] = ""
    aws_s3_server_side_encryption: Annotated[bool, "Have the service encrypt objects, too"] = False
    aws_s3_enable_kms: Annotated[bool, "The same with a key of KMS"] = False
    aws_s3_kms_key: Annotated[str, "Which key of KMS; the bucket's own if blank"] = ""
    aws_s3_ca_pem: Annotated[str, "Certificates trusted in place of the system's roots"] = ""
    object_lock_mode: Annotated[str, "GOVERNANCE or COMPLIANCE locks each object, in a bucket that has object lock"] = ""
    object_lock_days: Annotated[int, "For how many days"] = 0


class SnapshotScheduleRoutes(Routes):
    """Schedules of snapshots."""

    @list_("storage/raft/snapshot-auto/config/", body=ListBody)
    def list_schedules(self, body: ListBody) -> Response:
        """List the schedules."""
        return keys_response(paged(self.store.list(CONFIGS), body))

    @read("storage/raft/snapshot-auto/config/{name}", sudo=True)
    def read_schedule(self, name: str) -> Response:
        """Show a schedule, without its secrets."""
        schedule = _found(self.store.get(f"{CONFIGS}/{name}", Schedule))
        return Response(data={key: value for key, value in msgspec.structs.asdict(schedule).items() if key not in HIDDEN})

    @write("storage/raft/snapshot-auto/config/{name}", body=ScheduleBody, sudo=True)
    def write_schedule(self, name: str, body: ScheduleBody) -> None:
        """Set a schedule; its first snapshot is taken at once."""
        if not _NAME.fullmatch(name):
            raise InvalidRequest("a schedule's name has letters, digits, '.', '-' and '_'")
        schedule = self._checked(_scheduled(body, self.store.get(f"{CONFIGS}/{name}", Schedule)))
        now = self.call.transaction.now
        self.store.put(f"{CONFIGS}/{name}", schedule)
        self.store.put(f"{STATUSES}/{name}", Status(next_start=now))
        self.store.at(now, JOB, RunJob(name, schedule.nonce))

    @delete("storage/raft/snapshot-auto/config/{name}", sudo=True)
    def delete_schedule(self, name: str) -> None:
        """Remove a schedule; the snapshots that it took stay."""
        self.store.delete(f"{CONFIGS}/{name}")
        self.store.delete(f"{STATUSES}/{name}")

    @read("storage/raft/snapshot-auto/status/{name}")
    def read_status(self, name: str) -> Response:
        """Show how a schedule does: its last snapshot, its errors, its next one."""
        status = _found(self.store.get(f"{STATUSES}/{name}", Status))
        return Response(data=_shown(status))

    def _checked(self, schedule: Schedule) -> Schedule:
        """Raises InvalidRequest."""
        if schedule.storage_type == LOCAL:
            path = below(self.core.snapshots.settings.directory, schedule.path_prefix)
            return msgspec.structs.replace(schedule, path_prefix=str(path))
        return msgspec.structs.replace(schedule, path_prefix=checked_path(schedule.path_prefix))

    def due(self, job: str, payload: bytes) -> None:
        """A schedule's time has come: take its snapshot, and set the next."""
        asked = msgspec.msgpack.decode(payload, type=RunJob)
        schedule = self.store.get(f"{CONFIGS}/{asked.name}", Schedule)
        if job != JOB or schedule is None or not secrets.compare_digest(schedule.nonce, asked.nonce):
            return
        key, now = f"{STATUSES}/{asked.name}", self.call.transaction.now
        before = self.store.get(key, Status) or Status()
        try:
            outcome = self.call.outside(JOB, asked.nonce, fn=lambda: run(self.core, schedule))
        except StrongroomError as error:
            failed = _failed(before, "; ".join(error.messages), now)
            self.store.charge().put(key, failed)
            raise
        following = outcome.end + schedule.interval * SECOND
        self.store.put(key, _succeeded(now, outcome.end, outcome.url, outcome.gsn, outcome.size, following))
        self.store.at(following, JOB, asked)


def _found(stored: Any) -> Any:
    if stored is None:
        raise NotFound
    return stored


def _scheduled(body: ScheduleBody, before: Schedule | None) -> Schedule:
    """The schedule that a body asks for. Raises InvalidRequest."""
    problems = (
        (body.storage_type not in STORAGE_TYPES, f"storage_type is one of {', '.join(STORAGE_TYPES)}"),
        (body.interval < MIN_INTERVAL, f"interval is at least {MIN_INTERVAL}s"),
        (not 1 <= body.retain <= MAX_RETAIN, f"retain is between 1 and {MAX_RETAIN}"),
        (body.local_max_space < 0, "local_max_space is a number of bytes"),
        (body.aws_s3_disable_tls, "aws_s3_disable_tls: snapshots go over TLS only"),
        (body.object_lock_mode not in LOCK_MODES, "object_lock_mode is GOVERNANCE or COMPLIANCE"),
        (bool(body.object_lock_mode) != (0 < body.object_lock_days <= 36_500), "object_lock_mode and object_lock_days go together"),
    )
    _raise_for(problems)
    checked_prefix(body.file_prefix)
    sent = {name: getattr(body, name) for name in body.__struct_fields__ if name != "aws_s3_disable_tls"}
    schedule = Schedule(nonce=secrets.token_bytes(16), **sent)
    if before is not None and not schedule.aws_secret_access_key and schedule.aws_access_key_id == before.aws_access_key_id:
        kept = {"aws_secret_access_key": before.aws_secret_access_key, "aws_session_token": before.aws_session_token}
        schedule = msgspec.structs.replace(schedule, **kept)
    if schedule.storage_type == S3:
        _check_bucket(schedule)
    return schedule


def _check_bucket(schedule: Schedule) -> None:
    """Raises InvalidRequest."""
    bare = schedule.aws_s3_endpoint.removeprefix("https://").rstrip("/")
    problems = (
        (not _BUCKET.fullmatch(schedule.aws_s3_bucket), "aws_s3_bucket is the name of a bucket"),
        (not _REGION.fullmatch(schedule.aws_s3_region), "aws_s3_region is the name of a region, such as eu-central-1"),
        ("/" in bare or "?" in bare, "aws_s3_endpoint is https://host[:port] without a path"),
        (not _KEY_ID.fullmatch(schedule.aws_access_key_id), "aws_access_key_id is needed"),
        (not schedule.aws_secret_access_key, "aws_secret_access_key is needed"),
        (not _KMS_KEY.fullmatch(schedule.aws_s3_kms_key), "aws_s3_kms_key is the id or ARN of a key"),
    )
    _raise_for(problems)
    parse_url(target_of(schedule).origin)


def _raise_for(problems: tuple[tuple[bool, str], ...]) -> None:
    for wrong, text in problems:
        if wrong:
            raise InvalidRequest(text)


def _failed(before: Status, error: str, now: int) -> Status:
    errors = before.consecutive_errors + 1
    return msgspec.structs.replace(before, consecutive_errors=errors, last_start=now, last_end=now, last_error=error, next_start=0)


def _succeeded(start: int, end: int, url: str, gsn: int, size: int, following: int) -> Status:
    return Status(last_start=start, last_end=end, url=url, start=start, next_start=following, gsn=gsn, size=size)


def _shown(status: Status) -> dict[str, Any]:
    return {
        "consecutive_errors": status.consecutive_errors,
        "last_snapshot_start": rfc3339(status.last_start),
        "last_snapshot_end": rfc3339(status.last_end),
        "last_snapshot_error": status.last_error,
        "last_snapshot_url": status.url,
        "next_snapshot_start": rfc3339(status.next_start),
        "snapshot_start": rfc3339(status.start),
        "snapshot_url": status.url,
        "snapshot_gsn": status.gsn,
        "snapshot_size": status.size,
    }
