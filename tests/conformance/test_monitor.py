"""The log of a real server with several workers, followed by the command line, and its level changed while it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest

from tests.conformance.server import Running
from tests.support.waiting import until


@pytest.fixture
def lines(server: Running, tmp_path: Path) -> Iterator[Path]:
    """What `strongroom monitor` prints while the test runs; it ends well when interrupted."""
    printed = tmp_path / "printed"
    with printed.open("wb") as output, following(server, output.fileno()) as process:
        yield printed
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@contextlib.contextmanager
def following(server: Running, output: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "strongroom", "monitor"], env=server.environment(), stdout=output, stderr=subprocess.STDOUT
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def test_the_monitor_shows_what_all_workers_log_whatever_the_level_of_the_log(server: Running, client: hvac.Client, lines: Path) -> None:
    client.write_data("sys/loggers", data={"level": "error"})
    levels = {client.read("sys/loggers")["data"]["core"] for _ in range(8)}
    assert levels == {"error"}, "at every worker"

    def reloaded() -> bool:
        server.process.send_signal(signal.SIGHUP)
        client.write_data("sys/loggers", data={"level": "error"})
        return all(f"slot={slot}" in lines.read_text() for slot in range(os.cpu_count() or 1))

    until(reloaded, 20, lambda: f"the monitor printed {lines.read_text()!r}", every=0.3)
    assert "reloaded" in lines.read_text()
    client.delete("sys/loggers")
    assert client.read("sys/loggers")["data"] == {"core": "info"}


def test_version_history_is_a_table(server: Running) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "strongroom", "version-history"], env=server.environment(), capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].split() == ["Version", "Installation", "Time", "Build", "Date"]
    assert done.stdout.splitlines()[2].split()[0] == "1.18.0"
