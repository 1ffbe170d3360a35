"""What issuers publish is kept, and fetched anew within bounds; the routes that use it are tried in tests/auth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from strongroom.crypto.errors import InvalidToken
from strongroom.crypto.jws import parse
from strongroom.errors import InvalidRequest
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import OutboundError
from strongroom.outbound.issuers import MAX_WAITING, PAUSE, RETRY, Issuers, Source, issuers, named_by, well_known
from tests.support.elsewhere import Answered
from tests.support.oidc_provider import Provider, oidc_provider
from tests.support.tokens import rsa_key, signed
from tests.support.waiting import until

STRANGER = signed(rsa_key(), {"sub": "x"}, header={"kid": "other"})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("issuer")) as provider:
        yield provider


@pytest.fixture
def issuer(shared: Provider) -> Provider:
    shared.instead.clear()
    shared.asked.clear()
    return shared


def keys_of(issuer: Provider, path: str = "/keys") -> Source:
    return Source(issuer.issuer + path, issuer.ca_pem)


def test_a_token_is_verified_by_whichever_source_has_its_key(issuer: Provider) -> None:
    issuer.instead["/others"] = Answered(200, {"keys": []})
    token = parse(issuer.token())
    assert Issuers(Outbound()).verified(token, [keys_of(issuer, "/others"), keys_of(issuer)], 0)["sub"] == "user-1"
    with pytest.raises(InvalidToken):
        Issuers(Outbound()).verified(token, [keys_of(issuer, "/others")], 0)


def test_a_source_that_is_down_counts_only_where_no_other_has_the_key(issuer: Provider) -> None:
    token = parse(issuer.token())
    sources = [keys_of(issuer, "/absent"), keys_of(issuer)]
    assert Issuers(Outbound()).verified(token, sources, 0)["sub"] == "user-1"
    with pytest.raises(OutboundError, match="it answered 404"):
        Issuers(Outbound()).verified(parse(STRANGER), sources, 0)


def test_a_failure_is_not_repeated_at_once(issuer: Provider) -> None:
    kept = Issuers(Outbound())
    for now in (0.0, 1.0, RETRY - 0.1):
        with pytest.raises(OutboundError):
            kept.keys(keys_of(issuer, "/absent"), now)
    assert len(issuer.asked) == 1
    with pytest.raises(OutboundError):
        kept.keys(keys_of(issuer, "/absent"), RETRY)
    assert len(issuer.asked) == 2


def test_who_is_served_by_kept_keys_does_not_wait_for_a_fetch_that_hangs(issuer: Provider) -> None:
    kept, source, good, stranger = Issuers(Outbound()), keys_of(issuer), parse(issuer.token()), parse(STRANGER)
    kept.verified(good, [source], 0)
    gate = Event()
    issuer.before = gate.wait
    refused: list[Exception] = []

    def strange() -> None:
        try:
            kept.verified(stranger, [source], PAUSE)
        except InvalidToken as error:
            refused.append(error)

    threads = [Thread(target=strange) for _ in range(30)]
    for thread in threads:
        thread.start()
    try:
        assert kept.verified(good, [source], PAUSE)["sub"] == "user-1"
        until(lambda: len(refused) >= 30 - MAX_WAITING, 5)
        assert 30 - MAX_WAITING <= len(refused) < 30, "most of them are refused at once, a few wait"
    finally:
        gate.set()
        for thread in threads:
            thread.join()
        issuer.before = None
    assert len(refused) == 30 and len(issuer.asked) == 2


def test_a_token_by_a_new_key_waits_for_the_fetch_that_brings_it(issuer: Provider, tmp_path: Path) -> None:
    """Many jobs log in at the moment of a rotation: one fetch, and none of them is refused."""
    kept, source = Issuers(Outbound()), keys_of(issuer)
    kept.verified(parse(issuer.token()), [source], 0)
    issuer.rotate()
    gate, token, found = Event(), parse(issuer.token()), []
    issuer.before = gate.wait
    threads = [Thread(target=lambda: found.append(kept.verified(token, [source], PAUSE))) for _ in range(MAX_WAITING)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    issuer.before = None
    assert len(found) == MAX_WAITING and len(issuer.asked) == 2


def test_what_is_kept_belongs_to_the_way_it_came(issuer: Provider) -> None:
    outbound = Outbound()
    assert issuers(outbound) is issuers(outbound)
    assert issuers(outbound.confined()) is issuers(outbound.confined()) is not issuers(outbound)
    with pytest.raises(OutboundError):  # a tenant's mount does not reach the loopback, whatever others have fetched from there
        issuers(outbound.confined()).keys(keys_of(issuer), 0)


def test_an_issuers_description_reaches_no_further_than_public_hosts_but_for_its_own() -> None:
    source = Source("https://idp.internal:8443/realm")
    assert well_known(source).url == "https://idp.internal:8443/realm/.well-known/openid-configuration"
    assert named_by(source, "https://idp.internal/keys").reach is Reach.CONFIGURED
    assert named_by(source, "https://IDP.internal:9443/keys").reach is Reach.CONFIGURED
    assert named_by(source, "https://idp.internal.evil.example/keys").reach is Reach.PUBLIC
    for url in ("http://idp.internal/keys", "https://user@idp.internal/keys", "file:///keys", ""):
        with pytest.raises(InvalidRequest):
            named_by(source, url)
