"""Which addresses are dialled (T20.1): a table of them for each reach, and that nothing is a way around it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import ConfigError
from strongroom.outbound.addresses import NEVER, Reach, allow_list, objection

EVERYTHING = allow_list(("0.0.0.0/0", "::/0"))

PUBLIC = (
    "1.1.1.1",
    "93.184.216.34",
    "172.32.0.1",
    "172.15.255.255",
    "100.63.255.255",
    "100.128.0.1",
    "2606:2800:220:1::1",
    "2a00:1450:4001::1",
)
LOCAL = ("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "::1", "fc00::1", "fd12:3456::1")
SPECIAL = (
    "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
    "240.0.0.1", "2001:db8::1", "2001:10::1", "2002:101:101::1", "3fff::1", "64:ff9b::101:101", "64:ff9b:1::101:101",
    "::ffff:1.1.1.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::1.1.1.1", "100::1", "4000::1", "5f00::1", "fec0::1",
)  # fmt: skip
NOWHERE = (
    "169.254.169.254", "169.254.170.2", "169.254.0.1", "fe80::1", "fe80::1%1", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
    "168.63.129.16", "100.100.100.200", "192.0.0.192", "224.0.0.1", "239.255.255.255", "ff02::1", "255.255.255.255", "0.0.0.0", "0.1.2.3",
    "::", "::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1", "2001:0:101:101:0:0:5601:5601", "::ffff:0.0.0.0", "::2", "2001::1", "::ffff:224.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_dialled_for_anybody(text: str) -> None:
    assert objection(ip_address(text), Reach.PUBLIC, ()) is None


@pytest.mark.parametrize("text", LOCAL)
def test_private_addresses_are_dialled_for_administrators(text: str) -> None:
    assert objection(ip_address(text), Reach.CONFIGURED, ()) is None
    assert objection(ip_address(text), Reach.PUBLIC, ()) is not None
    assert objection(ip_address(text), Reach.PUBLIC, EVERYTHING) is None


@pytest.mark.parametrize("text", SPECIAL)
def test_addresses_set_aside_are_dialled_where_they_are_listed(text: str) -> None:
    assert objection(ip_address(text), Reach.PUBLIC, ()) is not None
    assert objection(ip_address(text), Reach.CONFIGURED, ()) is not None
    assert objection(ip_address(text), Reach.PUBLIC, EVERYTHING) is None


@pytest.mark.parametrize("text", NOWHERE)
def test_metadata_and_link_local_are_never_dialled_whatever_is_listed(text: str) -> None:
    for reach in Reach:
        assert objection(ip_address(text), reach, EVERYTHING) is not None


def test_what_is_inside_an_address_counts_beside_the_address() -> None:
    """NAT64 that is listed leads to public hosts, to private ones only where those may be dialled, and to metadata never."""
    nat64 = allow_list(("64:ff9b::/96",))
    assert objection(IPv6Address("64:ff9b::101:101"), Reach.PUBLIC, nat64) is None
    assert objection(IPv6Address("64:ff9b::a00:1"), Reach.PUBLIC, nat64) == "private"
    assert objection(IPv6Address("64:ff9b::a00:1"), Reach.CONFIGURED, nat64) is None


@given(st.ip_addresses(v=4), st.sampled_from([0xFFFF << 32, 0, 0x64FF9B << 96, 0x64FF9B0001 << 80]))
def test_no_ipv6_form_opens_what_its_ipv4_address_does_not(address: IPv4Address, prefix: int) -> None:
    form = IPv6Address(prefix | int(address))
    for reach in Reach:
        if objection(address, reach, EVERYTHING) is not None and int(form) > 1:
            assert objection(form, reach, EVERYTHING) is not None


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.com", "10.0.0.0/33", "", "10.0.0.0-10.0.0.9", "::/129", "010.0.0.0/8"])
def test_an_allow_list_is_made_of_networks(text: str) -> None:
    with pytest.raises(ConfigError, match="outbound"):
        allow_list((text,))


@pytest.mark.parametrize("text", [str(network) for networks in NEVER.values() for network in networks])
def test_what_is_never_dialled_cannot_be_listed(text: str) -> None:
    with pytest.raises(ConfigError, match="no effect"):
        allow_list((text,))
