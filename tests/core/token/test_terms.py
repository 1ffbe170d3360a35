"""Networks: what they let in, and which lies in which."""

from __future__ import annotations

import pytest

from strongroom.core.token.terms import covers, lets_in, shared


@pytest.mark.parametrize(
    ("networks", "address", "want"),
    [
        ((), "10.0.0.1", True),
        ((), "", True),
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8", "fd00::/8"), "fd00::1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "", False),
        (("0.0.0.0/0",), "fd00::1", False),
    ],
)
def test_what_is_bound_to_networks_is_open_to_their_addresses(networks: tuple[str, ...], address: str, want: bool) -> None:
    assert lets_in(networks, address) is want


@pytest.mark.parametrize(
    ("outer", "inner", "want"),
    [
        ((), ("10.0.0.0/8",), True),
        (("10.0.0.0/8",), (), True),
        (("10.0.0.0/8",), ("10.1.0.0/16", "10.1.2.3"), True),
        (("10.0.0.0/8", "fd00::/8"), ("fd00:1::/32", "10.0.0.0/8"), True),
        (("10.0.0.0/16",), ("10.0.0.0/8",), False),
        (("10.0.0.0/8",), ("10.1.0.0/16", "11.0.0.1"), False),
        (("0.0.0.0/0",), ("fd00::1",), False),
        (("::/0",), ("10.0.0.1",), False),
    ],
)
def test_networks_cover_those_that_lie_in_them(outer: tuple[str, ...], inner: tuple[str, ...], want: bool) -> None:
    assert covers(outer, inner) is want


@pytest.mark.parametrize(
    ("some", "others", "want"),
    [
        ((), (), ()),
        (("10.0.0.0/8",), (), ("10.0.0.0/8",)),
        ((), ("10.0.0.0/8",), ("10.0.0.0/8",)),
        (("10.1.0.0/16",), ("10.0.0.0/8", "fd00::/8"), ("10.1.0.0/16",)),
        (("10.0.0.0/8", "fd00::1"), ("10.1.0.0/16", "10.2.3.4", "fd00::/8"), ("fd00::1", "10.1.0.0/16", "10.2.3.4")),
        (("10.0.0.0/8",), ("10.0.0.0/8",), ("10.0.0.0/8",)),
        (("10.0.0.0/8",), ("11.0.0.0/8", "::/0"), ()),
    ],
)
def test_networks_share_those_that_lie_in_both(some: tuple[str, ...], others: tuple[str, ...], want: tuple[str, ...]) -> None:
    assert shared(some, others) == want
