"""Σ depends on which rows there are, and on nothing else."""

from __future__ import annotations

import hashlib
import hmac
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.crypto import multiset
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.multiset import EMPTY, Multiset, add, decode, encode, remove

KEY = bytes(range(32))
ROWS = st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 2**64 - 1), st.binary(max_size=80)), max_size=12)

Row = tuple[bytes, int, bytes]


def terms(rows: list[Row]) -> list[int]:
    return [Multiset(KEY).term(*row) for row in rows]


def test_a_term_is_the_documented_hmac() -> None:
    message = b"\x00\x03row" + (5).to_bytes(8, "big") + hashlib.sha256(b"record").digest()
    assert encode(Multiset(KEY).term(b"row", 5, b"record")) == hmac.digest(KEY, message, "sha512")


@given(ROWS, st.randoms())
def test_order_does_not_matter(rows: list[Row], random: Random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert add(EMPTY, terms(rows)) == add(EMPTY, terms(shuffled))


@given(ROWS, ROWS)
def test_what_was_added_can_be_removed(rows: list[Row], others: list[Row]) -> None:
    total = add(EMPTY, terms(rows))
    assert remove(add(total, terms(others)), terms(others)) == total
    assert remove(total, terms(rows)) == EMPTY


@given(ROWS)
def test_a_sum_survives_its_encoding(rows: list[Row]) -> None:
    total = add(EMPTY, terms(rows))
    assert len(encode(total)) == multiset.SUM_BYTES
    assert decode(encode(total)) == total


@pytest.mark.parametrize(
    "other",
    [(b"rox", 5, b"record"), (b"row", 6, b"record"), (b"row", 5, b"recorf"), (b"ro", 5, b"wrecord"), (b"row\0", 5, b"record")],
    ids=["row", "generation", "record", "moved byte", "longer row"],
)
def test_a_row_that_differs_anywhere_changes_the_sum(other: Row) -> None:
    assert terms([other]) != terms([(b"row", 5, b"record")])


def test_a_doubled_row_does_not_cancel_out() -> None:
    """Why a sum and not an exclusive or."""
    twice = terms([(b"row", 5, b"record")] * 2)
    assert add(EMPTY, twice) not in {EMPTY, add(EMPTY, twice[:1])}


def test_another_key_gives_another_sum() -> None:
    assert Multiset(KEY).term(b"row", 5, b"record") != Multiset(KEY[::-1]).term(b"row", 5, b"record")


def test_removing_from_nothing_wraps_around_and_comes_back() -> None:
    term = terms([(b"row", 5, b"record")])
    assert add(remove(EMPTY, term), term) == EMPTY
    assert len(encode(remove(EMPTY, term))) == multiset.SUM_BYTES


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_sum_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidRecord):
        decode(bytes(length))
