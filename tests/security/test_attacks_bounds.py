"""What one caller can make the server spend: keys out of bodies, known heads, password rules, encoded tokens."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest
from strongroom.testing import Strongroom

MIB = 1 << 20


def spent(job: Callable[[], object]) -> tuple[float, int]:
    """Seconds a job took, and bytes it left behind."""
    tracemalloc.start()
    began = time.perf_counter()
    job()
    took = time.perf_counter() - began
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return took, kept


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return Strongroom()


# -- keys out of bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lease_id", ["/".join("a" * 12_000), "a" * 70_000], ids=["segments", "length"])
def test_a_lease_id_is_refused_before_its_row_key_is_worked_out(room: Strongroom, lease_id: str) -> None:
    def revoke() -> None:
        with pytest.raises(InvalidRequest):
            room.write("sys/leases/revoke", {"lease_id": lease_id})

    room.write("sys/leases/revoke", {"lease_id": "warm/up"})
    took, kept = spent(revoke)
    assert took < 0.5
    assert kept < MIB


def test_the_longest_path_is_still_a_key(room: Strongroom) -> None:
    path = "secret/data/" + "/".join("s" * 62)
    room.write(path, {"data": {"a": 1}})
    assert room.request(Operation.READ, path).error is None
