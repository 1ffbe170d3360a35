"""Proof: whoever edits, drops, moves, copies, inserts, splices or cuts is found (F22), and an honest log is not accused."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from strongroom.core.audit.broker import Broker
from strongroom.core.audit.chain import LONG, Link, Stream, chain_after, read_link
from strongroom.core.audit.checkpoint import Last, Seen
from strongroom.core.audit.report import Report, report_json, report_text
from strongroom.core.audit.verify import verify
from strongroom.crypto.signatures import DualSigner
from strongroom.errors import AuditFailed
from strongroom.sinks.file import File
from strongroom.testing.room import FakeClock
from tests.core.audit.kit import UUID, Memory, broker, device, exchange

SIGNER = DualSigner.generate()
KEYS = [SIGNER.public()]


def checkpoint(audit: Broker, signer: DualSigner = SIGNER, final: bool = False) -> None:
    draft = audit.draft(final)
    audit.append(draft, draft.sign(signer))
    audit.flush()


@dataclass(frozen=True)
class Log:
    """An honest log of two workers over two boots, and the last checkpoint there is."""

    files: dict[str, list[bytes]]
    last: Last


def record(folder: Path) -> Log:
    """Two workers, two boots, a reopening, a device that misses lines, checkpoints in between and one at the end."""
    clock, last = FakeClock(), Last()
    paths = [folder / "audit.log", folder / "audit.log.1"]
    for boot in ("first", "second"):
        workers = [broker(device(File(str(path))), clock=clock, slot=slot, boot=boot) for slot, path in enumerate(paths)]
        other: Callable[[], tuple[Seen, ...]] = workers[1].seen
        workers[0]._others, workers[0].last = other, last
        for number in range(8):
            for worker in workers:
                exchange(worker, number)
            clock.advance(20)
            if number % 4 == 3:
                checkpoint(workers[0])
            if number == 5:
                workers[0].reopen()
        checkpoint(workers[0], final=True)
        last = workers[0].last
        for worker in workers:
            worker.close()
    return Log({path.name: path.read_bytes().splitlines(keepends=True) for path in paths}, last)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return record(tmp_path_factory.mktemp("honest"))


def check(folder: Path, files: dict[str, list[bytes]], last: Last | None = None) -> Report:
    for name, lines in files.items():
        (folder / name).write_bytes(b"".join(lines))
    return verify([folder / name for name in sorted(files)], KEYS, expected=last)


def test_an_honest_log_is_intact(log: Log, tmp_path: Path) -> None:
    report = check(tmp_path, log.files, log.last)
    assert report.intact, report_text(report)
    assert (report.files, report.streams, report.checkpoints) == (2, 6, 6)
    assert report.last is not None
    assert report.last.final
    assert report.uncovered == 1
    assert msgspec.json.decode(report_json(report))["intact"]
    assert report_text(report).endswith("intact")


def test_a_log_over_a_seal_and_unseal_of_one_process_is_intact(tmp_path: Path) -> None:
    """The devices are opened anew by the same broker, which must not begin the same stream twice."""
    path = tmp_path / "audit.log"
    audit = broker(device(File(str(path))), boot="first")
    exchange(audit, 1)
    checkpoint(audit, final=True)
    audit.close()
    audit.enable(device(File(str(path))))
    exchange(audit, 2)
    checkpoint(audit, final=True)
    audit.close()
    report = verify([path], KEYS, expected=audit.last)
    assert report.intact, report_text(report)
    assert (report.streams, report.checkpoints) == (2, 2)


# --- F22 ---

Mutation = Callable[[random.Random, dict[str, list[bytes]]], None]


def pick(dice: random.Random, files: dict[str, list[bytes]]) -> tuple[list[bytes], int]:
    lines = files[dice.choice(sorted(files))]
    return lines, dice.randrange(len(lines))


def flip(dice: random.Random, files: dict[str, list[bytes]]) -> None:
    """One bit of one byte."""
    lines, at = pick(dice, files)
    line = bytearray(lines[at])
    line[dice.randrange(len(line))] ^= 1 << dice.randrange(8)
    lines[at] = bytes(line)


def drop(dice: random.Random, files: dict[str, list[bytes]]) -> None:
    """A run of lines."""
    lines, at = pick(dice, files)
    del lines[at : at + dice.randint(1, 4)]


def swap(dice: random.Random, files: dict[str, list[bytes]]) -> None:
    """Two lines of one file."""
    lines, at = pick(dice, files)
    other = dice.choice([number for number in range(len(lines)) if number != at])
    lines[at], lines[other] = lines[other], lines[at]


def duplicate(dice: random.Random, files: dict[str, list[bytes]]) -> None:
    """A line once more, anywhere."""
    lines, at = pick(dice, files)
    lines.insert(dice.randint(0, len(lines)), lines[at])


def insert(dice: random.Random, files: dict[str, list[bytes]]) -> None:
    """A line that nobody wrote: made up, empty, or one of another file."""
    lines, at = pick(dice, files)
    made_up = lines[at].replace(b'"secret/data/', b'"secret/data/x', 1)
    lines.insert(dice.randint(0, len(lines)), dice.choice([made_up, b"\n", b"{}\n", pick(dice, files)[0][0]]))


def truncate(dice: random.Random, files: dict[str, list[bytes]]) -> None:
    """The end, at any byte."""
    lines, _ = pick(dice, files)
    text = b"".join(lines)
    lines[:] = text[: dice.randrange(len(text))].splitlines(keepends=True)


def splice(dice: random.Random, files: dict[str, list[bytes]]) -> None:
    """The beginning of one stream and the end of another."""
    first, second = (files[name] for name in dice.sample(sorted(files), 2))
    at, other = dice.randrange(1, len(first)), dice.randrange(len(second))
    first[at:] = second[other:]


def rewrite(dice: random.Random, files: dict[str, list[bytes]]) -> None:
    """Change a line and compute all chains behind it anew: only a signature stands in the way."""
    lines, _ = pick(dice, files)
    at = dice.choice([number for number, line in enumerate(lines) if b'"type":"request"' in line])
    lines[at] = lines[at].replace(b'"remote_port":4711', b'"remote_port":4712')
    rechain(lines, at)


def rechain(lines: list[bytes], at: int) -> None:
    """Make the chain of a file whole again from a line on, heads of later streams included."""
    chains: dict[str, str] = {}
    for number, line in enumerate(lines):
        link = read_link(line[:-1])
        assert link is not None
        if number >= at:
            line = named(line, lines, number, at)
            chain = chain_after(chains.get(link.stream, ""), line[:-1])
            line = line[: -len(link.chain) - 3] + chain.encode() + b'"}\n'
            lines[number] = line
        chains[link.stream] = links(line).chain


def named(line: bytes, lines: list[bytes], number: int, at: int) -> bytes:
    """A head names the last line of the stream before it, whose chain is another now."""
    before = links(lines[number - 1])
    if number > at and line.startswith(b'{"type":"stream"'):
        old = msgspec.json.decode(line)["previous"]["chain"].encode()
        line = line.replace(old, before.chain.encode(), 1)
    return line


def links(line: bytes) -> Link:
    link = read_link(line[:-1])
    assert link is not None
    return link


MUTATIONS: Sequence[Mutation] = (flip, drop, swap, duplicate, insert, truncate, splice, rewrite)


def is_harmless(before: dict[str, list[bytes]], after: dict[str, list[bytes]]) -> bool:
    """Nothing changed; or only lines behind the last checkpoint's view went, which is what the promise leaves open."""
    for name, lines in before.items():
        text, rest = b"".join(after[name]), b"".join(lines)
        if text == rest or (text.endswith(b"\n") and rest.startswith(text) and not covered(before, rest[len(text) :])):
            continue
        return False
    return True


def covered(files: dict[str, list[bytes]], gone: bytes) -> bool:
    """Whether any checkpoint saw a line of these, or one is among them."""
    text = b"".join(itertools.chain.from_iterable(files.values()))
    return any(b"checkpoint" in line[:30] or text.count(links(line + b"\n").chain.encode()) > 1 for line in gone.splitlines())


def mutated(log: Log, seed: int) -> tuple[str, dict[str, list[bytes]]]:
    dice = random.Random(seed)
    while True:
        files = {name: list(lines) for name, lines in log.files.items()}
        mutation = MUTATIONS[seed % len(MUTATIONS)]
        mutation(dice, files)
        if not is_harmless(log.files, files):
            return mutation.__name__, files


def undetected(log: Log, folder: Path, seeds: range) -> list[tuple[int, str]]:
    missed = []
    for seed in seeds:
        name, files = mutated(log, seed)
        if check(folder, files, log.last).intact:
            missed.append((seed, name))
    return missed


@pytest.mark.fault("F22")
def test_every_one_of_1000_mutations_is_found(log: Log, tmp_path: Path) -> None:
    assert undetected(log, tmp_path, range(1_000)) == []


@pytest.mark.fault("F22")
@pytest.mark.long
def test_every_one_of_10000_more_mutations_is_found(log: Log, tmp_path: Path) -> None:
    assert undetected(log, tmp_path, range(1_000, 11_000)) == []


@pytest.mark.control
@pytest.mark.fault("F22")
def test_a_check_without_chains_would_miss_some(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: these mutations are not found by just anything."""
    monkeypatch.setattr("strongroom.core.audit.verify.chain_after", lambda _previous, line: links(line + b"\n").chain)
    assert {name for _, name in undetected(log, tmp_path, range(200))} >= {"flip"}


@pytest.mark.fault("F22")
def test_a_rewritten_log_is_found_by_the_signature_alone(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the checkpoints' view, a log that was chained anew passes."""
    files = {name: list(lines) for name, lines in log.files.items()}
    lines = files["audit.log.1"]
    lines[1] = lines[1].replace(b'"remote_port":4711', b'"remote_port":4712')
    rechain(lines, 1)
    assert not check(tmp_path, files).intact
    monkeypatch.setattr("strongroom.core.audit.verify._Verifier._vouch", lambda *_: None)
    monkeypatch.setattr("strongroom.core.audit.verify._cover", lambda *_: None)
    assert check(tmp_path, files).intact


# --- single cases ---


@pytest.mark.fault("F22")
def test_a_foreign_signature_or_half_of_one_is_found(tmp_path: Path) -> None:
    audit = broker(device(File(str(tmp_path / "a"))))
    exchange(audit)
    checkpoint(audit, DualSigner.generate())
    assert [finding.line for finding in verify([tmp_path / "a"], KEYS).findings] == [4]
    assert not verify([tmp_path / "a"], {"node": KEYS[0]}).intact


@pytest.mark.fault("F22")
def test_keys_may_be_given_by_node(tmp_path: Path) -> None:
    audit = broker(device(File(str(tmp_path / "a"))))
    exchange(audit)
    checkpoint(audit)
    assert verify([tmp_path / "a"], {"node": KEYS[0]}).intact
    assert not verify([tmp_path / "a"], {"another": KEYS[0]}).intact


@pytest.mark.fault("F22")
def test_the_end_that_was_cut_off_with_its_checkpoint_is_found_from_outside(tmp_path: Path) -> None:
    audit = broker(device(File(str(tmp_path / "a"))))
    for _ in range(2):
        exchange(audit)
        checkpoint(audit)
    lines = (tmp_path / "a").read_bytes().splitlines(keepends=True)
    (tmp_path / "a").write_bytes(b"".join(lines[:4]))
    assert verify([tmp_path / "a"], KEYS).intact
    assert not verify([tmp_path / "a"], KEYS, expected=audit.last).intact


@pytest.mark.fault("F22")
def test_a_missing_file_is_found_unless_told_so(log: Log, tmp_path: Path) -> None:
    report = check(tmp_path, {"audit.log": log.files["audit.log"]}, log.last)
    assert any("is missing" in finding.what for finding in report.findings)
    assert verify([tmp_path / "audit.log"], KEYS, partial=True).intact


@pytest.mark.fault("F22")
def test_a_rotated_file_goes_on_in_the_next_one(tmp_path: Path) -> None:
    path, old = tmp_path / "a", tmp_path / "a.old"
    audit = broker(device(File(str(path))))
    exchange(audit)
    path.rename(old)
    exchange(audit)
    audit.reopen()
    exchange(audit)
    checkpoint(audit)
    assert verify([path, old], KEYS).intact
    alone = verify([path], KEYS)
    assert [finding.line for finding in alone.findings] == [1]
    assert verify([path], KEYS, partial=True).intact


@pytest.mark.fault("F22")
def test_a_restart_goes_on_behind_the_last_line_of_the_file(tmp_path: Path) -> None:
    for boot in ("one", "two"):
        audit = broker(device(File(str(tmp_path / "a"))), boot=boot)
        exchange(audit)
        audit.close()
    report = verify([tmp_path / "a"], KEYS)
    assert (report.intact, report.streams, report.last) == (True, 2, None)


@pytest.mark.fault("F22")
def test_a_line_that_a_crash_left_unfinished_is_noted_and_not_accused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    audit = broker(device(File(str(path))))
    exchange(audit)
    audit.close()
    path.write_bytes(path.read_bytes() + b'{"type":"request","ti')
    again = broker(device(File(str(path))), boot="two")
    exchange(again)
    report = verify([path], KEYS)
    assert report.intact, report_text(report)
    assert [note.what for note in report.notes] == ["an unfinished line that a crash left"]
    path.write_bytes(path.read_bytes().replace(b'request","ti\n', b'request","to\n'))
    assert not verify([path], KEYS).intact


@pytest.mark.fault("F22")
def test_lines_that_a_device_missed_are_noted(tmp_path: Path) -> None:
    sink = Memory()
    audit = broker(device(sink))
    exchange(audit)
    sink.failing = True
    with pytest.raises(AuditFailed):
        exchange(audit)
    sink.failing = False
    exchange(audit)
    (tmp_path / "a").write_bytes(sink.taken)
    report = verify([tmp_path / "a"], KEYS)
    assert report.intact, report_text(report)
    assert [note.what for note in report.notes] == ["the device missed 2 lines before this one"]


@pytest.mark.fault("F22")
def test_a_made_up_stream_is_found_once_two_checkpoints_do_not_know_it(tmp_path: Path) -> None:
    clock = FakeClock()
    audit = broker(device(File(str(tmp_path / "a"))), clock=clock)
    forged = broker(device(File(str(tmp_path / "b")), uuid="other"), clock=clock, slot=7)
    exchange(forged)
    for _ in range(2):
        clock.advance(60)
        exchange(audit)
        checkpoint(audit)
    report = verify([tmp_path / "a", tmp_path / "b"], KEYS)
    assert [finding.file for finding in report.findings] == [str(tmp_path / "b")]


@pytest.mark.fault("F22")
def test_an_empty_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert not verify([tmp_path / "a"], KEYS).intact


@pytest.mark.fault("F22")
def test_the_chain_is_what_sha256sum_says(log: Log) -> None:
    head, line = log.files["audit.log"][:2]
    before = head.rsplit(b',"chain":"', 1)[1][:64]
    body, chain = line.rsplit(b',"chain":"', 1)
    assert sha256(before + body).hexdigest().encode() == chain[:64]


def test_long_lines_are_chained_as_short_ones_are() -> None:
    bodies = [b'{"type":"request","data":"%b"' % (b"x" * size) for size in (1, LONG - 40, LONG, 3 * LONG)]
    block, seq, chain = Stream("a").seal(bodies)
    before = ""
    for line in block.splitlines():
        before = chain_after(before, line)
        assert line.endswith(b'"%b"}' % before.encode())
    assert (seq, chain) == (3, before.encode())


# --- when checkpoints are due ---


@pytest.mark.fault("F22")
def test_a_checkpoint_is_due_after_a_minute_or_1000_lines_but_not_twice_a_second(tmp_path: Path) -> None:
    clock = FakeClock()
    audit = broker(device(File(str(tmp_path / "a"))), clock=clock)
    clock.advance(100)
    assert not audit.checkpoint_due()
    exchange(audit)
    assert audit.checkpoint_due()
    checkpoint(audit)
    for _ in range(500):
        exchange(audit)
    assert not audit.checkpoint_due()
    clock.advance(1)
    assert audit.checkpoint_due()
    draft = audit.draft()
    exchange(audit)
    clock.advance(100)
    assert not audit.checkpoint_due()
    audit.append(draft, None)
    assert audit.checkpoint_due()


@pytest.mark.fault("F22")
def test_a_checkpoint_carries_the_stores_state(tmp_path: Path) -> None:
    audit = Broker(FakeClock(), "node", index=lambda: (42, "ab", 7))
    audit.enable(device(File(str(tmp_path / "a"))))
    exchange(audit)
    checkpoint(audit)
    last = verify([tmp_path / "a"], KEYS).last
    assert last is not None
    assert (last.gsn, last.sigma, last.count) == (42, "ab", 7)


@pytest.mark.fault("F22")
def test_a_line_moved_behind_the_head_of_the_next_stream_is_found(log: Log, tmp_path: Path) -> None:
    lines = list(log.files["audit.log"])
    at = max(number for number, line in enumerate(lines) if line.startswith(b'{"type":"stream"'))
    lines[at - 1], lines[at] = lines[at], lines[at - 1]
    assert not check(tmp_path, {**log.files, "audit.log": lines}, log.last).intact


@pytest.mark.fault("F22")
def test_lines_of_other_workers_want_a_checkpoint_too() -> None:
    """The lead may be idle while the others write: their lines are covered within a minute, or once they are a thousand."""
    clock, heads = FakeClock(), list[Seen]()
    lead = broker(device(Memory()), clock=clock)
    lead._others = lambda: tuple(heads)
    clock.advance(61)
    assert not lead.checkpoint_due(), "nothing was written"
    heads[:] = [Seen(UUID, "another's", 5, "c")]
    assert lead.checkpoint_due()
    draft = lead.draft()
    lead.append(draft, b"signature")
    assert b"another's" in draft.content
    clock.advance(61)
    assert not lead.checkpoint_due(), "it is covered"
    heads[:] = [Seen(UUID, "another's", 6, "c")]
    assert lead.checkpoint_due()
    lead.append(lead.draft(), b"signature")
    clock.advance(2)
    heads[:] = [Seen(UUID, "another's", 7, "c")]
    assert not lead.checkpoint_due(), "one line can wait"
    heads[:] = [Seen(UUID, "another's", 1_007, "c")]
    assert lead.checkpoint_due(), "a thousand cannot"
