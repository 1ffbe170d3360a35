"""Checkpoints: what binds the chains, which have no key of their own.

Rules of this file:
- A checkpoint lists the last line of every stream of the node, the store's gsn and its index sum, and the digest of the checkpoint
  before it. Ed25519 and ML-DSA-65 both sign exactly these bytes; whoever verifies needs the public keys only.
- Signing takes about 1 ms, so it happens on the pool, between `Broker.draft` and `Broker.append`.
- Whoever edits the file after the fact can forge only what came after the last checkpoint.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from strongroom.crypto.signatures import DualSigner

EVERY: Final = 60.0
"""Seconds after which lines must be covered."""
LINES: Final = 1_000
"""Lines after which they must be covered, however fast they come."""
AT_MOST_EVERY: Final = 1.0
"""Seconds between two: signing and 5 KB of signature for each."""

CONTEXT: Final = b"audit checkpoint"
"""What is signed is signed for this purpose only."""


IndexState = tuple[int, str, int]
"""What the store's authenticated index said: newest gsn, its sum in hex, number of rows."""


class Seen(msgspec.Struct, frozen=True):
    """The last line of one stream as the checkpoint saw it."""

    device: str
    stream: str
    seq: int
    chain: str


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed. `previous` is the digest of checkpoint `number` - 1 of the same process, "" for the first; sealing ends a boot."""

    node: str
    boot: str
    number: int
    previous: str
    time: str
    gsn: int
    sigma: str
    count: int
    streams: tuple[Seen, ...]
    final: bool = False


class Draft(NamedTuple):
    """A checkpoint on its way."""

    number: int
    content: bytes

    def sign(self, signer: DualSigner) -> bytes:
        """The signature, made on the pool."""
        return signer.sign(self.content, context=CONTEXT)


def digest(content: bytes) -> str:
    """By this the next checkpoint names this one."""
    return sha256(content).hexdigest()


class Last(NamedTuple):
    """The checkpoint that the next one follows."""

    number: int = 0
    digest: str = ""


class Line(msgspec.Struct, frozen=True):
    """A checkpoint as it stands in a file. `signature` is base64."""

    checkpoint: msgspec.Raw
    signature: bytes


def body(draft: Draft, signature: bytes, time: bytes) -> bytes:
    """The line's body, without the closing brace."""
    return b'{"type":"checkpoint","time":"%b","checkpoint":%b,"signature":%b' % (time, draft.content, msgspec.json.encode(signature))
