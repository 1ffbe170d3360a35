"""What a collector got is what an auditor verifies, whether the collector is slow, dead, half closed or started anew."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from strongroom import sinks
from strongroom.core.audit.broker import Broker
from strongroom.core.audit.device import Device, DeviceEntry
from strongroom.core.audit.gaps import Gaps
from strongroom.core.audit.report import Report, report_text
from strongroom.core.audit.verify import verify
from strongroom.errors import AuditFailed
from strongroom.testing.room import FakeClock
from tests.core.audit.kit import KEY, Memory, call, exchange, token
from tests.core.audit.test_verify import KEYS, checkpoint
from tests.sinks.test_syslog import Daemon
from tests.support.collector import Collector
from tests.support.waiting import tried, until

UUID = "00000000-0000-4000-8000-00000000000{}"
MANY = 2_000
"""Lines that no socket's buffers hold."""


def device(kind: str, number: int = 1, deadline: float = 0.4, **options: str) -> Device:
    entry = DeviceEntry(f"{kind}{number}/", kind, UUID.format(number), options=options)
    return Device(entry, KEY, sinks.make(kind, options), deadline)


def broker(*devices: Device) -> Broker:
    made = Broker(FakeClock(), "node", 0, "boot")
    for each in devices:
        made.enable(each)
    return made


def listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    listening.bind(str(path))
    listening.listen()
    return listening


def unix(path: Path, number: int = 1, deadline: float = 0.4) -> Device:
    return device("socket", number, deadline, address=str(path), socket_type="unix", write_timeout="1s")


def patiently(action: Callable[[], object]) -> None:
    """Until a device is back: it opens behind the scenes while lines are missed."""
    tried(action, AuditFailed, seconds=5)


def judged(received: bytes, folder: Path) -> Report:
    """What an auditor is told of what a collector kept."""
    file = folder / "received"
    file.write_bytes(received)
    return verify([file], KEYS)


def flood(audit: Broker) -> None:
    """One block that is larger than what the kernel keeps for a reader."""
    for number in range(MANY):
        audit.request(call(f"secret/data/{number}", caller=token()))
    audit.flush()


def notes(report: Report) -> str:
    return "\n".join(note.what for note in report.notes)


def test_what_a_healthy_collector_gets_is_intact(tmp_path: Path) -> None:
    collector = Collector(listen(tmp_path / "s"))
    audit = broker(unix(tmp_path / "s"))
    for number in range(20):
        exchange(audit, number)
    checkpoint(audit, final=True)
    collector.wait(b'"final":true')
    audit.close()
    report = judged(collector.taken, tmp_path)
    assert report.intact and not report.notes, report_text(report)
    assert report.lines == 42
    collector.stop()


def test_a_collector_that_was_down_missed_lines_and_the_next_stream_says_how_many(tmp_path: Path) -> None:
    collector = Collector(listen(tmp_path / "s"))
    audit = broker(unix(tmp_path / "s"))
    exchange(audit)
    collector.wait(b'"type":"response"')
    before = collector.taken
    collector.stop()
    for _ in range(3):
        with pytest.raises(AuditFailed):
            exchange(audit)
    again = Collector(listen(tmp_path / "s"))
    patiently(lambda: exchange(audit))
    checkpoint(audit, final=True)
    again.wait(b'"final":true')
    audit.close()
    report = judged(before + again.taken, tmp_path)
    assert report.intact, report_text(report)
    assert re.search(r"missed \d+ lines", notes(report))
    again.stop()


class Slow:
    """Reads nothing until it is told to."""

    def __init__(self, path: Path) -> None:
        self.listening = listen(path)
        self.taken: list[bytes] = []
        self.reading = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self.listening.accept()[0]
            except OSError:
                return
            self.reading.wait()
            with connection:
                while piece := connection.recv(1 << 20):
                    self.taken.append(piece)

    def received(self, text: bytes) -> bytes:
        until(lambda: text in b"".join(self.taken[-3:]), 5)
        return b"".join(self.taken)


@pytest.fixture(scope="module")
def stuck(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a collector got that took a part of a block, cut in a line, and the rest of the log after it had recovered."""
    path = tmp_path_factory.mktemp("stuck") / "s"
    slow = Slow(path)
    audit = broker(unix(path, deadline=1.5))
    exchange(audit)
    with pytest.raises(AuditFailed):
        flood(audit)
    slow.reading.set()
    patiently(lambda: exchange(audit, 7))
    checkpoint(audit, final=True)
    received = slow.received(b'"final":true')
    audit.close()
    slow.listening.shutdown(socket.SHUT_RDWR)
    slow.listening.close()
    return received


def test_a_block_that_arrived_in_part_is_told_from_a_deed(stuck: bytes, tmp_path: Path) -> None:
    report = judged(stuck, tmp_path)
    assert report.intact, report_text(report)
    assert re.search(r"missed \d{4} lines", notes(report))
    assert re.search(r"\d+ of the lines that the device counts as missed had arrived", notes(report))
    assert "an unfinished line that a lost connection left" in notes(report)


def ended_twice(stuck: bytes) -> bytes:
    at = stuck.index(b'\n{"type":"stream"', 100)
    return stuck[:at] + b"\n" + stuck[at:]


def test_so_it_is_where_the_collector_ends_the_cut_line_itself(stuck: bytes, tmp_path: Path) -> None:
    assert judged(ended_twice(stuck), tmp_path).intact


@pytest.mark.parametrize("check", ["went_on", "cut"])
def test_without_what_the_heads_know_it_would_be_an_accusation(
    stuck: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    monkeypatch.setattr(Gaps, check, lambda *_: False)
    assert not judged(ended_twice(stuck), tmp_path).intact


def _dropped(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def _edited(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at].replace(b"secret/data", b"secret/dara"), *lines[at + 1 :]]


def _copied(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at], *lines[at:]]


def _inserted(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], b'{"type":"request","path":"made/up"}\n', *lines[at:]]


def _longer(lines: list[bytes], at: int) -> list[bytes]:
    """Half a line where the half line is, but another one."""
    torn = next(number for number, line in enumerate(lines) if not line.endswith(b'"}\n'))
    return [*lines[:torn], lines[at][:50] + b"\n", *lines[torn + 1 :]]


@pytest.mark.parametrize("deed", [_dropped, _edited, _copied, _inserted, _longer])
@pytest.mark.parametrize("at", [1, 2, 50])
def test_an_outage_excuses_no_deed(stuck: bytes, tmp_path: Path, deed: Any, at: int) -> None:
    lines = stuck.splitlines(keepends=True)
    assert not judged(b"".join(deed(lines, at)), tmp_path).intact


def test_a_collector_that_has_said_all_it_will_and_still_reads_gets_every_line(tmp_path: Path) -> None:
    """Half closed by its side. Whether it still reads cannot be seen, so each block comes over a connection of its own."""
    taken = bytearray()
    listening = listen(tmp_path / "s")

    def serve() -> None:
        while True:
            try:
                connection = listening.accept()[0]
            except OSError:
                return
            connection.shutdown(socket.SHUT_WR)
            threading.Thread(target=read, args=(connection,), daemon=True).start()

    def read(connection: socket.socket) -> None:
        with connection:
            while piece := connection.recv(65_536):
                taken.extend(piece)

    threading.Thread(target=serve, daemon=True).start()
    audit = broker(unix(tmp_path / "s"))
    for number in range(5):
        exchange(audit, number)
        until(lambda number=number: taken.count(b'"type":"response"') > number, 5)
    checkpoint(audit, final=True)
    audit.close()
    until(lambda: b'"final":true' in taken, 5)
    report = judged(bytes(taken), tmp_path)
    assert report.intact and not report.notes, report_text(report)
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def test_of_several_devices_one_may_fail_and_the_others_have_every_line(tmp_path: Path) -> None:
    good, memory = Collector(listen(tmp_path / "good")), Memory()
    dead = Collector(listen(tmp_path / "dead"))
    kept = Device(DeviceEntry("memory/", "file", UUID.format(3)), KEY, memory)
    failing = unix(tmp_path / "dead", 2)
    audit = broker(unix(tmp_path / "good", 1), failing, kept)
    exchange(audit, 0)
    dead.wait(b'"type":"response"')
    dead.stop()
    began = time.monotonic()
    for number in range(1, 10):
        exchange(audit, number)
    assert time.monotonic() - began < 1, "a dead device costs the others nothing"
    assert failing.failures >= 1
    checkpoint(audit, final=True)
    good.wait(b'"final":true')
    audit.close()
    for received in (good.taken, memory.taken):
        report = judged(received, tmp_path)
        assert report.intact and not report.notes and report.lines == 22, report_text(report)
    good.stop()


def test_what_a_syslog_daemon_got_over_tcp_is_intact_behind_its_heads(tmp_path: Path) -> None:
    collector = Collector(socket.create_server(("127.0.0.1", 0)))
    port = collector.listening.getsockname()[1]
    audit = broker(device("syslog", address=f"127.0.0.1:{port}", facility="LOCAL0", tag="strongroom"))
    for number in range(5):
        exchange(audit, number)
    checkpoint(audit, final=True)
    collector.wait(b'"final":true')
    audit.close()
    lines, left = [], collector.taken
    while left:
        size, _, left = left.partition(b" ")
        message, left = left[: int(size)], left[int(size) :]
        match = re.fullmatch(rb"<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z [!-~]+ strongroom \d+ audit - (.*)", message)
        assert match is not None, message[:100]
        lines.append(match[1] + b"\n")
    report = judged(b"".join(lines), tmp_path)
    assert report.intact and not report.notes, report_text(report)
    collector.stop()


def test_what_a_daemon_of_this_host_got_is_intact_and_a_restart_loses_nothing(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "log")
    audit = broker(device("syslog", address=str(tmp_path / "log")))
    exchange(audit, 0)
    messages = [daemon.message() for _ in range(3)]
    daemon.socket.close()
    daemon = Daemon(tmp_path / "log")
    exchange(audit, 1)
    checkpoint(audit, final=True)
    messages += [daemon.message() for _ in range(3)]
    audit.close()
    daemon.socket.close()
    report = judged("".join(message.partition(": ")[2] + "\n" for message in messages).encode(), tmp_path)
    assert report.intact and not report.notes, report_text(report)
