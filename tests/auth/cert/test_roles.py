"""cert: what roles and settings take, keep and show, and what a certificate must be to fit a role."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509

from strongroom.auth.cert.matching import globbed
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.testing import Strongroom
from tests.auth.cert.kit import CERTS, answer, fresh, log_in, pem, trust
from tests.auth.parameters import PARAMETERS
from tests.support.chains import ANY, CLIENT, DNS, MAIL, OTHER, ROOT, SERVER, URI, Made, alternatives, issue, name, purpose

CONFIG = "auth/cert/config"
FITS = (200, "")
DOES_NOT = (400, "no chain matching all constraints could be found for this login certificate")


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return fresh()


FIELDS: dict[str, Any] = {
    "display_name": "web",
    "allowed_names": ["a*"],
    "allowed_common_names": ["b*", "c"],
    "allowed_dns_sans": ["*.a.example"],
    "allowed_email_sans": ["*@a.example"],
    "allowed_uri_sans": ["spiffe://a.example/*"],
    "allowed_organizational_units": ["engineering"],
    "required_extensions": ["2.1.1.1:*", "hex:2.1.1.2:0c*"],
    "allowed_metadata_extensions": ["2.1.1.1"],
    "ocsp_enabled": True,
    "ocsp_ca_certificates": pem(OTHER),
    "ocsp_servers_override": ["http://ocsp.example/"],
    "ocsp_fail_open": True,
    "ocsp_query_all_servers": True,
    "ocsp_this_update_max_age": 3_600,
    "ocsp_max_retries": 2,
    **PARAMETERS,
}


def test_every_field_is_read_back(room: Strongroom) -> None:
    room.write(CERTS + "Full", {"certificate": pem(ROOT), **FIELDS})
    found = room.json(room.read(CERTS + "full"))
    assert {field: found[field] for field in FIELDS} == FIELDS
    assert found["certificate"] == pem(ROOT)
    room.write(CERTS + "full", {"token_ttl": "15m"})
    after = room.json(room.read(CERTS + "FULL"))
    assert after["token_ttl"] == 900
    assert {field: after[field] for field in FIELDS if field != "token_ttl"} == {
        field: value for field, value in FIELDS.items() if field != "token_ttl"
    }


def test_what_was_not_sent_is_as_in_vault(room: Strongroom) -> None:
    room.write(CERTS + "plain", {"certificate": pem(ROOT), "lease": "300", "policies": "x"})
    found = room.json(room.read(CERTS + "plain"))
    assert found["display_name"] == "plain"
    assert (found["token_ttl"], found["ttl"], found["token_policies"], found["policies"]) == (300, 300, ["x"], ["x"])
    assert found["allowed_names"] is None and found["ocsp_enabled"] is False and found["ocsp_max_retries"] == 4


def test_roles_are_listed_and_deleted() -> None:
    room = fresh()
    with pytest.raises(NotFound):
        room.list("auth/cert/certs")
    for each in ("web", "api"):
        trust(room, each, ROOT)
    assert room.list("auth/cert/certs") == ["api", "web"]
    room.delete(CERTS + "WEB")
    assert room.list("auth/cert/certs") == ["api"]
    with pytest.raises(NotFound):
        room.read(CERTS + "web")


WRONG: list[dict[str, Any]] = [
    {},
    {"certificate": ""},
    {"certificate": "nothing"},
    {"certificate": pem(ROOT)[:-100]},
    {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
    {"certificate": pem(ROOT) * 400},
    {"certificate": pem(issue("server", None, [purpose(SERVER)]))},
    {"certificate": pem(ROOT), "required_extensions": "2.1.1.1"},
    {"certificate": pem(ROOT), "required_extensions": "name:value"},
    {"certificate": pem(ROOT), "allowed_metadata_extensions": "2.1.1.1,x"},
    {"certificate": pem(ROOT), "ocsp_ca_certificates": "nothing"},
    {"certificate": pem(ROOT), "ocsp_servers_override": "file:///etc/passwd"},
    {"certificate": pem(ROOT), "ocsp_servers_override": "http://user@host/"},
    {"certificate": pem(ROOT), "ocsp_max_retries": 11},
    {"certificate": pem(ROOT), "ocsp_this_update_max_age": -1},
    {"certificate": pem(ROOT), "token_ttl": -1},
    {"certificate": pem(ROOT), "token_type": "other"},
]


@pytest.mark.parametrize("fields", WRONG)
def test_a_role_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        room.write(CERTS + "wrong", fields)
    with pytest.raises(NotFound):
        room.read(CERTS + "wrong")


@pytest.mark.parametrize("text", ["a b", "ａ", "a%2fb", ".a", "a" * 129, "a\0"])
def test_a_name_that_is_none_is_refused(room: Strongroom, text: str) -> None:
    with pytest.raises(InvalidRequest, match="name is made of"):
        trust(room, text, ROOT)


@pytest.mark.parametrize("policy", ["root", "Root", " root", "root\t", "ＲＯＯＴ", "ro\u00adot", "a,Root"])
def test_no_role_gives_root_or_what_resembles_it(room: Strongroom, policy: str) -> None:
    trust(room, "modest", ROOT)
    before = room.json(room.read(CERTS + "modest"))
    with pytest.raises(InvalidRequest):
        room.write(CERTS + "modest", {"token_policies": policy})
    assert room.json(room.read(CERTS + "modest")) == before
    token = log_in(room, issue("client", ROOT), name="modest").client_token.reveal()
    with pytest.raises(PermissionDenied):
        room.list("auth/token/accessors", token=token)


def test_vault_says_why_a_pinned_certificate_cannot_be_trusted(room: Strongroom) -> None:
    with pytest.raises(InvalidRequest, match="nonCA certificates should have TLS client authentication set as an extended key usage"):
        trust(room, "server", issue("server", None, [purpose(SERVER)]))
    trust(room, "server", issue("server", None, [purpose(ANY)]))
    trust(room, "server", issue("server", None, [purpose(SERVER, CLIENT)]))
    trust(room, "server", issue("server", None))


# -- settings -------------------------------------------------------------------------------------------------------------------


def test_settings_keep_what_was_not_sent() -> None:
    room = fresh()
    defaults = {
        "disable_binding": False,
        "enable_identity_alias_metadata": False,
        "ocsp_cache_size": 0,
        "role_cache_size": 0,
    }
    assert room.json(room.read(CONFIG)) == defaults
    room.write(CONFIG, {"disable_binding": "true"})
    room.write(CONFIG, {"ocsp_cache_size": 7})
    room.write(CONFIG, {"enable_metadata_on_failures": True})
    assert room.json(room.read(CONFIG)) == defaults | {"disable_binding": True, "ocsp_cache_size": 7, "enable_metadata_on_failures": True}
    for size in (-1, 0, 1, 100_001):
        with pytest.raises(InvalidRequest, match="invalid ocsp cache size"):
            room.write(CONFIG, {"ocsp_cache_size": size})


# -- constraints ------------------------------------------------------------------------------------------------------------------

TEXT = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.1.1.1"), b"\x0c\x05web-1")
PRINTABLE = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.1.1.3"), b"\x13\x03abc")
NUMBER = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.1.1.2"), b"\x02\x01\x05")
LONG = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.1.1.4"), b"\x0c\x81\x80" + b"x" * 128)
TRAILING = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.1.1.5"), b"\x0c\x01ab")


@pytest.fixture(scope="module")
def rich() -> Made:
    """A certificate that has a bit of everything."""
    names = alternatives(DNS("web.a.example"), DNS("b.example"), MAIL("ops@a.example"), URI("spiffe://a.example/web"))
    extensions = [names, *((each, False) for each in (TEXT, PRINTABLE, NUMBER, LONG, TRAILING))]
    return issue(name("Web Server", "engineering", "ops"), ROOT, extensions)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"allowed_common_names": "Web*"}, True),
        ({"allowed_common_names": "web*"}, False),
        ({"allowed_common_names": "no,Web Server"}, True),
        ({"allowed_common_names": "web.a.example"}, False),
        ({"allowed_names": "Web Server"}, True),
        ({"allowed_names": "*.a.example"}, True),
        ({"allowed_names": "*@a.example"}, True),
        ({"allowed_names": "spiffe://*"}, False),
        ({"allowed_dns_sans": "*.a.example"}, True),
        ({"allowed_dns_sans": "a.example"}, False),
        ({"allowed_dns_sans": "*"}, True),
        ({"allowed_email_sans": "ops@*"}, True),
        ({"allowed_email_sans": "*@b.example"}, False),
        ({"allowed_uri_sans": "spiffe://a.example/*"}, True),
        ({"allowed_uri_sans": "spiffe://b.example/*"}, False),
        ({"allowed_organizational_units": "ops"}, True),
        ({"allowed_organizational_units": "sales,eng*"}, True),
        ({"allowed_organizational_units": "sales"}, False),
        ({"required_extensions": "2.1.1.1:web-*"}, True),
        ({"required_extensions": ["2.1.1.1:*", "2.1.1.3:abc"]}, True),
        ({"required_extensions": ["2.1.1.1:*", "2.1.1.3:abd"]}, False),
        ({"required_extensions": "2.1.1.1:db-*"}, False),
        ({"required_extensions": "2.1.1.9:*"}, False),
        ({"required_extensions": "2.1.1.2:*"}, False),
        ({"required_extensions": "2.1.1.4:xxx*"}, True),
        ({"required_extensions": "2.1.1.5:*"}, False),
        ({"required_extensions": "hex:2.1.1.2:020105"}, True),
        ({"required_extensions": "hex:2.1.1.2:0201*"}, True),
        ({"required_extensions": "hex:2.1.1.2:03*"}, False),
        ({"allowed_common_names": "Web*", "allowed_dns_sans": "*.b.example"}, False),
        ({"allowed_common_names": "Web*", "allowed_dns_sans": "b.example"}, True),
    ],
)
def test_all_constraints_must_hold_and_one_pattern_of_each(room: Strongroom, rich: Made, fields: dict[str, Any], fits: bool) -> None:
    room.delete(CERTS + "wants")
    trust(room, "wants", ROOT, **fields)
    assert answer(room, rich, name="wants") == (FITS if fits else DOES_NOT)


def test_constraints_hold_for_a_pinned_certificate_too(room: Strongroom) -> None:
    pinned = issue("client", None)
    trust(room, "pinned", pinned, allowed_common_names="other")
    assert answer(room, pinned, name="pinned") == DOES_NOT
    trust(room, "pinned", pinned, allowed_common_names="client")
    assert answer(room, pinned, name="pinned") == FITS


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("a*", "a", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*b*", "abc", True),
        ("*b*b*", "abc", False),
        ("ab*bc", "abc", False),
        ("a**c", "ac", True),
        ("a.c", "abc", False),
        ("[a]", "a", False),
        ("a?", "ab", False),
    ],
)
def test_a_star_stands_for_any_text_and_nothing_else_does(pattern: str, text: str, fits: bool) -> None:
    assert globbed(pattern, text) is fits
