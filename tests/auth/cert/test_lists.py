"""cert: revocation lists that are written, fetched, kept fresh, and what a list may say (T11.1, T20.1)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.auth.cert import crls
from strongroom.crypto.crl import MAX_CRL, UnusableCrl, load_crl, read_crl, spelled
from strongroom.errors import InvalidRequest, NotFound, StrongroomError
from strongroom.testing import Strongroom
from tests.auth.cert.kit import CRLS, answer, fresh, pem, trust
from tests.support.chains import DAY, MIDDLE, NOW, OTHER, REVOKED, ROOT, authority, issue, key, revocations
from tests.support.plain_http import Answering, answering

IN = (200, "")
CLIENT = issue("client", ROOT, serial=7)
KEY_ID = (x509.SubjectKeyIdentifier(b"present"), False)


@pytest.fixture
def room() -> Strongroom:
    room = fresh()
    trust(room, "web", ROOT)
    return room


@pytest.fixture
def place() -> Iterator[Answering]:
    """Where lists are fetched from; an empty one of the root at first."""
    with answering(lambda _: (200, revocations(ROOT))) as server:
        yield server


def refused(reason: str) -> tuple[int, str]:
    text = "no chain matching all constraints could be found for this login certificate; additionally got errors during verification: "
    return (400, text + reason)


# -- routes -----------------------------------------------------------------------------------------------------------------------


def test_a_list_is_written_shown_listed_and_deleted(room: Strongroom) -> None:
    with pytest.raises(NotFound):
        room.list("auth/cert/crls")
    room.write(CRLS + "Root", {"crl": revocations(ROOT, 7, 300).decode()})
    assert room.json(room.read(CRLS + "root")) == {
        "cdp": None,
        "serials": {"7": {}, "300": {}},
        "issuer": "CN=root",
        "this_update": "2025-12-31T00:00:00Z",
        "next_update": "2026-01-02T00:00:00Z",
    }
    assert room.list("auth/cert/crls") == ["root"]
    assert answer(room, CLIENT) == refused(REVOKED)
    room.delete(CRLS + "root")
    assert answer(room, CLIENT) == IN
    for ask in (room.read, room.delete):
        with pytest.raises(InvalidRequest, match="no such CRL root"):
            ask(CRLS + "root")


def unusable() -> dict[str, bytes]:
    """Lists that cannot be used."""
    delta = (x509.DeltaCRLIndicator(1), True)
    indirect = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
    strange = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    return {
        "not a list": b"nothing",
        "cut short": revocations(ROOT, 7)[:-60],
        "a certificate": pem(ROOT).encode(),
        "a delta": revocations(ROOT, 7, extensions=[delta]),
        "for others": revocations(ROOT, 7, extensions=[(indirect, True)]),
        "not understood": revocations(ROOT, 7, extensions=[strange]),
        "too long": b"-----BEGIN X509 CRL-----\n" + b"A" * (2 * MAX_CRL),
    }


@pytest.mark.parametrize("kind", unusable())
def test_a_list_that_cannot_be_used_is_not_stored(room: Strongroom, kind: str) -> None:
    with pytest.raises(InvalidRequest, match="failed to parse CRL"):
        room.write(CRLS + "wrong", {"crl": unusable()[kind].decode()})
    with pytest.raises(InvalidRequest, match="no such CRL"):
        room.read(CRLS + "wrong")


def test_a_list_for_some_certificates_counts_for_what_it_names(room: Strongroom) -> None:
    partial = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    room.write(CRLS + "users", {"crl": revocations(ROOT, 7, extensions=[(partial, True)]).decode()})
    assert answer(room, CLIENT) == refused(REVOKED)


@pytest.mark.parametrize("fields", [{}, {"crl": ""}, {"url": ""}])
def test_one_of_list_and_url_must_be_given(room: Strongroom, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="one of 'crl' or 'url' must be provided"):
        room.write(CRLS + "empty", fields)


def test_an_issuer_is_the_same_in_other_letters_and_spaces() -> None:
    def made(*texts: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text) for text in texts])

    assert spelled(made("Acme  CA")) == spelled(made("acme ca"))
    assert spelled(made("a", "b")) != spelled(made("b", "a")) != spelled(made("ab"))
    assert read_crl(load_crl(revocations(ROOT))).issuer == spelled(ROOT[0].subject)


def test_junk_never_raises_anything_else() -> None:
    sound = load_crl(revocations(ROOT, 7))
    for at, byte in itertools.product(range(len(sound)), (0x41, BIT_STRING)):
        damaged = bytes((*sound[:at], sound[at] ^ byte if byte != BIT_STRING else byte, *sound[at + 1 :]))
        with contextlib.suppress(UnusableCrl):
            read_crl(load_crl(damaged))


BIT_STRING = 0x03
"""As the kind of a string in a name it is one that the library reads and then has no attribute for."""


# -- fetched ------------------------------------------------------------------------------------------------------------------------


def test_a_list_is_fetched_at_once_and_again_long_before_it_ends(room: Strongroom, place: Answering) -> None:
    room.write(CRLS + "root", {"url": place.url})
    found = room.json(room.read(CRLS + "root"))
    assert found["cdp"] == {"url": place.url, "valid_until": "2026-01-02T00:00:00Z"} and found["serials"] == {}
    assert answer(room, CLIENT) == IN
    place.respond = lambda _: (200, revocations(ROOT, 7, issued=NOW, ends=NOW + 3 * DAY))
    room.advance(12 * 3_600 - 1)
    assert len(place.asked) == 1
    room.advance(1)
    assert len(place.asked) == 2
    assert answer(room, CLIENT) == refused(REVOKED)


def test_a_fetch_that_fails_is_tried_again_and_meanwhile_the_list_ends(room: Strongroom, place: Answering) -> None:
    room.write(CRLS + "root", {"url": place.url})
    place.respond = lambda _: (503, b"")
    room.advance(23 * 3_600)
    assert answer(room, CLIENT) == IN
    room.advance(2 * 3_600)
    assert answer(room, CLIENT) == refused("the revocation list of its issuer is out of date and could not be fetched")
    place.respond = lambda _: (200, revocations(ROOT, issued=NOW + DAY, ends=NOW + 3 * DAY))
    room.advance(301)
    assert answer(room, CLIENT) == IN


def test_a_list_that_was_written_counts_for_ever(room: Strongroom) -> None:
    room.write(CRLS + "root", {"crl": revocations(ROOT, 8).decode()})
    room.advance(9 * 86_400)
    assert answer(room, CLIENT) == IN
    assert answer(room, issue("client", ROOT, serial=8)) == refused(REVOKED)


def test_a_fetched_list_must_be_signed_by_the_issuer_it_speaks_of(
    room: Strongroom, place: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.respond = lambda _: (200, revocations(ROOT, by=key("forger")))
    with pytest.raises(InvalidRequest, match="not signed by the issuer"):
        room.write(CRLS + "root", {"url": place.url})
    place.respond = lambda _: (200, revocations(MIDDLE, by=key("forger")))
    room.write(CRLS + "middle", {"url": place.url})
    assert answer(room, CLIENT) == IN
    below = issue("client", MIDDLE)
    assert answer(room, below, [MIDDLE]) == refused("the revocation list that was fetched for its issuer is not signed by it")
    monkeypatch.setattr(crls, "_signed", lambda *_: True)
    assert answer(room, below, [MIDDLE]) == IN, "the negative control"


@pytest.mark.parametrize("kind", ["older", "another issuer's", "another key's"])
def test_a_fetched_list_is_replaced_only_by_a_later_one_of_the_same_issuer(room: Strongroom, place: Answering, kind: str) -> None:
    own = (x509.AuthorityKeyIdentifier(b"present", None, None), False)
    place.respond = lambda _: (200, revocations(ROOT, 7, extensions=[own]))
    room.write(CRLS + "root", {"url": place.url})
    former = (x509.AuthorityKeyIdentifier(b"former", None, None), False)
    instead = {
        "older": revocations(ROOT, issued=NOW - 2 * DAY, extensions=[own]),
        "another issuer's": revocations(OTHER, issued=NOW),
        "another key's": revocations(ROOT, issued=NOW, extensions=[former]),
    }
    place.respond = lambda _: (200, instead[kind])
    room.advance(13 * 3_600)
    assert len(place.asked) > 1
    assert answer(room, CLIENT) == refused(REVOKED)


@pytest.mark.parametrize("issued", [NOW, NOW + 365 * DAY])
def test_whoever_is_on_the_way_once_does_not_keep_everybody_out(
    room: Strongroom, place: Answering, issued: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that a forger made is not kept in place of the issuer's, which would be older from then on."""
    room.write(CRLS + "root", {"url": place.url})
    forged = revocations(ROOT, issued=issued, ends=issued + 2 * DAY, by=key("forger"))
    genuine = revocations(ROOT, 7, issued=NOW, ends=NOW + 2 * DAY)
    place.respond = lambda _: (200, forged)
    room.advance(13 * 3_600)
    assert len(place.asked) > 1
    assert answer(room, CLIENT) == IN
    place.respond = lambda _: (200, genuine)
    room.advance(2 * 3_600)
    assert answer(room, CLIENT) == refused(REVOKED)
    monkeypatch.setattr(crls.Lists, "_check_signer", lambda *_: None)
    place.respond = lambda _: (200, forged)
    room.advance(13 * 3_600)
    assert answer(room, CLIENT) == refused("the revocation list that was fetched for its issuer is not signed by it"), (
        "the negative control"
    )


@pytest.mark.parametrize("minutes", [4, 6])
def test_a_list_of_the_future_is_none(room: Strongroom, place: Answering, minutes: int) -> None:
    place.respond = lambda _: (200, revocations(MIDDLE, issued=NOW + timedelta(minutes=minutes), by=key("forger")))
    if minutes < 5:
        room.write(CRLS + "middle", {"url": place.url})
        return
    with pytest.raises(InvalidRequest, match="in the future"):
        room.write(CRLS + "middle", {"url": place.url})


def test_a_list_of_a_former_key_says_nothing_about_the_present_one(place: Answering) -> None:
    room = fresh()
    present = authority("rolled", None, KEY_ID, of="present key")
    trust(room, "web", present)
    former = authority("rolled", of="former key")
    former_id = (x509.AuthorityKeyIdentifier(b"former", None, None), False)
    place.respond = lambda _: (200, revocations(former, 7, extensions=[former_id]))
    with pytest.raises(InvalidRequest, match="not signed by the issuer"):
        room.write(CRLS + "rolled", {"url": place.url})
    trust(room, "old", former)
    room.write(CRLS + "rolled", {"url": place.url})
    assert answer(room, issue("client", present, serial=8)) == IN


def test_another_place_or_a_deleted_list_is_not_fetched_any_more(room: Strongroom, place: Answering) -> None:
    room.write(CRLS + "root", {"url": place.url})
    room.delete(CRLS + "root")
    room.advance(2 * 86_400)
    assert len(place.asked) == 1


def test_a_list_that_is_written_again_and_again_has_one_timer(room: Strongroom, place: Answering) -> None:
    for _ in range(5):
        room.write(CRLS + "root", {"url": place.url})
    room.advance(13 * 3_600)
    assert len(place.asked) == 5 + 1
    room.write(CRLS + "root", {"crl": revocations(ROOT).decode()})
    room.advance(13 * 3_600)
    assert len(place.asked) == 5 + 1


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://host/", "http://169.254.169.254/latest", "http://user@127.0.0.1/", "nothing", "http://[fe80::1]/"]
)
def test_a_url_that_leads_where_nobody_goes_is_refused(room: Strongroom, url: str) -> None:
    with pytest.raises(StrongroomError) as caught:
        room.write(CRLS + "root", {"url": url})
    assert caught.value.status == 400


def test_a_place_that_answers_with_something_else_is_an_error(room: Strongroom, place: Answering) -> None:
    place.respond = lambda _: (404, b"")
    with pytest.raises(InvalidRequest, match=r"failed to fetch CRL: 127\.0\.0\.1 answered 404"):
        room.write(CRLS + "root", {"url": place.url})
    place.respond = lambda _: (200, b"<html>")
    with pytest.raises(InvalidRequest, match="failed to parse CRL"):
        room.write(CRLS + "root", {"url": place.url})


def test_lists_in_der_are_fetched_too(room: Strongroom, place: Answering) -> None:
    content = x509.load_pem_x509_crl(revocations(ROOT, 7)).public_bytes(Encoding.DER)
    place.respond = lambda _: (200, content)
    room.write(CRLS + "root", {"url": place.url})
    assert answer(room, CLIENT) == refused(REVOKED)
