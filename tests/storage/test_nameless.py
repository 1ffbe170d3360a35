"""A file without a name is written, read, and gone with its last user."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from strongroom.storage.nameless import Nameless, nameless


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_it_holds_what_was_written_and_has_no_name(tmp_path: Path) -> None:
    file = nameless(str(tmp_path))
    file.write(b"a" * 100_000)
    file.seek(0)
    assert file.read() == b"a" * 100_000
    assert list(tmp_path.iterdir()) == []
    file.close()
    file.close()
    assert file.closed


@pytest.mark.filterwarnings("error")
def test_forgotten_ones_are_closed_without_a_word(tmp_path: Path) -> None:
    before = descriptors()
    for cycle in (False, True):
        file = nameless(str(tmp_path))
        file.write(b"pending")
        if cycle:
            file.me = file  # type: ignore[attr-defined]
        del file
        gc.collect()
        assert descriptors() == before


def test_what_cannot_be_written_goes_to_no_other_file(tmp_path: Path) -> None:
    file = Nameless(os.open("/dev/full", os.O_RDWR))
    file.write(b"pending")
    with pytest.raises(OSError):
        file.close()
    with (tmp_path / "other").open("w+b") as other:
        del file
        gc.collect()
        assert other.read() == b""
