"""Paths whose bodies are bytes rather than JSON, known before a body is read.

Rules of this file: the codec hands such a body on as it is; it is not parsed, and audit records what it turned out to be, not its bytes.
"""

from __future__ import annotations

from typing import Final

UPLOADS: Final = frozenset(("sys/storage/raft/snapshot", "sys/storage/raft/snapshot-force"))
