"""Addresses are read once, and a bad one says what is wrong with it."""

from __future__ import annotations

import pytest

from strongroom.client.address import Address, parse
from strongroom.client.errors import BadSettings


@pytest.mark.parametrize(
    ("text", "expected", "authority"),
    [
        ("https://vault.example:8200", Address("https", "vault.example", 8200), "vault.example:8200"),
        ("http://127.0.0.1:8200/", Address("http", "127.0.0.1", 8200), "127.0.0.1:8200"),
        ("https://vault.example", Address("https", "vault.example", 443), "vault.example"),
        ("HTTPS://[::1]:8200", Address("https", "::1", 8200), "[::1]:8200"),
        ("https://proxy/vault/", Address("https", "proxy", 443, "/vault"), "proxy"),
        ("unix:///run/strongroom.sock", Address("http", "localhost", 80, "", "/run/strongroom.sock"), "localhost"),
    ],
)
def test_an_address_has_its_parts(text: str, expected: Address, authority: str) -> None:
    assert parse(text) == expected
    assert parse(text).authority == authority


@pytest.mark.parametrize(
    "text", ["", "vault:8200", "ftp://x", "https://", "https://:8200", "https://a:b:1", "https://a:0", "https://a:70000", "https://a:x",
             "https://a/?x=1", "https://a b", "unix://relative", "https://[::1", "https://[::1]8200", "https://a:٣"],
)  # fmt: skip
def test_a_bad_address_is_refused_and_says_how_one_looks(text: str) -> None:
    with pytest.raises(BadSettings, match=r"VAULT_ADDR"):
        parse(text)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(BadSettings) as raised:
        parse("https://ada:hunter2-and-more@vault:8200")
    assert "hunter2" not in str(raised.value)
