"""Snapshots that are taken by themselves: what is stored about a schedule, and one run of it.

Rules of this file:
- A run takes a snapshot, keeps it in its place, compares, and only then removes older ones.
- It ends in an outcome that is stored with the next time; what went wrong is stored too, and the timer tries again by itself.
- A removal that fails (a locked object, say) is no failure of the run: what matters is there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from strongroom.core.core import Core
from strongroom.core.snapshots.bucket import Bucket, Target
from strongroom.core.snapshots.places import Directory, Place, below, name_of, of_prefix
from strongroom.crypto.sigv4 import Credentials
from strongroom.errors import StrongroomError

LOCAL, S3 = "local", "aws-s3"
STORAGE_TYPES: Final = (LOCAL, S3)


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One schedule, under Vault's names. `nonce` tells it from what had its name before. Durations in seconds, spaces in bytes."""

    nonce: bytes
    interval: int
    retain: int
    storage_type: str
    path_prefix: str
    file_prefix: str
    local_max_space: int = 0
    aws_s3_bucket: str = ""
    aws_s3_region: str = ""
    aws_s3_endpoint: str = ""
    aws_s3_force_path_style: bool = False
    aws_access_key_id: str = ""
    aws_secret_access_key: str = ""
    aws_session_token: str = ""
    aws_s3_server_side_encryption: bool = False
    aws_s3_enable_kms: bool = False
    aws_s3_kms_key: str = ""
    aws_s3_ca_pem: str = ""
    object_lock_mode: str = ""
    object_lock_days: int = 0

    def __repr__(self) -> str:
        return f"Schedule({self.storage_type}, every {self.interval} s)"


class Status(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a schedule does. Instants in ns, 0 = never."""

    consecutive_errors: int = 0
    last_start: int = 0
    last_end: int = 0
    last_error: str = ""
    url: str = ""
    start: int = 0
    next_start: int = 0
    gsn: int = 0
    size: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """A run that ended well."""

    url: str
    gsn: int
    size: int
    end: int


class RunJob(msgspec.Struct, frozen=True):
    """Take the next snapshot of a schedule, if it is still the one with this nonce."""

    name: str
    nonce: bytes


def place_of(core: Core, schedule: Schedule) -> Place:
    """Where a schedule keeps its snapshots. Raises InvalidRequest."""
    if schedule.storage_type == LOCAL:
        return Directory(below(core.snapshots.settings.directory, schedule.path_prefix))
    return Bucket(target_of(schedule), core.outbound, core.clock)


def target_of(schedule: Schedule) -> Target:
    """The bucket of a schedule. Its name stands before the host or, in path style, before the object."""
    host = (schedule.aws_s3_endpoint or f"https://s3.{schedule.aws_s3_region}.amazonaws.com").rstrip("/")
    bucket, path = schedule.aws_s3_bucket, ""
    if schedule.aws_s3_force_path_style:
        path = f"/{bucket}"
    else:
        host = host.replace("https://", f"https://{bucket}.", 1)
    encryption: dict[str, str] = {}
    if schedule.aws_s3_enable_kms:
        encryption["x-amz-server-side-encryption"] = "aws:kms"
        if schedule.aws_s3_kms_key:
            encryption["x-amz-server-side-encryption-aws-kms-key-id"] = schedule.aws_s3_kms_key
    elif schedule.aws_s3_server_side_encryption:
        encryption["x-amz-server-side-encryption"] = "AES256"
    return Target(
        host,
        path,
        schedule.aws_s3_region,
        f"{schedule.path_prefix}/" if schedule.path_prefix else "",
        Credentials(schedule.aws_access_key_id, schedule.aws_secret_access_key, schedule.aws_session_token),
        schedule.aws_s3_ca_pem,
        encryption,
        schedule.object_lock_mode,
        schedule.object_lock_days,
    )


def run(core: Core, schedule: Schedule) -> Outcome:
    """Take, keep, compare, and remove what is too old. Blocking, for a pool thread. Raises StrongroomError."""
    now = core.clock.now()
    place = place_of(core, schedule)
    taken = core.snapshots.take(core.barrier, now)
    try:
        name = name_of(schedule.file_prefix, now)
        url = place.put(name, taken)
    except BaseException:
        core.snapshots.failed += 1
        raise
    finally:
        taken.file.close()
    with suppress(StrongroomError, OSError):
        remove_old(place, schedule, name)
    return Outcome(url, taken.manifest.gsn, taken.size, core.clock.now())


def remove_old(place: Place, schedule: Schedule, newest: str) -> None:
    """Keep as many as are to be retained and, in a directory, as fit; never remove the newest."""
    ours = of_prefix(schedule.file_prefix, place.names(schedule.file_prefix))
    for name in ours[: -schedule.retain]:
        if name != newest:
            place.remove(name)
    space, kept = schedule.local_max_space, ours[-schedule.retain :]
    for name in reversed(kept if space else []):
        space -= place.size(name)
        if space < 0 and name != newest:
            place.remove(name)
