"""What one caller can make the server spend: keys out of bodies, known heads, password rules, encoded tokens."""

from __future__ import annotations

import base64
import socket
import time
import tracemalloc
from collections.abc import Callable

import pytest

from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest
from strongroom.testing import Strongroom
from tests.support.server import Server

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


# -- what strangers make a worker remember ------------------------------------------------------------------------------


def strangers_head(number: int, kind: str) -> bytes:
    """A head that was never sent before, as expensive as it can be made within a kilobyte."""
    if kind == "headers":
        lines = b"".join(b"%x:\r\n" % (4_096 + each) for each in range(97))
        return b"GET /v1/%06d HTTP/1.1\r\nHost: x\r\n%b\r\n" % (number, lines)
    if kind == "query":
        names = b"&".join(b"%d=" % each for each in range(98))
        return b"GET /v1/secret?%b&z=%06d HTTP/1.1\r\nHost: x\r\n\r\n" % (names, number)
    return b"GET /v1/secret/data/%06d%b HTTP/1.1\r\nHost: x\r\nX-Vault-Token: %06d\r\n\r\n" % (number, b"s" * 880, number)


@pytest.mark.parametrize("kind", ["headers", "query", "path"])
def test_heads_of_strangers_are_remembered_within_bounds(live: Server, kind: str) -> None:
    with socket.create_connection(("127.0.0.1", live.port), timeout=30) as sender:
        before = live.resident()
        for number in range(0, 9_000, 50):
            sender.sendall(b"".join(strangers_head(number + each, kind) for each in range(50)))
            answers = 0
            while answers < 50:
                answers += sender.recv(1 << 20).count(b"HTTP/1.1 403")
    assert live.resident() - before < 64 * MIB


# -- rules that cannot be met, tokens that are none --------------------------------------------------------------------


HARD = 'length = 1024\nrule "charset" { charset = "ab" min-chars = 1 }\nrule "charset" { charset = "c" min-chars = 900 }'
MANY = "length = 1024\n" + 'rule "charset" { charset = "abcdefghij" min-chars = 0 }\n' * 5_000


@pytest.mark.parametrize("policy", [HARD, MANY], ids=["hard", "many"])
def test_a_password_policy_that_is_hard_to_meet_is_refused_in_a_moment(room: Strongroom, policy: str) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidRequest):
        room.write("sys/policies/password/hard", {"policy": policy})
    assert time.perf_counter() - began < 1.5


def test_a_password_policy_of_the_usual_kind_is_met(room: Strongroom) -> None:
    usual = [("abcdefghijklmnopqrstuvwxyz", 2), ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 2), ("0123456789", 2), ("-_!%", 2)]
    rules = "".join(f'rule "charset" {{ charset = "{charset}" min-chars = {least} }}\n' for charset, least in usual)
    room.write("sys/policies/password/usual", {"policy": f"length = 20\n{rules}"})
    for _ in range(20):
        assert len(room.json(room.read("sys/policies/password/usual/generate"))["password"]) == 20


def test_a_stranger_cannot_have_a_megabyte_decoded_as_a_token(room: Strongroom) -> None:
    body = {"encoded_token": base64.b64encode(b"a" * 400_000).decode(), "otp": "b" * 400_000}
    room.request(Operation.UPDATE, "sys/decode-token", {"encoded_token": "YQ", "otp": "b"}, token="")
    began = time.perf_counter()
    with pytest.raises(InvalidRequest):
        room.write("sys/decode-token", body, token="")
    assert time.perf_counter() - began < 0.03


def test_a_token_without_rights_has_no_row_looked_up(room: Strongroom) -> None:
    token = room.create_token("none", no_default_policy=True)
    rows = room.core.committed.cache.rows
    known = room.core.barrier.keys.names.known
    room.request(Operation.UPDATE, "secret/data/warm", {"data": {}}, token=token)
    before = len(rows), len(known)
    for number in range(20):
        path = f"secret/data/{number}/" + "/".join("s" * 50)
        assert room.request(Operation.UPDATE, path, {"data": {}}, token=token).error is not None
    assert (len(rows), len(known)) == before
