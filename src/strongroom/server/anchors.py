"""The anchor of the store: the newest signed checkpoint in the audit files of the configuration.

Rules of this file:
- A checkpoint counts when both signatures verify under this installation's keys; one that does not is passed over, as if it were not there.
- Read from the end: the newest checkpoint is at most 1,000 entries or a minute of them away.
- No file, or no checkpoint in it, is no anchor: a log that was just rotated knows nothing. Whoever can put back the store and the files
  is not noticed here; an audit device that lies elsewhere is the answer to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from strongroom.barrier.anchor import Anchor
from strongroom.barrier.barrier import Barrier
from strongroom.core.audit.checkpoint import CONTEXT, Checkpoint, Line
from strongroom.crypto.errors import InvalidSignature
from strongroom.crypto.signatures import DualSigner, DualVerifier
from strongroom.server.config import AuditStanza
from strongroom.sinks.file import worker_paths

TAILS: Final = (1 << 20, 16 << 20, 256 << 20)
"""Bytes read of a file's end, more only where less held no checkpoint. The longest is a thousand entries of 256 KiB."""

_MARK: Final = b'{"type":"checkpoint",'
_LINE: Final = msgspec.json.Decoder(Line)
_CONTENT: Final = msgspec.json.Decoder(Checkpoint)


def newest_anchor(stanzas: Iterable[AuditStanza], barrier: Barrier) -> Anchor | None:
    """What the audit files saw last of the store, None where they saw nothing. The barrier is open."""
    verifier = DualSigner.from_bytes(barrier.keys.keyring.stable.signing).public()
    found = (_anchor(Path(path), verifier) for path in audit_files(stanzas))
    return max((anchor for anchor in found if anchor is not None), key=lambda anchor: anchor.gsn, default=None)


def audit_files(stanzas: Iterable[AuditStanza]) -> list[str]:
    """The regular files that devices of the configuration write to, those of all workers."""
    places = (stanza.options.get("file_path") or stanza.options.get("path") or "" for stanza in stanzas if stanza.kind == "file")
    return [file for place in places if place for file in worker_paths(place)]


def _anchor(path: Path, verifier: DualVerifier) -> Anchor | None:
    with suppress(OSError), path.open("rb") as file:
        for size in TAILS:
            for line in _checkpoints(_tail(file, size)):
                with suppress(msgspec.MsgspecError, InvalidSignature):
                    return _verified(line, verifier)
            if file.tell() <= size:
                break
    return None


def _tail(file: BinaryIO, size: int) -> bytes:
    file.seek(max(0, file.seek(0, SEEK_END) - size))
    return file.read()


def _checkpoints(tail: bytes) -> Iterator[bytes]:
    """Lines that look like checkpoints, the last one first."""
    at = len(tail)
    while (at := tail.rfind(_MARK, 0, at)) >= 0:
        if at == 0 or tail[at - 1 : at] == b"\n":
            yield tail[at:].partition(b"\n")[0]


def _verified(line: bytes, verifier: DualVerifier) -> Anchor:
    read = _LINE.decode(line)
    content = bytes(read.checkpoint)
    verifier.verify(content, read.signature, context=CONTEXT)
    checkpoint = _CONTENT.decode(content)
    return Anchor(checkpoint.gsn, checkpoint.sigma)
