"""T11.1: every chain of the corpus gets its verdict at a login; and each check is the only thing that stands before some of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from cryptography import x509 as library
from cryptography.x509 import verification

from strongroom.auth.cert import crls, login, matching
from strongroom.core import group
from strongroom.core.call import Rerun
from strongroom.core.request import Peer
from strongroom.crypto import x509
from strongroom.errors import InvalidRequest
from strongroom.testing import Strongroom
from strongroom.testing.room import START
from tests.auth.cert.kit import CRLS, LOGIN, answer, fresh, peer, trust
from tests.support.chains import CASES, DNS, NO_WAY, ROOT, Case, alternatives, authority, issue


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return fresh()


@pytest.fixture
def lists(room: Strongroom) -> Iterator[Callable[[Case], None]]:
    """Writes the lists of a case, and removes them."""
    written: list[str] = []

    def write(case: Case) -> None:
        for number, text in enumerate(case.lists):
            written.append(f"{CRLS}list{number}")
            room.write(written[-1], {"crl": text.decode()})

    yield write
    for path in written:
        room.delete(path)


def verdict(room: Strongroom, case: Case, name: str) -> str:
    """What comes of a login with a role that trusts what the case says; "" for a token."""
    trust(room, name, *case.trusted)
    status, text = answer(room, case.leaf, case.others, name)
    assert status in (200, 400)
    return text


def role_name(title: str) -> str:
    return title.lower().replace(" ", "_")


@pytest.mark.parametrize("title", CASES)
def test_a_chain_gets_its_verdict(room: Strongroom, lists: Callable[[Case], None], title: str) -> None:
    case = CASES[title]()
    lists(case)
    text = verdict(room, case, role_name(title))
    assert (case.verdict in text) if case.verdict else text == ""
    if case.depth:
        presented = x509.load_presented(peer(case.leaf).leaf or b"", peer(case.leaf, case.others).chain)
        chain = x509.verify_client(presented, x509.anchors(each[0] for each in case.trusted), START)
        assert len(chain) == case.depth and chain[0] == case.leaf[0]


def test_the_corpus_is_large_enough_and_has_both_verdicts() -> None:
    verdicts = [make().verdict for make in CASES.values()]
    assert len(verdicts) >= 100
    assert verdicts.count("") >= 30


# -- negative controls: without the check the case is let in --------------------------------------------------------------------------


def nothing(*_args: object, **_options: object) -> None:
    """In place of a check."""


def lenient() -> verification.ExtensionPolicy:
    return verification.ExtensionPolicy.permit_all()


def by_serial(presented: x509.Presented, trusted: x509.Anchors, _now: int) -> tuple[library.Certificate, ...]:
    """As OpenBao compared before GH-173."""
    if any(each.serial_number == presented.leaf.serial_number for each in trusted.certificates):
        return (presented.leaf,)
    raise x509.Untrusted("no")


def by_key(presented: x509.Presented, trusted: x509.Anchors, _now: int) -> tuple[library.Certificate, ...]:
    """As Vault compared before CVE-2025-6037."""
    if any(each.public_key() == presented.leaf.public_key() for each in trusted.certificates):
        return (presented.leaf,)
    raise x509.Untrusted("no")


def without_time(presented: x509.Presented, trusted: x509.Anchors, now: int) -> tuple[library.Certificate, ...]:
    """Path validation at an instant at which all is valid."""
    assert trusted.store is not None
    return x509._chain(presented, trusted.store, now - 100)


CONTROLS: dict[str, tuple[object, str, object, tuple[str, ...]]] = {
    "key strength": (x509, "_check_key", nothing, ("an RSA 1024 client", "an RSA 1024 pinned certificate", "a client on a curve of coins")),
    "purpose": (x509, "check_purpose", nothing, ("a client for servers only", "a client for signing code")),
    "usage": (x509, "_check_leaf_usage", nothing, ("a client whose key is for encipherment", "a client for servers only")),
    "leaf": (
        x509,
        "check_leaf",
        nothing,
        (
            "a pinned certificate with a critical extension that is not understood",
            "an expired pinned certificate",
            "a pinned certificate not yet valid",
        ),
    ),
    "common names": (
        x509,
        "_check_common_names",
        nothing,
        (
            "a common name outside constraints",
            "an excluded common name",
            "a common name outside constraints beside a name inside",
            "an e mail address as common name outside constraints",
        ),
    ),
    "CAs log in": (x509, "_LEAF", lenient(), ("a CA that logs in itself",)),
    "usage of CAs": (
        x509,
        "_AUTHORITY",
        lenient().require_present(library.BasicConstraints, verification.Criticality.AGNOSTIC, None),
        ("an intermediate for servers only", "an intermediate whose key signs no certificates"),
    ),
    "depth": (x509, "MAX_DEPTH", 8, ("seven intermediates",)),
    "number": (x509, "MAX_PRESENTED", 100, ("more certificates than anybody needs",)),
    "serial numbers": (login, "verify_client", by_serial, ("the same serial number with another key",)),
    "keys": (login, "verify_client", by_key, ("the same key with another common name", "the same key self signed")),
    "names": (
        matching,
        "_check_names",
        nothing,
        (
            "a common name with a NUL",
            "a common name with a direction mark",
            "a common name in a second spelling",
            "a common name with a space at its end",
        ),
    ),
    "revocation": (
        crls.Lists,
        "check_lists",
        nothing,
        ("a revoked client", "a client of a revoked intermediate", "a client revoked by an intermediate", "a revoked pinned certificate"),
    ),
}
"""Where a check is, what stands in its place, and the cases that are let in then."""


@pytest.mark.parametrize(("check", "title"), [(check, title) for check, (*_, titles) in CONTROLS.items() for title in titles])
def test_without_the_check_the_chain_is_let_in(
    room: Strongroom, lists: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch, check: str, title: str
) -> None:
    where, attribute, instead, _ = CONTROLS[check]
    case = CASES[title]()
    assert case.verdict
    lists(case)
    monkeypatch.setattr(where, attribute, instead)
    if check == "leaf":
        monkeypatch.setattr(login, "check_leaf", nothing)
    assert verdict(room, case, role_name(title)) == ""


# -- what a stranger can make the server do -----------------------------------------------------------------------------------------


def test_paths_that_multiply_cost_one_walk(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine certificates of one name and one key, which all issue each other, have a hundred million ways through them."""
    looped = [authority("looped", serial=number, of="looped") for number in range(1, 10)]
    leaf = issue("client", looped[0])
    trust(room, "looped", ROOT)

    def cost() -> float:
        began = time.perf_counter()
        assert answer(room, leaf, looped, "looped") == (400, NO_WAY)
        return time.perf_counter() - began

    cheap = min(cost() for _ in range(3))
    monkeypatch.setattr(x509, "_one_of_each", list)
    assert min(cost() for _ in range(3)) > 2 * cheap


def test_a_certificate_of_thousands_of_names_is_not_read(room: Strongroom) -> None:
    many = [DNS(f"a{number}.example") for number in range(2_000)]
    assert answer(room, issue("client", ROOT, [alternatives(*many)])) == (
        400,
        "failed to verify client's certificate: a certificate has more than 16384 bytes",
    )


def test_a_stranger_costs_the_loop_nothing(room: Strongroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is done with what he presents is done on the pool, once."""
    trust(room, "pooled", ROOT)
    began: list[bool] = []
    pooled: list[bool] = []

    def work_out(rerun: Rerun) -> object:
        began.append(True)
        outcome = real(rerun)
        began.pop()
        return outcome

    def load(leaf: bytes, others: Sequence[bytes]) -> x509.Presented:
        pooled.append(bool(began))
        return x509.load_presented(leaf, others)

    real = group.work_out
    monkeypatch.setattr(group, "work_out", work_out)
    monkeypatch.setattr(login, "load_presented", load)
    assert answer(room, issue("client", ROOT), name="pooled") == (200, "")
    assert pooled == [True]


JUNK = [b"", b"\x30", b"\x30\x80", b"\x30\x03\x02\x01\x00", b"not a certificate", b"\x30\x84\xff\xff\xff\xff" + bytes(64)]


@pytest.mark.parametrize("junk", JUNK)
def test_what_is_no_certificate_is_refused(room: Strongroom, junk: bytes) -> None:
    for leaf, chain in ((junk, ()), (peer(issue("client", ROOT)).leaf, (junk,))):
        with pytest.raises(InvalidRequest, match="failed to verify client's certificate: a certificate cannot be read"):
            room.login(LOGIN, peer=Peer("127.0.0.1", 1, leaf, chain))


def test_a_certificate_with_one_wrong_byte_is_refused_whichever_it_is(room: Strongroom) -> None:
    trust(room, "damaged", ROOT)
    sound = peer(issue("client", ROOT)).leaf or b""
    for at in range(len(sound)):
        damaged = bytes((*sound[:at], sound[at] ^ 0x41, *sound[at + 1 :]))
        with pytest.raises(InvalidRequest, match="certificate"):
            room.login(LOGIN, {"name": "damaged"}, peer=Peer("127.0.0.1", 1, damaged))
