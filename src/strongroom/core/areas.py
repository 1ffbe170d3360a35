"""Row-key areas of the server's own tables, and the fixed uuids of the mounts that always exist.

Rules of this file: sixteen bytes, the first fifteen zero, so that no random mount uuid meets one; a number is never used again.
"""

from __future__ import annotations


def _area(number: int) -> bytes:
    return bytes(15) + bytes([number])


QUEUE = _area(1)
MOUNTS = _area(2)
POLICIES = _area(3)
TOKENS = _area(4)
LEASES = _area(5)
WRAPPING = _area(6)
IDENTITY = _area(7)
AUDIT = _area(8)
SETTINGS = _area(9)
CEREMONIES = _area(10)
LOCKOUT = _area(11)
TOMBSTONES = _area(12)

SYS_MOUNT = _area(32)
IDENTITY_MOUNT = _area(33)
CUBBYHOLE_MOUNT = _area(34)
TOKEN_MOUNT = _area(35)


def own(area: bytes) -> bool:
    """Whether an area is one of these, not a mount that somebody made."""
    return not any(area[:15])
