"""The file device: what it opens, what it refuses, and every way of F18 in which it may fail."""

from __future__ import annotations

import os
import resource
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from strongroom import sinks
from strongroom.core.audit.broker import Broker
from strongroom.core.audit.report import report_text
from strongroom.core.audit.sink import Sink
from strongroom.core.audit.verify import verify
from strongroom.errors import AuditFailed, InvalidRequest
from strongroom.sinks.file import AT_ONCE, Discard, File, Standard
from tests.core.audit.kit import broker, device, exchange, file_broker

# --- opening ---


def test_a_sink_is_found_by_the_name_of_its_module(tmp_path: Path) -> None:
    assert isinstance(sinks.make("file", {"file_path": str(tmp_path / "a")}), File)
    for kind in ("nothing", "", "../file", "os.path"):
        with pytest.raises(InvalidRequest):
            sinks.make(kind, {})


def test_each_worker_has_a_file_of_its_own(tmp_path: Path) -> None:
    options = {"file_path": str(tmp_path / "a")}
    assert [sinks.make("file", options, slot).place for slot in (0, 1)] == [str(tmp_path / "a"), str(tmp_path / "a.worker-1")]


def test_stdout_and_discard_are_names_of_their_own() -> None:
    assert isinstance(sinks.make("file", {"file_path": "stdout"}), Standard)
    assert isinstance(sinks.make("file", {"path": "discard"}), Discard)


def test_a_path_is_required() -> None:
    with pytest.raises(InvalidRequest):
        sinks.make("file", {})


@pytest.mark.parametrize(("mode", "given"), [("", 0o600), ("0640", 0o640), ("0777", 0o640), ("4755", 0o640), ("0400", 0o400)])
def test_a_file_is_never_wider_than_0640(tmp_path: Path, mode: str, given: int) -> None:
    path = tmp_path / "a"
    path.touch(0o666)
    sinks.make("file", {"file_path": str(path), "mode": mode}).open()
    assert stat.S_IMODE(path.stat().st_mode) == given


def test_mode_0000_leaves_an_existing_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch(0o604)
    path.chmod(0o604)
    sinks.make("file", {"file_path": str(path), "mode": "0000"}).open()
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.parametrize("mode", ["rw", "-1", "99", "10000"])
def test_a_mode_that_is_none_is_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(InvalidRequest):
        sinks.make("file", {"file_path": str(tmp_path / "a"), "mode": mode})


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        File(str(tmp_path / "link")).open()


def test_directories_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        File(str(tmp_path / "no" / "a")).open()


@pytest.mark.parametrize("path", ["/etc/a", "{}/../a", "{}/out/a", "{}x/a", "a"])
def test_only_the_configured_directory_is_written_to(tmp_path: Path, path: str) -> None:
    directory = tmp_path / "audit"
    directory.mkdir()
    (directory / "out").symlink_to(tmp_path)
    with pytest.raises(InvalidRequest):
        sinks.make("file", {"file_path": path.format(directory)}, 0, str(directory))
    assert sinks.make("file", {"file_path": f"{directory}/a"}, 0, str(directory)).place == f"{directory}/a"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", (b"", b"")),
        (b"one\n", (b"one", b"")),
        (b"one\ntwo\n", (b"two", b"")),
        (b"one\ntwo\nthr", (b"two", b"thr")),
        (b"torn", (b"", b"torn")),
        (b"one\n" + b"x" * 200_000 + b"\n", (b"x" * 200_000, b"")),
    ],
)
def test_opening_finds_the_last_whole_line_and_keeps_what_is_torn(tmp_path: Path, text: bytes, found: tuple[bytes, bytes]) -> None:
    path = tmp_path / "a"
    path.write_bytes(text)
    sink = File(str(path))
    assert sink.open() == found
    sink.write(b"next\n")
    assert path.read_bytes() == text + (b"\n" if found[1] else b"") + b"next\n"


# --- F18: a device that cannot be written ---


@contextmanager
def other_user() -> Iterator[None]:
    """As somebody whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """A disk that is full after `size` bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def refused(audit: Broker) -> float:
    """The seconds until a call was refused because nobody recorded it."""
    begin = time.monotonic()
    with pytest.raises(AuditFailed):
        exchange(audit)
    return time.monotonic() - begin


@pytest.mark.fault("F18")
def test_a_good_file_serves(tmp_path: Path) -> None:
    """Negative control for all below: the same calls, no fault."""
    audit = file_broker(tmp_path / "a")
    exchange(audit)
    assert (tmp_path / "a").read_bytes().count(b"\n") == 3


@pytest.mark.fault("F18")
def test_a_full_disk_refuses_leaves_no_half_line_and_recovers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    audit = file_broker(path)
    exchange(audit)
    size = path.stat().st_size
    with file_limit(size + 100):
        assert refused(audit) < 1
        assert path.stat().st_size == size
        assert refused(audit) < 1
    exchange(audit)
    assert (report := verify([path], [])).intact, report_text(report)
    assert report.lines == 6


@pytest.mark.fault("F18")
@pytest.mark.parametrize("room", [100, AT_ONCE + 1])
def test_a_block_that_is_written_in_pieces_is_there_as_a_whole_or_not_at_all(tmp_path: Path, room: int) -> None:
    path, block = tmp_path / "a", b"line\n" * AT_ONCE
    file = File(str(path))
    file.open()
    file.write(b"first\n")
    with file_limit(6 + room), pytest.raises(OSError, match="too large"):
        file.write(block)
    assert path.read_bytes() == b"first\n"
    file.write(block)
    assert path.read_bytes() == b"first\n" + block


@pytest.mark.fault("F18")
def test_dev_full_is_not_enabled_and_refuses_as_the_only_device() -> None:
    with pytest.raises(InvalidRequest, match="No space"):
        broker(device(File("/dev/full")))
    audit = broker(device(File("/dev/full"), skip_test="true"))
    assert refused(audit) < 1
    audit.close()


@pytest.mark.fault("F18")
def test_with_one_of_two_devices_good_calls_are_served(tmp_path: Path) -> None:
    audit = broker(device(File(str(tmp_path / "a"))), device(File("/dev/full"), uuid="full", path="full/", skip_test="true"))
    exchange(audit)
    assert audit.failures == 1
    audit.close()


@pytest.mark.fault("F18")
def test_a_deleted_file_is_made_anew_and_the_verifier_misses_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    audit = file_broker(path)
    exchange(audit)
    path.unlink()
    refused(audit)
    exchange(audit)
    report = verify([path], [])
    assert [finding.line for finding in report.findings] == [1]
    assert "3 lines came before and is missing" in report.findings[0].what


@pytest.mark.fault("F18")
def test_a_removed_directory_refuses_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    audit = file_broker(folder / "a")
    (folder / "a").unlink()
    folder.rmdir()
    refused(audit)
    assert refused(audit) < 1
    folder.mkdir()
    exchange(audit)


@pytest.mark.fault("F18")
def test_a_file_without_permission_refuses_until_it_has_it(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    home = tmp_path / "audit"
    home.mkdir()
    home.chmod(0o777)
    with other_user():
        audit = file_broker(home / "a")
        exchange(audit)
    home.chmod(0o500)
    (home / "a").chmod(0)
    with other_user():
        audit.reopen()
        refused(audit)
    home.chmod(0o777)
    (home / "a").chmod(0o666)
    (home / "a").unlink()
    with other_user():
        exchange(audit)


def fifo(path: Path) -> int:
    """A pipe with a reader that reads nothing, filled to the brim."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, bytes(65_536))
    except BlockingIOError:
        os.close(writer)
    return reader


@pytest.mark.fault("F18")
def test_a_blocked_pipe_costs_one_deadline_then_refuses_at_once_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    reader = fifo(path)
    audit = broker()
    with pytest.raises(InvalidRequest, match="in time"):
        audit.enable(device(File(str(path))))
    audit.enable(device(File(str(path)), skip_test="true"))
    assert refused(audit) < 0.1
    for _ in range(500):
        with suppress(BlockingIOError):
            os.read(reader, 1 << 20)
        try:
            exchange(audit)
            break
        except AuditFailed:
            threading.Event().wait(0.01)
    else:
        pytest.fail("did not recover within 5 s")
    os.close(reader)
    audit.close()


@pytest.mark.fault("F18")
def test_a_pipe_without_a_reader_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    begin = time.monotonic()
    with pytest.raises(InvalidRequest):
        file_broker(tmp_path / "pipe")
    assert time.monotonic() - begin < 0.15


class Delayed(Discard):
    """A device that needs three seconds."""

    inline = False

    def __init__(self) -> None:
        self.gate = threading.Event()

    def write(self, block: bytes) -> None:
        self.gate.wait(3)


@pytest.mark.fault("F18")
def test_a_device_that_needs_three_seconds_is_not_waited_for(tmp_path: Path) -> None:
    slow = Delayed()
    audit = broker(device(File(str(tmp_path / "a"))), device(slow, uuid="slow", path="slow/", skip_test="true"))
    begin = time.monotonic()
    for _ in range(10):
        exchange(audit)
    assert time.monotonic() - begin < 1
    slow.gate.set()
    audit.close()


# --- standard output ---


@pytest.mark.fault("F18")
def test_standard_output_takes_lines_and_stays_open() -> None:
    reader, writer = os.pipe()
    sink: Sink = Standard(writer)
    audit = broker(device(sink))
    exchange(audit)
    audit.close()
    assert os.read(reader, 65_536).count(b"\n") == 3
    os.write(writer, b"still open")
    os.close(reader)
    os.close(writer)


def broken_lines(*, locked: bool) -> int:
    """Two processes write blocks into one pipe that are larger than what it takes in one piece; how many lines are not whole."""
    reading, writing = os.pipe()
    children = []
    for letter in (b"a", b"b"):
        pid = os.fork()
        if pid == 0:
            sink = Standard(writing)
            sink.open()
            if not locked:
                sink.close()
            for _ in range(40):
                sink.write((letter * 50_000 + b"\n") * 3)
            os._exit(0)
        children.append(pid)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    for pid in children:
        os.waitpid(pid, 0)
    return sum(line not in (b"a" * 50_000, b"b" * 50_000) for line in lines)


@pytest.mark.fault("F18")
def test_workers_write_whole_lines_to_one_pipe() -> None:
    assert broken_lines(locked=True) == 0
    assert broken_lines(locked=False) > 0, "the control"
