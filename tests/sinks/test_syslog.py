"""The syslog device against a socket like the daemon's."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from strongroom import sinks
from strongroom.errors import InvalidRequest


class Daemon:
    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(5)

    def message(self) -> str:
        return self.socket.recv(1 << 20).decode()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "log")
    yield made
    made.socket.close()


def test_each_line_is_a_message_as_the_c_library_writes_it(daemon: Daemon, tmp_path: Path) -> None:
    sink = sinks.make("syslog", {"address": str(tmp_path / "log")})
    sink.open()
    sink.write(b'{"n":1}\n{"n":"\xc3\xbc"}\n')
    pattern = rf"<38>[A-Z][a-z]{{2}} [ 1-3][0-9] [0-9:]{{8}} vault\[{os.getpid()}\]: (.*)"
    found = [re.fullmatch(pattern, daemon.message()) for _ in range(2)]
    assert [match and match[1] for match in found] == ['{"n":1}', '{"n":"ü"}']
    sink.close()


def test_facility_and_tag_are_the_callers(daemon: Daemon, tmp_path: Path) -> None:
    sink = sinks.make("syslog", {"address": str(tmp_path / "log"), "facility": "local7", "tag": "strongroom"})
    sink.open()
    sink.write(b"{}\n")
    message = daemon.message()
    assert message.startswith("<190>") and " strongroom[" in message
    sink.close()


def test_a_daemon_that_was_started_anew_is_found_again(daemon: Daemon, tmp_path: Path) -> None:
    sink = sinks.make("syslog", {"address": str(tmp_path / "log")})
    sink.open()
    sink.write(b"{}\n")
    daemon.socket.close()
    again = Daemon(tmp_path / "log")
    sink.write(b'{"n":2}\n')
    assert again.message().endswith('{"n":2}')
    again.socket.close()
    with pytest.raises(OSError, match=r"."):
        sink.write(b"{}\n")
    sink.close()


def test_without_a_daemon_it_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"."):
        sinks.make("syslog", {"address": str(tmp_path / "none")}).open()


@pytest.mark.parametrize("options", [{"facility": "LOCAL8"}, {"facility": "13"}, {"tag": "a b"}, {"tag": "x" * 33}, {"tag": "a\n<0>"}])
def test_what_cannot_be_is_refused(options: Mapping[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        sinks.make("syslog", options)
