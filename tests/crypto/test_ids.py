"""Identifiers are random, unique over threads and forks, and of the shape that clients and scanners expect."""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections import Counter
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.crypto import ids

NOW = 1_790_000_000 * 10**9
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_pool_hands_out_pieces_of_its_size_and_never_one_twice() -> None:
    pool = ids.RandomPool(24)
    pieces = [pool.take() for _ in range(5_000)]
    assert {len(piece) for piece in pieces} == {24}
    assert len(set(pieces)) == 5_000


@pytest.mark.parametrize("size", [0, -1, ids.POOL_BYTES + 1])
def test_a_pool_refuses_sizes_it_cannot_cut(size: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        ids.RandomPool(size)


def test_a_pool_may_hold_one_piece_only() -> None:
    pool = ids.RandomPool(ids.POOL_BYTES)
    assert pool.take() != pool.take()


def test_threads_never_share_a_piece() -> None:
    pool = ids.RandomPool(16)
    taken: list[list[bytes]] = [[] for _ in range(4)]

    def draw(into: list[bytes]) -> None:
        into.extend(pool.take() for _ in range(20_000))

    threads = [threading.Thread(target=draw, args=(into,)) for into in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({piece for into in taken for piece in into}) == 80_000


def test_a_forked_child_does_not_inherit_undrawn_pieces() -> None:
    pool = ids.RandomPool(16)
    pool.take()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"".join(pool.take() for _ in range(64)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 16 * 64)
    os.close(reader)
    os.close(writer)
    assert len(theirs) == 16 * 64
    ours = {pool.take() for _ in range(255)}
    assert not ours & {theirs[start : start + 16] for start in range(0, len(theirs), 16)}


def test_without_dropping_its_pool_a_forked_child_would_repeat_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above: the same draw, with the pool kept."""
    monkeypatch.setattr(ids.RandomPool, "drop", lambda self: None)
    pool = ids.RandomPool(16)
    pool.take()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, pool.take())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 16) == pool.take()
    os.close(reader)
    os.close(writer)


def test_uuid_text_is_version_4_of_the_rfc_variant() -> None:
    for _ in range(500):
        text = ids.uuid4_text()
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_of_a_uuid_every_bit_but_those_six_is_random() -> None:
    made = [uuid.UUID(ids.uuid4_text()).int for _ in range(2_000)]
    steady = [bit for bit in range(128) if sum(each >> bit & 1 for each in made) in (0, len(made))]
    assert steady == [62, 63, 76, 77, 78, 79]


@given(st.integers(0, 300))
def test_base62_has_the_length_asked_for_and_only_its_digits(length: int) -> None:
    text = ids.base62(length)
    assert len(text) == length
    assert set(text) <= set(BASE62)


def test_base62_digits_are_equally_likely() -> None:
    """Chi-square over 61 degrees of freedom; 140 is passed by a fair source all but once in ten million runs."""
    counts = Counter(ids.base62(62_000))
    assert len(counts) == 62
    assert sum((count - 1_000) ** 2 / 1_000 for count in counts.values()) < 140


def test_tokens_have_prefix_secret_and_checksum() -> None:
    for make, prefix in ((lambda: ids.service_token(NOW), "srs_"), (ids.recovery_token, "srr_")):
        token = make()
        assert re.fullmatch(prefix + r"[0-9A-Za-z]{49}", token)
        assert len(token) == ids.TOKEN_LENGTH == 53
        assert not ids.has_bad_checksum(token)
        assert make() != token


def test_checksum_is_crc_32_in_base62() -> None:
    """CRC-32 of `123456789` is 0xCBF43926 in every catalogue of CRCs."""
    value = 0xCBF43926
    assert crc32(b"123456789") == value
    digits = ids.checksum("123456789")
    assert len(digits) == 6
    assert sum(BASE62.index(digit) * 62**place for place, digit in enumerate(reversed(digits))) == value


@given(st.integers(0, 52), st.sampled_from(BASE62))
def test_one_changed_character_is_noticed(place: int, digit: str) -> None:
    token = ids.service_token(NOW)
    changed = token[:place] + digit + token[place + 1 :]
    expected = changed != token and changed.startswith(("srs_", "srr_"))
    assert ids.has_bad_checksum(changed) is expected


@pytest.mark.parametrize(
    "token",
    ["", "root", "srs_short", "srs_" + "a" * 50, "srs_" + "a" * 48, "hvs_" + "a" * 49, "srb_" + "a" * 49, "x" * 53],
)
def test_ids_that_are_not_of_our_shape_are_never_called_bad(token: str) -> None:
    assert ids.has_bad_checksum(token) is False


@pytest.mark.parametrize("character", ["é", "\0", "\udcff"])
def test_characters_of_any_kind_in_our_shape_are_bad_and_do_not_raise(character: str) -> None:
    assert ids.has_bad_checksum("srs_" + character * 49)


def test_accessors_are_24_digits() -> None:
    assert re.fullmatch(r"[0-9A-Za-z]{24}", ids.accessor(NOW))
    assert len({ids.accessor(NOW) for _ in range(1_000)}) == 1_000


def test_what_is_made_later_begins_later_and_the_rest_is_random() -> None:
    """Tokens and accessors of one commit begin alike, so they are stored side by side."""
    moments = [NOW + milliseconds * 10**6 for milliseconds in (0, 0, 1, 62, 3_844, 1_000_000)]
    begins = [ids.service_token(now)[4:8] for now in moments]
    assert begins == sorted(begins)
    assert begins == [ids.accessor(now)[:4] for now in moments]
    assert begins[0] == begins[1] < begins[2]
    assert len({ids.service_token(NOW)[8:] for _ in range(100)}) == 100
