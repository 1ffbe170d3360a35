"""Streams: what makes an audit file prove itself.

Rules of this file:
- A stream is what one device writes in one worker of one boot without missing a line. Its first line, the head, says whose it is and
  names the last line before it: of the earlier stream, or nothing for the first of all.
- Every line ends `,"stream":"…","seq":N,"chain":"…"}`. chain = hex SHA-256(chain of the line before, as written ‖ the bytes of this
  line up to `,"chain":`); before a head there is nothing. `sha256sum` is enough to check one.
- A position counts only after its line was taken: `seal` proposes one, `accept` makes it so.

The chain has no key. What binds it is the signed checkpoint (core/audit/checkpoint.py).
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import msgspec

CHAIN: Final = b',"chain":"'
_TAIL: Final = len(CHAIN) + 64 + len(b'"}')
LONG: Final = 4_096
"""Bytes of a body from which on it costs less to hash it piece by piece than to put the pieces together first."""


class Position(msgspec.Struct, frozen=True):
    """A line, as the next stream's head names it."""

    stream: str
    seq: int
    chain: str


class Owner(msgspec.Struct, frozen=True):
    """Whose stream it is: the device, and the worker of a node that writes. `kind` is the device's sink."""

    device: str
    kind: str
    node: str
    slot: int
    boot: str

    def stream(self, part: int) -> str:
        """The id of this owner's stream number `part`: everything in it can be recomputed from its head."""
        return sha256(f"{self.device}|{self.node}|{self.slot}|{self.boot}|{part}".encode()).hexdigest()[:24]


class Head(msgspec.Struct, frozen=True, kw_only=True, tag="stream"):
    """The first line of a stream. `missed` lines were not taken between `previous` and it. `torn`: SHA-256 of an unfinished line that a
    crash left before it."""

    time: str
    owner: Owner
    part: int
    previous: Position | None
    missed: int = 0
    torn: str = ""


class Stream:
    """Where one stream stands: the last accepted line. `seq` -1 = no line yet."""

    __slots__ = ("_member", "chain", "id", "seq")

    def __init__(self, stream_id: str) -> None:
        self.id = stream_id
        self.seq = -1
        self.chain = b""
        self._member = b',"stream":"%b","seq":' % stream_id.encode()

    def seal(self, bodies: Sequence[bytes]) -> tuple[bytes, int, bytes]:
        """The lines of these entries as one block, and the seq and chain this stream will have when the block was taken.

        A body is a JSON object without its closing brace.
        """
        seq, chain, member = self.seq, self.chain, self._member
        pieces: list[bytes] = []
        for body in bodies:
            seq += 1
            if len(body) > LONG:
                end = b"%b%d" % (member, seq)
                chain = _chain_of(chain, body, end)
                pieces += (body, end, CHAIN, chain, b'"}\n')
                continue
            line = b"%b%b%d" % (body, member, seq)
            chain = hexlify(sha256(chain + line).digest())
            pieces += (line, CHAIN, chain, b'"}\n')
        return b"".join(pieces), seq, chain

    def accept(self, seq: int, chain: bytes) -> None:
        """The block up to here was taken."""
        self.seq = seq
        self.chain = chain

    @property
    def position(self) -> Position:
        """The last accepted line."""
        return Position(self.id, self.seq, self.chain.decode())


def _chain_of(*parts: bytes) -> bytes:
    digest = sha256()
    for part in parts:
        digest.update(part)
    return hexlify(digest.digest())


class Link(msgspec.Struct, frozen=True):
    """What is read of any line to follow its chain."""

    type: str
    time: str
    stream: str
    seq: int
    chain: str

    @property
    def position(self) -> Position:
        """This line."""
        return Position(self.stream, self.seq, self.chain)


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)
"""What decoding a line raises when it is not one of ours."""
_LINK: Final = msgspec.json.Decoder(Link)


def read_link(line: bytes) -> Link | None:
    """What a line (without its newline) says of its place; None when it is not a line of ours."""
    if line[-_TAIL : -_TAIL + len(CHAIN)] != CHAIN:
        return None
    try:
        link = _LINK.decode(line)
    except UNREADABLE:
        return None
    return link if line.endswith(b'"%b"}' % link.chain.encode()) else None


def chain_after(previous: str, line: bytes) -> str:
    """The chain that this line must have behind `previous`."""
    return sha256(previous.encode() + line[:-_TAIL]).hexdigest()
