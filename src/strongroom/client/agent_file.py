"""The file that holds an agent's private key, and where it is enrolled.

Rules of this file:
- Mode 0600, written whole or not at all, flushed to the disk before the server hears of a key in it. One that others may read is refused.
- During a rotation it holds both keys: whatever became of the server's answer, one of them is the right one.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import stat
from contextlib import suppress
from typing import NamedTuple

from strongroom.client.agent_key import SEED_BYTES, TYPES, AgentKey
from strongroom.client.errors import BadSettings

_MOST = 65_536


class AgentFile(NamedTuple):
    """What the file says. `next_key` is the one that a rotation is about to bring in."""

    mount: str
    accessor: str
    name: str
    key: AgentKey
    next_key: AgentKey | None = None


def load(path: str) -> AgentFile:
    """Read a key file. Raises BadSettings."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_MOST)
    except OSError as error:
        raise BadSettings(f"the key file {path} cannot be read: {error.strerror}; 'strongroom agent enrol' makes one") from None
    if mode & 0o077:
        raise BadSettings(f"the key file {path} can be read or changed by others; run: chmod 600 {path}")
    try:
        found = json.loads(content)
        following = found.get("next")
        return AgentFile(
            str(found["mount"]), str(found["mount_accessor"]), str(found["name"]), _key(found), _key(following) if following else None
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise BadSettings(f"the file {path} is no key file of an agent; 'strongroom agent enrol' makes one") from None


def _key(members: dict[str, str]) -> AgentKey:
    key = AgentKey(members["key_type"], base64.b64decode(members["private_key"], validate=True))
    if key.kind not in TYPES or len(key.seed) != SEED_BYTES:
        raise ValueError("no key")
    return key


def save(path: str, file: AgentFile, *, fresh: bool = False) -> None:
    """Write a key file in place of the one before; `fresh`: there must be none. Raises BadSettings."""
    if fresh and os.path.lexists(path):
        raise BadSettings(f"the key file {path} is there already; remove it, or name another one with -key-file")
    content = {"mount": file.mount, "mount_accessor": file.accessor, "name": file.name, **_members(file.key)}
    if file.next_key is not None:
        content["next"] = _members(file.next_key)
    temporary = f"{path}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="ascii") as target:
            json.dump(content, target, indent=1)
            target.write("\n")
            target.flush()
            os.fsync(target.fileno())
        os.replace(temporary, path)  # noqa: PTH105  pathlib would cost the command line 4 ms
        _flush_directory(os.path.dirname(path) or ".")  # noqa: PTH120
    except OSError as error:
        raise BadSettings(f"the key file {path} cannot be written: {error.strerror}") from None


def remove(path: str) -> None:
    """Throw a key file away: nobody knows its key."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108  pathlib would cost the command line 4 ms


def _members(key: AgentKey) -> dict[str, object]:
    return {"key_type": key.kind, "private_key": base64.b64encode(key.seed).decode()}


def _flush_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
