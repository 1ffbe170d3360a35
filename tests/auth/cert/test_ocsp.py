"""cert: what an OCSP answer is worth, and what happens without one (T11.1; CVE-2024-2660: of several statuses the wrong one was used)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from strongroom.auth.cert import ocsp as asking
from strongroom.crypto import ocsp
from strongroom.testing import Strongroom
from strongroom.testing.room import START
from tests.auth.cert.kit import CERTS, answer, fresh, pem, trust
from tests.support.chains import DAY, NOW, OTHER, ROOT, Made, authority, children, issue, key, purpose, tlv, usage
from tests.support.plain_http import Answering, answering

IN = (200, "")
CLIENT = issue("client", ROOT, serial=7)
SIGNER = issue("responder", ROOT, [purpose(ExtendedKeyUsageOID.OCSP_SIGNING)])
GOOD, GONE, UNKNOWN = library.OCSPCertStatus.GOOD, library.OCSPCertStatus.REVOKED, library.OCSPCertStatus.UNKNOWN
HOUR = dt.timedelta(hours=1)


def refused(reason: str) -> tuple[int, str]:
    text = "no chain matching all constraints could be found for this login certificate; additionally got errors during verification: "
    return (400, text + reason)


def said(
    asked: bytes = b"",
    status: library.OCSPCertStatus = GOOD,
    *,
    about: Made = CLIENT,
    issuer: Made = ROOT,
    by: Made = ROOT,
    certificates: tuple[Made, ...] = (),
    this: dt.datetime = NOW - HOUR,
    following: dt.datetime | None = NOW + DAY,
    nonce: bytes | None = None,
    produced_by_hash: bool = False,
) -> bytes:
    """The answer of a responder, `by`."""
    gone = status is GONE
    name = library.OCSPResponderEncoding.HASH if produced_by_hash else library.OCSPResponderEncoding.NAME
    builder = (
        library.OCSPResponseBuilder()
        .add_response(about[0], issuer[0], hashes.SHA1(), status, this, following, NOW - DAY if gone else None, None)
        .responder_id(name, by[0])
    )
    if certificates:
        builder = builder.certificates([each[0] for each in certificates])
    if nonce is None and asked:
        nonce = library.load_der_ocsp_request(asked).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    if nonce:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    with_key = by[1]
    assert isinstance(with_key, ec.EllipticCurvePrivateKey)
    return builder.sign(with_key, hashes.SHA256()).public_bytes(Encoding.DER)


Say = Callable[[bytes], tuple[int, bytes]]


def always(**options: Any) -> Say:
    return lambda asked: (200, said(asked, **options))


def appointed(made: Made) -> Say:
    """Answers signed by a responder whose certificate comes along."""
    return always(by=made, certificates=(made,))


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """No test finds what another one proved."""
    asking._KEPT.clear()


@pytest.fixture
def responder() -> Iterator[Answering]:
    with answering(always()) as server:
        yield server


@pytest.fixture
def room(responder: Answering) -> Strongroom:
    room = fresh()
    trust(room, "web", ROOT, ocsp_enabled=True, ocsp_servers_override=responder.url, ocsp_max_retries=0)
    return room


# -- answers ------------------------------------------------------------------------------------------------------------------------


def several(*answers: bytes, key_of: Made = ROOT) -> bytes:
    """One answer with the statuses of several, signed anew."""
    singles: list[bytes] = []
    for each in answers:
        whole = children(children(children(each)[1])[0])[1]  # ResponseBytes.response, an OCTET STRING
        basic = children(b"\x30" + whole[1:])[0]
        tbs, algorithm, *_ = children(basic)
        parts = children(tbs)
        singles += children(parts[2])
    tbs = tlv(0x30, parts[0] + parts[1] + tlv(0x30, b"".join(singles)))
    signing = key_of[1]
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    signature = tlv(0x03, b"\0" + signing.sign(tbs, ec.ECDSA(hashes.SHA256())))
    basic = tlv(0x30, tbs + algorithm + signature)
    kind = children(children(children(answers[0])[1])[0])[0]
    return tlv(0x30, children(answers[0])[0] + tlv(0xA0, tlv(0x30, kind + tlv(0x04, basic))))


BAD: dict[str, tuple[Say, str]] = {
    "revoked": (always(status=GONE), "it is revoked"),
    "unknown": (always(status=UNKNOWN), "its issuer's OCSP responder does not know it"),
    "ended": (always(this=NOW - 2 * DAY, following=NOW - DAY), "OCSP: its status is out of date"),
    "undated and old": (always(this=NOW - 2 * HOUR, following=None), "OCSP: its status is out of date"),
    "from the future": (always(this=NOW + HOUR), "OCSP: its status is from the future"),
    "about another": (always(about=issue("client", ROOT, serial=8)), "OCSP: it is about another certificate"),
    "about another issuer's": (always(about=issue("client", OTHER, serial=7), issuer=OTHER), "OCSP: it is about another certificate"),
    "signed by another of the same name": (always(by=authority("root", of="forger")), "OCSP: its signature is wrong"),
    "by another authority": (always(by=OTHER), "OCSP: the answer is signed by nobody who may speak for the issuer"),
    "by another authority that comes along": (always(by=OTHER, certificates=(OTHER,)), "OCSP: its signer was not appointed by the issuer"),
    "by a certificate that is not for it": (
        always(by=issue("other client", ROOT), certificates=(issue("other client", ROOT),)),
        "OCSP: its signer was not appointed by the issuer",
    ),
    "by a certificate for clients": (
        appointed(issue("client signer", ROOT, [purpose(ExtendedKeyUsageOID.CLIENT_AUTH)])),
        "OCSP: its signer was not appointed for OCSP",
    ),
    "by a responder of another authority": (
        appointed(issue("foreign", OTHER, [purpose(ExtendedKeyUsageOID.OCSP_SIGNING)])),
        "OCSP: its signer was not appointed by the issuer",
    ),
    "by a responder that has expired": (
        appointed(issue("old", ROOT, [purpose(ExtendedKeyUsageOID.OCSP_SIGNING)], ends=NOW - HOUR)),
        "OCSP: its signer's certificate is out of date",
    ),
    "to another question": (always(nonce=b"0123456789abcdef"), "OCSP: the answer is to another question"),
    "try later": (
        lambda _: (200, library.OCSPResponseBuilder.build_unsuccessful(library.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER)),
        "OCSP: the responder says TRY_LATER",
    ),
    "junk": (lambda _: (200, b"junk"), "OCSP: the answer cannot be read"),
    "empty": (lambda _: (200, b""), "OCSP: the answer cannot be read"),
    "an error": (lambda _: (500, said()), "the OCSP responder answered 500"),
    "good for another, revoked for this one": (
        lambda _: (200, several(said(about=issue("x", ROOT, serial=8)), said(status=GONE))),
        "it is revoked",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_answer_that_does_not_say_good_refuses(room: Strongroom, responder: Answering, kind: str) -> None:
    responder.respond, reason = BAD[kind]
    assert answer(room, CLIENT) == refused(reason)


@pytest.mark.parametrize(
    "say",
    [
        always(),
        always(produced_by_hash=True),
        always(by=SIGNER, certificates=(SIGNER,)),
        lambda _: (200, said()),
        always(this=NOW - HOUR / 2, following=None),
        lambda _: (200, several(said(about=issue("x", ROOT, serial=8), status=GONE), said())),
    ],
)
def test_an_answer_that_proves_good_lets_in(room: Strongroom, responder: Answering, say: Say) -> None:
    responder.respond = say
    assert answer(room, CLIENT) == IN
    assert len(responder.asked) == 1


CONTROLS: dict[str, tuple[str, ...]] = {
    "_check_signature": ("signed by another of the same name",),
    "_check_delegated": ("by a responder of another authority", "by a certificate for clients", "by a responder that has expired"),
    "_check_nonce": ("to another question",),
}


@pytest.mark.parametrize(("check", "kind"), [(check, kind) for check, kinds in CONTROLS.items() for kind in kinds])
def test_without_the_check_the_answer_would_count(
    room: Strongroom, responder: Answering, monkeypatch: pytest.MonkeyPatch, check: str, kind: str
) -> None:
    """The negative controls."""
    monkeypatch.setattr(ocsp, check, lambda *_: None)
    responder.respond, _ = BAD[kind]
    assert answer(room, CLIENT) == IN


def test_junk_never_raises_anything_else() -> None:
    asked = ocsp.question(CLIENT[0], ROOT[0])
    sound = said()
    for at in range(len(sound)):
        damaged = bytes((*sound[:at], sound[at] ^ 0x41, *sound[at + 1 :]))
        with pytest.raises(ocsp.BadAnswer):
            assert ocsp.read_answer(damaged, asked, (), START).good is False
            raise ocsp.BadAnswer("an unsigned byte changed its meaning to the worse")


# -- asking -------------------------------------------------------------------------------------------------------------------------


def test_without_the_switch_nobody_is_asked(room: Strongroom, responder: Answering) -> None:
    room.write(CERTS + "web", {"ocsp_enabled": False})
    assert answer(room, CLIENT) == IN
    assert responder.asked == []


def test_strangers_have_nobody_asked(room: Strongroom, responder: Answering) -> None:
    access = x509.AuthorityInformationAccess(
        [x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(responder.url))]
    )
    for leaf in (issue("client", OTHER), issue("client", None, [(access, False)])):
        assert answer(room, leaf)[0] == 400
    room.write(CERTS + "web", {"allowed_common_names": "other"})
    assert answer(room, CLIENT)[0] == 400
    assert responder.asked == []


def test_a_responder_that_is_down_refuses_unless_the_role_fails_open(room: Strongroom, responder: Answering) -> None:
    responder.respond = lambda _: (503, b"")
    assert answer(room, CLIENT) == refused("the OCSP responder answered 503")
    room.write(CERTS + "web", {"ocsp_fail_open": True})
    assert answer(room, CLIENT) == IN
    responder.respond = always(status=GONE)
    assert answer(room, CLIENT) == refused("it is revoked")
    asking._KEPT.clear()
    responder.respond = always(status=UNKNOWN)
    assert answer(room, CLIENT) == refused("its issuer's OCSP responder does not know it")


def test_a_responder_is_asked_again_as_often_as_the_role_says(room: Strongroom, responder: Answering) -> None:
    responder.respond = lambda _: (503, b"")
    room.write(CERTS + "web", {"ocsp_max_retries": 2})
    answer(room, CLIENT)
    assert len(responder.asked) == 3
    room.write(CERTS + "web", {"ocsp_max_retries": 10})
    answer(room, CLIENT)
    assert len(responder.asked) == 3 + asking.MAX_TRIES


def test_the_next_responder_is_asked_where_one_is_down(room: Strongroom, responder: Answering) -> None:
    with answering(lambda _: (503, b"")) as down:
        room.write(CERTS + "web", {"ocsp_servers_override": [down.url, responder.url]})
        assert answer(room, CLIENT) == IN
        asking._KEPT.clear()
        room.write(CERTS + "web", {"ocsp_query_all_servers": True})
        assert answer(room, CLIENT) == refused("the OCSP responder answered 503")


def test_all_responders_must_agree_where_the_role_says_so(room: Strongroom, responder: Answering) -> None:
    with answering(always(status=GONE)) as other:
        room.write(CERTS + "web", {"ocsp_servers_override": [responder.url, other.url]})
        assert answer(room, CLIENT) == IN
        room.write(CERTS + "web", {"ocsp_query_all_servers": True})
        assert answer(room, CLIENT) == refused("it is revoked")
        other.respond = always()
        asking._KEPT.clear()
        assert answer(room, CLIENT) == IN


def test_a_status_is_kept_for_ten_minutes_at_most(room: Strongroom, responder: Answering) -> None:
    assert [answer(room, CLIENT) for _ in range(3)] == [IN] * 3
    assert len(responder.asked) == 1
    responder.respond = always(status=GONE)
    room.advance(599)
    assert answer(room, CLIENT) == IN
    room.advance(1)
    assert answer(room, CLIENT) == refused("it is revoked")
    assert len(responder.asked) == 2


def test_a_status_is_kept_no_longer_than_it_counts(room: Strongroom, responder: Answering) -> None:
    responder.respond = always(following=NOW + dt.timedelta(seconds=30))
    assert answer(room, CLIENT) == IN
    room.advance(30)
    assert answer(room, CLIENT) == IN
    assert len(responder.asked) == 2


def test_kept_statuses_are_as_many_as_the_settings_say(room: Strongroom, responder: Answering) -> None:
    responder.respond = lambda asked: (
        200,
        said(asked, about=issue("client", ROOT, serial=library.load_der_ocsp_request(asked).serial_number)),
    )
    room.write("auth/cert/config", {"ocsp_cache_size": 2})
    for serial in range(20, 30):
        assert answer(room, issue("client", ROOT, serial=serial)) == IN
    assert all(len(kept) <= 2 for kept in asking._KEPT.values())


def test_a_status_may_be_only_so_old(room: Strongroom, responder: Answering) -> None:
    room.write(CERTS + "web", {"ocsp_this_update_max_age": "30m"})
    assert answer(room, CLIENT) == refused("OCSP: its status is out of date")
    responder.respond = always(this=NOW - HOUR / 3)
    assert answer(room, CLIENT) == IN


def test_a_responder_that_the_administrator_named_may_answer(room: Strongroom, responder: Answering) -> None:
    responder.respond = always(by=OTHER)
    assert answer(room, CLIENT)[0] == 400
    room.write(CERTS + "web", {"ocsp_ca_certificates": pem(OTHER)})
    assert answer(room, CLIENT) == IN


def test_a_pinned_certificate_needs_its_issuer_to_be_asked_about(room: Strongroom, responder: Answering) -> None:
    trust(room, "web", CLIENT)
    assert answer(room, CLIENT) == refused("the issuer of the certificate is not known; put its certificate into ocsp_ca_certificates")
    room.write(CERTS + "web", {"ocsp_ca_certificates": pem(ROOT)})
    assert answer(room, CLIENT) == IN
    asking._KEPT.clear()
    responder.respond = always(status=GONE)
    assert answer(room, CLIENT) == refused("it is revoked")


def named(url: str) -> Made:
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example/")),
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url)),
        ]
    )
    return issue("client", ROOT, [(access, False)], serial=7)


def test_responders_that_a_certificate_names_are_public_ones_only(room: Strongroom, responder: Answering) -> None:
    room.write(CERTS + "web", {"ocsp_servers_override": ""})
    status, text = answer(room, named(responder.url))
    assert status == 400 and "OCSP: 127.0.0.1" in text
    assert responder.asked == []
    assert answer(room, CLIENT) == refused("the certificate names no OCSP responder; set ocsp_servers_override")
    assert ocsp.responders(named("http://ocsp.example/")[0]) == ("http://ocsp.example/",)


@pytest.mark.parametrize("kind", ["rsa2048-issuer", "p384-issuer", "ed25519-issuer"])
def test_certificates_are_named_by_the_hash_of_their_issuers_key_whatever_its_kind(kind: str) -> None:
    """Against the hash that `cryptography` makes of the same."""
    issuer = authority("issuer", of=kind)
    made = issue("client", issuer)
    request = library.load_der_ocsp_request(ocsp.question(made[0], issuer[0]).encoded())
    assert ocsp.key_hash(issuer[0], hashes.SHA1()) == request.issuer_key_hash
    assert usage(digital_signature=True)[1] and key(kind) is issuer[1]
