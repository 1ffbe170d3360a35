"""The socket device against real collectors: what they get is what was written, and a collector that went away is found again."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from strongroom import sinks
from strongroom.core.audit.sink import Sink
from strongroom.errors import InvalidRequest
from strongroom.outbound.addresses import allow_list
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from tests.support.collector import Collector

BLOCK = b'{"n":1}\n{"n":2}\n'


@pytest.fixture(params=["tcp", "unix"])
def reached(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Collector, Sink]]:
    if request.param == "tcp":
        listening = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    else:
        address = str(tmp_path / "collector")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        listening.listen()
    collector = Collector(listening)
    sink = sinks.make("socket", {"address": address, "socket_type": str(request.param)})
    yield collector, sink
    sink.close()
    with contextlib.suppress(OSError):
        collector.stop()


def test_lines_arrive_as_they_were_written(reached: tuple[Collector, Sink]) -> None:
    collector, sink = reached
    assert sink.open() == (b"", b"")
    sink.write(BLOCK)
    sink.write(b'{"n":3}\n')
    collector.wait(BLOCK + b'{"n":3}\n')
    assert not sink.inline, "it may block"


def test_a_collector_that_hung_up_is_called_again_and_misses_nothing(reached: tuple[Collector, Sink]) -> None:
    collector, sink = reached
    sink.open()
    for number in range(5):
        line = b'{"n":%d}\n' % number
        sink.write(line)
        collector.wait(line)
        collector.hang_up()
    assert collector.taken == b"".join(b'{"n":%d}\n' % number for number in range(5))


def test_a_collector_that_is_gone_is_a_failure(reached: tuple[Collector, Sink]) -> None:
    collector, sink = reached
    sink.open()
    sink.write(BLOCK)
    collector.wait(BLOCK)
    collector.stop()
    with pytest.raises(OSError, match=r"."):
        sink.write(BLOCK)


def test_a_collector_that_reads_nothing_is_a_failure_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sink = sinks.make("socket", {"address": f"127.0.0.1:{listening.getsockname()[1]}", "write_timeout": "1s"})
        sink.open()
        began = time.monotonic()
        with pytest.raises(OSError, match=r"."):
            sink.write(b"x" * (64 << 20))
        assert time.monotonic() - began < 4
        sink.close()


def test_over_udp_each_line_is_a_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(5)
        sink = sinks.make("socket", {"address": f"127.0.0.1:{collector.getsockname()[1]}", "socket_type": "udp"})
        sink.open()
        sink.write(BLOCK)
        assert [collector.recv(100), collector.recv(100)] == [b'{"n":1}\n', b'{"n":2}\n']
        with pytest.raises(OSError, match="does not fit"):
            sink.write(b"x" * 70_000 + b"\n")
        sink.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"address": "nowhere"},
        {"address": ":514"},
        {"address": "host:0"},
        {"address": "host:65536"},
        {"address": "host:x"},
        {"address": "host:514", "socket_type": "sctp"},
        {"address": "host:514", "write_timeout": "soon"},
    ],
)
def test_what_cannot_be_is_refused(options: Mapping[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        sinks.make("socket", options)


@pytest.mark.parametrize("kind", ["socket", "syslog", "http"])
def test_by_request_only_files_can_be_added(kind: str, tmp_path: Path) -> None:
    options = {"address": "127.0.0.1:514", "uri": "https://127.0.0.1/"}
    with pytest.raises(InvalidRequest, match="by request only files"):
        sinks.make(kind, options | ({"address": "/dev/log"} if kind == "syslog" else {}), 0, str(tmp_path))


def test_what_the_configuration_allows_is_in_reach() -> None:
    """A network that nobody reaches unless it is listed."""
    options = {"address": "100.64.0.1:514"}
    with pytest.raises(OSError, match="does not allow"):
        sinks.make("socket", options).open()
    ours, theirs = socket.socketpair()
    dialer = Dialer(allow_list(["100.64.0.0/10"]), connect=lambda *_: ours)
    sink = sinks.make("socket", options, outbound=Outbound(dialer))
    sink.open()
    sink.write(BLOCK)
    assert theirs.recv(100) == BLOCK
    sink.close()
    theirs.close()


@pytest.mark.parametrize("address", ["169.254.169.254:80", "[fe80::1]:514"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_metadata_services_are_out_of_reach(address: str, kind: str) -> None:
    with pytest.raises(OSError, match="does not allow"):
        sinks.make("socket", {"address": address, "socket_type": kind}).open()
