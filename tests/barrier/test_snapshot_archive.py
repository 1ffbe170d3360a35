"""The wrapping of snapshots for Go clients: read by anybody's tar, unwrapped strictly, and no bomb."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from strongroom.barrier.snapshots.archive import MEMBER, SUMS, pack, plain
from strongroom.barrier.snapshots.format import InvalidSnapshot

pytestmark = pytest.mark.fault("F19")


def packed(data: bytes) -> bytes:
    into = io.BytesIO()
    pack(io.BytesIO(data), into)
    return into.getvalue()


@pytest.mark.parametrize("size", [1, 511, 512, 513, 300_000])
def test_what_is_packed_is_unpacked(size: int) -> None:
    data = os.urandom(size)
    assert plain(io.BytesIO(packed(data)), "x").read() == data
    assert len(packed(data)) < size + 5_000


def test_what_is_not_packed_is_taken_as_it_is() -> None:
    file = io.BytesIO(b"strongroom-snapshot/1\n")
    assert plain(file, "x") is file
    assert file.tell() == 0


def test_other_programs_read_it(tmp_path: Path) -> None:
    data = os.urandom(70_000)
    (tmp_path / "a.tar.gz").write_bytes(packed(data))
    subprocess.run(["tar", "-xzf", "a.tar.gz"], cwd=tmp_path, check=True)
    assert (tmp_path / MEMBER).read_bytes() == data
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def refused(data: bytes) -> None:
    with pytest.raises(InvalidSnapshot, match="gzipped tar"):
        plain(io.BytesIO(data), "x")


def test_cut_changed_and_longer_ones_are_refused() -> None:
    data = packed(os.urandom(2_000))
    for length in range(2, len(data), 41):
        refused(data[:length])
    for at in range(10, len(data), 7):
        refused(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    refused(data + gzip.compress(b"and more"))
    refused(data + b"and more")


def of(*members: tuple[str, bytes], level: int = 0) -> bytes:
    into = io.BytesIO()
    with gzip.GzipFile(fileobj=into, mode="wb", compresslevel=level) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return into.getvalue()


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = of((MEMBER, bytes(50_000_000)), (SUMS, b"x"), level=9)
    assert len(bomb) < 100_000
    refused(bomb)


def test_other_archives_are_refused() -> None:
    refused(of(("meta.json", b"{}"), ("state.bin", b"vault"), (SUMS, b"x")))
    refused(of((MEMBER, b"data")))
    refused(of((MEMBER, b"data"), (SUMS, b"0" * 64 + b"  strongroom.snap\n")))
    refused(of((SUMS, b"x"), (MEMBER, b"data")))
    refused(gzip.compress(b"no tar"))
    refused(b"\x1f\x8b")
