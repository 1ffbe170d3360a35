"""sys/tools: random bytes and hashes, against published sums."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.api_kit import Api
from tests.sys.kit import house, refused

API = house()


@pytest.fixture
def api() -> Api:
    return API


@pytest.mark.parametrize(
    ("path", "body", "count"),
    [
        ("random", {}, 32),
        ("random", {"bytes": "16"}, 16),
        ("random/24", {}, 24),
        ("random/platform", {}, 32),
        ("random/seal/8", {}, 8),
        ("random/all/9", {"format": "hex"}, 9),
        ("random", {"bytes": 131_072}, 131_072),
    ],
)
def test_random_bytes_are_as_many_as_asked(api: Api, path: str, body: dict[str, object], count: int) -> None:
    first, second = (api.post(f"sys/tools/{path}", body).data["random_bytes"] for _ in range(2))
    assert first != second
    data = bytes.fromhex(first) if body.get("format") == "hex" else base64.b64decode(first)
    assert len(data) == count


ABC = base64.b64encode(b"abc").decode()
SUMS = {
    "sha2-256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha2-224": "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    "sha3-256": "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
}
"""FIPS 180-4 and 202, of "abc"."""


@pytest.mark.parametrize(("algorithm", "expected"), SUMS.items())
def test_sums_are_the_published_ones(api: Api, algorithm: str, expected: str) -> None:
    assert api.post("sys/tools/hash", {"input": ABC, "algorithm": algorithm}).data == {"sum": expected}
    assert api.post(f"sys/tools/hash/{algorithm}", {"input": ABC}).data == {"sum": expected}
    encoded = api.post(f"sys/tools/hash/{algorithm}", {"input": ABC, "format": "base64"}).data["sum"]
    assert base64.b64decode(encoded).hex() == expected


@given(st.binary(max_size=64))
def test_any_input_is_hashed_as_it_is(data: bytes) -> None:
    reply = API.post("sys/tools/hash", {"input": base64.b64encode(data).decode()})
    assert reply.data["sum"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("random", {"bytes": 0}, "cannot be less than 1"),
        ("random", {"bytes": 131_073}, "should be less than 131072"),
        ("random", {"format": "octal"}, "unsupported encoding format"),
        ("random", {"source": "dice"}, "unsupported entropy source"),
        ("random/dice/5", {}, "unsupported entropy source"),
        ("random/many", {}, "not a number"),
        ("hash", {"input": "%%"}, "unable to decode input as base64"),
        ("hash", {"input": ABC, "algorithm": "md5"}, "unsupported algorithm"),
        ("hash/sha1", {"input": ABC}, "unsupported algorithm"),
        ("hash", {"input": ABC, "format": "octal"}, "unsupported encoding format"),
    ],
)
def test_bad_questions_are_a_400(api: Api, path: str, body: dict[str, object], text: str) -> None:
    reply = api.post(f"sys/tools/{path}", body)
    assert reply.status == 400
    assert text in reply.errors[0]


def test_the_default_policy_hashes_and_makes_no_random_bytes(api: Api) -> None:
    token = api.token("default")
    assert api.post("sys/tools/hash", {"input": ABC}, token=token).status == 200
    assert refused(api.post("sys/tools/random", {}, token=token))
