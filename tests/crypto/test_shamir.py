"""Any threshold of shares gives the secret, fewer say nothing, and what cannot be shares is refused."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.crypto.shamir import ShareError, combine, invert, multiply, split

SECRET = bytes(range(100, 132))


@pytest.mark.parametrize(
    ("left", "right", "product"),
    [(0x57, 0x83, 0xC1), (0x57, 0x13, 0xFE), (0x57, 0x02, 0xAE), (0x57, 0x10, 0x07), (3, 7, 9), (3, 0, 0), (0, 3, 0), (1, 255, 255)],
)
def test_products_are_those_of_fips_197_and_vault(left: int, right: int, product: int) -> None:
    assert multiply(left, right) == multiply(right, left) == product


def test_inverses_are_those_of_the_field() -> None:
    assert invert(0x53) == 0xCA  # FIPS 197, 4.2
    assert invert(0) == 0
    assert all(multiply(value, invert(value)) == 1 for value in range(1, 256))


def test_the_field_agrees_with_carry_less_division() -> None:
    """The schoolbook definition, over the whole field."""

    def schoolbook(left: int, right: int) -> int:
        product = 0
        for bit in range(8):
            if right >> bit & 1:
                product ^= left << bit
        for bit in range(15, 7, -1):
            if product >> bit & 1:
                product ^= 0x11B << (bit - 8)
        return product

    assert all(multiply(left, right) == schoolbook(left, right) for left in range(256) for right in range(256))


@pytest.mark.parametrize(("shares", "threshold"), [(n, k) for n in range(2, 7) for k in range(2, n + 1)])
def test_every_subset_of_threshold_size_or_more_gives_the_secret(shares: int, threshold: int) -> None:
    made = split(SECRET[:5], shares, threshold)
    for size in range(threshold, shares + 1):
        for chosen in itertools.combinations(made, size):
            assert combine(chosen) == SECRET[:5]


@settings(deadline=None, max_examples=30)
@given(st.binary(min_size=1, max_size=40), st.integers(2, 8), st.data())
def test_any_secret_survives_in_any_order(secret: bytes, threshold: int, data: st.DataObject) -> None:
    made = split(secret, 8, threshold)
    chosen = data.draw(st.permutations(made))[:threshold]
    assert combine(chosen) == secret


def test_the_largest_split_uses_every_place_but_zero() -> None:
    made = split(b"s", 255, 16)
    assert combine(made[:16]) == combine(made[-16:]) == b"s"
    assert {share[-1] for share in made} == set(range(1, 256))


def test_shares_have_vaults_layout() -> None:
    made = split(SECRET, 5, 3)
    assert [len(share) for share in made] == [33] * 5
    places = [share[-1] for share in made]
    assert len(set(places)) == 5
    assert 0 not in places


def test_shares_made_by_logarithm_tables_combine() -> None:
    """Another implementation of the same format, with the tables that this one avoids: y(x) = 42 + 7x + 9x^2."""
    exponents = list(itertools.accumulate(range(254), lambda value, _: value ^ (value << 1) ^ (0x11B if value & 0x80 else 0), initial=1))
    logarithms = {value: exponent for exponent, value in enumerate(exponents)}

    def times(left: int, right: int) -> int:
        return exponents[(logarithms[left] + logarithms[right]) % 255] if left and right else 0

    assert len(logarithms) == 255
    made = [bytes([42 ^ times(7, x) ^ times(9, times(x, x)), x]) for x in (1, 77, 255)]
    assert combine(made) == bytes([42])


def test_two_splits_of_one_secret_share_nothing() -> None:
    assert not set(split(SECRET, 5, 3)) & set(split(SECRET, 5, 3))


@pytest.mark.parametrize("threshold", [2, 3])
def test_one_share_too_few_is_uniform_whatever_the_secret(threshold: int) -> None:
    """Chi-square over 255 degrees of freedom of what k-1 shares combine to; 390 is passed by all but one fair run in 10^6."""
    for secret in (b"\x00", b"\xff"):
        counts = Counter(itertools.chain.from_iterable(guess(secret * 256, threshold) for _ in range(20)))
        assert sum((counts[value] - 20) ** 2 / 20 for value in range(256)) < 390


def guess(secret: bytes, threshold: int) -> bytes:
    """What is learnt of each byte without the last share. A single share is its y: `combine` would hand it back whole."""
    shares = split(secret, threshold, threshold)[1:]
    return combine(shares) if len(shares) > 1 else shares[0][:-1]


def test_enough_shares_are_not_uniform() -> None:
    """Negative control of the test above."""
    assert {combine(split(b"\x07", 3, 2)[:2]) for _ in range(200)} == {b"\x07"}


def test_a_changed_share_gives_another_secret() -> None:
    first, second = split(SECRET, 2, 2)
    assert combine([bytes([first[0] ^ 1]) + first[1:], second]) != SECRET


def test_one_share_with_threshold_one_is_the_secret_itself() -> None:
    assert split(SECRET, 1, 1) == [SECRET]
    assert combine([SECRET]) == SECRET


@pytest.mark.parametrize(
    ("shares", "threshold", "why"),
    [
        (0, 0, "number of shares"),
        (256, 3, "number of shares"),
        (-1, 1, "number of shares"),
        (3, 4, "never be met"),
        (1, 2, "never be met"),
        (3, 1, "at least 2"),
        (3, 0, "at least 2"),
        (1, 0, "at least 2"),
        (5, -2, "at least 2"),
    ],
)
def test_numbers_that_make_no_split_are_refused(shares: int, threshold: int, why: str) -> None:
    with pytest.raises(ShareError, match=why):
        split(SECRET, shares, threshold)


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ShareError, match="empty secret"):
        split(b"", 3, 2)


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ([], "too few"),
        ([b""], "too few"),
        ([b"a\x01", b""], "too few"),
        ([b"a\x01", b"ab\x02"], "differ in length"),
        ([b"\x01", b"\x02"], "at least two bytes"),
        ([b"a\x00", b"b\x01"], "x = 0"),
        ([b"a\x01", b"a\x01"], "given twice"),
        ([b"a\x01", b"b\x02", b"c\x01"], "given twice"),
    ],
)
def test_bytes_that_cannot_be_shares_are_refused(shares: list[bytes], why: str) -> None:
    with pytest.raises(ShareError, match=why):
        combine(shares)
