"""Whether audit files are what was written: `strongroom audit verify`.

Rules of this file:
- It needs the files and the nodes' public keys, no secret and no server.
- Files are read twice, line by line: first the checkpoints and heads, then every chain against them. Memory grows with the number of
  streams and checkpoints, not with the lines.
- A finding is something that cannot happen unless somebody changed, removed, added or moved something, or a file is not there. A note is
  what an auditor should know and what can happen: lines that a device missed, lines that no checkpoint covers yet.
- Whatever followed the last checkpoint can be cut off without a trace in the file: that is what `expected` is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from strongroom.core.audit.chain import UNREADABLE, Head, Link, Owner, Position, chain_after, read_link
from strongroom.core.audit.checkpoint import CONTEXT, Checkpoint, Last, Line, digest
from strongroom.core.audit.gaps import FILE, HEAD, Gaps, read_head
from strongroom.core.audit.report import Report
from strongroom.crypto.errors import InvalidSignature
from strongroom.crypto.signatures import DualVerifier

_CHECKPOINT: Final = b'{"type":"checkpoint",'
_LINE: Final = msgspec.json.Decoder(Line)
_CONTENT: Final = msgspec.json.Decoder(Checkpoint)


class _Signed(NamedTuple):
    """A checkpoint that verified, and where it stands."""

    place: tuple[str, int]
    content: Checkpoint
    name: str


@dataclass
class _Stream:
    """What is known of one stream: the last line seen, and how far checkpoints vouch for it."""

    place: tuple[str, int]
    head: Head
    seq: int
    chain: str
    vouched: int = -1


def verify(
    files: Sequence[Path],
    public_keys: Mapping[str, DualVerifier] | Sequence[DualVerifier],
    *,
    partial: bool = False,
    expected: Last | None = None,
) -> Report:
    """Check files against each other and the keys: by node name, or any of them.

    `partial`: older files, or those of other workers, are not here. `expected`: a checkpoint that must be there, known from elsewhere.
    """
    report = Report(files=len(files))
    gaps = Gaps()
    signed = list(_checkpoints(files, public_keys, report, gaps))
    _link(signed, report, partial, expected)
    streams = _Verifier(report, signed, gaps).run(files)
    _join(streams, report, partial, gaps)
    _vouch_back(streams)
    _cover(streams, signed, report, partial)
    report.streams, report.checkpoints = len(streams), len({item.name for item in signed})
    report.last = max((item.content for item in signed), key=lambda content: (content.gsn, content.time, content.number), default=None)
    report.uncovered = sum(stream.seq - stream.vouched for stream in streams.values())
    return report


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        yield from enumerate(file, 1)


# --- checkpoints ---


def _checkpoints(
    files: Sequence[Path], keys: Mapping[str, DualVerifier] | Sequence[DualVerifier], report: Report, gaps: Gaps
) -> Iterator[_Signed]:
    for path in files:
        for number, line in _numbered(path):
            if line.startswith(HEAD):
                gaps.note_head(line)
            if line.startswith(_CHECKPOINT):
                try:
                    yield _signed((str(path), number), line, keys)
                except (*UNREADABLE, InvalidSignature):
                    report.find((str(path), number), "this checkpoint was not signed by a known key, or was changed since")


def _signed(place: tuple[str, int], line: bytes, keys: Mapping[str, DualVerifier] | Sequence[DualVerifier]) -> _Signed:
    read = _LINE.decode(line)
    content, signature = bytes(read.checkpoint), read.signature
    checkpoint = _CONTENT.decode(content)
    for key in [keys[checkpoint.node]] if isinstance(keys, Mapping) and checkpoint.node in keys else _all(keys):
        try:
            key.verify(content, signature, context=CONTEXT)
        except InvalidSignature:
            continue
        return _Signed(place, checkpoint, digest(content))
    raise InvalidSignature("no key verifies it")


def _all(keys: Mapping[str, DualVerifier] | Sequence[DualVerifier]) -> Sequence[DualVerifier]:
    return () if isinstance(keys, Mapping) else keys


def _link(signed: Sequence[_Signed], report: Report, partial: bool, expected: Last | None) -> None:
    """Each checkpoint names the one before it. The same one in several files is one."""
    known: dict[tuple[str, str, int], _Signed] = {}
    for item in signed:
        key = (item.content.node, item.content.boot, item.content.number)
        if known.setdefault(key, item).name != item.name:
            report.find(item.place, f"another checkpoint {item.content.number} of the same node exists")
    names = {item.name for item in known.values()}
    for (_, _, number), item in known.items():
        if item.content.previous and item.content.previous not in names:
            add = report.note if partial else report.find
            add(item.place, f"the checkpoint before this one ({number - 1}) is missing: give the files that have it")
    if expected is not None and expected.digest not in names:
        report.find(("", 0), f"checkpoint {expected.number} is known to exist and is missing: the end was cut off")


# --- chains ---


class _Verifier:
    """Follows every stream's chain and holds it against the checkpoints."""

    def __init__(self, report: Report, signed: Sequence[_Signed], gaps: Gaps) -> None:
        self._report = report
        self._gaps = gaps
        self._streams: dict[str, _Stream] = {}
        self._vouched: dict[str, dict[int, str]] = {}
        for item in signed:
            for position in item.content.streams:
                self._vouched.setdefault(position.stream, {})[position.seq] = position.chain

    def run(self, files: Sequence[Path]) -> dict[str, _Stream]:
        for path in files:
            self._file(str(path), _numbered(path))
        return self._streams

    def _file(self, name: str, lines: Iterator[tuple[int, bytes]]) -> None:
        number, here, foreign = 0, dict[str, _Stream](), b""
        for number, line in lines:
            if line == b"\n" and foreign and self._gaps.cut(foreign):
                continue  # whoever stored a cut line ended it, and so did the device when it went on
            place = (name, number)
            if not line.endswith(b"\n"):
                self._report.find(place, "the last line is cut short")
            link = read_link(line.removesuffix(b"\n"))
            if foreign:
                self._foreign((name, number - 1), foreign, line if link is not None and link.type == "stream" else b"")
            foreign = line if link is None else b""
            if link is not None:
                self._report.lines += 1
                self._line(place, line[:-1] if line.endswith(b"\n") else line, link, here)
        if foreign:
            self._foreign((name, number), foreign, b"")
        if number == 0:
            self._report.find((name, 0), "the file is empty")

    def _foreign(self, place: tuple[str, int], line: bytes, head: bytes) -> None:
        """Not a line of ours: only what a crash left unfinished may stand there, and then the head behind it knows it.

        At a collector others may have written between the two.
        """
        if self._gaps.cut(line):
            self._report.note(place, "an unfinished line that a lost connection left")
        elif head and self._torn(head) == sha256(line.removesuffix(b"\n")).hexdigest():
            self._report.note(place, "an unfinished line that a crash left")
        else:
            self._report.find(place, "this is not a line that a device wrote, or it was changed")

    def _torn(self, line: bytes) -> str:
        try:
            return read_head(line).torn
        except UNREADABLE:
            return ""

    def _line(self, place: tuple[str, int], line: bytes, link: Link, here: dict[str, _Stream]) -> None:
        if link.type == "stream":
            self._begin(place, line, link, here)
            return
        stream = here.get(link.stream)
        if stream is None:
            self._report.find(place, f"a line of stream {link.stream}, which has not begun in this file or has ended")
            return
        if link.seq != stream.seq + 1:
            self._report.find(place, _gap(stream.seq, link.seq))
        elif link.chain != chain_after(stream.chain, line):
            self._report.find(place, "the line was changed, or the one before it")
        else:
            self._gaps.passes(link)
        if link.seq > stream.seq:
            stream.seq, stream.chain = link.seq, link.chain
        self._vouch(place, stream, link)

    def _begin(self, place: tuple[str, int], line: bytes, link: Link, here: dict[str, _Stream]) -> None:
        try:
            head = read_head(line)
        except UNREADABLE:
            self._report.find(place, "the head of a stream is not complete")
            return
        if link.seq != 0 or link.chain != chain_after("", line) or link.stream != head.owner.stream(head.part):
            self._report.find(place, "the head of a stream was changed")
        if link.stream in self._streams:
            self._report.find(place, f"stream {link.stream} begins twice")
            return
        for name, other in list(here.items()):
            if _writer(other.head.owner) == _writer(head.owner):
                del here[name]  # it has ended: nothing of it may come behind this head
            elif head.owner.kind == FILE:
                self._report.find(place, "another worker's or device's stream begins in this file")
        if head.missed:
            self._report.note(place, f"the device missed {head.missed} lines before this one")
        here[link.stream] = self._streams[link.stream] = _Stream(place, head, link.seq, link.chain)
        self._gaps.passes(link)
        self._vouch(place, self._streams[link.stream], link)

    def _vouch(self, place: tuple[str, int], stream: _Stream, link: Link) -> None:
        """Whether a checkpoint saw this line, and saw it as it is."""
        chain = self._vouched.get(link.stream, {}).get(link.seq)
        if chain is None:
            return
        if chain != link.chain:
            self._report.find(place, "a signed checkpoint saw another line here: the file was rewritten up to it")
        stream.vouched = max(stream.vouched, link.seq)


def _gap(last: int, seq: int) -> str:
    if seq <= last:
        return f"line {seq} of its stream comes after line {last}: a line was copied or moved"
    return f"{seq - last - 1} lines of its stream are missing before this one"


def _writer(owner: Owner) -> tuple[str, str, int]:
    """Who writes one file, over all boots."""
    return owner.device, owner.node, owner.slot


# --- between streams and files ---


def _join(streams: Mapping[str, _Stream], report: Report, partial: bool, gaps: Gaps) -> None:
    """Every stream but the first of a writer begins where another ended."""
    successors: set[str] = set()
    first: set[tuple[str, str, int]] = set()
    for stream in streams.values():
        previous = stream.head.previous
        if previous is None:
            if _writer(stream.head.owner) in first:
                report.find(stream.place, "this stream says that nothing was written before it, but something was")
            first.add(_writer(stream.head.owner))
        elif previous.stream in successors:
            report.find(stream.place, f"two streams follow {previous.stream}")
        else:
            successors.add(previous.stream)
            _follow(stream, previous, streams.get(previous.stream), report, partial, gaps)


def _follow(stream: _Stream, previous: Position, before: _Stream | None, report: Report, partial: bool, gaps: Gaps) -> None:
    if before is None:
        add = report.note if partial else report.find
        add(stream.place, f"stream {previous.stream} with {previous.seq + 1} lines came before and is missing: give the older files too")
        return
    if previous.seq < before.seq <= previous.seq + stream.head.missed and gaps.went_on(previous.stream):
        report.note(
            stream.place, f"{before.seq - previous.seq} of the lines that the device counts as missed had arrived; nothing vouches for them"
        )
    elif (before.seq, before.chain) != (previous.seq, previous.chain):
        report.find(stream.place, f"stream {previous.stream} ended at line {previous.seq}, but here it ends at {before.seq}, or otherwise")


def _vouch_back(streams: Mapping[str, _Stream]) -> None:
    """A checkpoint that saw a line of a stream has, by the heads, seen all of the streams before it."""
    for stream in [stream for stream in streams.values() if stream.vouched >= 0]:
        previous = stream.head.previous
        while previous is not None and (before := streams.get(previous.stream)) is not None and before.vouched < previous.seq:
            before.vouched, previous = previous.seq, before.head.previous


def _cover(streams: Mapping[str, _Stream], signed: Sequence[_Signed], report: Report, partial: bool) -> None:
    """What checkpoints saw must be there, and what is there must have been seen, save the end."""
    devices = {stream.head.owner.device for stream in streams.values()}
    for item in signed:
        for position in item.content.streams:
            stream = streams.get(position.stream)
            if stream is not None and position.seq > stream.seq:
                report.find(stream.place, f"it ends at line {stream.seq}, but a signed checkpoint saw line {position.seq}: it was cut off")
            elif stream is None and not partial and position.device in devices:
                report.find(item.place, f"stream {position.stream} is missing: give the files of all workers, or its file was removed")
    followed = {stream.head.previous.stream for stream in streams.values() if stream.head.previous is not None}
    for name, stream in streams.items():
        if stream.vouched < 0 and name not in followed and _later(signed, stream.head) > 1:
            report.find(stream.place, "no checkpoint knows this stream, though two were made after it began")


def _later(signed: Sequence[_Signed], head: Head) -> int:
    """How many checkpoints its node made after a stream began. The first may have been on its way already."""
    return len({item.name for item in signed if item.content.node == head.owner.node and item.content.time > head.time})
