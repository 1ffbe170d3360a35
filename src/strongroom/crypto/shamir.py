"""Shamir's secret sharing, in the layout of Vault's shares.

    share = y for every byte of the secret | x        over GF(2^8), polynomial x^8 + x^4 + x^3 + x + 1

Rules of this file:
- Arithmetic takes the same steps whatever the values: no tables (their cache lines tell the index, CVE-2023-25000), no branch
  on a secret bit.
- Every x is distinct, not zero and random; every coefficient is fresh from the kernel.
- `combine` cannot know the threshold: too few shares, or one wrong share, give a wrong secret, not an error. What the
  secret opens must be authenticated, and whoever collects shares counts them.
- With one share and threshold 1 nothing is split: the share is the secret, as in Vault.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

MAX_SHARES = 255
"""The non-zero elements of the field."""

_POLYNOMIAL = 0x11B


class ShareError(ValueError):
    """These numbers cannot be a split, or these bytes cannot be shares of one secret."""


def split(secret: bytes, shares: int, threshold: int) -> list[bytes]:
    """Shares of which any `threshold` give the secret and fewer say nothing about it. Raises ShareError."""
    _check_numbers(secret, shares, threshold)
    if shares == 1:
        return [secret]
    polynomials = [bytes([byte]) + secrets.token_bytes(threshold - 1) for byte in secret]
    places = secrets.SystemRandom().sample(range(1, MAX_SHARES + 1), shares)
    return [bytes([*(_evaluate(polynomial, x) for polynomial in polynomials), x]) for x in places]


def combine(shares: Sequence[bytes]) -> bytes:
    """The secret that these shares agree on. A single share is the secret itself. Raises ShareError."""
    if len(shares) == 1 and shares[0]:
        return shares[0]
    _check_shares(shares)
    places = [share[-1] for share in shares]
    weights = [_weight_at_zero(x, places) for x in places]
    columns = zip(*(share[:-1] for share in shares), strict=True)
    return bytes(_sum_of_products(column, weights) for column in columns)


def _check_numbers(secret: bytes, shares: int, threshold: int) -> None:
    if not secret:
        raise ShareError("an empty secret cannot be split")
    if not 1 <= shares <= MAX_SHARES:
        raise ShareError(f"the number of shares is 1 to {MAX_SHARES}, not {shares}")
    if threshold > shares:
        raise ShareError(f"a threshold of {threshold} can never be met by {shares} shares; lower it or make more shares")
    if threshold < min(2, shares):
        raise ShareError("with more than one share the threshold is at least 2: at 1 every share would be the secret")


def _check_shares(shares: Sequence[bytes]) -> None:
    if not shares or not all(shares):
        raise ShareError("too few shares: none was given, or one is empty")
    if len({len(share) for share in shares}) > 1:
        raise ShareError("shares differ in length: they are not all of the same split")
    if len(shares[0]) < 2:
        raise ShareError("a share has at least two bytes")
    places = {share[-1] for share in shares}
    if 0 in places:
        raise ShareError("a share is for x = 0, which no split makes")
    if len(places) < len(shares):
        raise ShareError("the same share was given twice, or shares of two splits are mixed")


def _evaluate(polynomial: bytes, x: int) -> int:
    """Horner's rule; the constant term comes first."""
    value = 0
    for coefficient in reversed(polynomial):
        value = multiply(value, x) ^ coefficient
    return value


def _weight_at_zero(x: int, places: Sequence[int]) -> int:
    """Lagrange's basis polynomial of `x`, at 0. The places are public, so skipping one's own tells nothing."""
    weight = 1
    for other in places:
        if other != x:
            weight = multiply(weight, multiply(other, invert(other ^ x)))
    return weight


def _sum_of_products(column: Sequence[int], weights: Sequence[int]) -> int:
    total = 0
    for value, weight in zip(column, weights, strict=True):
        total ^= multiply(value, weight)
    return total


def multiply(left: int, right: int) -> int:
    """Product in the field: eight steps of shift and masked add."""
    product = 0
    for bit in range(8):
        product ^= left & -(right >> bit & 1)
        left = left << 1 ^ _POLYNOMIAL & -(left >> 7)
    return product


def invert(value: int) -> int:
    """Inverse in the field: value^254, since value^255 is 1. Of 0 it is 0."""
    square = multiply(value, value)
    power = square
    for _ in range(6):
        square = multiply(square, square)
        power = multiply(power, square)
    return power
