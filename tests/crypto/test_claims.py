"""Times, issuers and audiences: what holds, what does not, and what has the wrong type."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from strongroom.clock import SECOND
from strongroom.crypto.claims import Leeway, audiences, check_audience, check_issuer, check_times, check_times_said
from strongroom.crypto.errors import InvalidToken

NOW = 1_800_000_000


def good(claims: dict[str, Any], leeway: Leeway | None = None) -> bool:
    try:
        check_times(claims, NOW * SECOND, leeway or Leeway())
    except InvalidToken:
        return False
    return True


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ({"exp": NOW}, True),
        ({"exp": NOW - 60}, True),
        ({"exp": NOW - 61}, False),
        ({"exp": Decimal(NOW) + Decimal("0.5")}, True),
        ({"exp": NOW + 10, "nbf": NOW + 60}, True),
        ({"exp": NOW + 10, "nbf": NOW + 61}, False),
        ({"exp": NOW + 100, "iat": NOW + 61}, False),
        ({"exp": NOW + 100, "nbf": NOW, "iat": NOW + 61}, False),
        ({"exp": NOW + 150 + 60}, True),
        ({"exp": NOW + 150 + 61}, False),
        ({"iat": NOW - 150 - 60}, True),
        ({"iat": NOW - 150 - 61}, False),
        ({"nbf": NOW - 150 - 61, "iat": NOW}, True),
        ({"nbf": NOW - 150 - 61}, False),
        ({}, False),
        ({"exp": 0, "iat": NOW}, False),
        ({"exp": str(NOW + 10)}, False),
        ({"exp": None, "iat": NOW}, False),
        ({"exp": True, "iat": NOW}, False),
        ({"exp": [NOW + 10]}, False),
        ({"exp": -1}, False),
        ({"exp": 1 << 63}, False),
        ({"exp": Decimal("Infinity")}, False),
        ({"exp": NOW + 10, "iat": "now"}, False),
        ({"exp": NOW + 10, "nbf": {}}, False),
    ],
)
def test_a_token_is_good_from_nbf_to_exp_within_the_leeway(claims: dict[str, Any], holds: bool) -> None:
    assert good(claims) is holds


def test_leeways_are_the_callers() -> None:
    assert good({"exp": NOW}, Leeway(skew=0)) and not good({"exp": NOW - 1}, Leeway(skew=0))
    assert good({"iat": NOW - 10}, Leeway(0, 10, 0)) and not good({"iat": NOW - 11}, Leeway(0, 10, 0))
    assert good({"exp": NOW + 10}, Leeway(0, 0, 10)) and not good({"exp": NOW + 11}, Leeway(0, 0, 10))


def test_where_the_issuer_is_asked_too_only_times_that_are_there_count() -> None:
    for claims in ({}, {"exp": NOW + 9_999}, {"iat": NOW - 9_999}, {"nbf": NOW - 9_999}):
        check_times_said(claims, NOW * SECOND)
    for wrong in ({"exp": NOW - 61}, {"nbf": NOW + 61}, {"iat": NOW + 61}, {"exp": "x"}):
        with pytest.raises(InvalidToken):
            check_times_said(wrong, NOW * SECOND)


@pytest.mark.parametrize(
    "issuer", ["https://a.example/", "https://a.example.evil", "HTTPS://a.example", "", None, ["https://a.example"], 1]
)
def test_an_issuer_is_compared_whole(issuer: Any) -> None:
    check_issuer({"iss": "https://a.example"}, ("https://a.example",))
    with pytest.raises(InvalidToken, match="iss"):
        check_issuer({"iss": issuer}, ("https://a.example",))
    with pytest.raises(InvalidToken, match="iss"):
        check_issuer({}, ("https://a.example",))


def test_one_audience_compares_alike_as_text_and_as_list() -> None:
    """CVE-2024-5798."""
    for value in ("vault", ["vault"], ["other", "vault"]):
        check_audience({"aud": value}, ("vault",))
        with pytest.raises(InvalidToken, match="aud"):
            check_audience({"aud": value}, ("vaul", "vault2"))


@pytest.mark.parametrize("value", [7, None, {"vault": 1}, ["vault", 7], [["vault"]], True])
def test_an_audience_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(InvalidToken, match="aud"):
        audiences({"aud": value})


@pytest.mark.parametrize("claims", [{}, {"aud": []}, {"aud": ""}])
def test_no_audience_matches_nothing(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken, match="aud"):
        check_audience(claims, ("vault",))
